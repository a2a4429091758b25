# SPDX-License-Identifier: Apache-2.0
"""What the steps of all changes of a cluster are made of: wait, act, empty nodes, give up."""

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from magnum_swarm_mode import sentences
from magnum_swarm_mode.decisions.model import (
    ACTIVE,
    DRAIN,
    PAUSE,
    Action,
    Debt,
    End,
    Group,
    Leaving,
    Member,
    Node,
    Outcome,
    Plan,
    Seen,
    Sent,
    SetNode,
    Step,
    Waiting,
)
from magnum_swarm_mode.decisions.roles import loses_quorum

# How long a demotion, or the swarm's answer, may take before the operation is given up, in seconds.
PATIENCE = 300
# How old the swarm's list of nodes may be, in seconds.
LIST_SECONDS = 60
# The part of a cluster's nodes that is emptied at a time.
DRAIN_SHARE = 10
_MOST_NAMES = 5
# What a new node may take beside the time in which it tries to join.
BOOT_SECONDS = 300


def end(plan: Plan) -> None:
    """Forget what belongs to the operation that ends now."""
    plan.rollback = False
    plan.previous, plan.waiting, plan.named, plan.absent = {}, None, {}, []
    plan.resized, plan.repairs, plan.repaired = [], [], []
    plan.served, plan.pending = plan.pending, []
    plan.making = []
    plan.leaving, plan.away, plan.troubled, plan.blind = {}, {}, 0, 0
    plan.broken, plan.cause = [], ""
    plan.deadline, plan.allowance = 0, 0
    plan.distance, plan.updates, plan.repeats = None, 0, 0
    if plan.upgrade is not None:
        plan.upgrade.running = False


def note(plan: Plan, text: str, *, lasting: bool = False) -> None:
    """Keep a sentence to be said at the end.

    :param lasting: whether it is said as well where the operation fails.
    """
    notes = plan.lasting if lasting else plan.notes
    if text not in notes:
        notes.append(text)


def finish(plan: Plan, outcome: Outcome, reason: str | None, group: str = "") -> str | None:
    """Note how the operation ended; return the sentence for the user."""
    said = " ".join(filter(None, [reason, *plan.lasting])) or None
    plan.ended = End(outcome.value, said, group)
    plan.lasting = []
    return said


def fail(
    seen: Seen, plan: Plan, reason: str, group: Group | None = None, *, undone: bool = False
) -> Step:
    """Give the operation up: nodes that were to leave and are still there stay.

    :param undone: whether nothing was begun of what was asked of the group, or of any where none is
        given, so that the rows shall say what is there.
    """
    cause = plan.cause
    if cause:
        reason = f"{cause} {reason}"
    request = requested(seen, plan)
    debts = _debts(plan)
    actions = repayment(seen.nodes or (), debts)
    goes_back = plan.rollback and bool(plan.previous) and not undone
    counts = {}
    if goes_back:
        # A group that shall go is not asked for again.
        gone = {one.uuid for one in seen.groups if one.wanted is None}
        gone |= {uuid for uuid, count in plan.desired.items() if count is None}
        counts = {uuid: count for uuid, count in plan.previous.items() if uuid not in gone}
    if undone:
        refused = [one for one in seen.groups if group is None or one.uuid == group.uuid]
        counts = {one.uuid: len(one.members) for one in refused if one.wanted is not None}
    pending = plan.pending
    end(plan)
    plan.desired.update(counts)
    # Until somebody has seen that they are what they were.
    plan.debts = debts
    # One look is one request: what fails now does not fail again at the next look.
    plan.begun = plan.number
    plan.failed = reason
    outcome = Outcome.FAILED
    said: str | None = reason
    if goes_back:
        outcome = Outcome.GOES_BACK
        plan.number += 1
        plan.pending = list(dict.fromkeys([*counts, *pending]))
        plan.notes = [f"Went back to the number of nodes before, because this failed: {reason}"]
    else:
        plan.notes = []
        if not (cause or plan.is_upgrading):
            # The cause of a healing names nodes; an upgrade is named with how far it has come.
            said = sentences.failed(request, reason, _names(seen))
        said = finish(plan, outcome, said, group.uuid if group else "")
    owed = unpaid(seen.nodes, debts)
    return Step(said, plan, tuple(actions), outcome, group.uuid if group else "", owed=owed)


