# SPDX-License-Identifier: Apache-2.0
"""What of the cloud's state has been made already, so that a later ``up`` need not make it again.

A file in ``settings.DATA``: it goes when the state that it speaks of goes.
"""

import json
import threading
from pathlib import Path

from devcloud import files, settings

_LOCK = threading.Lock()


def _file() -> Path:
    return settings.DATA / "done.json"


def read() -> dict[str, str]:
    """What was done: name of a stage → hash of what it was done from."""
    try:
        found: dict[str, str] = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def is_done(stage: str, value: str) -> bool:
    """Whether the stage was completed from the same inputs."""
    return read().get(stage) == value


def mark_done(stage: str, value: str) -> None:
    """Remember that the stage was completed from these inputs; safe from several threads."""
    with _LOCK:
        files.write(_file(), json.dumps({**read(), stage: value}, indent=1) + "\n")
