# SPDX-License-Identifier: Apache-2.0
"""Limits of the host's kernel that are too low for many machines, raised while the cloud is up.

A machine's systemd takes about seven inotify instances of root's 128 (inotify(7)), so the
nineteenth machine would not boot. What was raised is written down and put back by ``down``.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from devcloud import settings

PROC = Path("/proc/sys")
RECORD = settings.RUN / "host-limits.json"
NEEDED = {
    "fs/inotify/max_user_instances": 16384,
    "fs/inotify/max_user_watches": 524288,
    "kernel/keys/root_maxkeys": 100000,  # each container takes some
    # Not per namespace: the entries of all machines and routers count together.
    "net/ipv4/neigh/default/gc_thresh2": 16384,
    "net/ipv4/neigh/default/gc_thresh3": 32768,
}


def to_raise(now: Mapping[str, int], needed: Mapping[str, int]) -> dict[str, int]:
    """Return the limits that are lower than needed, with their new values."""
    return {name: value for name, value in needed.items() if name in now and now[name] < value}


def raise_limits(proc: Path = PROC, record: Path = RECORD) -> None:
    """Raise what is too low, and write down what it was.

    :raises OSError: the kernel refused.
    """
    now = {
        name: int((proc / name).read_text().split()[0]) for name in NEEDED if (proc / name).exists()
    }
    change = to_raise(now, NEEDED)
    if not change:
        return
    before: dict[str, int] = json.loads(record.read_text()) if record.exists() else {}
    before.update({name: now[name] for name in change if name not in before})
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(before))
    for name, value in change.items():
        (proc / name).write_text(str(value))


def restore(log: Callable[[str], None], proc: Path = PROC, record: Path = RECORD) -> None:
    """Put back what :func:`raise_limits` changed, unless somebody changed it since."""
    if not record.exists():
        return
    for name, value in json.loads(record.read_text()).items():
        limit = proc / name
        if limit.exists() and int(limit.read_text().split()[0]) == NEEDED.get(name):
            limit.write_text(str(value))
            log(f"put {name.replace('/', '.')} back to {value}")
    record.unlink()
