# SPDX-License-Identifier: Apache-2.0
"""Which nodes of a cluster are to be replaced because they are down; a pure function.

What was seen, since when, and what was done about it before leads to what is to be done now::

    a node is down                              its time begins
    it is back at a later look                  forgotten
    it is down for the delay                    replaced
    a worker that its owner drained             left alone: somebody works on it
    a manager, while another one is lost        waits until both are down for the delay
      for less than the delay                   (no manager joins before all are reached)
    a manager, while a worker is not ready      waits as long again at most, or two minutes: Heat
      and is not replaced now                   fails at a worker without a server when managers
                                                change
    more than half of the workers at once       one is replaced first, the others when that has
                                                joined: a fault of the network kills one worker only
    too many healings within an hour            nothing, and that is said

Nothing is counted while nobody looks: when the managers, or all conductors, were silent for a
while, the time of every node begins anew.
"""

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from magnum_swarm_mode.decisions import steps
from magnum_swarm_mode.decisions.model import DRAIN, Node, Plan, Seen
from magnum_swarm_mode.decisions.roles import quorum
from magnum_swarm_mode.decisions.steps import listed

HOUR = 3600
# How long lost managers wait at least for workers of which nobody knows whether they are lost.
UNCLEAR_SECONDS = 120
_DOWN = ("down", "disconnected")


@dataclasses.dataclass(frozen=True)
class Rule:
    """What the cluster's labels and the operator say.

    :ivar delay: seconds that a node is down before it is replaced.
    :ivar most: how many healings there may be within an hour.
    :ivar blind: seconds without a look after which nobody knows what was between.
    """

    delay: int
    most: int
    blind: int = 180


@dataclasses.dataclass(frozen=True)
class Memory:
    """What is remembered between looks, as the cluster's record keeps it; times are since 1970.

    :ivar down: id of each node that is down to when that was first seen.
    :ivar looked: when a node that is down was last looked at; 0 while all are well.
    :ivar acted: when healings began, the latest last.
    :ivar probed: ids of workers that were down while one was replaced before them.
    :ivar limited: whether the limit keeps a node from being replaced.
    """

    down: Mapping[str, int] = dataclasses.field(default_factory=dict)
    looked: int = 0
    acted: tuple[int, ...] = ()
    probed: tuple[str, ...] = ()
    limited: bool = False
    unknown: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being watched, so that nothing is forgotten without it."""
        return not (self.down or self.probed or self.limited)

    def blind(self) -> "Memory":
        """Return what is left after a look that showed nothing."""
        return dataclasses.replace(self, down={}, looked=0)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What follows from one look.

    :ivar memory: what is to be remembered.
    :ivar replace: host names of the nodes to replace now.
    :ivar cause: a sentence about them, for ``status_reason``.
    :ivar line: what ``health_status_reason`` shall say of healing; empty for nothing.
    """

    memory: Memory
    replace: tuple[str, ...] = ()
    cause: str = ""
    line: str = ""


def is_down(node: Node) -> bool:
    """Return whether a node is one to heal: the swarm, or the other managers, have lost it."""
    return node.state in _DOWN or (node.in_raft and not node.reachable)


def decide(nodes: Sequence[Node], memory: Memory, rule: Rule, now: int) -> Verdict:
    """Return what follows from one look at a cluster that is in no operation.

    :param nodes: of the swarm, which has a leader.
    """
    if memory.looked and now - memory.looked > rule.blind:
        memory = memory.blind()
    resting = [n for n in nodes if n.is_ours and is_down(n) and _is_left_alone(n)]
    down = [node for node in nodes if is_down(node) and not _is_left_alone(node)]
    since = {node.id: min(memory.down.get(node.id, now), now) for node in down}
    due = {node.id for node in down if now - since[node.id] >= rule.delay}
    managers = _managers(nodes, down, due)
    workers, probed, is_probe = _workers(nodes, down, due, memory.probed)
    # A new leader calls workers unknown for a while before it calls them ready or down.
    unclear = _ids(
        node
        for node in nodes
        if not node.in_raft and node.state != "ready" and not _is_left_alone(node)
    )
    patience = rule.delay + max(rule.delay, UNCLEAR_SECONDS)
    if unclear - _ids(workers) and any(now - since[node.id] < patience for node in managers):
        managers = []
    chosen = [*managers, *workers]
    acted = tuple(moment for moment in memory.acted if now - moment < HOUR)
    limited = bool(chosen) and len(acted) >= rule.most
    kept = Memory(since, now if since else 0, acted, probed, limited)
    if limited:
        # Whoever was to go first has not gone.
        kept = dataclasses.replace(kept, probed=memory.probed)
        return Verdict(kept, line=_limit(chosen, acted, rule))
    if not chosen:
        return Verdict(kept, line=_waiting(down, resting, since, rule, now))
    least = min(now - since[node.id] for node in chosen)
    names = tuple(node.hostname for node in chosen)
    cause = (
        f"Healing: {listed(names)} {'was' if len(names) == 1 else 'were'} down for {least} s"
        f"{'' if len(names) == 1 else ' or longer'}."
    )
    if is_probe:
        cause += (
            f" Of the workers {len(_down_workers(nodes))} are down at once, so that one is replaced"
            " first and the others follow when the new one has joined."
        )
    left = {node: moment for node, moment in since.items() if node not in _ids(chosen)}
    kept = dataclasses.replace(
        kept, down=left, looked=now if left else 0, acted=(*acted, now), limited=False
    )
    return Verdict(kept, names, cause, "under way")


