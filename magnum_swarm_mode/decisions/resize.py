# SPDX-License-Identifier: Apache-2.0
"""What is to be done next for groups with too few, too many or broken nodes; pure functions.

Managers leave one after the other: demoted, drained, taken away by Heat. Workers are drained some
at a time. Heat makes what is missing, and makes anew what does not come back.
"""

from collections.abc import Sequence
from typing import Any

from magnum_swarm_mode.decisions import roles, steps, upgrade
from magnum_swarm_mode.decisions.model import (
    FreePorts,
    Group,
    Member,
    Outcome,
    Plan,
    Resize,
    Seen,
    Step,
)

# How long nodes that are away may take to come back before a repair replaces them.
REPAIR_SECONDS = 60


def managers(seen: Seen, plan: Plan) -> Step | None:
    """Return the next step for the managers; None when they are as they shall be."""
    group = next(one for one in seen.groups if one.is_manager)
    wanted = group.wanted or 0
    if _workers_go_first(seen, plan, group):
        return None
    if step := _spare_ports(plan, group):
        return step
    if upgrade.workers_first(seen, plan, group):
        return None
    target = plan.target(group)
    if target is not None and _may_be_upgraded(plan, group):
        if step := upgrade.managers(seen, plan, group, target):
            return step
    elif group.uuid in plan.repairs and (step := _replace_broken(seen, plan, group)):
        return step
    _choose(seen, plan, group)
    victims = [member for member in group.members if member.hostname in plan.leaving]
    if not victims and (group.asked == wanted or _left_to_upgrade(seen, plan, group)):
        # What Heat failed at in their stack, it tries again with the next request for workers.
        return None
    if step := _refuse_with_lost(seen, plan, group, victims):
        return step
    now = _may_go_now(seen, group, victims)
    if victims and not now:
        return _await_managers(seen, plan, group)
    if now and (step := _dismiss(seen, plan, group, now)):
        return step
    # Heat would choose those itself that leave beyond the ones which are named now.
    count = max(wanted, len(group.members) - len(now)) if now else wanted
    return _ask_heat(plan, group, count, now)


def _may_go_now(seen: Seen, group: Group, victims: Sequence[Member]) -> list[Member]:
    """Return those managers that leave now: no more than one is missing because of that."""
    well = [member for member in group.members if seen.is_well(group, member)]
    spare = max(0, len(well) - (group.wanted or 0) + 1)
    away = [member for member in victims if member not in well]
    # The leader is the last.
    others = sorted(
        (member for member in victims if member in well),
        key=lambda member: any(node.leader for node in seen.entries(member)),
    )
    return [*away, *others[:spare]]


def _await_managers(seen: Seen, plan: Plan, group: Group) -> Step:
    """Have as many managers as there shall be, before the next one leaves."""
    late = [
        member
        for member in group.members
        if not seen.is_well(group, member) and member.hostname not in plan.leaving
    ]
    for member in late:
        if report := steps.reported(seen, member):
            return steps.fail(seen, plan, report, group)
    if not any(member.server_id for member in late):
        # There are not as many yet as there shall be, and none comes by itself.
        return _ask_heat(plan, group, group.wanted or 0, ())
    names = steps.listed(member.hostname for member in late)
    return steps.wait(
        seen,
        plan,
        f"arrivals {names}",
        f"Waiting until {names} joined the swarm, before another manager leaves.",
        seen.join_timeout + steps.BOOT_SECONDS,
        group,
    )


def _spare_ports(plan: Plan, group: Group) -> Step | None:
    """Have the ports deleted of managers that are gone."""
    if group.has_spare_ports:
        # Indices of servers and ports must stay the same, so nothing new is begun before.
        if (group.stack_status or "").endswith("_FAILED"):
            if _only_shrinks(plan, group):
                return None
            return _ask_heat(plan, group, group.asked, ())
        steps.ask(plan, group)
        reason = "Heat is asked to delete the ports of the managers that are gone."
        return steps.act(plan, reason, FreePorts(group.uuid))
    return None


def _only_shrinks(plan: Plan, group: Group) -> bool:
    """Return whether managers leave and none is made, so that all that stay keep their ports."""
    over = len(group.members) - (group.wanted or 0)
    leaving = sum(member.hostname in plan.leaving for member in group.members)
    return (group.wanted or 0) < group.asked and leaving <= over


