# SPDX-License-Identifier: Apache-2.0
"""Heat and Nova: stacks, the groups of servers in them, and a client that sees them."""

import copy
import dataclasses
import itertools
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.heat import failures

if TYPE_CHECKING:
    from tests.model.world import Session, World

Look = tuple[str, str]


@dataclasses.dataclass
class Server:
    """A server of Nova's; ``id`` is empty where it could not be made.

    :ivar address: in the cluster's network.
    """

    hostname: str
    look: Look
    id: str = ""
    address: str = ""


@dataclasses.dataclass
class Kind:
    """One of the ResourceGroups of a stack.

    :ivar name: as ``manager``, ``worker``, ``green``.
    :ivar prefix: what its parameters begin with.
    :ivar output: that maps indices to servers.
    :ivar path: of names that leads to it.
    :ivar servers: index to server.
    :ivar removed: indices that were removed once, and are never used again.
    """

    name: str
    prefix: str
    output: str
    path: tuple[str, ...]
    mark: str = ""
    servers: dict[int, Server] = dataclasses.field(default_factory=dict)
    removed: set[int] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class Stack:
    """A stack; ``lag`` is how many ticks what is under way still takes."""

    id: str
    name: str
    parameters: dict[str, Any]
    kinds: list[Kind]
    status: str = "CREATE_IN_PROGRESS"
    reason: str = ""
    lag: int = 0
    updates: int = 0
    first_authority: str = ""

    @property
    def is_cluster(self) -> bool:
        """Whether it is a cluster's, and not a further group's."""
        return "manager_count" in self.parameters

    def servers(self) -> Iterator[Server]:
        """Yield all servers."""
        for kind in self.kinds:
            yield from (one for one in kind.servers.values() if one.id)


def manager_address(index: int) -> str:
    """Return the address of the port that all managers of an index have."""
    return f"10.0.0.{10 + index}"


def _kinds(*, is_cluster: bool) -> list[Kind]:
    if is_cluster:
        return [
            Kind("manager", "manager_", "manager_servers", ("managers",)),
            Kind("worker", "worker_", "worker_servers", ("workers", "workers")),
            Kind(
                "green", "worker_green_", "worker_green_servers", ("workers", "green_workers"), "g"
            ),
        ]
    return [
        Kind("worker", "", "servers", ("workers",)),
        Kind("green", "green_", "green_servers", ("green_workers",), "g"),
    ]


