# SPDX-License-Identifier: Apache-2.0
"""What each operation of a cluster that lasts was seen to cost: one table, measured by tests.

``doc/source/lasting.yaml`` has a row per operation: what it does, what was shown, by which test,
and what the last measured run took. A test that shows an operation calls :func:`shown`; each call
leaves a line of JSON in ``.logs/lasting.jsonl``. ``tools/cases lasting`` prints the table with what
was measured since, and ``tools/cases lasting --write`` keeps that in the file, of which the
documentation is made.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "doc" / "source" / "lasting.yaml"
RESULTS = ROOT / ".logs" / "lasting.jsonl"
HEAD = ("Operation", "What was shown", "Seconds", "Requests refused", "Test")
UNKNOWN = "not measured"


@dataclasses.dataclass
class Row:
    """An operation.

    :ivar id: a short name, by which tests call it.
    :ivar operation: what it does, and the command where there is one.
    :ivar shown: what a test sees when it succeeds.
    :ivar test: the test.
    :ivar seconds: how long it took, from the request to its end; empty where not measured.
    :ivar refusals: requests that failed meanwhile, or for how long they did, as ``0`` or
        ``120 ms``; empty where no client asked.
    """

    id: str
    operation: str
    shown: str
    test: str
    seconds: str = ""
    refusals: str = ""

    def lines(self) -> list[tuple[str, ...]]:
        """Return the row as the table shows it: one line."""
        seconds = self.seconds or UNKNOWN
        test = self.test.rpartition(".")[0].removeprefix("tests.")
        return [(self.operation, self.shown, seconds, self.refusals or "-", test)]


def read(path: Path = FILE) -> list[Row]:
    """Return the rows of the file.

    :raises TypeError: when an entry has other fields than a row.
    """
    entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    return [Row(**{name: str(value).strip() for name, value in one.items()}) for one in entries]


def shown(
    test: Any, ident: str, *, seconds: float | None = None, refusals: str | int | None = None
) -> None:
    """Note what an operation cost that a test has just shown.

    :param test: the test case.
    :param seconds: from the request to its end.
    :param refusals: how many requests failed meanwhile, or for how long they did, as ``120 ms``.
    :raises AssertionError: when no row of that name is in the file, or names another test.
    """
    rows = {row.id: row for row in read()}
    if ident not in rows:
        test.fail(f"{FILE.relative_to(ROOT)} has no row {ident}")
    if rows[ident].test != test.id():
        test.fail(f"{ident} in {FILE.relative_to(ROOT)} is shown by {test.id()}")
    path = Path(os.environ.get("LASTING_FILE") or RESULTS)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "id": ident,
        "seconds": None if seconds is None else round(seconds),
        "refusals": None if refusals is None else str(refusals),
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def measured(path: Path = RESULTS) -> list[dict[str, Any]]:
    """Return what tests have left, the oldest first."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def merge(rows: Sequence[Row], results: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows with what was measured last."""
    merged = {row.id: dataclasses.replace(row) for row in rows}
    for result in results:
        row = merged.get(result["id"])
        if row is None:
            continue
        for name in ("seconds", "refusals"):
            if result.get(name) is not None:
                setattr(row, name, str(result[name]))
    return list(merged.values())


def current() -> list[Row]:
    """Return the rows with what was measured last in this checkout."""
    return merge(read(), measured())


def dump(rows: Sequence[Row], before: str) -> str:
    """Return the file's text with these rows; its first comment stays.

    :param before: the file's present text.
    """
    comment = [line for line in before.splitlines() if line.startswith("#")]
    entries = [
        {name: value for name, value in dataclasses.asdict(row).items() if value} for row in rows
    ]
    text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=96)
    return "\n".join(comment) + "\n\n" + text