def paused(nodes: Iterable[Node], status: str) -> str:
    """Say that nothing is healed in a cluster's status; empty where nothing is to be healed."""
    names = [node.hostname for node in nodes if is_down(node) and not _is_left_alone(node)]
    if not names:
        return ""
    return (
        f"stopped while the cluster is {status}; {listed(names)} "
        f"{'is' if len(names) == 1 else 'are'} down. A resize to the present number of nodes "
        "replaces what is down, and lets healing go on"
    )


def _is_left_alone(node: Node) -> bool:
    # Managers are drained by a label, and for good.
    return not node.is_ours or (not node.in_raft and node.availability == DRAIN)


def _ids(nodes: Iterable[Node]) -> set[str]:
    return {node.id for node in nodes}


def _managers(nodes: Sequence[Node], down: Sequence[Node], due: set[str]) -> list[Node]:
    """Return the managers to replace: all that are lost, or none."""
    raft = [node for node in nodes if node.in_raft]
    lost = [node for node in down if node.in_raft]
    reachable = sum(not is_down(node) for node in raft)
    if not lost or not _ids(lost) <= due or reachable < quorum(len(raft)):
        return []
    return lost


def _down_workers(nodes: Sequence[Node]) -> list[Node]:
    return [n for n in nodes if not n.in_raft and is_down(n) and not _is_left_alone(n)]


def _workers(
    nodes: Sequence[Node], down: Sequence[Node], due: set[str], probed: tuple[str, ...]
) -> tuple[list[Node], tuple[str, ...], bool]:
    """Return the workers to replace, who waits for one of them, and whether somebody does."""
    all_workers = [n for n in nodes if not n.in_raft and not _is_left_alone(n)]
    away = [node for node in down if not node.in_raft]
    ready = [node for node in away if node.id in due]
    waiting = tuple(node.id for node in away if node.id in probed)
    if len(away) < 2 or 2 * len(away) <= len(all_workers):
        return ready, waiting, False
    # They were down for long when the one before them was replaced.
    known = [node for node in away if node.id in probed]
    if known or not ready:
        return known, waiting, False
    first, *_ = ready
    return [first], tuple(node.id for node in away if node is not first), True


def _limit(chosen: Sequence[Node], acted: Sequence[int], rule: Rule) -> str:
    until = ""
    if rule.most:
        # The limit ends when so many have become old that one fewer than the most are left.
        until = time.strftime(" until %H:%M UTC", time.gmtime(acted[-rule.most] + HOUR))
    return (
        f"stopped{until}: there were {len(acted)} healings within an hour, and the operator allows "
        f"{rule.most}; {listed(node.hostname for node in chosen)} "
        f"{'is' if len(chosen) == 1 else 'are'} down"
    )


def _waiting(
    down: Sequence[Node],
    resting: Sequence[Node],
    since: Mapping[str, int],
    rule: Rule,
    now: int,
) -> str:
    parts = []
    if down:
        longest = max(now - since[node.id] for node in down)
        parts.append(
            f"{listed(node.hostname for node in down)} {'is' if len(down) == 1 else 'are'} down "
            f"for {longest} s; what is down for {rule.delay} s is replaced"
        )
    if resting:
        parts.append(
            f"{listed(node.hostname for node in resting)} {'is' if len(resting) == 1 else 'are'} "
            "drained and left alone"
        )
    return "; ".join(parts)


def take_broken(seen: Seen, plan: Plan) -> None:
    """Have those nodes replaced that are to be healed and have not come back meanwhile."""
    if not plan.broken:
        return
    back, gone = [], []
    for group in seen.groups:
        for member in group.members:
            if member.hostname not in plan.broken or group.wanted is None:
                continue
            if seen.is_well(group, member):
                back.append(member.hostname)
            else:
                steps.leave(seen, plan, group, member, "broken")
                gone.append(member.hostname)
    stale = [name for name in plan.broken if name not in (*back, *gone)]
    parts = [plan.cause]
    if gone:
        parts.append(f"Replaced {listed(gone)}.")
    if back:
        parts.append(f"{listed(back)} came back before.")
    if stale:
        parts.append(f"Removed {listed(stale)}, which had no server any more.")
    plan.broken = []
    steps.note(plan, " ".join(parts))
