# SPDX-License-Identifier: Apache-2.0
"""A cluster's health and use, as they follow from what its managers answer; pure functions."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from magnum_swarm_mode.decisions.roles import quorum
from magnum_swarm_mode.wire import nodes as swarm_nodes

HEALTHY, UNHEALTHY, UNKNOWN = "HEALTHY", "UNHEALTHY", "UNKNOWN"
# Magnum keeps the reasons, as JSON, in a text column of 64 KiB.
_LONGEST_REASON = 300
_MOST_BYTES = 60_000
_FOREIGN = "NodeForeign"
_DOUBLED = "NodeDuplicate"
# Lines of the health that no node may take by its name, and what the others begin with.
_LINES = ("api", "managers", "workers", "more", "healing")
_REASON = "reason:"

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Health:
    """A status of Magnum's and its reasons: ``api``, ``managers``, ``workers``, and each node."""

    status: str
    reason: Mapping[str, str]


def unknown(problem: str) -> Health:
    """Return the health of a cluster that the conductor cannot ask."""
    return Health(UNKNOWN, {"api": problem[:_LONGEST_REASON]})


def leaderless(problem: str, cluster: str) -> Health:
    """Return the health of a cluster whose managers answer but have lost their quorum.

    :param cluster: its name, for the command that helps.
    """
    return Health(
        UNHEALTHY,
        {
            "api": problem[:_LONGEST_REASON],
            "managers": "no quorum: services run on, but nothing can be changed until more than "
            "half of the managers are back. Start their servers again; if these are lost, make a "
            "manager that is left the first of a new quorum, which keeps services, networks, "
            f"secrets and configs: magnum swarm-recover {cluster}",
        },
    )


def expired(problem: str) -> Health:
    """Return the health of a cluster whose nodes do not believe each other any more."""
    return Health(
        UNHEALTHY,
        {
            "api": problem[:_LONGEST_REASON],
            "managers": "the swarm's own certificates have expired while the servers were switched "
            "off. What the swarm knew is still there: have one manager found it anew, as the "
            'documentation says under "A cluster that was switched off"',
        },
    )


