# SPDX-License-Identifier: Apache-2.0
"""Waits with a deadline, an interval and the last state seen."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TimedOutError(AssertionError):
    """What was waited for did not come; the text says what was seen last."""


def wait_for(
    what: str,
    look: Callable[[], T],
    done: Callable[[T], bool] = bool,
    *,
    timeout: float,
    interval: float = 2.0,
) -> T:
    """Look every ``interval`` seconds until what is seen is ``done``; what was seen then.

    :param what: completes "waited for …"
    :param timeout: seconds
    :raises TimedOutError: not in time
    """
    began = time.monotonic()
    while True:
        seen = look()
        if done(seen):
            return seen
        if time.monotonic() - began > timeout:
            raise TimedOutError(f"waited {timeout:.0f} s for {what}; last seen: {seen!r}")
        time.sleep(interval)


def never(
    what: str, look: Callable[[], T], wrong: Callable[[T], bool], *, during: float, interval: float
) -> T:
    """Look every ``interval`` seconds during ``during`` seconds; the last state seen.

    :raises AssertionError: a look was ``wrong``
    """
    began = time.monotonic()
    while True:
        seen = look()
        if wrong(seen):
            passed = time.monotonic() - began
            raise AssertionError(f"{what} after {passed:.0f} s: {seen!r}")
        if time.monotonic() - began > during:
            return seen
        time.sleep(interval)
