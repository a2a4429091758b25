# SPDX-License-Identifier: Apache-2.0
"""How each test ended last in this checkout, also where later runs were of other tests.

A file with a line of JSON per test: ``id``, ``status`` (subunit's word) and ``when`` (seconds since
the epoch). The repositories of stestr beside it are of the last run only.
"""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Iterable

from tests.runner.steps import Result

NAME = "results.jsonl"


def keep(results: Iterable[Result], logs: pathlib.Path) -> None:
    """Note how tests ended just now; those of others stay."""
    lines = {ident: (status, when) for ident, status, when in read(logs)}
    lines |= {result.id: (result.status, time.time()) for result in results}
    beside = logs / f"{NAME}.new"
    with beside.open("w", encoding="utf-8") as file:
        for ident, (status, when) in lines.items():
            file.write(json.dumps({"id": ident, "status": status, "when": round(when)}) + "\n")
    beside.replace(logs / NAME)


def read(logs: pathlib.Path) -> list[tuple[str, str, float]]:
    """Return the id, the status and the time of the end of each test that is noted."""
    path = logs / NAME
    if not path.exists():
        return []
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [(line["id"], line["status"], line["when"]) for line in lines]
