# SPDX-License-Identifier: Apache-2.0
"""What is to be done next about a cluster that shall change; a pure function.

The wanted numbers of nodes are Magnum's own rows, so that whoever asks for another number while an
operation is under way is served next: nothing that Heat does is ever cut off. What was begun, and
with which nodes, is the plan, kept in the cluster's record. One look at Heat and the swarm leads to
one step::

    the stack is gone, or going          fail
    Heat is at work                      wait
    Heat failed at what it was asked     fail (or go back, where that was asked for)
    a node without a server              remove it from the swarm
    workers that are lost                have Heat make others
    too many managers                    demote one at a time, drain, remove from Heat
    too many workers                     drain some at a time, remove from Heat
    too few of either                    have Heat make them, wait until they are in the swarm
    a group that is upgraded             see ``upgrade``
    a group that shall go                drain it, delete its stack
    node labels that differ              set them
    nothing                              complete

No step is taken that would cost the managers their quorum; the plan's owner is told why.
"""

import copy
import dataclasses
from collections.abc import Sequence

from magnum_swarm_mode import clocks, sentences
from magnum_swarm_mode.decisions import healing, resize, steps, upgrade
from magnum_swarm_mode.decisions.model import (
    Action,
    DeleteStack,
    DropGroup,
    Forget,
    FreePorts,
    Group,
    Outcome,
    Plan,
    Recolour,
    Remake,
    Resize,
    Seen,
    Sent,
    SetNode,
    Step,
)

# How long a conductor may take to ask Heat for a new group.
MAKE_SECONDS = 180
# How long an operation may take at least beside the time for each round of nodes that change.
OPERATION_SECONDS = 3600
# How many updates of Heat in a row may not bring the cluster closer to what is desired.
MOST_UPDATES = 8
# How many times in a row Heat is asked again because it has not begun: conductors died before they
# could ask.
MOST_REPEATS = 40
_LABELS_PER_STEP = 50


def decide(seen: Seen) -> Step:
    """Return what follows from one look."""
    plan = copy.deepcopy(seen.plan)
    # Of a request whose conductor died before it reached the record, a row alone has the labels.
    found = [one.uuid for one in seen.groups if plan.is_over and _mislabelled(seen, plan, one)]
    told = steps.told_again(seen, plan)
    if told and (told.outcome is not Outcome.COMPLETE or not found):
        return told
    plan.pending += found
    _note_away(seen, plan)
    if not plan.deadline:
        # Also for what waits behind a Heat that never ends: no operation is without one.
        _set_deadline(seen, plan)
    plan.deadline = clocks.trusted(plan.deadline, seen.now, plan.allowance)
    for consider in (
        _overdue,
        _stack_deleted,
        _heat_at_work,
        _heat_failed,
        _silence,
        _begin,
        _unmade,
        _ghosts,
        resize.lost_workers,
        resize.managers,
        resize.workers,
        _gone_groups,
        _labels,
        _arrivals,
    ):
        step = consider(seen, plan)
        if step is not None:
            return _with_cause(with_progress(seen, _bounded(seen, step)))
    return _complete(seen, plan)


def _note_away(seen: Seen, plan: Plan) -> None:
    """Keep since when each node is not well: the patience with a node is its own."""
    if seen.nodes is None:
        return
    away = {
        member.hostname
        for group in seen.groups
        for member in group.members
        if not seen.is_well(group, member)
    }
    plan.away = {name: plan.away.get(name, seen.now) for name in sorted(away)}


def _overdue(seen: Seen, plan: Plan) -> Step | None:
    """End an operation whose deadline has passed."""
    if seen.now <= plan.deadline:
        return None
    waits = plan.waiting.what if plan.waiting else "the next step"
    missing = f"not ready: {steps.listed(plan.away)}" if plan.away else f"waiting for: {waits}"
    request = steps.requested(seen, plan)
    return steps.fail(seen, plan, f"{request} did not end before its deadline; {missing}.")


def distance(seen: Seen, plan: Plan) -> int:
    """Return how far what is observed is from what is desired; 0 for what is complete."""
    total = 0
    for group in seen.groups:
        if group.wanted is None:
            total += 1 + len(group.members)
            continue
        target = plan.target(group)
        right = target.ready if target else sum(seen.is_well(group, m) for m in group.members)
        total += abs(group.wanted - right) + abs(len(group.members) - right)
        total += group.has_spare_ports
    return total