def request_of(plan: Plan, names: Mapping[str, str]) -> str:
    """Return words for what is under way, as "The upgrade of default-worker".

    :param names: uuid of each node group to its name.
    """
    if plan.cause:
        return sentences.HEALING
    groups = [names[uuid] for uuid in plan.pending if uuid in names]
    return sentences.change_of(groups, "upgrade" if plan.is_upgrading else "change")


def requested(seen: Seen, plan: Plan) -> str:
    """Return words for what is under way, as :func:`request_of` does."""
    return request_of(plan, {group.uuid: group.name for group in seen.groups})


def _names(seen: Seen) -> list[str]:
    """Return by which words a user knows which nodes, or which group, a sentence is about."""
    nodes = [member.hostname for group in seen.groups for member in group.members]
    return [*nodes, *(f"node group {group.name}" for group in seen.groups)]


def told_again(seen: Seen, plan: Plan) -> Step | None:
    """Return the end of an operation that has ended already, for rows that do not say so yet."""
    if plan.ended is None or not plan.is_over:
        return None
    outcome = Outcome(plan.ended.outcome)
    lacks = lacking(seen)
    # A request whose conductor has not reached the record yet does not end with the one before.
    new = any(one.stack_status is None and one.uuid != plan.ended.group for one in lacks)
    if new or (lacks and outcome is Outcome.COMPLETE):
        return None
    actions = repayment(seen.nodes or (), plan.debts)
    owed = unpaid(seen.nodes, plan.debts)
    return Step(plan.ended.reason, plan, tuple(actions), outcome, plan.ended.group, owed=owed)


def made(group: Group) -> int:
    """Return how many of a group's nodes there are; of a failed stack not all members were made."""
    failed = (group.stack_status or "").endswith("_FAILED")
    return sum(bool(member.server_id) or not failed for member in group.members)


def lacking(seen: Seen) -> list[Group]:
    """Return the groups that do not have as many nodes as they are to have."""
    return [
        one
        for one in seen.groups
        if made(one) != one.wanted or (one.stack_status is None and one.wanted is not None)
    ]


def _debts(plan: Plan) -> dict[str, Debt]:
    """Return what nodes must get back if the operation ends now."""
    return {**{name: debt_of(entry) for name, entry in plan.leaving.items()}, **plan.debts}


def debt_of(entry: Leaving) -> Debt:
    """Return what a node that was to leave must get back if it stays."""
    return Debt(entry.was, entry.demoted, entry.manager)


def repayment(nodes: Iterable[Node], debts: Mapping[str, Debt]) -> list[SetNode]:
    """Return what gives nodes back what steps took from them."""
    actions = []
    for node in nodes:
        debt = debts.get(node.hostname)
        if debt is None or not _is_owed(debt, node):
            continue
        # One that is down would only be a manager that cannot be reached.
        promoted = debt.demoted and node.role != "manager" and node.state == "ready"
        rests = node.availability != debt.availability
        if promoted or rests:
            actions.append(
                SetNode(
                    node.id,
                    role="manager" if promoted else None,
                    availability=debt.availability if rests else None,
                )
            )
    return actions


def unpaid(nodes: Sequence[Node] | None, debts: Mapping[str, Debt]) -> dict[str, Debt]:
    """Return what nodes are still owed after :func:`repayment`; nodes that are gone are not.

    :param nodes: None where the swarm did not answer.
    """
    if nodes is None:
        return dict(debts)
    owed = {}
    for name, debt in debts.items():
        found = [node for node in nodes if node.hostname == name and _is_owed(debt, node)]
        is_down = any(node.role != "manager" for node in found)
        if debt.demoted and is_down and all(node.state != "ready" for node in found):
            owed[name] = debt
    return owed


def _is_owed(debt: Debt, node: Node) -> bool:
    """Return whether a node is the one that is owed something, and not one of its name only."""
    return not debt.manager or node.id == debt.manager


def give_up(seen: Seen, plan: Plan, reason: str) -> Step:
    """Return what follows when a step can never be taken."""
    failed = fail(seen, copy.deepcopy(plan), reason)
    # The look is older than what was done of the step: all is owed until the next one.
    return dataclasses.replace(failed, owed=failed.plan.debts)


def abandoned(plan: Plan, reason: str) -> Plan:
    """Return the plan of a cluster in which nothing is to go on, whether the plan was to or not."""
    if not plan.is_over:
        return abandon(plan, reason)
    plan = copy.deepcopy(plan)
    finish(plan, Outcome.FAILED, reason)
    return plan


