# SPDX-License-Identifier: Apache-2.0
"""A cloud and a swarm in this process, which refuse, lag, lose nodes, and kill their caller."""

import dataclasses
import itertools
import json
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.swarm import client as swarm_client

OWNER, PROJECT = "owner", "p" * 32
Result = TypeVar("Result")


class Died(BaseException):
    """The conductor's process has ended; nothing of it reaches anything any more."""


@dataclasses.dataclass
class Stack:
    """A stack of Heat's, with the indices that its groups have, and had."""

    id: str
    name: str
    parameters: dict[str, Any]
    status: str = "CREATE_IN_PROGRESS"
    lag: int = 0
    updates: int = 0
    made: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    removed: dict[str, set[int]] = dataclasses.field(default_factory=dict)


class World:
    """What is outside of the conductors.

    :ivar now: seconds since 1970.
    :ivar down: services that do not answer: ``heat``, ``swarm``, ``keystone``.
    :ivar events: writes and requests so far.
    :ivar deadly: how many of them are let through before the next conductor dies; None for all.
    :ivar lag: how many ticks Heat takes.
    :ivar broken: what was done that must never be.
    """

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.down: set[str] = set()
        self.stacks: dict[str, Stack] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, int] = {}
        self.trusts: dict[str, str] = {}
        self.credentials: dict[str, str] = {}
        self.certificates: dict[str, str] = {}
        self.configs: set[str] = set()
        self.lag, self.serial, self.events, self.updates = 1, 0, 0, 0
        self.fails_next = False
        self.deadly: int | None = None
        self.after = self.dead = self.dies_next = False
        self.broken: list[str] = []
        self.deaths = 0

    # Deaths

    def statement(self, sql: str) -> None:
        """Let a statement reach the database, or die before it."""
        self._live()
        if sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            self._count()

    def request(self, service: str, act: Callable[[], Result]) -> Result:
        """Let a request reach a service, or die before or after it."""
        self._live()
        self._count()
        if service in self.down:
            raise exceptions.Unavailable(f"{service} does not answer.")
        result = act()
        self._live()
        return result

    def _live(self) -> None:
        if self.dies_next:
            self.dies_next, self.dead = False, True
            self.deaths += 1
        if self.dead:
            raise Died

    def _count(self) -> None:
        self.events += 1
        if self.deadly is None:
            return
        self.deadly -= 1
        if self.deadly < 0:
            self.deadly, self.dies_next = None, True
            if not self.after:
                self._live()

    def revive(self) -> None:
        """Start the conductor again."""
        self.dead = self.dies_next = False
        self.deadly = None

    # Time

    def tick(self, seconds: float) -> None:
        """Let Heat, the swarm and the clock go on."""
        self.now += seconds
        for node in list(self.nodes.values()):
            if node["Spec"]["Role"] == "worker" and node.get("ManagerStatus"):
                if node["Status"]["State"] == "ready" and not self.has_leader():
                    continue
                node.pop("ManagerStatus")
            elif node["Spec"]["Availability"] == "drain" and self.tasks.get(node["ID"]):
                self.tasks[node["ID"]] -= 1
        self._elect()
        for stack in self.stacks.values():
            if stack.status.endswith("_IN_PROGRESS"):
                stack.lag -= 1
                if stack.lag < 0:
                    self._finish(stack)

    def _finish(self, stack: Stack) -> None:
        action = stack.status.split("_")[0]
        if action == "DELETE":
            for kind in list(stack.made):
                for index in stack.made[kind]:
                    self._lose(self.hostname(stack, kind, index))
            stack.made, stack.status = {}, "DELETE_COMPLETE"
            return
        for kind, prefix in (
            ("manager", "manager_"),
            ("worker", "worker_"),
            ("g", "worker_green_"),
        ):
            count = int(stack.parameters.get(f"{prefix}count") or 0)
            gone = stack.removed.setdefault(kind, set())
            listed = stack.parameters.get(f"{prefix}removals") or ()
            before = stack.made.get(kind, [])
            # Heat forgets what is not in the list any more, and heeds what was a member.
            gone &= {int(one) for one in listed}
            gone |= {int(one) for one in listed} & set(before)
            free = (i for i in itertools.count() if i not in gone)
            after = list(itertools.islice(free, count))
            for index in sorted(set(before) - set(after)):
                self._lose(self.hostname(stack, kind, index), planned=True)
            for index in sorted(set(after) - set(before)):
                self._join(self.hostname(stack, kind, index), manager=kind == "manager", at=index)
            stack.made[kind] = after
        stack.status = f"{action}_{'FAILED' if self.fails_next else 'COMPLETE'}"
        self.fails_next = False
        self._elect()

    @staticmethod
    def hostname(stack: Stack, kind: str, index: int) -> str:
        """Return the host name of a server."""
        prefix = stack.parameters["node_name_prefix"]
        return f"{prefix}-{'manager' if kind == 'manager' else 'worker'}-" + (
            f"g{index}" if kind == "g" else str(index)
        )

    # The swarm

    def _join(self, hostname: str, *, manager: bool, at: int) -> None:
        self.serial += 1
        node: dict[str, Any] = {
            "ID": f"n{self.serial}",
            "Version": {"Index": self.serial},
            "Spec": {"Role": "manager" if manager else "worker", "Availability": "active"},
            "Description": {"Hostname": hostname, "Engine": {"EngineVersion": "29.0"}},
            "Status": {"State": "ready"},
        }
        if manager:
            node["ManagerStatus"] = {"Reachability": "reachable", "Addr": f"10.0.0.{at + 10}:2377"}
        else:
            self.tasks[node["ID"]] = 1
        self.nodes[node["ID"]] = node

    def named(self, hostname: str) -> list[dict[str, Any]]:
        """Return the swarm's entries of a host name."""
        return [n for n in self.nodes.values() if n["Description"]["Hostname"] == hostname]

    def _lose(self, hostname: str, *, planned: bool = False) -> None:
        for node in self.named(hostname):
            if node["Status"]["State"] != "ready":
                continue
            if planned and node.get("ManagerStatus"):
                self.broken.append(f"manager {hostname} was removed without a demotion")
            if planned and self.tasks.get(node["ID"]) and node["Spec"]["Availability"] != "drain":
                self.broken.append(f"{hostname} was removed with tasks, undrained")
            self.set_state(node, "down")

    def set_state(self, node: dict[str, Any], state: str) -> None:
        """Let a node fall silent, or come back."""
        node["Status"]["State"] = state
        if state == "down":
            self.tasks[node["ID"]] = 0
        if manager := node.get("ManagerStatus"):
            manager["Reachability"] = "reachable" if state == "ready" else "unreachable"
            manager.pop("Leader", None)
        self._elect()

    def raft(self) -> list[dict[str, Any]]:
        """Return the managers that count."""
        return [n for n in self.nodes.values() if n.get("ManagerStatus")]

    def has_leader(self) -> bool:
        """Tell whether the managers have their quorum."""
        raft = self.raft()
        return 2 * sum(n["Status"]["State"] == "ready" for n in raft) > len(raft)

    def _elect(self) -> None:
        raft = self.raft()
        if self.has_leader() and not any(n["ManagerStatus"].get("Leader") for n in raft):
            next(n for n in raft if n["Status"]["State"] == "ready")["ManagerStatus"]["Leader"] = (
                True
            )


