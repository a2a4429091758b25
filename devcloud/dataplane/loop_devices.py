# SPDX-License-Identifier: Apache-2.0
"""Files as block devices, through the kernel's loop devices."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from devcloud.dataplane import commands

_LOCK = threading.Lock()  # a free device is found before it is taken


@dataclass(frozen=True)
class BlockDevice:
    """A block device of the host and its number."""

    path: str
    major: int
    minor: int


def attach(file: str) -> BlockDevice:
    """Return the loop device of a file, made if there is none yet.

    A path that already is a block device is returned as it is.

    :raises commands.CommandError: no loop device could be had.
    """
    path = file
    if not Path(file).is_block_device():
        with _LOCK:
            known = devices_of(file)
            path = known[0] if known else commands.run("losetup", "--find", "--show", file).strip()
    number = Path(path).stat().st_rdev
    return BlockDevice(path, os.major(number), os.minor(number))


def detach(file: str) -> None:
    """Release the loop devices of a file; one that is still in use goes with its last user.

    :raises commands.CommandError: the kernel refused.
    """
    if not Path(file).is_block_device():
        for device in devices_of(file):
            commands.run("losetup", "--detach", device)


def devices_of(file: str) -> list[str]:
    """Return the loop devices whose backing file this is, also when it was deleted since."""
    return [device for device, backing in all_devices().items() if backing == file]


def all_devices(sysfs: Path = Path("/sys/block")) -> dict[str, str]:
    """Return every loop device in use with its backing file."""
    found = {}
    for backing in sysfs.glob("loop*/loop/backing_file"):
        try:
            name = backing.read_text().rstrip("\n").removesuffix(" (deleted)")
        except OSError:
            continue  # released while it was read
        found[f"/dev/{backing.parent.parent.name}"] = name
    return found
