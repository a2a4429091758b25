# SPDX-License-Identifier: Apache-2.0
"""Clusters, made and looked at as their owner would."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcloud import settings
from devcloud.demo import observe
from devcloud.demo.rest import RestError, UnreachableError
from tests.endtoend.docker import Docker, exports
from tests.endtoend.machines import Machine
from tests.endtoend.users import User
from tests.endtoend.waiting import wait_for

CREATE_TIMEOUT = 420.0  # seconds
DELETE_TIMEOUT = 180.0
SHOWABLE = 30.0  # until Magnum can show a cluster that was asked for
SSH = {"ssh_allowed_cidrs": "0.0.0.0/0"}  # label


@dataclass(frozen=True)
class Server:
    """A server of a cluster, as Nova knows it."""

    ident: str
    name: str
    status: str
    fixed: str
    floating: str

    @property
    def is_manager(self) -> bool:
        """Whether its name says that it is a manager."""
        return "-manager-" in self.name


def server(record: Mapping[str, Any]) -> Server:
    """A server of Nova's detailed list."""
    addresses = {"fixed": "", "floating": ""}
    for network in record["addresses"].values():
        for one in network:
            addresses[one.get("OS-EXT-IPS:type", "fixed")] = one["addr"]
    return Server(record["id"], record["name"], record["status"], **addresses)


def _record(user: User, name: str) -> dict[str, Any] | None:
    """Magnum's record of a cluster, as soon as it can be shown."""
    deadline = time.monotonic() + SHOWABLE
    while True:
        try:
            return observe.find_cluster(user.cloud, name)
        except UnreachableError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def find(user: User, name: str) -> "Cluster | None":
    """The user's cluster of that name, or None."""
    record = _record(user, name)
    return Cluster(user, name, record["uuid"]) if record else None


