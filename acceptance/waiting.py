# SPDX-License-Identifier: Apache-2.0
"""Waits with a deadline, an interval and the last state seen."""

import time
from collections.abc import Callable
from typing import TypeVar

from acceptance.errors import Broken

T = TypeVar("T")


def until(
    what: str,
    look: Callable[[], T],
    done: Callable[[T], bool],
    *,
    timeout: float,
    interval: float = 2.0,
    say: Callable[[str], None] | None = None,
) -> T:
    """Look every ``interval`` seconds until what is seen is ``done``, and return it.

    A look that fails is one at which nothing was seen yet: services restart, nodes reboot.

    :param what: completes "waited for …".
    :param timeout: seconds.
    :param say: takes each state that differs from the one before.
    :raises Broken: not in time, with the state seen last.
    """
    end = time.monotonic() + timeout
    last = ""
    while True:
        try:
            seen = look()
            good, text = done(seen), str(seen)
        except Broken as error:
            good, text = False, str(error)
        if say and text != last:
            say(f"{what}: {text}")
        last = text
        if good:
            return seen
        if time.monotonic() > end:
            raise Broken(f"waited {timeout:.0f} s for {what}; last seen: {text}")
        time.sleep(interval)
