# SPDX-License-Identifier: Apache-2.0
"""What must hold: always, whenever a cluster is complete, and once it has come to rest."""

import re
from collections.abc import Iterator
from typing import Any

from magnum.common import exception

from magnum_swarm_mode import sentences
from magnum_swarm_mode.conductor.rotation import credential_state
from magnum_swarm_mode.decisions import change
from magnum_swarm_mode.decisions.model import Plan
from magnum_swarm_mode.decisions.record import Kind, Phase
from tests.model.ledger import ACCEPTED, Ledger, has_failed
from tests.model.simulation import Simulation
from tests.model.stacks import Server, Stack

# Where a cluster comes to rest; Magnum lets a user go on from each of these.
RESTS = ("CREATE_COMPLETE", "CREATE_FAILED", "UPDATE_COMPLETE", "UPDATE_FAILED", "DELETE_FAILED")


# How many updates Heat may accept for each request, and for each node that was lost: at most four
# managers leave one after the other, whose ports are freed then, and so many updates lead nowhere.
MOST_UPDATES = 4 * 2 + change.MOST_UPDATES + 1
# Of an upgrade: five managers are replaced one after the other (one goes, one comes, its port is
# freed), and four workers of two groups are made and removed one at a time.
MOST_OF_UPGRADE = 5 * 3 + 2 * 4 * 2 + MOST_UPDATES