def abandon(plan: Plan, reason: str) -> Plan:
    """Return the plan of an operation that ends without a look at the cluster."""
    plan = copy.deepcopy(plan)
    debts = _debts(plan)
    end(plan)
    plan.debts, plan.begun, plan.failed, plan.notes = debts, plan.number, reason, []
    finish(plan, Outcome.FAILED, reason)
    return plan


def wait(
    seen: Seen,
    plan: Plan,
    what: str,
    reason: str,
    patience: float | None = None,
    group: Group | None = None,
) -> Step:
    """Wait for something; give up when it takes longer than ``patience`` seconds.

    :param group: the one at fault then.
    """
    if plan.waiting is None or plan.waiting.what != what:
        plan.waiting = Waiting(what, seen.now)
    elif patience is not None and seen.now - plan.waiting.since > patience:
        return fail(seen, plan, f"Given up after {int(patience)} seconds: {reason}", group)
    return Step(reason, plan)


def ask(plan: Plan, group: Group) -> None:
    """Note that Heat is asked to change a group's stack; the wait for anything else is over."""
    plan.sent[group.stack] = Sent(plan.number, group.stack_updated)
    plan.waiting = None


def is_answered(plan: Plan, group: Group) -> bool:
    """Return whether Heat has begun with what it was last asked for by the present request."""
    sent = _sent(plan, group)
    return sent is not None and sent.updated != group.stack_updated


def is_unheard(plan: Plan, group: Group) -> bool:
    """Return whether Heat has not begun with what the present request last asked it for."""
    sent = _sent(plan, group)
    return sent is not None and sent.updated == group.stack_updated


def _sent(plan: Plan, group: Group) -> Sent | None:
    """Return what the present request last asked Heat for about a group's stack."""
    sent = plan.sent.get(group.stack)
    return sent if sent is not None and sent.number == plan.number else None


def act(plan: Plan, reason: str, *actions: Action, soon: bool = False) -> Step:
    """Return a step that changes something."""
    return Step(reason, plan, tuple(actions), soon=soon)


def resolve(members: Iterable[Member], name: str) -> Member | None:
    """Return the member that a user calls by server id, host name or index, or None."""
    for member in members:
        if name in (member.server_id, member.hostname, member.index):
            return member
    return None


def leave(seen: Seen, plan: Plan, group: Group, member: Member, why: str) -> None:
    """Let a node be among those that are removed."""
    known = plan.leaving.get(member.hostname)
    if known is None:
        node = seen.node(member)
        owed = plan.debts.pop(member.hostname, Debt(node.availability if node else ACTIVE))
        plan.leaving[member.hostname] = Leaving(
            group.uuid, why, owed.availability, demoted=owed.demoted, manager=owed.manager
        )
    elif known.why == "excess":
        known.why = why


def rank(seen: Seen, group: Group, member: Member) -> tuple[Any, ...]:
    """Order workers: who leaves first."""
    node = seen.node(member)
    return (seen.is_well(group, member), node.tasks if node else 0, -member.number)


def reported(seen: Seen, member: Member) -> str:
    """Return why a node could not join, with the name of its server; empty where it did not say.

    A node writes the sentence itself, and may leave its name out or use another one.
    """
    said = seen.reports.get(member.server_id, "")
    named = not said or said.startswith(f"{member.hostname}: ")
    return said if named else f"{member.hostname}: {said}"


def late(seen: Seen, plan: Plan, missing: Sequence[tuple[Group, Member]]) -> Step | None:
    """Wait for new nodes; give up when one says that it cannot join, or in time.

    :param missing: those that are not in the swarm yet, each with its group.
    """
    for group, member in missing:
        if report := reported(seen, member):
            return fail(seen, plan, report, group)
    if not missing:
        return None
    names = listed(member.hostname for _, member in missing)
    return wait(
        seen,
        plan,
        "arrivals",
        f"Waiting until {names} joined the swarm and {'is' if len(missing) == 1 else 'are'} ready.",
        seen.join_timeout + BOOT_SECONDS,
        missing[0][0],
    )


