# SPDX-License-Identifier: Apache-2.0
"""The command ``magnum-swarm-mode``, for operators and for all who read before they trust."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from magnumclient import exceptions as client_exceptions
from magnumclient.common import utils as magnum_utils
from oslo_config import cfg

from magnum_swarm_mode import conf, constants, exceptions
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.cli import commands, declare
from magnum_swarm_mode.preview import hot, request, stack
from magnum_swarm_mode.stack import request as stack_request

SUCCESS = 0
FAILURE = 1

_EPILOG = """\
The template is made of options or read with --template-file, the cluster is made of options or
read with --cluster-file, and options go over what a file says. An option that both have is the
template's unless there is a file of the template. A file holds fields of Magnum's API as JSON or
YAML, for instance what 'openstack coe cluster template show NAME -f json' prints.

Nothing is asked of any cloud. What would be looked up there is an option as well (--os-distro,
--fixed-subnet-cidr, …); what only a cloud gives, secrets among it, is a text in parentheses.
"""
_TEMPLATE, _CLUSTER = "cluster-template-create", "cluster-create"
_FIELDS: Mapping[str, Mapping[str, request_fields.Field]] = {
    _TEMPLATE: request_fields.CLUSTER_TEMPLATE_FIELDS,
    _CLUSTER: request_fields.CLUSTER_FIELDS,
}
# Options of Magnum that the driver reads, for where Magnum is not installed.
_MAGNUMS_OPTIONS = {"drivers": ("openstack_ca_file",)}
# Where the driver finds its region, in this order.
_REGIONS = ("heat_client", "nova_client", "neutron_client", "magnum_client")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="magnum-swarm-mode", description="Docker Swarm mode in OpenStack Magnum."
    )
    parser.add_argument("--version", action="version", version=_version())
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="<command>")
    _describe(
        verbs.add_parser("render", help="show what a cluster would be made of, without a cloud")
    )
    return parser


def render_parser() -> argparse.ArgumentParser:
    """Return the parser of ``render`` alone."""
    return _describe(argparse.ArgumentParser(prog="magnum-swarm-mode render"))


def _describe(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.usage = "magnum-swarm-mode render [options]"
    parser.description = (
        "Print HOT, environment, parameters and both roles' cloud-init of a cluster, without any "
        "cloud, or the sentence with which Magnum's API would refuse it."
    )
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    # Half an option is not a value that somebody wanted to be rendered.
    parser.allow_abbrev = False
    parser.set_defaults(run=run_render)
    _add_sources(parser)
    _add_facts(parser)
    _add_fields(parser)
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("magnum-swarm-mode")
    except importlib.metadata.PackageNotFoundError:
        return "not installed: run from a checkout"


def _add_sources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where from and where to")
    add = group.add_argument
    add("--template-file", metavar="<file>", help="The cluster template, as JSON or YAML.")
    add("--cluster-file", metavar="<file>", help="The cluster, as JSON or YAML.")
    add("--config-file", metavar="<file>", action="append", default=[],
        help="The operator's magnum.conf; may be used several times.")  # fmt: skip
    add("--output", metavar="<directory>",
        help="Write files into this directory instead of printing them.")  # fmt: skip
    add("--label", metavar="<name=value>", action="append", default=[],
        help="One label, whose value may hold commas; may be used several times.")  # fmt: skip


def _add_facts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what the driver would ask the cloud for")
    usual = stack.Facts()
    for name, help_ in (
        ("os_distro", f"Property of the image: {' or '.join(sorted(constants.OS_DISTROS))}."),
        ("fixed_subnet_cidr", "Range of the subnet, where an existing network is named"),
        ("fixed_network_mtu", "MTU of that network, in bytes"),
        ("auth_url", "Public endpoint of Keystone"),
        ("magnum_url", "Public endpoint of Magnum"),
        ("region_name", "Region; by default the one in magnum.conf, else"),
    ):
        default = getattr(usual, name)
        between = " " if help_.endswith("else") else " (default "
        end = f"{between}{default}{')' if '(' in between else ''}." if default else ""
        group.add_argument(
            f"--{name.replace('_', '-')}", metavar="<value>", type=type(default), help=help_ + end
        )


def _add_fields(parser: argparse.ArgumentParser) -> None:
    """Add the options of the two commands that create a template and a cluster."""
    seen: dict[str, tuple[str, ...]] = {}
    group = parser.add_argument_group("the template and the cluster")
    for command in (_TEMPLATE, _CLUSTER):
        for argument in _arguments(command):
            if seen.get(argument.flags[0]) is not None:
                continue
            seen[argument.flags[0]] = argument.flags
            settings = {key: value for key, value in argument.settings.items()
                        if key not in ("required", "default", "dest")}  # fmt: skip
            group.add_argument(*argument.flags, dest=_dest(argument), default=None, **settings)


def _arguments(command: str) -> Iterator[declare.Argument]:
    """Yield what of a command of ``magnum`` is a field of Magnum's API."""
    for declared in commands.BY_NAME[command].arguments:
        if isinstance(declared, declare.Exclusive):
            yield from declared.arguments
        elif declared.field is not None:
            yield declared
        elif declared.flags == ("--name",):
            yield dataclasses.replace(declared, settings={"help": "Name of the cluster.",
                                                          "metavar": "<name>"})  # fmt: skip


def _dest(argument: declare.Argument) -> str:
    return "field_" + argument.flags[0].lstrip("-").replace("-", "_")


def _values(given: argparse.Namespace, command: str, skip: Iterable[str]) -> dict[str, Any]:
    """Return the fields that options give to a template or a cluster."""
    found = {}
    skipped = set(skip)
    for argument in _arguments(command):
        value = getattr(given, _dest(argument), None)
        if value is None or argument.flags[0] in skipped:
            continue
        # Two flags of one field: each stores under its own name.
        found[argument.field or "name"] = value
    if "labels" in found:
        found["labels"] = magnum_utils.handle_labels(found["labels"])
    return found


