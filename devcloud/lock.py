# SPDX-License-Identifier: Apache-2.0
"""One verb at a time changes the cloud. The kernel drops the lock with the process."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from devcloud.errors import DevcloudError


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs.

    :raises DevcloudError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Python opens without inheritance, so no service keeps the lock after we are gone.
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            other = file.read().strip() or "unknown"
            raise DevcloudError(
                f"another devcloud command is at work (process {other}); wait until it ends"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