def judge(
    nodes: Sequence[Json],
    managers: int | None = None,
    workers: int | None = None,
    *,
    notes: Mapping[str, str] | None = None,
    own: re.Pattern[str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Health:
    """Return a cluster's health from what ``GET /nodes`` answered.

    A node belongs to the managers by its role, so that one that is being demoted, or promoted, is
    not counted among the others. Each node that is not as it should be has a reason code in a line
    ``reason:`` and its name.

    :param managers: how many managers there should be; None for as many as there are.
    :param workers: how many workers there should be, likewise.
    :param notes: further reason codes by the ids of nodes; these nodes are not well.
    :param own: what the host names of the cluster's own nodes look like; None for any. Others take
        no place of a node that is missing.
    :param names: node ids to the host names of the servers that these are for sure, or to other
        names where they are none. Of others counts what they call themselves.
    """
    names = names or {}
    nodes = [_renamed(node, names) for node in nodes]
    foreign = _foreign(nodes, own)
    doubled = _doubled(nodes, names)
    notes = {
        **dict.fromkeys(doubled, _DOUBLED),
        **dict.fromkeys(foreign, _FOREIGN),
        **(notes or {}),
    }
    present = [node for node in nodes if _is_manager(node)]
    reachable = [node for node in present if swarm_nodes.is_reachable(node)]
    others = [
        node for node in nodes if not _is_manager(node) and swarm_nodes.node_id(node) not in foreign
    ]
    # Two engines on one server are one worker.
    ready = {
        names.get(swarm_nodes.node_id(node)) or f"{position} "
        for position, node in enumerate(others)
        if swarm_nodes.state(node) == swarm_nodes.READY
    }
    managers = len(present) if managers is None else managers
    workers = len(others) if workers is None else workers
    reason = {
        "api": "ok",
        "managers": _managers(len(reachable), len(present), managers),
        "workers": _workers(others, len(ready), workers),
    }
    _add_nodes(reason, nodes, notes)
    well = (
        len(reachable) == len(present) == managers
        and len(ready) == len(others) == workers
        and all(swarm_nodes.state(node) == swarm_nodes.READY for node in present)
        and not notes
    )
    if not well and _is_new_leaders(nodes, len(present), managers, len(others), workers, notes):
        return Health(UNKNOWN, reason)
    return Health(HEALTHY if well else UNHEALTHY, reason)


def _is_new_leaders(
    nodes: Sequence[Json],
    present: int,
    managers: int,
    others: int,
    workers: int,
    notes: Mapping[str, str],
) -> bool:
    """Return whether nothing is wrong but that a new leader has not heard of its nodes yet.

    For some seconds it calls all unknown that have not reported to it.
    """
    states = {swarm_nodes.state(node) for node in nodes}
    reached = {swarm_nodes.reachability(node) for node in nodes if _is_manager(node)}
    return (
        states <= {swarm_nodes.READY, swarm_nodes.UNKNOWN}
        and swarm_nodes.UNKNOWN in states
        and any(swarm_nodes.leads(node) for node in nodes)
        and reached <= {"reachable", swarm_nodes.UNKNOWN}
        and (present, others) == (managers, workers)
        and not notes
    )


def _foreign(nodes: Sequence[Json], own: re.Pattern[str] | None) -> set[str]:
    """Return the ids of the nodes with none of the cluster's names."""

    def is_own(node: Json) -> bool:
        return own is None or own.fullmatch(swarm_nodes.hostname(node)) is not None

    # Where not even a manager bears one, the cluster's nodes have other names.
    if not any(is_own(node) for node in nodes if _is_manager(node)):
        return set()
    return {swarm_nodes.node_id(node) for node in nodes if not is_own(node)}


def _renamed(node: Json, names: Mapping[str, str]) -> Json:
    """Return a node under the host name of the server that it is."""
    name = names.get(swarm_nodes.node_id(node))
    if name is None:
        return node
    return {**node, "Description": {**swarm_nodes.part(node, "Description"), "Hostname": name}}


def _doubled(nodes: Sequence[Json], names: Mapping[str, str]) -> set[str]:
    """Return the ids of the nodes that are ready and on one server with another one."""
    ready = [node for node in nodes if swarm_nodes.state(node) == swarm_nodes.READY]
    servers = Counter(names.get(swarm_nodes.node_id(node)) for node in ready)
    found = map(swarm_nodes.node_id, ready)
    return {key for key in found if names.get(key) and servers[names[key]] > 1}


def _is_manager(node: Json) -> bool:
    return swarm_nodes.in_raft(node) or swarm_nodes.role(node) == swarm_nodes.MANAGER


def code(node: Json) -> str:
    """Return the reason code of a node that is not well; empty for one that is."""
    state = swarm_nodes.state(node)
    if state in (swarm_nodes.DOWN, swarm_nodes.DISCONNECTED):
        return "NodeDown"
    if state != swarm_nodes.READY:
        return "NodeStateUnknown"
    if swarm_nodes.in_raft(node) != (swarm_nodes.role(node) == swarm_nodes.MANAGER):
        return "RoleChanging"
    if swarm_nodes.in_raft(node) and not swarm_nodes.is_reachable(node):
        return "ManagerUnreachable"
    return ""


def _workers(others: Sequence[Json], ready: int, wanted: int) -> str:
    unclear = sum(swarm_nodes.state(node) == swarm_nodes.UNKNOWN for node in others)
    text = f"{ready} of {max(wanted, len(others))} ready"
    return f"{text}; {unclear} have not reported to the leader yet" if unclear else text


def _add_nodes(reason: dict[str, str], nodes: Sequence[Json], notes: Mapping[str, str]) -> None:
    """Add a line for each node: first managers, then what is not ready, as far as there is room."""
    same = Counter(swarm_nodes.hostname(node) for node in nodes)
    room = _MOST_BYTES
    ordered = sorted(
        nodes,
        key=lambda node: (
            not _is_manager(node),
            swarm_nodes.state(node) == swarm_nodes.READY and swarm_nodes.node_id(node) not in notes,
        ),
    )
    for position, node in enumerate(ordered):
        name = _name(node, same)
        lines = {name: _describe(node)}
        if why := notes.get(swarm_nodes.node_id(node)) or code(node):
            lines[f"{_REASON}{name}"] = why[:_LONGEST_REASON]
        room -= len(json.dumps(lines))
        if room < 0:
            reason["more"] = f"{len(ordered) - position} more nodes are not listed"
            return
        reason.update(lines)


def _managers(reachable: int, present: int, wanted: int) -> str:
    # Raft counts every manager that the swarm knows, also one that will never come back.
    spare = reachable - quorum(present)
    text = f"quorum holds, {spare} more may fail" if spare >= 0 else "no quorum"
    return f"{reachable} of {max(wanted, present)} reachable; {text}"


def _name(node: Json, same: Mapping[str, int]) -> str:
    """Return the node's host name, told apart by its id where several bear the same."""
    hostname = swarm_nodes.hostname(node)
    is_taken = hostname in _LINES or hostname.startswith(_REASON)
    # A name with an id in parentheses is reserved for nodes of one host name.
    is_taken = is_taken or hostname.endswith(")")
    if hostname and same[hostname] == 1 and not is_taken:
        return hostname
    return f"{hostname or 'node'} ({swarm_nodes.node_id(node) or 'no id'})"


def _describe(node: Json) -> str:
    parts = [swarm_nodes.state(node)]
    if message := swarm_nodes.message(node):
        parts[0] += f" ({message})"
    parts.append(swarm_nodes.availability(node))
    if swarm_nodes.in_raft(node):
        leads = swarm_nodes.leads(node)
        parts.append("leader" if leads else f"manager {swarm_nodes.reachability(node)}")
    if engine := swarm_nodes.engine(node):
        parts.append(f"engine {engine}")
    return ", ".join(parts)[:_LONGEST_REASON]


@dataclasses.dataclass(frozen=True)
class Use:
    """What a cluster's services take of it.

    :ivar cpu: percent of the ready nodes' processors that tasks have reserved.
    :ivar memory: percent of the ready nodes' memory that tasks have reserved.
    """

    cpu: float
    memory: float
    nodes_ready: int
    tasks_wanted: int
    tasks_running: int


def measure(nodes: Sequence[Json], services: Sequence[Json], tasks: Sequence[Json]) -> Use:
    """Return a cluster's use from nodes, services and those tasks that are wanted to run."""
    ready = [node for node in nodes if swarm_nodes.state(node) == "ready"]
    per_service = Counter(str(task.get("ServiceID")) for task in tasks)
    wanted = sum(_wanted(service, per_service[str(service.get("ID"))]) for service in services)
    return Use(
        cpu=_share(tasks, ready, "NanoCPUs"),
        memory=_share(tasks, ready, "MemoryBytes"),
        nodes_ready=len(ready),
        tasks_wanted=wanted,
        tasks_running=sum(1 for task in tasks if swarm_nodes.state(task) == "running"),
    )


def _wanted(service: Json, tasks: int) -> int:
    replicated = ((service.get("Spec") or {}).get("Mode") or {}).get("Replicated")
    # A global service wants as many as the nodes that fit, which are those that have a task.
    return int(replicated.get("Replicas") or 0) if replicated else tasks


def _share(tasks: Sequence[Json], nodes: Sequence[Json], resource: str) -> float:
    total = sum(swarm_nodes.resource(node, resource) for node in nodes)
    reserved = sum(
        (((task.get("Spec") or {}).get("Resources") or {}).get("Reservations") or {}).get(resource)
        or 0
        for task in tasks
    )
    return 100.0 * reserved / total if total else 0.0
