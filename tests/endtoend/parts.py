# SPDX-License-Identifier: Apache-2.0
"""What happens to living clusters, all at the same time, for it is mostly waiting.

Each part has a cluster of its own and a test that reads how it ended. All begin when the first of
those tests does; with ``LIVING_APART=1`` in the environment each begins with its own test.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.endtoend.groups import Groups
from tests.endtoend.managers import Managers

PARTS: dict[str, Callable[[], None]] = {
    "managers": lambda: Managers().run(),
    "groups": lambda: Groups().run(),
}
_begun: dict[str, Future[None]] = {}
_pool = ThreadPoolExecutor(len(PARTS))


def begin() -> None:
    """Let all begin that have not begun yet."""
    if os.environ.get("LIVING_APART"):
        return
    for name, part in PARTS.items():
        if name not in _begun:
            _begun[name] = _pool.submit(part)


def end(name: str) -> None:
    """Wait for the end of a part, and raise what it raised."""
    (_begun.get(name) or _pool.submit(PARTS[name])).result()