def _bounded(seen: Seen, step: Step) -> Step:
    """End an operation whose updates of Heat lead nowhere."""
    plan = step.plan
    if seen.nodes is not None:
        now = distance(seen, plan)
        if plan.distance is None or now < plan.distance:
            plan.distance, plan.updates, plan.repeats = now, 0, 0
    asks = (Resize, Recolour, Remake, FreePorts, DeleteStack)
    groups = {action.group for action in step.actions if isinstance(action, asks)}
    if step.outcome is not Outcome.GOES_ON or not groups:
        return step
    if any(one.uuid in groups and steps.is_unheard(seen.plan, one) for one in seen.groups):
        plan.repeats += 1
    else:
        plan.updates, plan.repeats = plan.updates + 1, 0
    if plan.updates <= MOST_UPDATES and plan.repeats <= MOST_REPEATS:
        return step
    times = MOST_UPDATES if plan.updates > MOST_UPDATES else MOST_REPEATS
    return steps.fail(
        seen,
        plan,
        f"Heat was asked {times} times to change the cluster without getting closer to what "
        f"is desired. The next step would have been: {step.reason}",
    )


def _with_cause(step: Step) -> Step:
    """Let a healing say at each step why it is there."""
    if not step.plan.cause or step.outcome is not Outcome.GOES_ON:
        return step
    return dataclasses.replace(step, reason=f"{step.plan.cause} {step.reason or ''}".strip())


def with_progress(seen: Seen, step: Step) -> Step:
    """Say with a step where an upgrade is that goes on, or stopped."""
    failed = step.outcome is Outcome.FAILED
    reason = upgrade.told(seen, step.plan, step.reason, failed=failed)
    if failed and reason is not None:
        if step.plan.is_upgrading and reason == step.reason:
            # It waited for something that belongs to no group that is upgraded.
            reason = sentences.failed(steps.requested(seen, seen.plan), reason)
        step.plan.failed = reason
        if step.plan.ended is not None:
            step.plan.ended.reason = reason
    return dataclasses.replace(step, reason=reason)


def _complete(seen: Seen, plan: Plan) -> Step:
    """End an operation of which nothing is left to do.

    A group that failed before, and of which nothing was requested since, held nothing up; but what
    is not as desired is not called complete. A node that was lost is a matter of the health.
    """
    short = steps.lacking(seen)
    lacking = [one for one in seen.groups if one in short or _unjoined(seen, one)]
    outcome, fault = (Outcome.FAILED, lacking[0].uuid) if lacking else (Outcome.COMPLETE, "")
    for group in lacking:
        steps.note(plan, _lack(seen, group))
    reason = " ".join(plan.notes) or None
    plan.failed, plan.notes = "", []
    steps.end(plan)
    reason = steps.finish(plan, outcome, reason, fault)
    if plan.upgrade is not None:
        plan.upgrade.over = True
        for uuid, target in plan.upgrade.groups.items():
            plan.followed[uuid] = target.template
    return Step(reason, plan, (), outcome, fault, owed=plan.debts)


def _unjoined(seen: Seen, group: Group) -> list[str]:
    """Return which nodes of a group that nobody waits for never came into the swarm.

    Of a group with a request those are left that were away before; one that the swarm lists was
    lost.
    """
    find = seen.node if group.at_rest else seen.entries
    return [one.hostname for one in group.members if one.server_id and not find(one)]


def _lack(seen: Seen, group: Group) -> str:
    """Return a sentence with what a group lacks, and what helps."""
    missing = _unjoined(seen, group)
    said = f": {group.failure}" if group.failure else "."
    if missing and not group.failure:
        said = f"; not in the swarm: {steps.listed(missing)}."
    # Those of the cluster's own stack cannot be deleted.
    instead = "" if group.stack == "cluster" else ", or delete it"
    return (
        f"What was requested is done, but node group {group.name} has "
        f"{steps.made(group) - len(missing)} of {group.wanted} nodes{said} "
        f"Resize {group.name} to try again{instead}."
    )


def _stack_deleted(seen: Seen, plan: Plan) -> Step | None:
    for group in seen.groups:
        if group.wanted is not None and (group.stack_status or "").startswith("DELETE"):
            whose = "the cluster" if group.stack == "cluster" else f"node group {group.name}"
            reason = f"The Heat stack of {whose} was deleted from outside Magnum."
            return steps.fail(seen, plan, reason, group)
    return None


def _heat_at_work(seen: Seen, plan: Plan) -> Step | None:
    for group in seen.groups:
        if (group.stack_status or "").endswith("_IN_PROGRESS"):
            action = (group.stack_status or "").partition("_")[0].lower()
            numbers = ", ".join(
                f"{other.asked} {other.kind}s"
                for other in seen.groups
                if other.stack == group.stack and other.wanted is not None
            )
            # A group that shall go, and whose change has not ended, has no number any more.
            makes = f"makes it {numbers}" if numbers else f"changes node group {group.name}"
            what = {"delete": f"deletes node group {group.name}"}.get(action, makes)
            return steps.wait(seen, plan, "heat", f"Heat {what}.")
    return None


