# SPDX-License-Identifier: Apache-2.0
"""The same machines without OpenStack: booted in a loop, tokens handed over directly.

This is what a cluster costs at least on a machine: 11 boots of the same image with the same
cloud-init, engine, volume and network, and 10 joins. Nothing signs certificates, signals, or asks
anybody. Only the ports and their addresses come from Neutron, before the clock starts: the
network's filter lets no port pass that Neutron does not know.
"""

import http
import http.client
import json
import socket
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from devcloud import settings
from devcloud.dataplane.commands import CommandError
from devcloud.dataplane.machine import Machine, MachineError
from devcloud.dataplane.machine_files import Interface, MachineSpec, Volume
from devcloud.demo.rest import Cloud

STARTERS = 4  # machines that are started at once, as nova-compute does
INTERVAL = 0.2  # seconds
TIMEOUT = 180.0  # seconds
ADDRESS_POOL = "10.201.0.0/16"
T = TypeVar("T")
JOIN_FILE = "/run/join"
USER_DATA = """\
#cloud-config
write_files:
- path: /usr/local/sbin/form
  permissions: "0755"
  content: |
    #!/bin/sh
    set -e
    disk=$(ls /dev/disk/by-id/virtio-* 2>/dev/null | head -n 1)
    if [ -n "$disk" ]; then
        mkfs.ext4 -q "$disk"
        mount "$disk" /var/lib/docker
    fi
    systemctl start docker
    %s
runcmd:
- /usr/local/sbin/form
"""
FOUND = "docker swarm init --advertise-addr {address} --default-addr-pool {pool} >/dev/null"
JOIN = "until [ -s {file} ]; do sleep 0.1; done; . {file}"


@dataclass(frozen=True)
class Node:
    """A machine of the loop."""

    machine: Machine
    address: str
    is_manager: bool


@dataclass(frozen=True)
class Shape:
    """What a swarm is made of, so that both ways make the same."""

    managers: int
    workers: int
    root_filesystem: Path
    memory_mb: int  # of each machine, MiB
    volume_gb: int  # of each machine, GiB; 0 for none

    @property
    def nodes(self) -> int:
        """All machines."""
        return self.managers + self.workers