def _defaults(command: str) -> dict[str, Any]:
    """Return what the command of ``magnum`` sends where its user says nothing."""
    return {
        argument.field: argument.settings["default"]
        for argument in _arguments(command)
        if argument.field and argument.settings.get("default") is not None
    }


def _one_label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise exceptions.Refused(f"--label {text} is not of the form name=value.")
    return name, value


def ask(given: argparse.Namespace) -> request.Request:
    """Return what options and files ask for.

    :raises Refused: when a file or label is not what it should be.
    """
    template_flags = {argument.flags[0] for argument in _arguments(_TEMPLATE)} - {"--name"}
    both = template_flags & {argument.flags[0] for argument in _arguments(_CLUSTER)}
    template: dict[str, Any] = {}
    cluster: dict[str, Any] = {}
    if given.template_file:
        template = request.read_file(given.template_file, _FIELDS[_TEMPLATE])
    else:
        template = _defaults(_TEMPLATE)
    if given.cluster_file:
        cluster = request.read_file(given.cluster_file, _FIELDS[_CLUSTER])
    template |= _values(given, _TEMPLATE, {"--name", *(both if given.template_file else ())})
    cluster |= _values(given, _CLUSTER, () if given.template_file else both)
    if given.label:
        owner = cluster if given.template_file else template
        owner["labels"] = {**(owner.get("labels") or {}), **dict(map(_one_label, given.label))}
    return request.complete(template, {"name": "swarm-mode-cluster", **cluster})


def read_configuration(files: Iterable[str]) -> None:
    """Read an operator's configuration files, if any; all else keeps its default.

    :raises Refused: when a file cannot be read, or holds a value that is not valid.
    """
    register_magnums_options(conf.CONF)
    try:
        # What Magnum demands for itself, such as how to authenticate, a preview does without.
        with contextlib.suppress(cfg.RequiredOptError):
            conf.CONF(
                args=[], project="magnum", default_config_files=list(files), default_config_dirs=[]
            )
        conf.check(conf.CONF)
    except (cfg.Error, ValueError) as error:
        raise exceptions.Refused(f"[swarm_mode] in magnum.conf is not valid: {error}") from error


def register_magnums_options(config: Any) -> None:
    """Declare those options of Magnum that the driver reads, unless Magnum has done so."""
    wanted = [*_MAGNUMS_OPTIONS.items(), *((group, ("region_name",)) for group in _REGIONS)]
    for group, names in wanted:
        for name in names:
            # Somebody who knows more about it was quicker.
            with contextlib.suppress(cfg.DuplicateOptError):
                config.register_opt(cfg.StrOpt(name, default=""), group=group)


def facts(given: argparse.Namespace) -> stack.Facts:
    """Return what stands for the cloud's answers."""
    said = {
        field.name: getattr(given, field.name)
        for field in dataclasses.fields(stack.Facts)
        if getattr(given, field.name) is not None
    }
    regions = (getattr(conf.CONF, group).region_name for group in _REGIONS)
    if region := next((name for name in regions if name), ""):
        said.setdefault("region_name", region)
    return stack.Facts(**said)


def documents(built: stack_request.StackRequest) -> dict[str, str]:
    """Return what a stack is made of: names of files to their texts."""
    found = {"cluster.yaml": built.template}
    found.update((name, built.files[name]) for name in sorted(built.files))
    environment = {key: dict(value) for key, value in built.environment.items()}
    found["environment.yaml"] = _plain(environment)
    found["parameters.yaml"] = _plain({"parameters": dict(built.parameters)})
    root = hot.Template(built.template, built.parameters, built.files, built.environment)
    workers = root.nested("workers")
    found["cloud-init/manager.yaml"] = root.config("manager_user_data")
    if workers is not None:
        found["cloud-init/worker.yaml"] = workers.config("worker_user_data")
    return found


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines, such as a certificate, as it is read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _plain(value: Mapping[str, Any]) -> str:
    return yaml.dump(dict(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def write(texts: Mapping[str, str], directory: pathlib.Path) -> None:
    """Write files into a directory, which is made where it is missing.

    :raises Refused: when that is not possible.
    """
    try:
        for name, text in texts.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path)
    except OSError as error:
        raise exceptions.Refused(f"{directory} cannot be written: {error}.") from error


def show(texts: Mapping[str, str]) -> None:
    """Print everything as YAML of several documents, each after its name."""
    for name, text in texts.items():
        # The same as under cloud-init, but for the configuration.
        if not name.startswith("user_data/"):
            print(f"--- # {name}")
            print(text.rstrip("\n"))


def run_render(given: argparse.Namespace) -> None:
    """Show what a cluster would be made of.

    :raises SwarmModeError: with the sentence that Magnum's API would answer.
    """
    read_configuration(given.config_file)
    built = stack_request.build(stack.inputs(ask(given), facts(given)))
    texts = documents(built)
    if given.output:
        write(texts, pathlib.Path(given.output))
    else:
        show(texts)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code: 1 when the cluster is refused."""
    given = build_parser().parse_args(argv)
    try:
        given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has gone; Python must not complain again when it exits.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except exceptions.SwarmModeError as error:
        # An operator reads this, but what a user would read is the question.
        print(f"ERROR: {error.user_message}", file=sys.stderr)
        if error.operator_message != error.user_message:
            print(error.operator_message, file=sys.stderr)
        return FAILURE
    except client_exceptions.CommandError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return FAILURE
    return SUCCESS
