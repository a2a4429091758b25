# SPDX-License-Identifier: Apache-2.0
"""Which nodes were promoted or demoted by a user, and what is done about it; pure functions.

Which nodes are managers is said by the cluster's node groups, not by ``docker node promote`` and
``docker node demote``: only the servers of ``default-master`` have the network rules, addresses and
certificates of managers. A role that somebody changed by hand is changed back.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from magnum_swarm_mode import text
from magnum_swarm_mode.decisions.model import Node
from magnum_swarm_mode.wire import nodes as swarm_nodes

Json = Mapping[str, Any]

_PROMOTED = (
    "WorkerPromoted: this worker was promoted by a user (docker node promote). The servers of "
    "workers cannot be managers: other managers do not reach their port 2377. "
)
_DEMOTED = "ManagerDemoted: this manager was demoted by a user (docker node demote). "
_BACK = "It is made a {role} again."
_REFUSED = (
    "The swarm does not make it a worker again. Remove it: openstack coe cluster resize {cluster} "
    "{count} --nodes-to-remove {name}"
)
_LATER = "It is made a {role} again when all other managers are reached."


@dataclasses.dataclass(frozen=True)
class Finding:
    """A node whose role somebody changed.

    :ivar role: what it shall be.
    :ivar name: the host name of the server that it is.
    :ivar now: whether it can be given that role now, with regard to the quorum.
    """

    node: Json
    role: str
    now: bool
    name: str

    def text(self, cluster: str, count: int, *, refused: bool = False) -> str:
        """Return the code and a sentence for the cluster's health.

        :param cluster: its name, for the command that helps.
        :param count: how many workers there shall be, likewise.
        :param refused: whether the swarm refused to change the role back.
        """
        name = self.name
        what = _PROMOTED if self.role == swarm_nodes.WORKER else _DEMOTED
        if refused and self.role == swarm_nodes.WORKER:
            return what + _REFUSED.format(cluster=cluster, count=count, name=name)
        return what + (_BACK if self.now else _LATER).format(role=self.role)


def quorum(managers: int) -> int:
    """Return how many of so many managers must be reachable."""
    return managers // 2 + 1


def loses_quorum(nodes: Iterable[Node], victim: Node) -> str:
    """Say with the arithmetic why a manager must not be removed; empty where it may."""
    raft = [node for node in nodes if node.in_raft]
    reachable = sum(node.reachable for node in raft)
    present, left = len(raft), len(raft) - 1
    stays = reachable - victim.reachable
    if reachable < quorum(present):
        return (
            f"{reachable} of {present} managers are reachable and {quorum(present)} are needed for "
            "a quorum: nothing can be changed before it is back."
        )
    if left < 1:
        return f"{victim.hostname} is the only manager."
    if stays < quorum(left):
        return (
            f"{reachable} of {present} managers are reachable; without {victim.hostname} "
            f"{stays} of {left} would be, and {quorum(left)} are needed for a quorum."
        )
    return ""


def find(
    nodes: Sequence[Json],
    prefix: str,
    groups: Collection[str],
    names: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Return the nodes of a cluster in no operation whose role somebody changed.

    Nodes that are not ready are left alone, as are those with foreign names.

    :param prefix: what the host names of the cluster's first nodes begin with.
    :param groups: the same of further node groups.
    :param names: node ids to the host names of the servers that these are for sure, or to other
        names where they are none. Of others counts what they call themselves.
    """
    raft = [node for node in nodes if swarm_nodes.in_raft(node)]
    reached = sum(map(swarm_nodes.is_reachable, raft))
    found = []
    for node in nodes:
        known = (names or {}).get(swarm_nodes.node_id(node))
        name, role = known or swarm_nodes.hostname(node), swarm_nodes.role(node)
        if _numbered(name, f"{prefix}-manager"):
            wanted = swarm_nodes.MANAGER
        elif any(_numbered(name, one) for one in (f"{prefix}-worker", *groups)):
            wanted = swarm_nodes.WORKER
        else:
            continue
        if wanted == swarm_nodes.WORKER and (role != wanted or swarm_nodes.in_raft(node)):
            left = len(raft) - swarm_nodes.in_raft(node)
            stays = reached - swarm_nodes.is_reachable(node)
            found.append(Finding(node, wanted, left > 0 and stays >= quorum(left), name))
        elif role != wanted and swarm_nodes.state(node) == swarm_nodes.READY:
            # No manager joins before all others are reached.
            found.append(Finding(node, wanted, reached == len(raft), name))
    return found


def promotes(finding: Finding) -> bool:
    """Return whether a node that is seen at an address would become a manager."""
    return finding.role == swarm_nodes.MANAGER and bool(swarm_nodes.seen_address(finding.node))


def at_their_addresses(found: Sequence[Finding], managers: Collection[str]) -> list[Finding]:
    """Return the findings without those of nodes that only bear the name of a manager.

    :param managers: addresses of the cluster's managers in its network.
    """
    return [
        one for one in found if not promotes(one) or swarm_nodes.seen_address(one.node) in managers
    ]


def _numbered(name: str, prefix: str) -> bool:
    index = name.removeprefix(f"{prefix}-")
    # Indices of a second colour begin with a letter.
    return index != name and text.number(index.removeprefix("g")) is not None
