# SPDX-License-Identifier: Apache-2.0
"""One cgroup per machine in every hierarchy of the host.

A host has either version 1 hierarchies below a tmpfs (perhaps with a version 2 one at
``unified``), or a single version 2 hierarchy, which systemd as PID 1 usually owns; a group of
ours at its root is left alone by systemd. Machines were booted on version 1 hierarchies and, in a
test, on a version 2 one that had no controllers; both without systemd as PID 1.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from devcloud import settings

ROOT = Path("/sys/fs/cgroup")
LAUNCHERS = "launchers"  # the group of the processes that start machines
_VERSION_2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


def hierarchies(root: Path = ROOT) -> list[Path]:
    """Return the top directory of each cgroup hierarchy of this host."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return sorted(
        top for top in root.iterdir() if (top / "cgroup.procs").exists() and not top.is_symlink()
    )


def prepare(name: str, memory_mb: int = 0, root: Path = ROOT) -> list[Path]:
    """Make the group of one machine in each hierarchy and return their directories.

    :param memory_mb: limit of the machine's memory in MiB, 0 for none.
    """
    groups = []
    for top in hierarchies(root):
        parent = top / settings.CGROUP
        group = parent / name
        for directory in (parent, group):
            directory.mkdir(exist_ok=True)
            _inherit_cpuset(directory)
        if (top / "cgroup.controllers").exists() and top == root:
            _delegate(top)
            _delegate(parent)
        _limit_memory(group, memory_mb)
        groups.append(group)
    return groups


def launcher_groups(root: Path = ROOT) -> list[Path]:
    """Return the groups that a machine's launcher joins, so that no session end kills it."""
    return prepare(LAUNCHERS, root=root)


def processes(name: str, root: Path = ROOT) -> set[int]:
    """Return the process ids in a machine's group and in every group below it."""
    found: set[int] = set()
    for top in hierarchies(root):
        for directory, _, _ in os.walk(top / settings.CGROUP / name):
            try:
                text = Path(directory, "cgroup.procs").read_text()
            except OSError:
                continue  # the group went away while it was read
            found.update(int(word) for word in text.split())
    return found


def kill(name: str, timeout: float = 10.0, root: Path = ROOT) -> bool:
    """Kill every process of a machine's group; return whether none is left.

    :param timeout: seconds to wait for the processes to be gone.
    """
    deadline = time.monotonic() + timeout
    while left := processes(name, root):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def remove(name: str, timeout: float = 5.0, root: Path = ROOT) -> bool:
    """Remove a machine's empty groups; return whether they are gone.

    The kernel reports a group busy for some milliseconds after its last process ended.
    """
    deadline = time.monotonic() + timeout
    while True:
        left = False
        for top in hierarchies(root):
            for directory in _deepest_first(top / settings.CGROUP / name):
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    pass
                except OSError:
                    left = True
        if not left:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def names(root: Path = ROOT) -> set[str]:
    """Return the names of all groups of ours, in whichever hierarchy they are."""
    found: set[str] = set()
    for top in hierarchies(root):
        try:
            found.update(
                child.name for child in (top / settings.CGROUP).iterdir() if child.is_dir()
            )
        except FileNotFoundError:
            continue
    return found


def remove_parent(root: Path = ROOT) -> None:
    """Remove the empty group above all machines in each hierarchy."""
    for top in hierarchies(root):
        try:
            (top / settings.CGROUP).rmdir()
        except OSError:
            continue  # absent, or a machine is still in it


def _deepest_first(top: Path) -> Iterator[Path]:
    for directory, _, _ in os.walk(top, topdown=False):
        yield Path(directory)


def _inherit_cpuset(group: Path) -> None:
    """A version 1 cpuset group takes no process before it has processors and memory nodes."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own, above = group / name, group.parent / name
        if own.exists() and above.exists() and not own.read_text().strip():
            value = above.read_text().strip()
            if value:
                own.write_text(value)


def _delegate(group: Path) -> None:
    """Hand the version 2 controllers that the host has down to the groups below."""
    offered = (group / "cgroup.controllers").read_text().split()
    for controller in _VERSION_2_CONTROLLERS:
        if controller in offered:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _limit_memory(group: Path, memory_mb: int) -> None:
    if memory_mb <= 0:
        return
    for name in ("memory.limit_in_bytes", "memory.max"):
        if (group / name).exists():
            (group / name).write_text(str(memory_mb * 1024 * 1024))
