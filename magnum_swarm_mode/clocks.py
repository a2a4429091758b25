# SPDX-License-Identifier: Apache-2.0
"""What time it is for all conductors, and how far a time is trusted that another one wrote.

Records hold times that any conductor may compare with the present. The clock of one conductor may
be hours off, so all of them take the time from the database (``db.clock``), and let it go on with
a clock that nobody sets. Where the database runs in the same process, as SQLite does, or is not
read yet, the conductor's own clock counts.

What an earlier release wrote, or a conductor before it knew the time, may still be hours ahead. It
would let others wait for those hours. So a time that is further in the future than it can be counts
as now.
"""

import dataclasses
import time
from collections.abc import Mapping
from typing import TypeVar

# How far, in seconds, the clocks of two conductors may be apart.
APART = 300

# How long a reading of the database's clock is used, in seconds.
_READING_SECONDS = 60
# After a jump of the own clock by so many seconds it is read again: the host may have slept.
_JUMP_SECONDS = 5

_Part = TypeVar("_Part")


@dataclasses.dataclass(frozen=True)
class _Reading:
    """The database's time, and what the two clocks of this host said then.

    :ivar moment: seconds since 1970.
    """

    moment: float
    monotonic: float
    own: float


_reading: _Reading | None = None


def now() -> float:
    """Return the seconds since 1970, as all conductors have them."""
    reading = _reading
    if reading is None:
        return time.time()
    return reading.moment + time.monotonic() - reading.monotonic


def is_to_be_read() -> bool:
    """Return whether the database's clock is to be read, for the last reading is too old."""
    if _reading is None:
        return True
    passed = time.monotonic() - _reading.monotonic
    jump = time.time() - _reading.own - passed
    return passed > _READING_SECONDS or abs(jump) > _JUMP_SECONDS


def read(moment: float) -> float:
    """Take the database's time, which was read just now.

    :returns: how many seconds the own clock is ahead of it.
    """
    global _reading
    own = time.time()
    _reading = _Reading(moment, time.monotonic(), own)
    return own - moment


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