class Session:
    """A session of keystoneauth's."""

    def __init__(self, world: World, trust: str = "") -> None:
        self._world, self._trust = world, trust

    def get_user_id(self) -> str:
        """Return the user."""
        return OWNER

    def get_token(self) -> str:
        """Return a token, if the trust is there."""
        from keystoneauth1 import exceptions as keystone

        def ask() -> str:
            if self._trust and self._trust not in self._world.trusts:
                raise keystone.NotFound("no trust")
            return "token"

        return self._world.request("keystone", ask)


class Heat:
    """What ``heat.client.Heat`` does."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _find(self, name: str) -> Stack | None:
        if name in self._world.stacks:
            return self._world.stacks[name]
        return next(
            (
                s
                for s in self._world.stacks.values()
                if s.name == name and s.status != "DELETE_COMPLETE"
            ),
            None,
        )

    def create(self, request: Any, name: str, timeout_minutes: int) -> str:
        """Make a stack."""

        def act() -> str:
            if self._find(name):
                raise heat_client.AlreadyExists("exists")
            made = Stack(str(uuid.uuid4()), name, dict(request.parameters), lag=self._world.lag)
            self._world.stacks[made.id] = made
            return made.id

        return self._world.request("heat", act)

    def update(self, name: str, parameters: Any, timeout_minutes: int) -> None:
        """Change parameters."""

        def act() -> None:
            stack = self._find(name)
            if stack is None or stack.status.startswith("DELETE"):
                raise exceptions.Refused("no such stack")
            if stack.status.endswith("_IN_PROGRESS"):
                self._world.broken.append("a second update cuts off the first")
            stack.parameters.update(parameters)
            stack.updates += 1
            self._world.updates += 1
            stack.status, stack.lag = "UPDATE_IN_PROGRESS", self._world.lag

        self._world.request("heat", act)

    def renew(self, name: str, template: Any, files: Any, parameters: Any, minutes: int) -> None:
        """Change the template as well."""
        self.update(name, parameters, minutes)

    def get(self, name: str, *, at_rest: bool = False) -> heat_client.Stack | None:
        """Return a stack."""
        return self._world.request("heat", lambda: self._shown(name))

    def _shown(self, name: str) -> heat_client.Stack | None:
        stack = self._find(name)
        if stack is None:
            return None
        managers = stack.made.get("manager", [])

        def servers(kind: str) -> dict[str, str]:
            return {str(i): f"{stack.id[:8]}-{kind}-{i}" for i in stack.made.get(kind, [])}

        outputs = {
            "api_address": "192.0.2.10",
            "manager_addresses": [f"192.0.2.{10 + i}" for i in managers],
            "manager_fixed_addresses": [f"10.0.0.{10 + i}" for i in managers],
            "worker_addresses": [f"10.0.1.{10 + i}" for i in stack.made.get("worker", [])],
            "manager_servers": servers("manager"),
            "worker_servers": servers("worker"),
            "worker_green_servers": servers("g"),
        }
        told = {k: v if isinstance(v, str) else json.dumps(v) for k, v in stack.parameters.items()}
        return heat_client.Stack(
            stack.id, stack.name, stack.status, "", outputs, told, f"t{stack.updates}"
        )

    def delete(self, name: str) -> None:
        """Delete a stack."""

        def act() -> None:
            stack = self._find(name)
            if stack and not stack.status.startswith("DELETE"):
                stack.status, stack.lag = "DELETE_IN_PROGRESS", self._world.lag

        self._world.request("heat", act)

    def signals(self, stack_id: str) -> dict[str, tuple[str, ...]]:
        """Return no progress."""
        return {}

    def failure_reason(self, stack: heat_client.Stack) -> str:
        """Return why a stack failed."""
        return "No room."


class Swarm:
    """What ``swarm.client.Swarm`` does."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _ask(self, act: Callable[[], Result]) -> Result:
        def checked() -> Result:
            if not self._world.has_leader():
                raise swarm_client.NoLeader("no leader")
            return act()

        return self._world.request("swarm", checked)

    def engine(self) -> swarm_client.Engine:
        """Return the engine's version."""
        return self._ask(lambda: swarm_client.Engine(version="29.0", api_version="1.52"))

    def nodes(self) -> list[dict[str, Any]]:
        """List nodes."""
        return self._ask(lambda: json.loads(json.dumps(list(self._world.nodes.values()))))

    def poll(self, first: str) -> tuple[str, list[dict[str, Any]]]:
        """List nodes, and say who answered."""
        return first, self.nodes()

    def services(self) -> list[dict[str, Any]]:
        """List no services."""
        return []

    def tasks(self) -> list[dict[str, Any]]:
        """List tasks."""
        return self._ask(
            lambda: [
                {
                    "ID": f"{node}-{number}",
                    "NodeID": node,
                    "Status": {"State": "running"},
                    "DesiredState": "running",
                }
                for node, count in self._world.tasks.items()
                for number in range(count)
            ]
        )

    def tasks_on(self, node_ids: Any) -> list[dict[str, Any]]:
        """List tasks of some nodes."""
        return [task for task in self.tasks() if task["NodeID"] in node_ids]

    def update_node(self, node: Any, spec: Any) -> None:
        """Change what a node shall be."""

        def act() -> None:
            own = self._world.nodes[node["ID"]]
            if own["Spec"]["Role"] == "manager" and spec["Role"] == "worker":
                self._check_demotion(own)
            own["Spec"] = dict(spec)

        self._ask(act)

    def _check_demotion(self, own: dict[str, Any]) -> None:
        rest = [n for n in self._world.raft() if n is not own]
        well = sum(n["Status"]["State"] == "ready" for n in rest)
        if 2 * well <= len(rest):
            self._world.broken.append("a demotion breaks the quorum")

    def remove_node(self, node_id: str) -> None:
        """Forget a node."""

        def act() -> None:
            node = self._world.nodes.get(node_id)
            if node and node.get("ManagerStatus"):
                raise exceptions.Unavailable("it is still a manager")
            self._world.nodes.pop(node_id, None)

        self._ask(act)

    def put_config(self, name: str, labels: Any) -> None:
        """Keep a config."""
        self._ask(lambda: self._world.configs.add(name))

    def remove_config(self, name: str) -> None:
        """Forget a config."""
        self._ask(lambda: self._world.configs.discard(name))
