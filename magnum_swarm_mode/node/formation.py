# SPDX-License-Identifier: Apache-2.0
"""What a manager may do about the swarm. Decisions only: no I/O, no clock."""

import enum
from dataclasses import dataclass
from typing import Iterable, List, Mapping, Optional, Sequence, Tuple

from .docker import Info, SwarmNode

CREATING = "CREATE_IN_PROGRESS"
# Seconds without a leader, with every manager answering, after which nobody is left to wait for.
# An election takes less than 10.
QUORUM_PATIENCE = 60.0


class Peer(enum.Enum):
    """What another manager says of itself."""

    OUTSIDE = "in no swarm"
    INSIDE = "in the swarm"
    LEADERLESS = "in a swarm without a leader"
    OTHER = "between two states"
    SILENT = "silent"


class Kind(enum.Enum):
    """What is to be done."""

    FOUND = "found"
    JOIN = "join"
    WAIT = "wait"
    FAIL = "fail"


@dataclass(frozen=True)
class Step:
    """One decision: what, through which manager, and why."""

    kind: Kind
    why: str
    through: Optional[int] = None


def classify(info: Optional[Info]) -> Peer:
    """Return what an engine's answer means; None is no answer.

    Only a plain "inactive" says that it is in no swarm: pending, error and locked do not.
    """
    if info is None:
        return Peer.SILENT
    if info.state == "inactive" and not info.node_id:
        return Peer.OUTSIDE
    if info.state == "active" and info.control:
        return Peer.LEADERLESS if info.error or not info.managers else Peer.INSIDE
    return Peer.OTHER


def describe(peers: Mapping[int, Peer]) -> str:
    """Return a sentence part such as "manager 1 silent, manager 2 in no swarm"."""
    return ", ".join(f"manager {index} {peer.value}" for index, peer in sorted(peers.items()))


def decide(
    index: int, peers: Mapping[int, Peer], cluster_status: Optional[str], leaderless_for: float
) -> Step:
    """Return what a manager that is in no swarm does next.

    :param index: which manager this is
    :param peers: what every other manager says
    :param cluster_status: Magnum's word; None: not asked or no answer
    :param leaderless_for: seconds since when nothing but a missing leader stood in the way
    """
    inside = sorted(i for i, peer in peers.items() if peer is Peer.INSIDE)
    if inside:
        return Step(Kind.JOIN, f"through manager {inside[0]}", inside[0])
    if lost_quorum(peers):
        why = f"the swarm has lost its quorum: {describe(peers)}"
        return Step(Kind.FAIL if leaderless_for >= QUORUM_PATIENCE else Kind.WAIT, why)
    if index != 0:
        return Step(Kind.WAIT, f"no manager of a swarm yet: {describe(peers) or 'none known'}")
    if any(peer is not Peer.OUTSIDE for peer in peers.values()):
        return Step(Kind.WAIT, f"others may be in a swarm: {describe(peers)}")
    if cluster_status != CREATING:
        return Step(
            Kind.WAIT,
            "no manager is in a swarm, and a new one is founded only while Magnum says "
            f"{CREATING}, not {cluster_status or 'nothing'}",
        )
    return Step(Kind.FOUND, "every other manager says that it is in no swarm")


def lost_quorum(peers: Mapping[int, Peer]) -> bool:
    """Say whether all others answered, at least one is in a swarm, and it has no leader."""
    return Peer.LEADERLESS in peers.values() and all(
        peer in (Peer.LEADERLESS, Peer.OUTSIDE) for peer in peers.values()
    )


@dataclass(frozen=True)
class Entry:
    """What must happen to the list of nodes before a manager may join."""

    ready: bool
    why: str = ""
    dead: Optional[SwarmNode] = None  # to demote and remove first


def may_join(nodes: Sequence[SwarmNode], address: str) -> Entry:
    """Say whether a manager with this address may join now.

    It is in no swarm itself, so that whatever is listed with its address is its dead predecessor:
    another node id. The survivors must have noticed that it is dead before it is removed.
    """
    for node in nodes:
        if not node.has_address(address):
            continue
        if node.reachability == "reachable" or node.state == "ready":
            return Entry(False, f"node {node.id} of this address is still listed as alive")
        return Entry(False, f"node {node.id} of this address is dead", node)
    members = [node for node in nodes if node.in_raft]
    away = [node for node in members if node.reachability != "reachable"]
    if away:
        return Entry(False, f"manager {away[0].address or away[0].id} is listed, but unreachable")
    changing = [
        node for node in nodes if node.state != "down" and (node.role == "manager") != node.in_raft
    ]
    if changing:
        return Entry(False, f"node {changing[0].id} is being promoted or demoted")
    return Entry(True)


def may_leave(nodes: Sequence[SwarmNode], address: str, node_id: str) -> bool:
    """Say whether giving up a join half done is safe: nothing in the list can be this manager.

    Leaving after it became a member would cost a swarm of one manager its quorum.
    """
    return not any(node.id == node_id or node.has_address(address) for node in nodes)


@dataclass(frozen=True)
class Lock:
    """The lock of who joins, as seen on the swarm."""

    id: str
    holder: str


def lock_is_void(lock: Lock, own: str, seen_for: float, lifetime: float) -> bool:
    """Say whether a lock may be removed: it is our own of an earlier life, or has expired.

    :param seen_for: seconds for which this very lock (its id) has been observed
    """
    return lock.holder == own or seen_for >= lifetime


@dataclass(frozen=True)
class Admission:
    """Whether a caller gets the worker token, and what is removed before."""

    granted: bool
    why: str = ""
    dead: Tuple[str, ...] = ()


def admit_worker(nodes: Iterable[SwarmNode], address: str) -> Admission:
    """Say whether a caller from this address gets the worker token."""
    dead: List[str] = []
    for node in nodes:
        if not node.has_address(address):
            continue
        if node.role == "manager" or node.in_raft:
            return Admission(False, "this address belongs to a manager")
        if node.state != "down":
            return Admission(False, f"a node of this address is {node.state} in the swarm")
        dead.append(node.id)
    return Admission(True, dead=tuple(dead))
