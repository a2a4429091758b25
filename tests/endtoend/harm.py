# SPDX-License-Identifier: Apache-2.0
"""What can happen to nodes of a cluster, each until the block ends."""

import contextlib
import subprocess
from collections.abc import Iterator

from devcloud.dataplane import fabric, network_model
from tests.endtoend.clusters import Cluster, Server
from tests.endtoend.machines import Machine


@contextlib.contextmanager
def api_blocked(address: str) -> Iterator[None]:
    """Nothing that this machine, and so the conductor, sends to a manager's API arrives."""
    rule = ("OUTPUT", "--destination", address, "-p", "tcp", "--dport", "2376", "-j", "DROP")
    subprocess.run(["iptables", "-w", "-I", *rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "-w", "-D", *rule], check=True)


@contextlib.contextmanager
def cut_off(cluster: Cluster, server: Server) -> Iterator[None]:
    """The cable of a node is out."""
    found = cluster.user.cloud.get("network", f"/v2.0/ports?device_id={server.ident}")["ports"]
    (tap,) = (network_model.tap_name(port["id"]) for port in found)
    fabric.in_namespace("ip", "link", "set", tap, "down")
    try:
        yield
    finally:
        fabric.in_namespace("ip", "link", "set", tap, "up")


@contextlib.contextmanager
def engine_stopped(machine: Machine) -> Iterator[None]:
    """A node's engine is stopped."""
    machine.run("systemctl stop docker.socket docker.service")
    try:
        yield
    finally:
        machine.run("systemctl start docker.service")