class Cluster:
    """A cluster of ``user``'s project."""

    def __init__(self, user: User, name: str, uuid: str) -> None:
        self.user = user
        self.name = name
        self.uuid = uuid

    # -- Magnum ---------------------------------------------------------------------------------

    def record(self) -> dict[str, Any] | None:
        """What Magnum's API says of it; None when it is gone."""
        return _record(self.user, self.uuid)

    def status(self) -> tuple[str, str]:
        """Status and reason; ``("gone", "")`` when it is gone."""
        record = self.record()
        return (record["status"], record["status_reason"] or "") if record else ("gone", "")

    def wait(self, *statuses: str, timeout: float = CREATE_TIMEOUT) -> tuple[str, str]:
        """Wait until it is in one of ``statuses``, or in no IN_PROGRESS any more.

        :raises AssertionError: it ends in another status, or not in time
        """
        seen = wait_for(
            f"{self.name} to be {' or '.join(statuses)}",
            self.status,
            lambda seen: seen[0] in statuses or self._final(seen[0], statuses),
            timeout=timeout,
            interval=1.0,
        )
        assert seen[0] in statuses, f"{self.name} is {seen[0]}: {seen[1]}"
        return seen

    @staticmethod
    def _final(status: str, wanted: tuple[str, ...]) -> bool:
        """Whether waiting is in vain: only a delete leads out of an ended operation."""
        if wanted == ("gone",):
            return status == "DELETE_FAILED"
        return not status.endswith("_IN_PROGRESS")

    def delete(self, user: User | None = None) -> None:
        """Ask for its removal."""
        (user or self.user).cloud.call("DELETE", "container-infra", f"/clusters/{self.uuid}")

    def wait_gone(self, timeout: float = DELETE_TIMEOUT) -> None:
        """Wait until Magnum knows it no more."""
        self.wait("gone", timeout=timeout)

    def remove(self) -> None:
        """Delete it if it is there, and wait; for cleaning up."""
        if self.record() is not None:
            self.delete()
            self.wait_gone()

    # -- Docker ---------------------------------------------------------------------------------

    def client(self, directory: Path) -> Docker:
        """A docker client with files of its own in ``directory``."""
        words = ["openstack", "coe", "cluster", "config", self.uuid, "--output-certs", "--force"]
        return Docker(exports(self.user.run(*words, "--dir", str(directory))))

    # -- Heat and Nova --------------------------------------------------------------------------

    def stack(self) -> dict[str, Any]:
        """Its Heat stack.

        :raises AssertionError: it has none
        """
        found = observe.find_stack(self.user.cloud, self.uuid)
        assert found, f"{self.name} has no stack"
        return found

    def resources(self) -> list[dict[str, Any]]:
        """All resources of its stack and of those nested in it; empty while there is none."""
        found = observe.find_stack(self.user.cloud, self.uuid)
        return observe.stack_resources(self.user.cloud, found) if found else []

    def servers(self) -> list[Server]:
        """Its servers that Nova knows, by name."""
        ids = {one["physical_resource_id"] for one in self.resources()}
        everyone = self.user.cloud.get("compute", "/servers/detail")["servers"]
        return sorted(
            (server(one) for one in everyone if one["id"] in ids), key=lambda one: one.name
        )

    def managers(self) -> list[Server]:
        """Its managers, the first one first."""
        return [one for one in self.servers() if one.is_manager]

    def workers(self) -> list[Server]:
        """Its workers."""
        return [one for one in self.servers() if not one.is_manager]

    def allow_ssh(self) -> None:
        """Let port 22 of its nodes be reached, as the owner of its security groups may."""
        groups = [
            one["physical_resource_id"]
            for one in self.resources()
            if one["resource_type"] == "OS::Neutron::SecurityGroup"
            and one["resource_name"].startswith("node")
        ]
        assert groups, f"{self.name} has no security group of all nodes"
        wanted = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        for group in groups:
            body = {"security_group_id": group, "direction": "ingress", "ethertype": "IPv4"}
            try:
                self.user.cloud.call(
                    "POST",
                    "network",
                    "/v2.0/security-group-rules",
                    {"security_group_rule": {**body, **wanted, "remote_ip_prefix": "0.0.0.0/0"}},
                )
            except RestError as error:
                if error.status != 409:  # it is there already
                    raise

    def machine(self, one: Server) -> Machine:
        """Root's shell on one of its servers, through the first manager that has an address."""
        if one.floating:
            return Machine(one.floating)
        jump = next(m.floating for m in self.managers() if m.floating and m.status == "ACTIVE")
        return Machine(one.fixed, jump)


def make_template(user: User, name: str, **fields: object) -> None:
    """Make a cluster template; ``fields`` beside those that every test needs."""
    always = {
        "name": name,
        "coe": "swarm-mode",
        "image_id": "ubuntu_xenial",
        "flavor_id": "m1.small",
        "keypair_id": settings.KEYPAIR,
        "external_network_id": settings.EXTERNAL_NETWORK,
        "fixed_network": settings.PRIVATE_NETWORK,
    }
    user.cloud.call("POST", "container-infra", "/clustertemplates", {**always, **fields})


def remove_template(user: User, name: str) -> None:
    """Remove a cluster template."""
    user.cloud.call("DELETE", "container-infra", f"/clustertemplates/{name}")


def ask_for(
    user: User, name: str, template: str, managers: int, workers: int, **fields: object
) -> Cluster:
    """Ask for a cluster, and do not wait for it."""
    path = f"/clustertemplates/{template}"
    body = {
        "name": name,
        "cluster_template_id": user.cloud.get("container-infra", path)["uuid"],
        "master_count": managers,
        "node_count": workers,
        **fields,
    }
    # As the commands do; the oldest version knows no clusters without workers.
    newest = {"OpenStack-API-Version": "container-infra latest"}
    made = user.cloud.call("POST", "container-infra", "/clusters", body, newest)
    cluster = Cluster(user, name, made["uuid"])
    # The API answers before the conductor has written the cluster down.
    wait_for(f"{name} to exist", cluster.record, timeout=SHOWABLE, interval=0.5)
    return cluster
