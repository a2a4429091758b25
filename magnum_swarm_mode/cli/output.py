# SPDX-License-Identifier: Apache-2.0
"""Tables as OpenStack's commands print them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import prettytable

from magnum_swarm_mode import text
from magnum_swarm_mode.cli.errors import CommandError

# Of one cell; labels and reasons can be long.
_LONGEST = 20_000


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return text.shown(str(value), _LONGEST)


def say(progress: str) -> None:
    """Print progress at once, also into a pipe."""
    print(text.shown(progress), flush=True)


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return a table with one line per row; a field that a row lacks is shown as ``-``."""
    drawn = prettytable.PrettyTable(list(columns))
    drawn.align = "l"
    for row in rows:
        drawn.add_row([_cell(row.get(column)) for column in columns])
    return str(drawn.get_string())


def properties(fields: Mapping[str, Any]) -> str:
    """Return a table of the fields, by name, without links, which are for programs."""
    rows = ({"Property": k, "Value": v} for k, v in sorted(fields.items()) if k != "links")
    return table(rows, ("Property", "Value"))


def columns(
    usual: Sequence[str], asked: str | None, rows: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return the usual columns and those asked for, separated by commas.

    :raises CommandError: if a field asked for is in none of the rows.
    """
    chosen = list(usual)
    for field in filter(None, (name.strip() for name in (asked or "").split(","))):
        if rows and not any(field in row for row in rows):
            raise CommandError(
                f"There is no field '{field}'; there are: {', '.join(sorted(rows[0]))}."
            )
        if field not in chosen:
            chosen.append(field)
    return chosen
