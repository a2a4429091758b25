# SPDX-License-Identifier: Apache-2.0
"""Waiting with a deadline on the monotonic clock."""

import random
import time
from typing import Callable, Optional, TypeVar

from .codes import Code
from .errors import NodeError, Temporary

Result = TypeVar("Result")


def until(
    what: str,
    probe: Callable[[], Result],
    timeout: float,
    interval: float = 1,
    say: Optional[Callable[[str], None]] = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    *,
    code: Code = Code.OTHER,
) -> Result:
    """Call probe until it returns instead of raising Temporary, and return its result.

    :param what: what is waited for, for the error
    :param timeout: seconds after which the last Temporary becomes final
    :param interval: mean pause between two probes in seconds; jittered by half of it
    :param say: takes the reason why the wait goes on
    :param code: of the error at the deadline, if the last Temporary has none
    :raises NodeError: at the deadline, with the last state seen; or whatever else probe raises
    """
    end = clock() + timeout
    while True:
        try:
            return probe()
        except Temporary as error:
            left = end - clock()
            if left <= 0:
                text = f"{what}: not within {timeout:.0f} s; last seen: {error}"
                known = code if error.code is Code.OTHER else error.code
                raise NodeError(text, error.status, known) from error
            if say:
                say(str(error))
        # Never beyond the deadline: the last probe is made at it.
        sleep(min(interval * random.uniform(0.5, 1.5), left))