class Stacks:
    """What Heat has.

    :ivar lag: how many ticks it takes to do something.
    :ivar fails: how the next thing fails that it does: ``""``, ``failed``, ``quota``.
    :ivar mute: whether the next server that is made never joins the swarm.
    :ivar updates: how many updates it has accepted.
    :ivar names: host names of all servers that there were.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self.each: dict[str, Stack] = {}
        self._before: dict[str, Stack] = {}
        self.lag, self.updates, self._serial = 1, 0, 0
        self.fails, self.mute = "", False
        self.names: set[str] = set()

    def living(self) -> list[Stack]:
        """Return the stacks that are not deleted."""
        return [stack for stack in self.each.values() if stack.status != "DELETE_COMPLETE"]

    def servers(self) -> dict[str, Server]:
        """Return all servers by their host names."""
        return {one.hostname: one for stack in self.living() for one in stack.servers()}

    def find(self, name: str, *, stale: bool = False) -> Stack | None:
        """Return a stack by its id or its name, as it is, or was at the last tick."""
        stacks = self._before if stale else self.each
        if name in stacks:
            return stacks[name]
        living = (one for one in stacks.values() if one.status != "DELETE_COMPLETE")
        return next((one for one in living if one.name == name), None)

    def remember(self) -> None:
        """Keep the present state, for services that show an old one later."""
        if "heat" in self._world.stale:
            self._before = copy.deepcopy(self.each)

    def are_busy(self) -> bool:
        """Return whether Heat is at work on any."""
        return any(one.status.endswith("_IN_PROGRESS") for one in self.each.values())

    def create(self, name: str, parameters: Mapping[str, Any]) -> str:
        """Begin to make a stack."""
        if self.find(name):
            raise heat_client.AlreadyExists("exists")
        values = dict(parameters)
        kinds = _kinds(is_cluster="manager_count" in values)
        made = Stack(str(uuid.uuid4()), name, values, kinds, lag=self.lag)
        made.first_authority = str(values["ca_certificate"])
        self.each[made.id] = made
        self._world.note_late(made.id)
        return made.id

    def update(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin to change a stack."""
        stack = self.find(name)
        if stack is None or stack.status.startswith("DELETE"):
            raise exceptions.Refused("no such stack")
        if stack.status.endswith("_IN_PROGRESS"):
            self._world.broken.append("a second update cuts off the first")
        stack.parameters.update(parameters)
        stack.updates += 1
        self.updates += 1
        stack.status, stack.lag = "UPDATE_IN_PROGRESS", self.lag
        self._world.swarm.too_late.clear()

    def delete(self, name: str) -> None:
        """Begin to delete a stack."""
        stack = self.find(name)
        if stack and stack.status not in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"):
            stack.status, stack.lag = "DELETE_IN_PROGRESS", self.lag

    def tick(self) -> None:
        """Go on."""
        for stack in self.each.values():
            if stack.status.endswith("_IN_PROGRESS"):
                stack.lag -= 1
                if stack.lag < 0:
                    self._finish(stack)

    def _finish(self, stack: Stack) -> None:
        action = stack.status.partition("_")[0]
        fails, self.fails = self.fails, ""
        if action == "DELETE":
            if fails:
                stack.status, stack.reason = "DELETE_FAILED", "A port is in use."
                return
            for kind in stack.kinds:
                for server in kind.servers.values():
                    self._remove(server, planned=False)
                kind.servers = {}
            stack.status, stack.reason = "DELETE_COMPLETE", ""
            return
        for kind in stack.kinds:
            self._follow(stack, kind, "" if fails != "quota" else fails)
        stack.status = f"{action}_{'FAILED' if fails else 'COMPLETE'}"
        why = {"": "", "quota": "Quota exceeded for instances."}.get(fails, "No room.")
        # Heat's own sentence begins with the resource, whose name is the node's.
        node = self._hostname(stack, stack.kinds[-2], 0)
        stack.reason = f"The server {node} failed: {why}" if why else ""

    def _follow(self, stack: Stack, kind: Kind, fails: str) -> None:
        """Let a group be as the parameters say."""
        count = int(stack.parameters.get(f"{kind.prefix}count") or 0)
        kind.removed |= {int(one) for one in stack.parameters.get(f"{kind.prefix}removals") or ()}
        free = (index for index in itertools.count() if index not in kind.removed)
        wanted = list(itertools.islice(free, count))
        machines = self.machines(stack) if kind.name == "manager" else {}
        for index in sorted(set(kind.servers) - set(wanted)):
            self._remove(kind.servers.pop(index))
        for index in wanted:
            machine = machines.get(str(index), {})
            image, flavor = (
                str(machine.get(name) or stack.parameters.get(f"{kind.prefix}{name}") or "")
                for name in ("image", "flavor")
            )
            look = (image, flavor)
            hostname = self._hostname(stack, kind, index)
            server = kind.servers.setdefault(index, Server(hostname, look))
            if server.id and (machine.get("absent") or server.look != look):
                self._remove(server)
            server.look = look
            self.names.add(hostname)
            if not server.id and not machine.get("absent") and not fails:
                self._make(server, index, is_manager=kind.name == "manager")

    @staticmethod
    def machines(stack: Stack) -> dict[str, dict[str, Any]]:
        """Return which managers are not as the others, by index."""
        found = stack.parameters.get("manager_machines") or {}
        return dict(json.loads(found) if isinstance(found, str) else found)

    @staticmethod
    def _hostname(stack: Stack, kind: Kind, index: int) -> str:
        if not stack.is_cluster:
            return f"{stack.parameters['group_name_prefix']}-{kind.mark}{index}"
        role = "manager" if kind.name == "manager" else "worker"
        return f"{stack.parameters['node_name_prefix']}-{role}-{kind.mark}{index}"

    def _make(self, server: Server, index: int, *, is_manager: bool) -> None:
        self._serial += 1
        server.id = f"server-{self._serial}"
        server.address = manager_address(index) if is_manager else self._free_address()
        if self.mute:
            self.mute = False
            self._world.swarm.mute.add(server.id)
            return
        self._world.swarm.join(server, is_manager=is_manager)

    def _free_address(self) -> str:
        """Return the lowest address of a worker that is free, which another one had before."""
        taken = {one.address for one in self.servers().values()}
        addresses = (f"10.0.1.{number}" for number in itertools.count(1))
        return next(one for one in addresses if one not in taken)

    def _remove(self, server: Server, *, planned: bool = True) -> None:
        if server.id:
            self._world.swarm.lose_server(server, planned=planned)
        server.id = ""