def _heat_failed(seen: Seen, plan: Plan) -> Step | None:
    for group in seen.groups:
        if not (group.stack_status or "").endswith("_FAILED"):
            continue
        if steps.is_answered(plan, group):
            same = [one for one in seen.groups if one.stack == group.stack]
            if any(upgrade.no_room(seen, plan, one) for one in same):
                continue
            if _still_shrinks(plan, same):
                continue
            return steps.fail(
                seen,
                plan,
                group.failure or "Heat failed and gives no reason.",
                _at_fault(seen, plan, same),
            )
    return None


def _still_shrinks(plan: Plan, groups: Sequence[Group]) -> bool:
    """Return whether Heat failed, with one group of a stack, at nodes of another that are to go."""
    changed = [one for one in groups if plan.previous.get(one.uuid, one.asked) != one.asked]
    return any(
        group.wanted is not None
        and group.wanted < group.asked
        and plan.target(group) is None
        and any(one is not group for one in changed)
        for group in groups
    )


def _at_fault(seen: Seen, plan: Plan, groups: Sequence[Group]) -> Group:
    """Return which of the groups of one stack Heat failed at: one that is not as it shall be."""
    for group in groups:
        whole = seen.nodes is None or all(seen.is_well(group, one) for one in group.members)
        if plan.target(group) or group.wanted != len(group.members) or not whole:
            return group
    return next((one for one in groups if one.uuid in plan.pending), groups[0])


def _silence(seen: Seen, plan: Plan) -> Step | None:
    if seen.nodes is not None:
        return None
    said = f"Waiting for the swarm: {seen.silence}"
    return steps.wait(seen, plan, "docker", said, steps.PATIENCE)


def _begin(seen: Seen, plan: Plan) -> Step | None:
    """Take note of what was so when the operation began."""
    if plan.begun == plan.number:
        return None
    # Who asks for what is there already wants it to be well; so does who asks after a failure.
    unchanged = any(
        group.uuid in plan.resized and group.wanted == group.asked and group.uuid not in plan.named
        for group in seen.groups
    )
    if plan.resized and (plan.failed or unchanged):
        plan.repairs = [one.uuid for one in seen.groups if one.is_manager or not one.at_rest]
    plan.resized = []
    if not plan.previous:
        plan.previous = {
            # An upgrade that stopped may have left more.
            one.uuid: one.wanted if plan.target(one) else one.asked
            for one in seen.groups
            if one.wanted is not None
        }
        # Nobody waits for those, unless they are to be repaired. What Heat has yet to make comes.
        plan.absent = [
            member.server_id
            for one in seen.groups
            if not one.is_new
            for member in one.members
            if member.server_id and member.hostname in plan.away
        ]
    plan.begun, plan.repaired = plan.number, []
    plan.distance, plan.updates, plan.repeats, plan.waiting = None, 0, 0, None
    # What it had to wait for before does not count.
    _set_deadline(seen, plan)
    for group in seen.groups:
        _take_named(seen, plan, group)
    plan.named = {}
    healing.take_broken(seen, plan)
    upgrade.begin(seen, plan)
    return None


def _set_deadline(seen: Seen, plan: Plan) -> None:
    plan.allowance = allowance(seen, plan)
    plan.deadline = seen.now + plan.allowance


def allowance(seen: Seen, plan: Plan) -> int:
    """Return how many seconds an operation may take.

    That is the time-out of Heat's updates, at least an hour, and what draining and joining may take
    for each round of nodes that change one after the other.
    """
    rounds = sum(_rounds(seen, plan, group) for group in seen.groups)
    each = seen.drain_timeout + seen.join_timeout + steps.BOOT_SECONDS
    return max(OPERATION_SECONDS, seen.heat_timeout) + rounds * each


