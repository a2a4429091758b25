# SPDX-License-Identifier: Apache-2.0
"""A swarm: nodes with roles and tasks, a quorum, settings, certificates, and a client."""

import base64
import copy
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import manager_settings

if TYPE_CHECKING:
    from tests.model.stacks import Server
    from tests.model.world import World

Result = TypeVar("Result")
Node = dict[str, Any]


class Swarm:
    """What managers know.

    :ivar nodes: id to node, as the API describes it.
    :ivar tasks: id of a node to how many tasks are on it.
    :ivar configs: name to contents and labels.
    :ivar mute: ids of servers that never join.
    :ivar lost: host names of nodes that fell silent by themselves.
    :ivar too_late: ids of nodes that a user promoted while Heat was at work: where it removes them,
        nobody can stop it any more.
    :ivar managers_wanted: how many managers there are to be at least, by all that was asked for.
    :ivar lies: changes a list of nodes before it is shown.
    :ivar addresses: id of a node to its address.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self.nodes: dict[str, Node] = {}
        self._before: list[Node] = []
        self.tasks: dict[str, int] = {}
        self.configs: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.mute: set[str] = set()
        self.lost: set[str] = set()
        self.too_late: set[str] = set()
        self.servers: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        self.managers_wanted = 0
        self.root, self.version, self._serial = 0, 1, 0
        self.lies: Callable[[list[Node]], None] = lambda _: None
        self._waiting: list[tuple[Any, bool]] = []

    # Nodes

    def join(self, server: "Server", *, is_manager: bool) -> None:
        """Let a server become a node, now or when there is a leader."""
        if self.nodes and not self.has_leader():
            self._waiting.append((server, is_manager))
            return
        self._serial += 1
        name = f"n{self._serial}"
        node: Node = {
            "ID": name,
            "Version": {"Index": self._serial},
            "Spec": {
                "Role": "manager" if is_manager else "worker",
                "Availability": "active",
                "Labels": {manager_settings.LABEL: "0"} if is_manager else {},
            },
            "Description": {
                "Hostname": server.hostname,
                "Engine": {"EngineVersion": "29.0"},
                "TLSInfo": {"CertIssuerPublicKey": f"root {self.root}"},
            },
            # The leader sees its own engine at no address of the network.
            "Status": {"State": "ready", "Addr": "0.0.0.0" if is_manager else server.address},
        }
        if is_manager:
            self._let_in(node, server.address)
        else:
            self.tasks[name] = 1
        self.nodes[name] = node
        self.servers[name], self.addresses[name] = server.id, server.address

    @staticmethod
    def _let_in(node: Node, address: str) -> None:
        """Let a node be one of the managers."""
        node["ManagerStatus"] = {"Reachability": "reachable", "Addr": f"{address}:2377"}

    def named(self, hostname: str) -> list[Node]:
        """Return the entries of a host name."""
        return [one for one in self.nodes.values() if one["Description"]["Hostname"] == hostname]

    def lose_server(self, server: "Server", *, planned: bool) -> None:
        """Let a node end with its server."""
        self._waiting = [one for one in self._waiting if one[0] is not server]
        for name, node in self.nodes.items():
            if self.servers.get(name) != server.id or node["Status"]["State"] != "ready":
                continue
            if planned and node.get("ManagerStatus") and name not in self.too_late:
                self._broken(f"manager {server.hostname} was removed without a demotion")
            if planned and self.tasks.get(name) and node["Spec"]["Availability"] != "drain":
                self._broken(f"{server.hostname} was removed with tasks, undrained")
            self.set_state(node, "down")
        self.lost.discard(server.hostname)

    def set_state(self, node: Node, state: str) -> None:
        """Let a node fall silent, or come back."""
        node["Status"]["State"] = state
        if state == "down":
            self.tasks[node["ID"]] = 0
        if manager := node.get("ManagerStatus"):
            manager["Reachability"] = "reachable" if state == "ready" else "unreachable"
            manager.pop("Leader", None)
        self.elect()

    def raft(self) -> list[Node]:
        """Return the managers that count."""
        return [one for one in self.nodes.values() if one.get("ManagerStatus")]

    def has_leader(self) -> bool:
        """Return whether the managers have their quorum."""
        raft = self.raft()
        return 2 * sum(one["Status"]["State"] == "ready" for one in raft) > len(raft)

    def elect(self) -> None:
        """Choose a leader where there is none."""
        raft = self.raft()
        if self.has_leader() and not any(one["ManagerStatus"].get("Leader") for one in raft):
            well = next(one for one in raft if one["Status"]["State"] == "ready")
            well["ManagerStatus"]["Leader"] = True

    def ready(self) -> list[str]:
        """Return the host names of the nodes that are ready."""
        return sorted(
            one["Description"]["Hostname"]
            for one in self.nodes.values()
            if one["Status"]["State"] == "ready"
        )

    def tick(self) -> None:
        """Carry out what was asked of nodes."""
        leads = self.has_leader()
        newest = max((self._generation(name) for name in self.configs), default=0)
        for node in list(self.nodes.values()):
            is_ready = node["Status"]["State"] == "ready"
            role = node["Spec"]["Role"]
            if role == "worker" and node.get("ManagerStatus"):
                if leads:
                    node.pop("ManagerStatus")
            elif role == "manager" and not node.get("ManagerStatus") and is_ready and leads:
                self._let_in(node, self.addresses[node["ID"]])
                node["Spec"].setdefault("Labels", {}).setdefault(manager_settings.LABEL, "0")
            elif node["Spec"]["Availability"] == "drain" and self.tasks.get(node["ID"]):
                self.tasks[node["ID"]] -= 1
            if is_ready and leads:
                node["Description"]["TLSInfo"] = {"CertIssuerPublicKey": f"root {self.root}"}
                if node.get("ManagerStatus"):
                    node["Spec"]["Labels"][manager_settings.LABEL] = str(newest)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self.join(one[0], is_manager=one[1])

    @staticmethod
    def _generation(name: str) -> int:
        digits = name.removeprefix(manager_settings.PREFIX)
        return int(digits) if digits.isdigit() else 0

    def remember(self) -> None:
        """Keep the present state, for services that show an old one later."""
        if "swarm" in self._world.stale:
            self._before = copy.deepcopy(list(self.nodes.values()))

    def shown(self) -> list[Node]:
        """Return the list of nodes as the API gives it."""
        stale = "swarm" in self._world.stale and self._before
        nodes = copy.deepcopy(self._before if stale else list(self.nodes.values()))
        self.lies(nodes)
        return nodes

    def trusted(self) -> set[int]:
        """Return the sets of certificates of which managers let clients in."""
        generations = [
            int(one["Spec"]["Labels"].get(manager_settings.LABEL, "0"))
            for one in self.raft()
            if one["Status"]["State"] == "ready"
        ]
        config = self.configs.get(f"{manager_settings.PREFIX}{min(generations, default=0)}")
        told = json.loads(config[0]) if config else {}
        if "ca_certificate" in told:
            return self._world.sets_in(told["ca_certificate"])
        stack = next((one for one in self._world.stacks.living() if one.is_cluster), None)
        return self._world.sets_in(stack.first_authority) if stack else set()

    # What must never be

    def _broken(self, what: str) -> None:
        self._world.broken.append(what)

    def check_demotion(self, own: Node) -> None:
        """Note a demotion that endangers the swarm."""
        rest = [one for one in self.raft() if one is not own]
        well = sum(one["Status"]["State"] == "ready" for one in rest)
        if 2 * well <= len(rest):
            self._broken("a demotion breaks the quorum")
        kept = {one["Description"]["Hostname"] for one in rest if one["Spec"]["Role"] == "manager"}
        # What is lost by itself, or was never made, is not missing because of us.
        present = len(kept | {name for name in self.lost if "-manager-" in name})
        if own["Status"]["State"] == "ready" and present < self.managers_wanted - 1:
            self._broken(f"two managers are away at once: {sorted(kept)} stay")


def lie(nodes: list[Node]) -> None:
    """Let each node bear the name of the next one, and the last one none."""
    names = [node["Description"]["Hostname"] for node in nodes]
    for node, name in zip(nodes, [*names[1:], ""], strict=True):
        node["Description"]["Hostname"] = name


class Client:
    """What ``swarm.client.Swarm`` does.

    :param own: the certificate that it shows to managers.
    :param ca: the authorities that it trusts.
    """

    def __init__(self, world: "World", addresses: list[str], own: str, ca: str) -> None:
        self._world, self._swarm = world, world.swarm
        self._addresses, self._own, self._ca = addresses, own, ca
        self.cluster = world.cluster_uuid

    def expect(self, nodes: int) -> None:
        """Do without bounds: the swarm of the model is honest about its size."""

    def _ask(self, act: Callable[[], Result]) -> Result:
        def checked() -> Result:
            if not self._addresses or not self._swarm.nodes:
                raise exceptions.Unavailable("No manager answers.")
            if not self._world.sets_in(self._own) & self._swarm.trusted():
                raise exceptions.Unavailable("Managers do not accept the certificate.")
            if not self._swarm.has_leader():
                raise swarm_client.NoLeader("The swarm has no leader.")
            return act()

        return self._world.request("swarm", checked)

    def close(self) -> None:
        """Close nothing."""

    def engine(self) -> swarm_client.Engine:
        """Return the engine's version."""
        return self._ask(lambda: swarm_client.Engine(version="29.0", api_version="1.52"))

    def nodes(self) -> list[Node]:
        """List nodes."""
        return self._ask(self._swarm.shown)

    def poll(self, first: str) -> tuple[str, list[Node]]:
        """List nodes, and say who answered."""
        return first, self.nodes()

    def services(self) -> list[Node]:
        """List no services."""
        return []

    def tasks(self) -> list[Node]:
        """List tasks."""
        return self._ask(
            lambda: [
                {
                    "ID": f"{node}-{number}",
                    "NodeID": node,
                    "Status": {"State": "running"},
                    "DesiredState": "running",
                }
                for node, count in self._swarm.tasks.items()
                for number in range(count)
            ]
        )

    def tasks_on(self, node_ids: Any) -> list[Node]:
        """List tasks of some nodes."""
        return [task for task in self.tasks() if task["NodeID"] in node_ids]

    def update_node(self, node: Any, spec: Any) -> None:
        """Change what a node shall be, unless somebody else has meanwhile."""

        def act() -> None:
            own = self._swarm.nodes.get(node["ID"])
            if own is None:
                raise exceptions.Refused("There is no such node.")
            if own["Version"]["Index"] != node["Version"]["Index"]:
                raise exceptions.Unavailable("update out of sequence")
            if own["Spec"]["Role"] == "manager" and spec["Role"] == "worker":
                self._swarm.check_demotion(own)
            own["Spec"] = copy.deepcopy(dict(spec))
            own["Version"]["Index"] += 1

        self._ask(act)

    def remove_node(self, node_id: str) -> None:
        """Forget a node."""

        def act() -> None:
            node = self._swarm.nodes.get(node_id)
            if node and node.get("ManagerStatus"):
                raise exceptions.Unavailable("it is still a manager")
            if node and node["Status"]["State"] == "ready":
                self._world.broken.append("a node was removed from the swarm that works")
            self._swarm.nodes.pop(node_id, None)
            self._swarm.tasks.pop(node_id, None)

        self._ask(act)

    def put_config(self, name: str, labels: Any) -> None:
        """Keep a config, unless there is one."""
        self._ask(lambda: self._swarm.configs.setdefault(name, (b"{}", dict(labels))))

    def create_config(self, name: str, data: bytes, labels: Any) -> None:
        """Keep a config."""

        def act() -> None:
            if name in self._swarm.configs:
                raise exceptions.Unavailable("There is such a config.")
            self._swarm.configs[name] = (data, dict(labels))

        self._ask(act)

    def remove_config(self, name: str) -> None:
        """Forget a config."""
        self._ask(lambda: self._swarm.configs.pop(name, None))

    def configs(self, prefix: str) -> list[Node]:
        """List configs."""
        return self._ask(
            lambda: [
                {
                    "ID": name,
                    "Spec": {
                        "Name": name,
                        "Labels": labels,
                        "Data": base64.b64encode(data).decode(),
                    },
                }
                for name, (data, labels) in self._swarm.configs.items()
                if name.startswith(prefix)
            ]
        )

    def inspect(self) -> Node:
        """Describe the swarm."""
        swarm = self._swarm
        return self._ask(
            lambda: {
                "Version": {"Index": swarm.version},
                "Spec": {"CAConfig": {"ForceRotate": swarm.root}},
                "TLSInfo": {"CertIssuerPublicKey": f"root {swarm.root}"},
                "RootRotationInProgress": False,
            }
        )

    def update_swarm(self, version: int, spec: Any, *, rotate_tokens: bool = False) -> None:
        """Change the swarm."""

        def act() -> None:
            if version != self._swarm.version:
                raise exceptions.Unavailable("update out of sequence")
            self._swarm.version += 1
            self._swarm.root = spec["CAConfig"]["ForceRotate"]

        self._ask(act)
