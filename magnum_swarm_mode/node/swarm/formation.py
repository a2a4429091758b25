# SPDX-License-Identifier: Apache-2.0
"""What a manager may do about the swarm. Decisions only: no I/O, no clock.

Each returns what to do now, raises Temporary when the answer is to wait, and NodeError when it is
no; both say why.
"""

import enum
from typing import Iterable, List, Mapping, Optional, Sequence

from ..base.codes import Code
from ..base.docker import Info, SwarmNode
from ..base.errors import NodeError, Temporary

CREATING = "CREATE_IN_PROGRESS"
# Seconds without a leader, with every manager answering, after which nobody is left to wait for.
# An election takes less than 10.
QUORUM_PATIENCE = 60


class Peer(enum.Enum):
    """What another manager says of itself."""

    OUTSIDE = "in no swarm"
    INSIDE = "in the swarm"
    LEADERLESS = "in a swarm without a leader"
    OTHER = "between two states"
    SILENT = "silent"


def classify(info: Info) -> Peer:
    """Return what an engine's answer means.

    Only a plain "inactive" says that it is in no swarm: pending, error and locked do not.
    """
    if info.state == "inactive" and not info.node_id:
        return Peer.OUTSIDE
    if info.state == "active" and info.control:
        return Peer.LEADERLESS if info.error else Peer.INSIDE
    return Peer.OTHER


def lost_quorum(peers: Mapping[int, Peer]) -> bool:
    """Say whether all others answered, at least one is in a swarm, and it has no leader."""
    return {Peer.LEADERLESS} <= set(peers.values()) <= {Peer.LEADERLESS, Peer.OUTSIDE}


def may_found(index: int, peers: Mapping[int, Peer]) -> bool:
    """Say whether a manager may found a swarm, if Magnum says that the cluster is being created.

    :param index: which manager this is
    :param peers: what every other manager says; silence is not an answer
    """
    return index == 0 and set(peers.values()) <= {Peer.OUTSIDE}


def decide(
    index: int, peers: Mapping[int, Peer], cluster_status: str, leaderless_for: float
) -> Optional[int]:
    """Return through which manager one that is in no swarm joins; None: it founds the swarm.

    :param index: which manager this is
    :param peers: what every other manager says
    :param cluster_status: Magnum's word; empty if it was not asked
    :param leaderless_for: seconds since when nothing but a missing leader stood in the way
    :raises Temporary: neither is right now
    :raises NodeError: neither will be
    """
    for other in sorted(peers):
        if peers[other] is Peer.INSIDE:
            return other
    seen = ", ".join(f"manager {other} is {peers[other].value}" for other in sorted(peers))
    if lost_quorum(peers) and leaderless_for >= QUORUM_PATIENCE:
        raise NodeError(f"the swarm has lost its quorum: {seen}", code=Code.QUORUM_LOST)
    if not may_found(index, peers):
        raise Temporary(seen)
    if cluster_status != CREATING:
        raise Temporary(
            "no manager is in a swarm, and a new one is founded only while Magnum says "
            f"{CREATING}, not {cluster_status}"
        )
    return None


def may_join(nodes: Sequence[SwarmNode], address: str) -> Optional[SwarmNode]:
    """Return the dead entry to demote and remove before joining; None: a manager may join now.

    It is in no swarm itself, so that whatever is listed with its address is its dead predecessor:
    another node id. The survivors must have noticed that it is dead before it is removed.

    :param address: of the manager that wants to join
    :raises Temporary: somebody's state forbids it now
    """
    for node in nodes:
        if node.has_address(address):
            if node.reachability == "reachable" or node.state == "ready":
                raise Temporary(f"node {node.id} of this address is still listed as alive")
            return node
    for node in nodes:
        if node.in_raft and node.reachability != "reachable":
            raise Temporary(f"manager {node.address} is listed, but unreachable")
        if (node.role == "manager") != node.in_raft and node.state != "down":
            raise Temporary(f"node {node.id} is being promoted or demoted")
    return None


def may_leave(nodes: Sequence[SwarmNode], address: str, node_id: str) -> bool:
    """Say whether giving up a join half done is safe: nothing in the list can be this manager.

    Leaving after it became a member would cost a swarm of one manager its quorum.
    """
    return not any(node.id == node_id or node.has_address(address) for node in nodes)


def admit_worker(nodes: Iterable[SwarmNode], address: str) -> List[str]:
    """Return the dead entries of an address, to be removed before it gets the worker token.

    :raises NodeError: (409) it gets none
    """
    dead: List[str] = []
    for node in nodes:
        if node.has_address(address):
            if node.role == "manager" or node.in_raft:
                raise NodeError("this address belongs to a manager", 409)
            if node.state != "down":
                raise NodeError(f"a node of this address is {node.state} in the swarm", 409)
            dead.append(node.id)
    return dead
