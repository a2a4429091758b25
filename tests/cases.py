# SPDX-License-Identifier: Apache-2.0
"""What goes wrong and what the user reads then: one list for tests and documentation.

The files in ``doc/source/cases`` list the cases, and the documentation is made from them. A test
that brings about a case calls :func:`shown` with the sentence that it saw, which must be the one in
the list. Each call leaves a line of JSON in ``.logs/cases.jsonl``, from which a report of cases,
tests and seconds can be made.
"""

import dataclasses
import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
DIRECTORY = ROOT / "doc" / "source" / "cases"
RESULTS = ROOT / ".logs" / "cases.jsonl"
# What stands in a listed sentence for that which differs from time to time.
_PLACEHOLDER = re.compile(r"\{[a-z_ ]+\}")
_FIELDS = {"id", "case", "answer", "sentence", "remedy"}


@dataclasses.dataclass(frozen=True)
class Case:
    """Something that goes wrong.

    :ivar id: a short name, unique among all files.
    :ivar case: what is wrong, in words.
    :ivar answer: what the user gets: the API's status, as ``400``, or the cluster's, as
        ``CREATE_FAILED``.
    :ivar sentence: what the user reads, with ``{placeholders}``.
    :ivar remedy: what to do, where the sentence does not say it.
    """

    id: str
    case: str
    answer: str
    sentence: str
    remedy: str = ""

    def matches(self, sentence: str) -> bool:
        """Return whether a sentence that a user read is this one."""
        literals = (re.escape(text) for text in _PLACEHOLDER.split(self.sentence))
        return re.fullmatch("(?s:.+?)".join(literals), sentence) is not None


def read(path: Path) -> list[Case]:
    """Return the cases of a file.

    :raises ValueError: when an entry has other fields than a case.
    """
    found = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or []:
        if unknown := set(entry) - _FIELDS:
            raise ValueError(f"{path.name}: {entry.get('id')} has {', '.join(sorted(unknown))}")
        found.append(Case(**{name: str(value).strip() for name, value in entry.items()}))
    return found


@functools.cache
def known() -> dict[str, Case]:
    """Return all cases by their names."""
    return {case.id: case for path in sorted(DIRECTORY.glob("*.yaml")) for case in read(path)}


def shown(
    test: Any, ident: str, sentence: str, *, answer: str | int, seconds: float | None = None
) -> None:
    """Note that a test brought about a case.

    :param test: the test case.
    :param sentence: what the user reads.
    :param answer: the API's or the cluster's status.
    :param seconds: how long it took until the user could read it.
    :raises AssertionError: when the sentence or the answer is not the one that is listed.
    """
    case = known().get(ident)
    if case is None:
        test.fail(f"No case {ident} is listed in {DIRECTORY.relative_to(ROOT)}; seen: {sentence}")
        return
    test.assertEqual(case.answer, str(answer), sentence)
    if not case.matches(sentence):
        test.fail(f"Case {ident} reads\n  {sentence}\ninstead of\n  {case.sentence}")
    path = Path(os.environ.get("CASES_FILE") or RESULTS)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "id": ident,
        "case": case.case,
        "answer": case.answer,
        "sentence": sentence,
        "test": test.id(),
        "seconds": None if seconds is None else round(seconds, 2),
    }
    # One write of one line, as other processes of the same run append to the file.
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
