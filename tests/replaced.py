# SPDX-License-Identifier: Apache-2.0
"""Replaces texts of the package in this checkout for a while, to see which tests notice."""

import contextlib
import dataclasses
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# For processes that load the package meanwhile: no compiled file of a changed module stays.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


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


def texts(what: str, edits: Sequence[Edit]) -> dict[Path, tuple[str, str]]:
    """Return the text of each file as it is, and after the edits.

    :param what: names the edits in an error.
    :raises ValueError: when the text of an edit is not there exactly once.
    """
    found: dict[Path, tuple[str, str]] = {}
    for edit in edits:
        before, after = found.get(edit.path) or 2 * (edit.path.read_text(encoding="utf-8"),)
        if (places := after.count(edit.old)) != 1:
            raise ValueError(f"{what}: its old text is {places} times in {edit.file}")
        found[edit.path] = before, after.replace(edit.old, edit.new)
    return found


@contextlib.contextmanager
def replaced(what: str, edits: Sequence[Edit]) -> Iterator[None]:
    """Make edits, and take them back.

    :raises ValueError: as for :func:`texts`; nothing is changed then.
    """
    files = texts(what, edits)
    try:
        for path, (_, after) in files.items():
            path.write_text(after, encoding="utf-8")
        yield
    finally:
        for path, (before, _) in files.items():
            path.write_text(before, encoding="utf-8")


def changes(root: Path) -> str:
    """Return what git says is changed in a checkout; empty where nothing is."""
    command = ["git", "-C", str(root), "status", "--porcelain"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