class Heat:
    """What ``heat.client.Heat`` does, with the rights of a session."""

    def __init__(self, world: "World", session: "Session") -> None:
        self._world, self._session = world, session

    def _ask(self, act: Callable[[], Any]) -> Any:
        def allowed() -> Any:
            if not self._session.is_valid:
                raise heat_client.NotAllowed("no trust")
            return act()

        return self._world.request("heat", allowed)

    def _sees(self, name: str) -> bool:
        # Magnum's own user sees stacks of another project by their ids alone.
        return bool(self._session.user or self._session.trust) or name in self._world.stacks.each

    def create(self, request: Any, name: str, timeout_minutes: int) -> str:
        """Make a stack."""
        made: str = self._ask(lambda: self._world.stacks.create(name, request.parameters))
        return made

    def update(self, name: str, parameters: Any, timeout_minutes: int) -> None:
        """Change parameters."""
        self._ask(lambda: self._world.stacks.update(name, parameters))

    def renew(self, name: str, template: Any, files: Any, parameters: Any, minutes: int) -> None:
        """Change the template as well."""
        self.update(name, parameters, minutes)

    def delete(self, name: str) -> None:
        """Delete a stack."""
        self._ask(lambda: self._world.stacks.delete(name))

    def get(self, name: str, *, at_rest: bool = False) -> heat_client.Stack | None:
        """Return a stack, without outputs while Heat is at work where these are of no use."""
        found: heat_client.Stack | None = self._ask(lambda: self._shown(name))
        if found and at_rest and found.status.endswith("_IN_PROGRESS"):
            return dataclasses.replace(found, outputs={})
        return found

    def _shown(self, name: str) -> heat_client.Stack | None:
        stale = "heat" in self._world.stale
        stack = self._world.stacks.find(name, stale=stale) if self._sees(name) else None
        if stack is None:
            return None
        outputs: dict[str, Any] = {
            "network": "network",
            "subnet": "subnet",
            "node_security_group": "security-group",
            "node_configuration": {"engine": stack.parameters.get("engine") or {}},
        }
        for kind in stack.kinds:
            machines = self._world.stacks.machines(stack) if kind.name == "manager" else {}
            outputs[kind.output] = {
                str(index): one.id
                for index, one in kind.servers.items()
                if one.id or machines.get(str(index), {}).get("absent")
            }
            if kind.name == "manager":
                # Ports, and so addresses, stay while a server is away.
                indices = sorted(kind.servers)
                outputs["manager_addresses"] = [f"192.0.2.{10 + index}" for index in indices]
                outputs["manager_fixed_addresses"] = [manager_address(index) for index in indices]
                outputs["api_address"] = "192.0.2.10" if indices else None
                outputs["node_configuration"]["managers"] = {
                    str(index): {"address": manager_address(index)} for index in indices
                }
        workers = [
            one
            for kind in stack.kinds
            if kind.name != "manager"
            for _, one in sorted(kind.servers.items())
            if one.id
        ]
        name_of = "worker_addresses" if stack.is_cluster else "addresses"
        outputs[name_of] = [one.address for one in workers]
        told = {k: v if isinstance(v, str) else json.dumps(v) for k, v in stack.parameters.items()}
        return heat_client.Stack(
            stack.id, stack.name, stack.status, stack.reason, outputs, told, f"t{stack.updates}"
        )

    def signals(self, stack_id: str) -> dict[str, tuple[str, ...]]:
        """Return no progress."""
        return {}

    def failure_reason(self, stack: heat_client.Stack) -> str:
        """Return why a stack failed."""
        return str(self._ask(lambda: stack.reason))

    def failure(self, stack: heat_client.Stack) -> failures.Failure:
        """Return why a stack failed, which is about no node in particular."""
        return failures.Failure(self.failure_reason(stack))

    def listed(self, stack_id: str, path: tuple[str, ...]) -> dict[str, str]:
        """Return the servers of a group by index, also those that were not made."""

        def act() -> dict[str, str]:
            stack = self._world.stacks.find(stack_id)
            kinds = [kind for kind in stack.kinds if kind.path == path] if stack else []
            return {str(i): one.id for kind in kinds for i, one in kind.servers.items()}

        found: dict[str, str] = self._ask(act)
        return found

    def reports(self, stack_id: str) -> dict[str, str]:
        """Return what servers said that could not join."""

        def act() -> dict[str, str]:
            stack = self._world.stacks.find(stack_id)
            mute = self._world.swarm.mute
            servers = stack.servers() if stack else ()
            return {one.id: "It cannot reach the internet." for one in servers if one.id in mute}

        found: dict[str, str] = self._ask(act)
        return found