class Judge:
    """Says which invariants do not hold."""

    def __init__(self, simulation: Simulation, ledger: Ledger) -> None:
        self._simulation, self._world = simulation, simulation.world
        self._ledger = ledger

    def always(self) -> Iterator[str]:
        """Yield what was done that must never be."""
        yield from self._world.broken
        self._world.broken.clear()
        for error in self._simulation.conductors.errors:
            if isinstance(error, (exception.ClusterNotFound, exception.NodeGroupNotFound)):
                # Magnum saves what somebody else has deleted meanwhile.
                continue
            yield f"an error that nobody expects: {type(error).__name__}: {error}"
        self._simulation.conductors.errors.clear()
        for taken, until in self._simulation.database.shared():
            yield f"two conductors are at work on the cluster for {until - taken} s"
        if self._simulation.database.bystander() != self._simulation.bystander:
            yield "something was written of a cluster that no request and no fault concerns"

    def bounded(self, losses: int) -> Iterator[str]:
        """Yield whether Heat was asked more often than requests and losses of nodes explain.

        :param losses: how many nodes were lost.
        """
        requests = {one.began: one.what for one in self._ledger.each}
        upgrades = list(requests.values()).count("look")
        most = MOST_UPDATES * (len(requests) - upgrades + losses) + MOST_OF_UPGRADE * upgrades
        updates = self._world.stacks.updates
        if updates > most:
            yield f"Heat was asked {updates} times: {sorted(requests.values())}, {losses} losses"

    def in_time(self, moment: float) -> Iterator[str]:
        """Yield whether an operation is under way although a conductor could have ended it.

        :param moment: when a conductor could last act, while all services work.
        """
        record = self._simulation.record()
        if record is None or record.state.phase is not Phase.CREATED or record.state.is_rotating:
            return
        plan = record.state.plan
        if not plan.is_over and plan.deadline and plan.deadline < moment:
            late = int(moment - plan.deadline)
            yield f"an operation goes on {late} s after its deadline: {plan.pending}"

    def told(self, since: int) -> Iterator[str]:
        """Yield what is wrong with statuses that were told."""
        for status, reason in self._simulation.database.history(since):
            if status.endswith("_FAILED") and not reason:
                yield f"a failure is told without a reason: {status}"
            elif status.endswith("_FAILED") and not self._is_named(reason or ""):
                yield f"a failure names neither its request nor a node: {status}: {reason}"
            if _GAP.search(reason or ""):
                yield f"a sentence lacks a name: {status}: {reason}"
            if status in ("ROLLBACK_FAILED", "ROLLBACK_COMPLETE"):
                yield f"Magnum does not let anybody change a cluster in {status}"

    def _is_named(self, reason: str) -> bool:
        """Return whether a failure says what was requested, or which node or group it is about."""
        kinds = {one.what for one in self._ledger.each}
        words = {word for kind in kinds for word in _WORDS.get(kind, ())} | {sentences.HEALING}
        groups = [*self._ledger.abouts("group"), *_FIRST_GROUPS]
        return any(one in reason for one in (*words, *groups, *self._world.stacks.names))

    def healthy(self) -> Iterator[str]:
        """Yield what is wrong with a cluster that is called healthy."""
        row = self._simulation.facts()
        if row is None or row.health_status != "HEALTHY" or row.status.endswith("_IN_PROGRESS"):
            return
        servers = self._world.stacks.servers()
        if self._world.swarm.ready() != sorted(servers):
            yield f"HEALTHY with {self._world.swarm.ready()}, of {sorted(servers)}"

    def at_rest(self) -> Iterator[str]:
        """Yield what is wrong with a cluster that has come to rest, while all services work."""
        row = self._simulation.facts()
        if row is None:
            yield from self._deleted()
            return
        if row.status not in RESTS:
            yield f"it comes to rest in {row.status}"
        deletes = self._ledger.binding("delete", "", self._simulation.database.history())
        if any(one.outcome == ACCEPTED for one in deletes):
            yield f"delete wins: {row.status}: {row.status_reason}"
        if row.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            yield from self._complete(row)
        elif row.status != "DELETE_FAILED":
            yield from self._owed(row)

    def _owed(self, row: Any) -> Iterator[str]:
        """Yield which nodes that stay did not get back what an operation took from them."""
        servers = self._world.stacks.servers()
        for node in self._world.swarm.nodes.values():
            name, spec = node["Description"]["Hostname"], node["Spec"]
            if node["Status"]["State"] != "ready" or name not in servers:
                continue
            if spec["Availability"] != "active":
                yield f"{row.status} while {name} is in {spec['Availability']}"
            if "-manager-" in name and spec["Role"] != "manager":
                yield f"{row.status} while {name} is no manager"

    def _deleted(self) -> Iterator[str]:
        world = self._world
        if self._simulation.record() is not None:
            yield "a deleted cluster leaves its record"
        stacks = [stack.id for stack in world.stacks.living()]
        made = (*stacks, *world.trusts, *world.credentials, *world.certificates)
        if left := [one for one in made if not world.is_lost(one)]:
            kinds = f"stacks {stacks}, {world.trusts}, {world.credentials}, {world.certificates}"
            yield f"a deleted cluster leaves {left} of {kinds}"

    # A cluster that is complete

    def _complete(self, row: Any) -> Iterator[str]:
        history = self._simulation.database.history()
        groups = {group["uuid"]: group for group in self._simulation.groups()}
        yield from self._whole(row, groups)
        yield from self._counts(groups, history)
        yield from self._groups(groups, history)
        yield from self._looks(groups, history)
        yield from self._labels(groups, history)
        yield from self._rights(row, history)

    def _whole(self, row: Any, groups: dict[str, Any]) -> Iterator[str]:
        servers = self._world.stacks.servers()
        swarm = self._world.swarm
        if swarm.ready() != sorted(servers):
            yield f"{row.status} with {swarm.ready()} in the swarm, and {sorted(servers)} in Heat"
        for uuid, group in groups.items():
            if len(self._servers(uuid, group)) != group["node_count"]:
                made = [one.hostname for one in self._servers(uuid, group)]
                yield f"{row.status} with {made}; the row says {group['node_count']}"
        for node in swarm.nodes.values():
            name = node["Description"]["Hostname"]
            wanted = "manager" if "-manager-" in name else "worker"
            if node["Spec"]["Availability"] != "active":
                yield f"{row.status} while {name} is in {node['Spec']['Availability']}"
            if node["Spec"]["Role"] != wanted or bool(node.get("ManagerStatus")) != (
                wanted == "manager"
            ):
                yield f"{row.status} while {name} has another role"
        record = self._simulation.record()
        plan = record.state.plan if record else Plan()
        if not plan.is_over or plan.debts:
            yield f"{row.status} while something is under way: {plan.leaving} {plan.debts}"
        if row.health_status != "HEALTHY":
            said = row.health_status_reason
            yield f"a cluster that is well is called {row.health_status}: {said}"

    def _servers(self, uuid: str, group: dict[str, Any]) -> list[Server]:
        found: list[Server] = []
        for stack in self._world.stacks.living():
            if stack.is_cluster != bool(group["is_default"]):
                continue
            if not stack.is_cluster and not self._is_of(stack, uuid):
                continue
            for kind in stack.kinds:
                if stack.is_cluster and (kind.name == "manager") != (group["role"] == "master"):
                    continue
                found += [one for one in kind.servers.values() if one.id]
        return found

    @staticmethod
    def _is_of(stack: Stack, uuid: str) -> bool:
        return stack.name.endswith(uuid)

    def _counts(self, groups: dict[str, Any], history: Any) -> Iterator[str]:
        for uuid, group in groups.items():
            standing = self._ledger.binding("count", uuid, history)
            wanted = {one.value for one in standing}
            if wanted and group["node_count"] not in wanted:
                yield f"a request is lost: {group['name']} has {group['node_count']}, not {wanted}"
        ids = {one.id for one in self._world.stacks.servers().values()}
        for about in self._ledger.abouts("named"):
            for request in self._ledger.binding("named", about, history):
                if request.is_binding and request.value in ids:
                    yield f"a request is lost: {request.value} was to be removed"

    def _groups(self, groups: dict[str, Any], history: Any) -> Iterator[str]:
        for about in self._ledger.abouts("group"):
            standing = self._ledger.binding("group", about, history)
            wanted = {one.value for one in standing if one.is_binding}
            present = any(group["name"] == about for group in groups.values())
            if len(wanted) == 1 and len(standing) == 1 and present not in wanted:
                yield f"a request is lost: group {about} is {'' if present else 'not '}there"

    def _looks(self, groups: dict[str, Any], history: Any) -> Iterator[str]:
        for uuid, group in groups.items():
            standing = self._ledger.binding("look", uuid, history)
            wanted = {one.value for one in standing}
            images = {server.look[0] for server in self._servers(uuid, group)}
            accepted = any(one.outcome == ACCEPTED for one in standing)
            if accepted and not images <= wanted:
                yield f"a request is lost: {group['name']} is made of {images}, not {wanted}"

    def _labels(self, groups: dict[str, Any], history: Any) -> Iterator[str]:
        for uuid, group in groups.items():
            standing = self._ledger.binding("label", uuid, history)
            wanted = {one.value for one in standing}
            names = {one.hostname for one in self._servers(uuid, group)}
            shown = {
                (node["Spec"].get("Labels") or {}).get("x")
                for node in self._world.swarm.nodes.values()
                if node["Description"]["Hostname"] in names
            }
            if any(one.is_binding for one in standing) and not shown <= wanted:
                yield f"a request is lost: nodes of {group['name']} bear {shown}, not {wanted}"

    def _rights(self, row: Any, history: Any) -> Iterator[str]:
        world, record = self._world, self._simulation.record()
        if record is None:
            yield "a complete cluster has no record"
            return
        rotations = [one for one in self._ledger.each if one.what in ("ca", "credential")]
        if any(has_failed(history, one.history) or one.error for one in rotations):
            return
        if any(credential_state.AGAIN in (reason or "") for _, reason in history):
            # An operation that came later was completed, and said so.
            return
        grant = (record.state.owner_id, record.state.grant)
        if set(world.trusts.values()) != {grant} or set(world.credentials.values()) != {grant}:
            yield f"the rights in use are {grant}: {world.trusts} {world.credentials}"
        if row.user_id != record.state.owner_id:
            yield f"the row names the owner {row.user_id}"
        if any(not one.used for one in record.state.things(Kind.CERTIFICATE)):
            # A later look deletes them.
            return
        references = {getattr(row, name) for name in _REFERENCES}
        if set(world.certificates) != references:
            yield f"certificates are left: {sorted(set(world.certificates) - references)}"
        ours = {world.certificates[one] for one in references if one in world.certificates}
        if world.swarm.trusted() != ours:
            yield f"managers let in {world.swarm.trusted()}, the row names {ours}"


# What is left of a sentence around a name that is empty.
_GAP = re.compile(r"^ |  | [.,:;)]|\( ")
_FIRST_GROUPS = ("default-master", "default-worker")
# By which words of a failure a user knows a request of a kind. All others are about a group, whose
# name is in it.
_WORDS = {
    "create": (sentences.CREATION, "The making of the cluster"),
    "delete": (sentences.DELETION,),
    "ca": (sentences.CERTIFICATES, "Replacing certificates"),
    "credential": (sentences.CREDENTIAL, "new credential"),
}
_REFERENCES = ("ca_cert_ref", "magnum_cert_ref", "etcd_ca_cert_ref", "front_proxy_ca_cert_ref")
