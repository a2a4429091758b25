# SPDX-License-Identifier: Apache-2.0
"""How far a time is trusted that another conductor wrote; pure functions.

The clocks of two conductors are a little apart, and one may be hours ahead. What such a conductor
wrote would let others wait for those hours. So a time that is further in the future than it can be
counts as now.
"""

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

# How far, in seconds, the clocks of two conductors may be apart.
APART = 300

_Part = TypeVar("_Part")


def is_ahead(moment: float, now: float, allowance: float = 0) -> bool:
    """Return whether a time was written by a clock that was ahead.

    :param moment: seconds since 1970.
    :param allowance: how many seconds after it is written it may be at most.
    """
    return moment > now + allowance + APART


def trusted(moment: int, now: int, allowance: int = 0) -> int:
    """Return a time, or one as if it was written now where it was written by a clock ahead.

    :param allowance: how many seconds after it is written it is, as a deadline has it.
    """
    return now + allowance if is_ahead(moment, now, allowance) else moment


def part(found: _Part, now: int, *names: str) -> _Part:
    """Return a dataclass's object whose times of these names are trusted."""
    changes = {name: trusted(getattr(found, name), now) for name in names}
    return dataclasses.replace(found, **changes)  # type: ignore[type-var]


def each(times: Mapping[str, int], now: int) -> dict[str, int]:
    """Return times that are trusted, by name."""
    return {name: trusted(moment, now) for name, moment in times.items()}
