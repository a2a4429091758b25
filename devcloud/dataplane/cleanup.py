# SPDX-License-Identifier: Apache-2.0
"""Removes everything of the data plane that is still there, whoever died before removing it.

It goes by what the kernel knows, not by what we remember: processes in our cgroups or started
from a machine's directory, mounts below the machines' directories, network namespaces and
interfaces with our prefixes, loop devices of our volumes. Files of machines and volumes stay.
Runs under the system's Python without any package; can be run as
``python -m devcloud.dataplane.cleanup``.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from devcloud import settings
from devcloud.dataplane import (
    cgroup,
    commands,
    fabric,
    host_limits,
    loop_devices,
    machine_files,
)

Log = Callable[[str], None]
KILL_SECONDS = 15.0

NAMESPACE_NAMES = re.compile(
    "|".join(
        (
            re.escape(fabric.NAMESPACE) + "$",
            re.escape(settings.NODE_NETNS_PREFIX) + "[0-9a-f-]+$",
            re.escape(settings.ROUTER_NETNS_PREFIX) + "[0-9a-f-]+$",
        )
    )
)
LINK_NAMES = re.compile(
    re.escape(fabric.HOST_LINK)
    + "$|"
    + re.escape(fabric.HOST_PORT)
    + "$|("
    + "|".join(
        map(
            re.escape,
            (settings.TAP_PREFIX, settings.ROUTER_TAP_PREFIX, settings.NETWORK_BRIDGE_PREFIX),
        )
    )
    + ")[0-9a-f]{8}-"
)


class CleanupError(RuntimeError):
    """Something of ours is left; the text says what."""


def remove_everything(log: Log) -> None:
    """Remove all machines' and networks' runtime objects; nothing there is fine.

    :param log: takes one line for each thing that was removed.
    :raises CleanupError: something could not be removed; everything else was.
    """
    left = [
        *remove_processes(log),
        *remove_mounts(log),
        *remove_namespaces(log),
        *remove_links(log),
        *remove_cgroups(log),
        *remove_loop_devices(log),
        *remove_stale_files(log),
    ]
    host_limits.restore(log)
    if left:
        raise CleanupError("could not be removed: " + ", ".join(left))


def remove_processes(log: Log) -> list[str]:
    """Kill launchers, then everything in machines' cgroups; return what is left."""
    _kill_all(_launchers(), log, "launcher")
    left = []
    for name in sorted(cgroup.names()):
        count = len(cgroup.processes(name))
        if not cgroup.kill(name, KILL_SECONDS):
            left.append(f"processes of machine {name}")
        elif count:
            log(f"killed {count} processes of machine {name}")
    if stragglers := _launchers():
        left.append(f"processes {sorted(stragglers)}")
    return left


def remove_mounts(log: Log) -> list[str]:
    """Unmount everything below the machines' directories, the innermost first."""
    left = []
    for path in sorted(_mounts_below(settings.NODES), key=len, reverse=True):
        if commands.succeeds("umount", path) or commands.succeeds("umount", "--lazy", path):
            log(f"unmounted {path}")
        else:
            left.append(f"mount {path}")
    return left


def remove_namespaces(log: Log) -> list[str]:
    """Remove our network namespaces, with every interface in them."""
    if not fabric.NETNS_DIRECTORY.is_dir():
        return []
    left = []
    for path in sorted(fabric.NETNS_DIRECTORY.iterdir()):
        if not NAMESPACE_NAMES.match(path.name):
            continue
        if fabric.namespace_exists(path.name):
            _remove_devices(path.name)
        try:
            fabric.remove_namespace(path.name)
        except OSError as error:
            left.append(f"namespace {path.name} ({error})")
        else:
            log(f"removed namespace {path.name}")
    return left


def remove_links(log: Log) -> list[str]:
    """Remove interfaces of ours that are on the host itself."""
    left = []
    for name in sorted(path.name for path in Path("/sys/class/net").iterdir()):
        if LINK_NAMES.match(name):
            if commands.succeeds("ip", "link", "delete", name):
                log(f"removed interface {name}")
            elif Path("/sys/class/net", name).exists():
                left.append(f"interface {name}")
    return left


def remove_cgroups(log: Log) -> list[str]:
    """Remove our cgroups, which hold no process any more."""
    left = []
    for name in sorted(cgroup.names()):
        if cgroup.remove(name):
            log(f"removed cgroup {settings.CGROUP}/{name}")
        else:
            left.append(f"cgroup {settings.CGROUP}/{name}")
    cgroup.remove_parent()
    return left


def remove_loop_devices(log: Log) -> list[str]:
    """Release the loop devices of our volumes."""
    left = []
    for device, file in sorted(loop_devices.all_devices().items()):
        if Path(file).is_relative_to(settings.VOLUMES):
            if commands.succeeds("losetup", "--detach", device):
                log(f"released {device} of {file}")
            else:
                left.append(f"loop device {device}")
    return left


def remove_stale_files(log: Log) -> list[str]:
    """Remove sockets of the daemon and directories that systemd-nspawn left in /run."""
    for path in (fabric.CHANGES, fabric.STATUS_SOCKET):
        if path.exists():
            path.unlink()
            log(f"removed {path}")
    for directory in machine_files.NSPAWN_DIRECTORIES:
        for path in directory.glob(f"{settings.PREFIX}*") if directory.is_dir() else ():
            commands.succeeds("umount", "--lazy", str(path))
            if path.is_dir():
                path.rmdir()
                log(f"removed {path}")
    return []


def _launchers() -> set[int]:
    """Return living processes that run a machine's launch script."""
    script = re.compile(re.escape(os.fsencode(settings.NODES)) + rb"/[0-9a-f-]+/launch\.sh$")
    found = set()
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            arguments = (directory / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        except OSError:
            continue
        if len(arguments) == 2 and script.match(arguments[1]):
            found.add(int(directory.name))
    return found


def _kill_all(pids: Iterable[int], log: Log, what: str) -> None:
    for pid in sorted(pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        log(f"killed {what} {pid}")
    deadline = time.monotonic() + KILL_SECONDS
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def _mounts_below(top: Path) -> list[str]:
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4])
        if Path(path).is_relative_to(top) and path != str(top):
            found.append(path)
    return found


def _remove_devices(namespace: str) -> None:
    """Delete a namespace's interfaces now; the kernel would do so some time after its removal."""
    try:
        text = commands.run("ip", "-n", namespace, "-oneline", "link")
    except commands.CommandError:
        return
    for name in re.findall(r"^\d+: ([^:@]+)[:@]", text, re.MULTILINE):
        if name != "lo":
            commands.succeeds("ip", "-n", namespace, "link", "delete", name)


if __name__ == "__main__":
    remove_everything(print)