def demote(
    seen: Seen,
    plan: Plan,
    victim: Node,
    why: str,
    group: Group | None = None,
    *,
    undone: bool = True,
) -> Step:
    """Take one manager out of the quorum; the swarm moves the lead off it by itself.

    :param undone: whether nothing was begun if that is refused.
    """
    if problem := loses_quorum(seen.nodes or (), victim):
        reason = f"Removing a manager is refused: {problem}"
        return fail(seen, plan, reason, group, undone=undone and not plan.is_upgrading)
    if victim.role != "manager":
        return wait(
            seen,
            plan,
            f"demotion {victim.id}",
            f"{victim.hostname} is being demoted ({why}).",
            PATIENCE,
        )
    leads = ", the leader," if victim.leader else ""
    if victim.hostname in plan.leaving:
        entry = plan.leaving[victim.hostname]
        entry.demoted, entry.manager = True, victim.id
    plan.waiting = Waiting(f"demotion {victim.id}", seen.now)
    return act(
        plan,
        f"Demoting {victim.hostname}{leads} ({why}).",
        SetNode(victim.id, role="worker"),
    )


def unlisted(seen: Seen, plan: Plan, victims: Sequence[Member]) -> Step | None:
    """Wait for nodes that the swarm does not list, before their servers are removed.

    The list can be older than their joining: then managers count for the quorum, and workers have
    tasks. One that stays absent from it for a while never joined.
    """
    names = [
        member.hostname
        for member in victims
        if member.server_id
        and not seen.entries(member)
        and seen.now - plan.away.get(member.hostname, seen.now) < LIST_SECONDS
    ]
    if not names:
        return None
    shown = listed(names)
    return wait(seen, plan, f"list {shown}", f"Waiting until the swarm lists {shown}.")


def empty(seen: Seen, plan: Plan, victims: Sequence[Member]) -> Step | None:
    """Move the tasks off nodes that leave, some nodes at a time; None once that is done.

    First no further task comes to any of them; then the empty ones and a few of the others are
    drained. The next ones follow when those are empty and no task is starting anywhere. Nobody
    waits longer than the time-out for one lot.
    """
    nodes = [
        node
        for member in victims
        if plan.leaving[member.hostname].why != "broken" and (node := seen.node(member))
    ]
    fresh = [node for node in nodes if node.availability == ACTIVE]
    if fresh:
        return act(
            plan,
            f"No further task is put on {listed(n.hostname for n in fresh)}.",
            *(SetNode(node.id, availability=PAUSE) for node in fresh),
            soon=True,
        )
    for node in nodes:
        entry = plan.leaving[node.hostname]
        if node.availability == DRAIN and not entry.since:
            # Its owner had drained it, or the conductor died before it wrote this down.
            entry.since = seen.now
    drained = [node for node in nodes if node.availability == DRAIN]
    paused = [node for node in nodes if node.availability != DRAIN]
    busy = [
        node
        for node in drained
        if node.tasks and seen.now - plan.leaving[node.hostname].since < seen.drain_timeout
    ]
    latest = max((plan.leaving[node.hostname].since for node in drained), default=0)
    settled = not seen.starting or seen.now - latest >= seen.drain_timeout
    if busy or (paused and not settled):
        left = sum(node.tasks for node in busy)
        what = (
            f"{left} tasks are still on {listed(n.hostname for n in busy)}"
            if busy
            else (f"{seen.starting} tasks are starting elsewhere")
        )
        more = f"; {len(paused)} more nodes follow" if paused else ""
        return wait(seen, plan, "drain", f"Draining: {what}{more}.")
    idle = [node for node in paused if not node.tasks]
    working = sorted((node for node in paused if node.tasks), key=lambda node: node.tasks)
    lot = [*idle, *working[: max(1, len(seen.nodes or ()) // DRAIN_SHARE)]]
    if lot:
        for node in lot:
            plan.leaving[node.hostname].since = seen.now
        return act(
            plan,
            f"Draining {listed(node.hostname for node in lot)}.",
            *(SetNode(node.id, availability=DRAIN) for node in lot),
            soon=not working,
        )
    for node in drained:
        if node.tasks:
            note(
                plan,
                f"{node.hostname} was removed although {node.tasks} tasks were still on it after "
                f"{seen.drain_timeout} seconds (label drain_timeout).",
            )
    return None


def vacate(seen: Seen, plan: Plan, victims: Sequence[Member], group: Group) -> Step | None:
    """Empty workers that leave; before, take those out of the quorum that a user promoted."""
    promoted = [node for member in victims for node in seen.entries(member) if node.in_raft]
    if promoted:
        promoted.sort(key=lambda node: (node.role == "manager", node.leader))
        return demote(seen, plan, promoted[0], "it is no manager's server", group)
    if step := unlisted(seen, plan, victims):
        return step
    return empty(seen, plan, victims)


def listed(hostnames: Iterable[str]) -> str:
    """Return the names for a sentence, the first few of them."""
    names = list(hostnames)
    shown = ", ".join(names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
