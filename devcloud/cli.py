# SPDX-License-Identifier: Apache-2.0
"""The verbs of tools/devcloud and their arguments."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from devcloud import debian, lock, openrc, passwords, processes, settings
from devcloud.errors import DevcloudError
from devcloud.progress import Progress

_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="devcloud", description="One real OpenStack on this machine, without virtual machines."
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    up = verbs.add_parser("up", help="install what is missing and bring the cloud up")
    up.add_argument(
        "--magnum",
        metavar="RELEASE",
        choices=settings.MAGNUM_RELEASES,
        default=settings.MAGNUM_RELEASE,
        help=f"which Magnum runs: {', '.join(settings.MAGNUM_RELEASES)} (the default)",
    )
    up.add_argument(
        "--horizon",
        action=argparse.BooleanOptionalAction,
        help="start Horizon with the panel for swarms, or end it; without either it stays as it is",
    )
    install = verbs.add_parser(
        "install", help="install packages, environments and images; start nothing"
    )
    install.add_argument("--no-images", action="store_true", help="make no node images")
    verbs.add_parser("status", help="show processes, endpoints, servers and memory")
    logs = verbs.add_parser("logs", help="list the logs, or print the end of one")
    logs.add_argument("service", nargs="?", help="name of a log, as `logs` lists them")
    logs.add_argument("-n", "--lines", type=int, default=100, help="how many lines (100)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as the log grows")
    rc = verbs.add_parser("openrc", help="print what a shell sources to use the cloud")
    rc.add_argument("user", nargs="?", choices=openrc.USERS, default="demo")
    verbs.add_parser("reset", help="delete the cloud's state; keep environment and images")
    down = verbs.add_parser("down", help="stop everything; keep environment, images and state")
    down.add_argument("--purge", action="store_true", help=f"remove {settings.HOME} as well")
    return top


def _change(arguments: argparse.Namespace) -> int:
    """Run a verb that changes the cloud, under the lock."""
    # Late, because `openrc` and `logs` need none of it.
    from devcloud import cloud, preflight, releases

    # Before the lock is taken: without root that would be the error.
    if os.geteuid() != 0:
        preflight.check_host()
    progress = Progress()
    with lock.held(settings.LOCK_FILE):
        debian.restore_policy()
        try:
            if arguments.verb == "up":
                cloud.up(progress, releases.find(arguments.magnum), arguments.horizon)
            elif arguments.verb == "install":
                cloud.install(progress, with_images=not arguments.no_images)
                progress.say(f"installed after {progress.seconds:.0f} s")
            elif arguments.verb == "reset":
                cloud.reset(progress)
            else:
                cloud.down(progress, purge=arguments.purge)
        finally:
            progress.close()
    return 0


def _status() -> int:
    from devcloud import status

    return 0 if status.show() else 1


def _logs(arguments: argparse.Namespace) -> int:
    names = sorted(path.stem for path in settings.LOG.glob("*.log"))
    if arguments.service is None:
        for name in names:
            print(f"{name:<24} {processes.log_path(name)}")
        return 0
    if arguments.service not in names:
        raise DevcloudError(
            f"there is no log {arguments.service}; there are {', '.join(names) or 'none'}"
        )
    with processes.log_path(arguments.service).open(encoding="utf-8", errors="replace") as file:
        sys.stdout.write("".join(file.readlines()[-arguments.lines :]))
        while arguments.follow:
            sys.stdout.flush()
            text = file.read()
            sys.stdout.write(text)
            if not text:
                time.sleep(0.5)
    return 0


def _openrc(user: str) -> int:
    secrets = passwords.read()
    if not secrets:
        raise DevcloudError("there is no cloud yet; `tools/devcloud up` makes it")
    print(openrc.text(user, secrets), end="")
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    # Threads that wait for a command would wait on: end what they wait for. Once is enough.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    processes.terminate_commands()
    raise KeyboardInterrupt


def main(words: Sequence[str]) -> int:
    """Run one verb; return the exit code."""
    arguments = parser().parse_args(words)
    # All the same way out as Ctrl-C, so that what has to be restored is restored.
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        if arguments.verb == "status":
            return _status()
        if arguments.verb == "logs":
            return _logs(arguments)
        if arguments.verb == "openrc":
            return _openrc(arguments.user)
        return _change(arguments)
    except DevcloudError as error:
        print(f"devcloud: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"devcloud: {error.filename} is for root only", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print("devcloud: interrupted; the same command goes on from here", file=sys.stderr)
        return _INTERRUPTED
