# SPDX-License-Identifier: Apache-2.0
"""The guards that ``removed.yaml`` lists, each of which can be taken out of the checkout."""

import contextlib
import dataclasses
from pathlib import Path

import yaml

from tests import replaced
from tests.replaced import Edit

_LIST = Path(__file__).with_suffix(".yaml")


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
        return replaced.texts(self.missing, self.edits)


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


def without(guard: Guard) -> contextlib.AbstractContextManager[None]:
    """Take a guard out of the checkout for a while.

    :raises ValueError: when the text of an edit is not there exactly once.
    """
    return replaced.replaced(guard.missing, guard.edits)