def _dismiss(seen: Seen, plan: Plan, group: Group, victims: Sequence[Member]) -> Step | None:
    """Demote and empty managers that leave; None once that is done."""
    if step := steps.unlisted(seen, plan, victims):
        return step
    raft = [node for member in victims for node in seen.entries(member) if node.in_raft]
    # First whoever is lost, and the leader last.
    raft.sort(key=lambda node: (node.role == "manager", node.reachable, node.leader))
    if raft:
        why = f"{len(group.members) - len(victims)} of {len(group.members)} managers stay"
        return steps.demote(seen, plan, raft[0], why, group)
    if not any(node.in_raft and node.leader for node in seen.nodes or ()):
        return steps.wait(seen, plan, "leader", "The managers choose a leader.", steps.PATIENCE)
    if step := steps.empty(seen, plan, victims):
        return step
    return None


def _workers_go_first(seen: Seen, plan: Plan, group: Group) -> bool:
    """Return whether workers in the managers' failed stack need Heat before the managers do.

    Heat would fail again at workers that are to go. It would also delete workers that it failed to
    delete before, which have their tasks again.
    """
    return (group.stack_status or "").endswith("_FAILED") and any(
        not one.is_manager
        and one.stack == group.stack
        and one.wanted is not None
        and (one.wanted < one.asked or _is_left_to_delete(one))
        and plan.target(one) is None
        for one in seen.groups
    )


def _is_left_to_delete(group: Group) -> bool:
    """Return whether Heat failed to delete nodes, which any request about the stack would do."""
    return group.asked < len(group.members)


def _left_to_upgrade(seen: Seen, plan: Plan, group: Group) -> bool:
    """Return whether the upgrade of a group in the same stack asks Heat next."""
    return group.asked == group.wanted and any(
        plan.target(one) for one in seen.groups if one.stack == group.stack and one is not group
    )


def _may_be_upgraded(plan: Plan, group: Group) -> bool:
    """Return whether managers are as many as they shall be, with the second of a single one."""
    named = any(one.group == group.uuid and one.why == "named" for one in plan.leaving.values())
    return not named and (group.asked == group.wanted or (group.wanted == 1 and group.asked == 2))


def _refuse_with_lost(
    seen: Seen, plan: Plan, group: Group, victims: Sequence[Member]
) -> Step | None:
    """Refuse to change the number of managers while one is lost that is not among the victims."""
    raft = [node for node in seen.nodes or () if node.in_raft]
    names = {member.hostname for member in victims} & {node.hostname for node in raft}
    if victims and not names:
        # Whoever leaves has left the quorum already.
        return None
    lost = [node for node in raft if not node.reachable and node.hostname not in names]
    if not lost:
        return None
    reachable = sum(node.reachable for node in raft)
    name = lost[0].hostname
    if names:
        rest = len(raft) - len(names)
        stays = sum(node.reachable for node in raft if node.hostname not in names)
        consequence = (
            f"removing {len(names)} that work would leave {stays} reachable of {rest}, of which "
            f"{roles.quorum(rest)} are needed for a quorum and none more could fail"
            if stays == roles.quorum(rest)
            else f"removing {len(names)} that work would leave {stays} reachable of {rest}, where "
            f"{roles.quorum(rest)} are needed for a quorum"
        )
    else:
        consequence = "none joins before all are"
    return steps.fail(
        seen,
        plan,
        f"Changing the number of managers is refused: {reachable} of {len(raft)} managers are "
        f"reachable ({name} is not), and {consequence}. Name {name} among the nodes to remove, or "
        "resize default-master to its present number to have it replaced.",
        group,
        undone=not plan.is_upgrading,
    )


def lost_workers(seen: Seen, plan: Plan) -> Step | None:
    """Replace workers that are lost before managers are changed.

    Workers are told the managers' addresses, so that Heat goes to each worker when these change,
    and fails at one whose server was deleted behind its back.
    """
    for group in seen.groups:
        if group.is_manager or group.wanted != group.asked or plan.target(group):
            continue
        if _is_left_to_delete(group):
            # Those are to be drained first.
            continue
        if group.uuid in plan.repairs and (step := _replace_broken(seen, plan, group)):
            if step.outcome is Outcome.GOES_ON and _managers_wait_long(seen, plan):
                continue
            return step
        leaving = [one for one in group.members if one.hostname in plan.leaving]
        lost = [one for one in leaving if plan.leaving[one.hostname].why == "broken"]
        if lost and lost == leaving:
            return _ask_heat(plan, group, group.asked, lost)
    return None


def _managers_wait_long(seen: Seen, plan: Plan) -> bool:
    """Return whether lost managers have waited for workers that come and go for long enough."""
    return any(
        _seconds_away(seen, plan, member) >= 3 * REPAIR_SECONDS
        for group in seen.groups
        if group.is_manager and group.uuid in plan.repairs
        for member in group.members
    )


