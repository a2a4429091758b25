# SPDX-License-Identifier: Apache-2.0
"""How a command of the table is declared, and what its parser and request follow from."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from magnum_swarm_mode.cli.errors import CommandError


@dataclasses.dataclass(frozen=True)
class Argument:
    """An option or positional argument; ``field`` is its name in the API's request, if any."""

    flags: tuple[str, ...]
    field: str | None
    settings: Mapping[str, Any]


def argument(*flags: str, field: str | None = None, **settings: Any) -> Argument:
    """Declare an argument; the settings are those of ``argparse.add_argument``.

    All flags of one argument are names of the same thing: the first is the present one, the others
    are kept for those who learned them.
    """
    is_option = flags[0].startswith("-")
    if is_option and field is not None:
        settings["dest"] = field
    if is_option and "choices" not in settings and settings.get("action") != "store_const":
        settings.setdefault("metavar", f"<{flags[0].lstrip('-')}>")
    return Argument(flags, field, settings)


def flag(*flags: str, field: str | None = None, value: bool = True, **settings: Any) -> Argument:
    """Declare an option without a value, which is absent from the request unless it is given."""
    return argument(
        *flags, field=field, action="store_const", const=value, default=None, **settings
    )


@dataclasses.dataclass(frozen=True)
class Exclusive:
    """Arguments of which at most one may be given."""

    arguments: tuple[Argument, ...]


@dataclasses.dataclass(frozen=True)
class Command:
    """One row of the table of commands."""

    name: str
    summary: str
    run: Callable[[Any, argparse.Namespace, Command], None]
    arguments: tuple[Argument | Exclusive, ...] = ()

    def request(self, given: argparse.Namespace) -> dict[str, Any]:
        """Return the fields of the API's request that were given or have a default."""
        fields = (a.field for a in self._flat() if a.field is not None)
        values = {field: getattr(given, field) for field in fields}
        return {field: value for field, value in values.items() if value is not None}

    def parser(self) -> Parser:
        """Return the parser of what follows the command's name."""
        parser = Parser(prog=f"magnum {self.name}", description=self.summary)
        for declared in self.arguments:
            if isinstance(declared, Exclusive):
                group = parser.add_mutually_exclusive_group()
                for one in declared.arguments:
                    group.add_argument(*one.flags, **one.settings)
            else:
                parser.add_argument(*declared.flags, **declared.settings)
        return parser

    def _flat(self) -> Sequence[Argument]:
        flat: list[Argument] = []
        for declared in self.arguments:
            flat += declared.arguments if isinstance(declared, Exclusive) else (declared,)
        return flat


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line and point to the help."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong on one line and exit with 2, as argparse does."""
        program, _, command = self.prog.partition(" ")
        helper = f"{program} help {command}".strip()
        self.exit(2, f"{self.prog}: error: {message}. Try '{helper}'.\n")


def exactly_one(given: argparse.Namespace, positional: str, option: str, noun: str) -> str:
    """Return what was given positionally or, the older way, as an option.

    :raises CommandError: if it was given twice or not at all.
    """
    values = [v for v in (getattr(given, positional), getattr(given, option)) if v]
    if len(values) != 1:
        raise CommandError(
            f"Give the {noun} once: {len(values)} were given." if values else f"Give the {noun}."
        )
    return str(values[0])
