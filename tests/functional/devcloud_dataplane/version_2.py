# SPDX-License-Identifier: Apache-2.0
"""One machine on a host whose control groups are of version 2, without a cloud.

    version_2.py IMAGE DIRECTORY

Run as a program inside a mount namespace of its own it shows itself the hierarchy of version 2
alone, boots a machine of that image below the directory, runs a swarm of one node and a container,
and prints what it saw as JSON. Where the host has version 1 as well, that has the controllers: no
limits are tried.
"""

import json
import signal
import sys
import time
import uuid
from pathlib import Path

from devcloud import settings
from devcloud.dataplane import cgroup, commands, fabric
from devcloud.dataplane.machine import Machine, MachineError
from devcloud.dataplane.machine_files import MachineSpec

GROUP = "dc-version-2"  # no cloud's
BOOT_SECONDS = 180.0
USER_DATA = b"#cloud-config\nruncmd:\n- [sh, -c, 'echo done >/run/first-boot']\n"
CONTAINER = """\
mkdir -p /tmp/root && cp -L "$(command -v busybox)" /tmp/root/busybox
tar -C /tmp/root -c . | docker import - one >/dev/null
docker run --rm one /busybox echo in a container
"""


def explore(machine: Machine) -> dict[str, object]:
    """Boot the machine and try what a node of a swarm does."""

    def say(command: str) -> str:
        return machine.execute("sh", "-c", command, timeout=120).strip()

    began = time.monotonic()
    machine.start()
    while say("cat /run/first-boot 2>/dev/null || :") != "done":
        if time.monotonic() - began > BOOT_SECONDS:
            raise MachineError(f"cloud-init did not end within {BOOT_SECONDS:.0f} s")
        time.sleep(0.5)
    say("systemctl start docker")
    say("docker swarm init --advertise-addr 127.0.0.1")
    return {
        "hierarchies": [str(top) for top in cgroup.hierarchies()],
        "failed units": say("systemctl --failed --no-legend"),
        "engine": say("docker info --format '{{.CgroupVersion}} {{.Swarm.LocalNodeState}}'"),
        "container": say(CONTAINER),
    }


def main() -> None:
    """Explore, and leave nothing."""
    image, directory = sys.argv[1], Path(sys.argv[2])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings.CGROUP = GROUP
    commands.run("mount", "-t", "cgroup2", "cgroup2", str(cgroup.ROOT))
    fabric.NETNS_DIRECTORY.mkdir(exist_ok=True)
    commands.run("mount", "-t", "tmpfs", "tmpfs", str(fabric.NETNS_DIRECTORY))
    machine = Machine(str(uuid.uuid4()), directory)
    spec = MachineSpec(machine.uuid, "version-2", str(settings.IMAGES / image), memory_mb=1024)
    metadata = {"uuid": machine.uuid, "name": spec.hostname, "hostname": spec.hostname}
    seed = {
        "openstack/latest/meta_data.json": json.dumps(metadata).encode(),
        "openstack/latest/user_data": USER_DATA,
    }
    try:
        machine.create(spec, seed)
        seen = explore(machine)
    finally:
        machine.remove()
        left = cgroup.names() - {cgroup.LAUNCHERS}
        cgroup.remove(cgroup.LAUNCHERS)
        cgroup.remove_parent()
    print(json.dumps({**seen, "left": sorted(left)}))


if __name__ == "__main__":
    main()
