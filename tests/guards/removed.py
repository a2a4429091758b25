# SPDX-License-Identifier: Apache-2.0
"""Takes a guard out of the checkout, and puts it back; ``removed.yaml`` lists the guards."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
_LIST = Path(__file__).with_suffix(".yaml")


@dataclasses.dataclass(frozen=True)
class Edit:
    """A text of a file of the package, which is there once, and what takes its place."""

    file: str
    old: str
    new: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return ROOT / "magnum_swarm_mode" / self.file


@dataclasses.dataclass(frozen=True)
class Guard:
    """A guard that can be taken out.

    :ivar number: of the way in that it closes.
    :ivar missing: what is possible without it.
    :ivar tests: some of these must fail without it; names of modules, classes or tests.
    """

    number: int
    missing: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def texts(self) -> dict[Path, tuple[str, str]]:
        """Return the text of each file with the guard, and without it.

        :raises ValueError: when the text of an edit is not there exactly once.
        """
        found: dict[Path, tuple[str, str]] = {}
        for edit in self.edits:
            with_it = edit.path.read_text(encoding="utf-8")
            without_it = found.get(edit.path, ("", with_it))[1]
            if without_it.count(edit.old) != 1:
                raise ValueError(f"{self.missing}: {edit.file} does not have its text exactly once")
            found[edit.path] = with_it, without_it.replace(edit.old, edit.new)
        return found


def guards() -> list[Guard]:
    """Return all guards, in their order."""
    return [
        Guard(
            one["number"],
            one["missing"],
            tuple(Edit(**edit) for edit in one["edits"]),
            tuple(f"tests.{name}" for name in one["tests"]),
        )
        for one in yaml.safe_load(_LIST.read_text(encoding="utf-8"))
    ]


@contextlib.contextmanager
def without(guard: Guard) -> Iterator[None]:
    """Take a guard out of the checkout, and put it back.

    :raises ValueError: when the text of an edit is not there exactly once.
    """
    texts = guard.texts()
    try:
        for path, (_, text) in texts.items():
            path.write_text(text, encoding="utf-8")
        yield
    finally:
        for path, (text, _) in texts.items():
            path.write_text(text, encoding="utf-8")