def workers(seen: Seen, plan: Plan) -> Step | None:
    """Return the next step for groups of workers; None when they are as they shall be."""
    for group in seen.groups:
        if group.is_manager or group.wanted is None:
            continue
        if target := plan.target(group):
            if step := upgrade.workers(seen, plan, group, target):
                return step
            continue
        if group.at_rest and all(one.group != group.uuid for one in plan.leaving.values()):
            continue
        if group.uuid in plan.repairs and (step := _replace_broken(seen, plan, group)):
            return step
        _choose(seen, plan, group)
        victims = [member for member in group.members if member.hostname in plan.leaving]
        if victims and (step := steps.vacate(seen, plan, victims, group)):
            return step
        if victims or _needs_heat(group):
            return _ask_heat(plan, group, group.wanted, victims)
    return _returned(seen, plan)


def _returned(seen: Seen, plan: Plan) -> Step | None:
    """Let nodes work again that were to leave and stay after all."""
    actions = steps.repayment(seen.nodes or (), plan.debts)
    if not actions:
        plan.debts = steps.unpaid(seen.nodes, plan.debts)
        return None
    ids = {action.node_id for action in actions}
    names = steps.listed(node.hostname for node in seen.nodes or () if node.id in ids)
    return steps.act(plan, f"{names} stay after all.", *actions, soon=True)


def _replace_broken(seen: Seen, plan: Plan, group: Group) -> Step | None:
    """Have the nodes of a group replaced that do not come back; None once that is arranged."""
    away = [
        member
        for member in group.members
        if not seen.is_well(group, member) and member.hostname not in plan.leaving
    ]
    # A node that was made for this very request is waited for longer, and elsewhere.
    if not away or group.uuid in plan.repaired:
        return None
    for member in away:
        node = seen.node(member)
        if node is not None and node.is_well and node.in_raft and not group.is_manager:
            # It works, and counts for the quorum until it is demoted.
            return steps.demote(seen, plan, node, "a user promoted it", group)
    lost = [one for one in away if _seconds_away(seen, plan, one) >= REPAIR_SECONDS]
    if not lost:
        names = steps.listed(member.hostname for member in away)
        return steps.wait(seen, plan, f"back {group.uuid}", f"Waiting whether {names} comes back.")
    for member in lost:
        steps.leave(seen, plan, group, member, "broken")
    steps.note(plan, f"Replaced {steps.listed(member.hostname for member in lost)}.")
    return None


def _seconds_away(seen: Seen, plan: Plan, member: Member) -> int:
    return seen.now - plan.away.get(member.hostname, seen.now)


def _choose(seen: Seen, plan: Plan, group: Group) -> None:
    """Choose who leaves beside those that must, and let nodes stay that need not leave any more."""
    wanted = group.wanted or 0
    staying = [member for member in group.members if member.hostname not in plan.leaving]
    over = len(staying) - wanted
    if over > 0:
        staying.sort(key=lambda member: _rank(seen, group, member))
        for member in staying[:over]:
            steps.leave(seen, plan, group, member, "excess")
    elif over < 0:
        spare = [
            hostname
            for hostname, entry in plan.leaving.items()
            if entry.group == group.uuid and entry.why == "excess"
        ]
        for hostname in spare[:-over]:
            plan.debts[hostname] = steps.debt_of(plan.leaving.pop(hostname))


def _rank(seen: Seen, group: Group, member: Member) -> tuple[Any, ...]:
    """Order the nodes of a group: who leaves first."""
    if group.is_manager:
        # Whoever is lost may come back: that it shall go is for the user to say.
        entries = [entry for entry in seen.entries(member) if entry.in_raft]
        lost = any(not entry.reachable for entry in entries)
        leads = any(entry.leader for entry in entries)
        return (bool(entries), lost, leads, -member.number)
    return steps.rank(seen, group, member)


def _ask_heat(plan: Plan, group: Group, count: int, victims: Sequence[Member]) -> Step:
    steps.ask(plan, group)
    plan.repaired.append(group.uuid)
    removals = tuple(member.index for member in victims)
    change = f"from {group.asked} to {count}" if group.asked != count else f"{count} again"
    reason = f"Heat is asked to make the {group.kind}s of {group.name} {change}"
    if victims:
        reason += f", without {steps.listed(member.hostname for member in victims)}"
    return steps.act(plan, f"{reason}.", Resize(group.uuid, count, removals))


def _needs_heat(group: Group) -> bool:
    """Return whether Heat must be asked although nobody is to leave."""
    return group.asked != group.wanted or (group.stack_status or "").endswith("_FAILED")
