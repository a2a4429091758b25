# SPDX-License-Identifier: Apache-2.0
"""The ``magnum`` command.

It talks to Magnum's REST API through python-magnumclient and shares nothing with the driver but the
package: it runs where neither Magnum nor any other service is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.metadata
import logging
import os
import sys
import traceback

from openstack import config as openstack_config

from magnum_swarm_mode.cli import commands, connection
from magnum_swarm_mode.cli.declare import Command, Parser
from magnum_swarm_mode.cli.errors import CommandError, one_line

SUCCESS = 0
FAILURE = 1
INTERRUPTED = 130  # as a shell reports a command that SIGINT ended


def _version() -> str:
    try:
        return importlib.metadata.version("magnum-swarm-mode")
    except importlib.metadata.PackageNotFoundError:
        return "not installed: run from a checkout"


def build_parser() -> Parser:
    """Return the parser of what stands before the command's name."""
    width = max(len(command.name) for command in commands.TABLE)
    listing = "\n".join(f"  {c.name:{width}}  {c.summary}" for c in commands.TABLE)
    parser = Parser(
        prog="magnum",
        usage="magnum [options] <command> [options of the command]",
        description="Command line of OpenStack Magnum, the container infrastructure service.",
        epilog=f"commands:\n{listing}\n\n'magnum help <command>' explains one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    parser.add_argument("--debug", action="store_true", help="Show requests and tracebacks.")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def find_command(name: str) -> Command:
    """Return the command of that name.

    :raises CommandError: naming the nearest one.
    """
    if name in commands.BY_NAME:
        return commands.BY_NAME[name]
    near = difflib.get_close_matches(name, commands.BY_NAME, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "'magnum help' lists them."
    raise CommandError(f"There is no command '{name}': {hint}")


def _before_command(argv: list[str]) -> list[str]:
    known = {*commands.BY_NAME, "help", "bash-completion"}
    end = next((i for i, text in enumerate(argv) if text in known), len(argv))
    return argv[:end]


def _completions() -> str:
    words = {"help", *commands.BY_NAME}
    for command in commands.TABLE:
        words |= set(command.parser()._option_string_actions)
    return " ".join(sorted(words))


def run(argv: list[str]) -> None:
    """Carry out what the arguments ask for.

    :raises Exception: whatever hinders it; the message is for the user.
    """
    config = openstack_config.OpenStackConfig()
    parser = build_parser()
    # Written --os_auth_url, an option is put right in the list it is given in.
    before = _before_command(argv)
    rest = argv[len(before) :]
    connection.register_options(config, parser, before)
    options = parser.parse_args(before + rest)
    name, arguments = options.command, options.arguments
    # What is left in the namespace becomes configuration of the cloud.
    del options.command, options.arguments
    if options.debug:
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
    if name is None or (name == "help" and not arguments):
        parser.print_help()
    elif name == "help":
        find_command(arguments[0]).parser().print_help()
    elif name == "bash-completion":
        print(_completions())
    else:
        command = find_command(name)
        given = command.parser().parse_args(arguments)
        command.run(connection.connect(config, options), given, command)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; Python must not complain again when it exits.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as e:  # a command line ends with a sentence, never with a traceback
        if "--debug" in _before_command(arguments):
            traceback.print_exc()
        print(f"ERROR: {one_line(e)}", file=sys.stderr)
        return FAILURE
    return SUCCESS
