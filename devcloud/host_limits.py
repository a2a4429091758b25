# SPDX-License-Identifier: Apache-2.0
"""Limits of the kernel that many servers exceed: raised by `up`, restored by `down`.

Each systemd holds several inotify instances, all root's: with the usual 128 the tenth server
ends while it boots ("Failed to create control group inotify object").
"""

import json
from collections.abc import Mapping
from pathlib import Path

from devcloud import files, settings

LIMITS = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 524288,
}
_SYSCTL = Path("/proc/sys")


def to_raise(present: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, int]:
    """Those of ``wanted`` that are more than what is ``present``."""
    return {name: value for name, value in wanted.items() if present.get(name, value) < value}


def _file() -> Path:
    return settings.RUN / "limits-before"


def _before() -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def raise_limits(sysctl: Path = _SYSCTL) -> None:
    """Raise what is too low and remember what it was; a value that was remembered stays so."""
    present = {
        name: int((sysctl / name).read_text(encoding="ascii"))
        for name in LIMITS
        if (sysctl / name).exists()
    }
    raised = to_raise(present, LIMITS)
    if not raised:
        return
    # First remembered, then changed: a kill between the two loses nothing.
    before = {**{name: present[name] for name in raised}, **_before()}
    files.write(_file(), json.dumps(before) + "\n")
    for name, value in raised.items():
        (sysctl / name).write_text(f"{value}\n", encoding="ascii")


def restore_limits(sysctl: Path = _SYSCTL) -> None:
    """Put back what :func:`raise_limits` found; what somebody else changed since stays."""
    for name, value in _before().items():
        path = sysctl / name
        if int(path.read_text(encoding="ascii")) == LIMITS.get(name):
            path.write_text(f"{value}\n", encoding="ascii")
    _file().unlink(missing_ok=True)