def _rounds(seen: Seen, plan: Plan, group: Group) -> int:
    """Return in how many rounds the nodes of a group change that do not change at once."""
    members = len(group.members)
    names = {member.hostname for member in group.members}
    lost = len(names & {*plan.away, *plan.broken})
    wanted = group.wanted or 0
    target = plan.target(group)
    if group.is_manager:
        # One at a time.
        replaced = members if target else len(plan.named.get(group.uuid, ()))
        return replaced + lost + abs(wanted - members)
    if target is not None:
        return -(-max(members, wanted) // max(1, target.batch)) + bool(lost)
    leaving = max(0, members - wanted) + len(plan.named.get(group.uuid, ()))
    # Some are drained at a time; those that come join together.
    lot = max(1, sum(len(one.members) for one in seen.groups) // steps.DRAIN_SHARE)
    return -(-leaving // lot) + bool(lost) + (wanted > members - leaving)


def _unmade(seen: Seen, plan: Plan) -> Step | None:
    """Fail where the conductor died that was to ask Heat for a group."""
    for group in seen.groups:
        if group.wanted is None or group.stack_status is not None:
            continue
        reason = f"Heat is being asked for node group {group.name}."
        step = steps.wait(seen, plan, f"group {group.uuid}", reason)
        if plan.waiting and seen.now - plan.waiting.since < MAKE_SECONDS:
            return step
        # A conductor that only stood still must not make it any more.
        plan.sent.pop(group.stack, None)
        return steps.fail(
            seen,
            plan,
            f"The making of node group {group.name} was interrupted before Heat was asked for it; "
            "delete it and create it again.",
            group,
        )
    return None


def _take_named(seen: Seen, plan: Plan, group: Group) -> None:
    for name in plan.named.get(group.uuid, ()):
        member = steps.resolve(group.members, name)
        if member is None:
            steps.note(plan, f"Node {name} was not in node group {group.name}.")
        else:
            steps.leave(seen, plan, group, member, "named")


def _ghosts(seen: Seen, plan: Plan) -> Step | None:
    """Remove entries of the swarm's list whose server is gone."""
    members = {member.hostname for group in seen.groups for member in group.members}
    listed = {node.hostname for node in seen.nodes or ()}
    for hostname in list(plan.leaving):
        if hostname not in members and hostname not in listed:
            del plan.leaving[hostname]
    ghosts = []
    for node in seen.nodes or ():
        if node.hostname not in members:
            dead = node.hostname in plan.leaving or (node.is_ours and node.state == "down")
        else:
            # Its server was replaced by another of the same name.
            twins = [one for one in seen.by_hostname[node.hostname] if one is not node]
            dead = node.state == "down" and any(twin.state == "ready" for twin in twins)
        if dead:
            ghosts.append(node)
    if not ghosts:
        return None
    managers = [node for node in ghosts if node.in_raft]
    if managers:
        return steps.demote(seen, plan, managers[0], "its server is gone")
    names = steps.listed(node.hostname for node in ghosts)
    return steps.act(
        plan,
        f"Removing {names} from the swarm, whose servers are gone.",
        *(Forget(node.id) for node in ghosts),
        soon=True,
    )


def _gone_groups(seen: Seen, plan: Plan) -> Step | None:
    """Empty and delete the groups that shall go."""
    for group in seen.groups:
        if group.wanted is not None:
            continue
        if group.stack_status is None:
            plan.sent.pop(group.stack, None)
            plan.labels.pop(group.uuid, None)
            plan.desired.pop(group.uuid, None)
            plan.projected.pop(group.uuid, None)
            return steps.act(
                plan, f"Node group {group.name} is gone.", DropGroup(group.uuid), soon=True
            )
        for member in group.members:
            steps.leave(seen, plan, group, member, "named")
        if step := steps.vacate(seen, plan, group.members, group):
            return step
        plan.sent[group.stack] = Sent(plan.number, group.stack_updated)
        return steps.act(
            plan, f"Heat is asked to delete node group {group.name}.", DeleteStack(group.uuid)
        )
    return None


def _labels(seen: Seen, plan: Plan) -> Step | None:
    """Give nodes their group's labels; others, which their owner set, stay."""
    actions: list[Action] = []
    for group in seen.groups:
        if group.labels is None or group.wanted is None:
            continue
        differing = _mislabelled(seen, plan, group)
        # Once nodes have a label the plan says so until it is off all of them again.
        old = plan.labels.get(group.uuid, []) if differing else ()
        plan.labels[group.uuid] = sorted({*old, *group.labels})
        actions += differing
    if not actions:
        return None
    return steps.act(plan, "Setting the labels of nodes.", *actions[:_LABELS_PER_STEP], soon=True)


def _mislabelled(seen: Seen, plan: Plan, group: Group) -> list[SetNode]:
    """Return what gives the nodes of a group its labels, and takes off those it has no more."""
    if group.labels is None or group.wanted is None:
        return []
    labels, old = group.labels, plan.labels.get(group.uuid, [])
    found = []
    for node in filter(None, map(seen.node, group.members)):
        gone = tuple(sorted(key for key in {*old} - {*labels} if key in node.labels))
        if gone or any(node.labels.get(key) != value for key, value in labels.items()):
            found.append(SetNode(node.id, labels=labels, without=gone))
    return found


def _arrivals(seen: Seen, plan: Plan) -> Step | None:
    """Wait until whatever Heat made is in the swarm."""
    missing = [
        (group, member)
        for group in seen.groups
        for member in group.members
        if not seen.is_well(group, member)
        and not group.at_rest
        and (group.uuid in plan.repairs or member.server_id not in plan.absent)
    ]
    return steps.late(seen, plan, missing)
