# SPDX-License-Identifier: Apache-2.0
"""What each attacker can do at most, and the tests that show it: one table.

``doc/source/attacks.yaml`` has an entry per sentence: who attacks, what is tried, what comes of it
at most, and the tests that try it, each with its last known result. ``tools/cases attacks`` prints
the table with the results of the last test runs in this checkout, and ``tools/cases attacks
--write`` keeps those in the file, of which the documentation is made.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import yaml

from tests import results
from tests.runner import kept

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "doc" / "source" / "attacks.yaml"
HEAD = ("Attacker", "Attack", "At most", "Test", "Result")
UNKNOWN = "not run here"
ATTACKERS = (
    "container",
    "root on a worker",
    "root on a manager",
    "project reader",
    "project member",
    "other tenant",
    "network",
    "curious operator",
)


@dataclasses.dataclass
class Sentence:
    """What an attacker can do at most.

    :ivar id: a short name.
    :ivar attacker: one of :data:`ATTACKERS`.
    :ivar attack: what is tried.
    :ivar at_most: what comes of it at most, one sentence.
    :ivar tests: the tests that show it, with their last known results; empty for none.
    """

    id: str
    attacker: str
    attack: str
    at_most: str
    tests: dict[str, str]

    def lines(self) -> list[tuple[str, ...]]:
        """Return the sentence as the table shows it: a line for each test."""
        shown = [
            (name.removeprefix("tests."), result or UNKNOWN) for name, result in self.tests.items()
        ]
        first = (self.attacker, self.attack, self.at_most)
        return [(*(("", "", "") if number else first), *one) for number, one in enumerate(shown)]


def read(path: Path = FILE) -> list[Sentence]:
    """Return the entries of the file.

    :raises TypeError: when an entry has other fields than a sentence.
    """
    return [Sentence(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]


def last_runs(names: Collection[str], root: Path = ROOT) -> dict[str, str]:
    """Return how tests ended the last time that they ran in a checkout.

    :param names: the tests; those that did not run there are not in the answer.
    """
    # What tools/test has run, and what stestr alone, whose repository has a stream for each run.
    ends = [(when, name, status) for name, status, when in kept.read(root / ".logs")]
    for path in root.glob(".stestr/[0-9]*"):
        content = path.read_bytes()
        if any(name.encode() in content for name in names):
            when = path.stat().st_mtime
            ends += [(when, one["id"], one["status"]) for one in results.read_kept(content)]
    return {
        name: "passed" if status == "success" else "failed"
        for _, name, status in sorted(ends)
        if name in names
    }


def merge(sentences: Sequence[Sentence], found: Mapping[str, str]) -> list[Sentence]:
    """Return the sentences with the newest results of their tests."""
    return [
        dataclasses.replace(
            one, tests={name: found.get(name, known) for name, known in one.tests.items()}
        )
        for one in sentences
    ]


def current() -> list[Sentence]:
    """Return the sentences with the results of the last runs in this checkout."""
    sentences = read()
    return merge(sentences, last_runs({name for one in sentences for name in one.tests}))


def dump(sentences: Sequence[Sentence], before: str) -> str:
    """Return the file's text with these sentences; its first comment stays.

    :param before: the file's present text.
    """
    comment = [line for line in before.splitlines() if line.startswith("#")]
    entries = [dataclasses.asdict(one) for one in sentences]
    text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=96)
    return "\n".join(comment) + "\n\n" + text