class BareLoop:
    """Makes a swarm of ``shape`` and measures it; a context that removes all it made.

    :param cloud: of a user who may make ports in the private network
    """

    def __init__(self, cloud: Cloud, shape: Shape) -> None:
        self._cloud = cloud
        self._shape = shape
        self._nodes: list[Node] = []
        self._cleanup = ExitStack()

    def __enter__(self) -> "BareLoop":
        try:
            self._prepare()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._cleanup.close()

    def run(self) -> float:
        """Boot everything; seconds until all nodes are in the swarm and Ready.

        :raises MachineError: not in time, or a machine did not start
        """
        began = time.monotonic()
        with ThreadPoolExecutor(STARTERS) as pool:
            list(pool.map(lambda node: node.machine.start(), self._nodes))
        first = self._nodes[0]
        tokens = {
            role: _wait(f"{role} token", partial(_token, first.machine, role))
            for role in ("manager", "worker")
        }
        for node in self._nodes[1:]:
            token = tokens["manager" if node.is_manager else "worker"]
            join = f"docker swarm join --token {token} {first.address}:2377"
            write = f"echo {join} >{JOIN_FILE}.new && mv {JOIN_FILE}.new {JOIN_FILE}"
            _wait("a machine's shell", partial(_said, node.machine, write, "ok"))
        _wait(
            f"{self._shape.nodes} Ready nodes",
            lambda: ready_nodes(first.machine) == self._shape.nodes,
        )
        return time.monotonic() - began

    # -- before the clock starts --------------------------------------------------------------

    def _prepare(self) -> None:
        network = self._cloud.get("network", f"/v2.0/networks?name={settings.PRIVATE_NETWORK}")[
            "networks"
        ][0]
        subnet = self._cloud.get("network", f"/v2.0/subnets/{network['subnets'][0]}")["subnet"]
        body = {
            "port": {
                "network_id": network["id"],
                "name": "bare-loop",
                "port_security_enabled": False,
                "security_groups": [],
            }
        }
        for index in range(self._shape.nodes):
            port = self._cloud.call("POST", "network", "/v2.0/ports", body)["port"]
            self._cleanup.callback(
                self._cloud.call, "DELETE", "network", f"/v2.0/ports/{port['id']}"
            )
            address = port["fixed_ips"][0]["ip_address"]
            length = subnet["cidr"].partition("/")[2]
            interface = Interface(
                id=port["id"],
                mac=port["mac_address"],
                bridge=settings.NETWORK_BRIDGE_PREFIX + network["id"][:11],
                addresses=(f"{address}/{length}",),
                gateway=subnet["gateway_ip"],
                mtu=network["mtu"],
            )
            self._nodes.append(self._machine(index, interface, address))
        time.sleep(3)  # the network's filter learns of the ports

    def _machine(self, index: int, interface: Interface, address: str) -> Node:
        machine = Machine(str(uuid.uuid4()))
        self._cleanup.callback(machine.remove)
        name = f"bare-{index}"
        form = FOUND.format(address=address, pool=ADDRESS_POOL)
        if index:
            form = JOIN.format(file=JOIN_FILE)
        metadata = {"uuid": machine.uuid, "name": name, "hostname": name}
        spec = MachineSpec(
            uuid=machine.uuid,
            hostname=name,
            root_filesystem=str(self._shape.root_filesystem),
            memory_mb=self._shape.memory_mb,
            interfaces=(interface,),
            volumes=self._volumes(machine.uuid),
        )
        seed = {
            "openstack/latest/meta_data.json": json.dumps(metadata).encode(),
            "openstack/latest/user_data": (USER_DATA % form).encode(),
        }
        machine.create(spec, seed)
        return Node(machine, address, index < self._shape.managers)

    def _volumes(self, ident: str) -> tuple[Volume, ...]:
        if not self._shape.volume_gb:
            return ()
        file = settings.VOLUMES / f"bare-loop-{ident}"
        with file.open("wb") as sparse:
            sparse.truncate(self._shape.volume_gb << 30)
        self._cleanup.callback(file.unlink, missing_ok=True)
        # The machine is removed before its file.
        self._cleanup.callback(Machine(ident).remove)
        return (Volume(ident, str(file), "vdb"),)


def ready_nodes(machine: Machine) -> int:
    """How many nodes are Ready, as a manager's own engine says; 0 while it cannot be asked.

    Its socket is asked from outside: a docker command of its own, five times a second, would take a
    tenth of what is measured.
    """
    leader = machine.leader
    if leader is None:
        return 0
    connection = http.client.HTTPConnection("engine", timeout=20)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20)
        connection.sock.connect(f"/proc/{leader}/root/run/docker.sock")
        connection.request("GET", "/nodes")
        answer = connection.getresponse()
        nodes = json.load(answer) if answer.status == http.HTTPStatus.OK else []
    except (OSError, ValueError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
    return sum(node["Status"]["State"] == "ready" for node in nodes)


def _token(machine: Machine, role: str) -> str:
    return _run(machine, f"docker swarm join-token -q {role}").strip()


def _said(machine: Machine, command: str, word: str) -> bool:
    return word in _run(machine, f"{command} && echo {word}")


def _run(machine: Machine, command: str) -> str:
    try:
        return machine.execute("sh", "-c", command, timeout=20)
    except (CommandError, MachineError):
        return ""


def _wait(what: str, look: Callable[[], T]) -> T:
    deadline = time.monotonic() + TIMEOUT
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise MachineError(f"waited {TIMEOUT:.0f} s for {what}; last seen: {seen!r}")
        time.sleep(INTERVAL)
