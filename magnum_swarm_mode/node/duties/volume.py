# SPDX-License-Identifier: Apache-2.0
"""The Cinder volume below /var/lib/docker."""

import stat
from pathlib import Path

from ..base import system, wait
from ..base.codes import Code
from ..base.errors import NodeError, Temporary
from ..base.paths import Paths

TIMEOUT = 300  # seconds until an attached volume must have appeared


def find(disks: Path, volume: str) -> str:
    """Return the device of a Cinder volume.

    udev names it after the serial number, of which virtio keeps 20 characters and SCSI all.

    :raises Temporary: when there is none (yet)
    """
    for link in sorted(disks.glob(f"*{volume[:20]}*")):
        if link.exists() and stat.S_ISBLK(link.stat().st_mode) and "-part" not in link.name:
            return str(link.resolve())
    raise Temporary(f"no device for volume {volume} in {disks}", code=Code.VOLUME_MISSING)


def ensure(volume: str, paths: Paths, timeout: float = TIMEOUT) -> str:
    """Mount the volume, after making a file system on it when it is blank.

    :param volume: Cinder's id; empty means that there is none
    :param timeout: seconds to wait for the device
    :returns: what was done, for the log
    :raises NodeError: no device, or something on it that is not ours to overwrite
    """
    if not volume:
        return "none"
    device = wait.until("Docker volume", lambda: find(paths.disks, volume), timeout)
    target = paths.engine_data
    target.mkdir(parents=True, exist_ok=True)
    # Whatever else may be mounted there: this device?
    if target.stat().st_dev == Path(device).stat().st_rdev:
        return f"{device} is mounted"
    # Probing the device itself: the cache that blkid keeps is udev's.
    probe = ("blkid", "-p", "-o", "value", "-s", "TYPE", "-s", "PTTYPE", device)
    kind = system.run(*probe, check=False).strip()
    if not kind:
        # Refuses by itself when it finds something after all.
        system.run("mkfs.ext4", "-q", "-L", "docker", device, timeout=600)
    elif kind != "ext4":
        text = f"volume {volume} holds {kind}, not ext4: it is left as it is"
        raise NodeError(text, code=Code.VOLUME_NOT_EXT4)
    system.run("mount", "-t", "ext4", device, str(target))
    return f"{device} mounted" + ("" if kind else ", file system made")
