# SPDX-License-Identifier: Apache-2.0
"""What is to be done next for a group that is being upgraded; pure functions.

*Workers* are two ResourceGroups, of which an upgrade fills one and empties the other::

    a new node is not in the swarm yet   wait, and give up in time
    more nodes than wanted               drain as many old ones, remove them from Heat
    old ones are left                    have Heat make some new ones

Where a quota has no room for more nodes than there are, old ones go first. A ResourceGroup that
holds what neither the old nor the new template asks for is emptied into the other before.

*Managers* are replaced one after the other: drained, demoted, taken away by Heat and made again on
the same port, as the only one that is away. The leader is the last. A single manager gets a second
one beside it, which stays.

What is seen in Heat decides, so that whoever looks next goes on where another conductor died.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from magnum_swarm_mode.decisions import roles, steps
from magnum_swarm_mode.decisions.model import (
    GREEN,
    Forget,
    Group,
    Member,
    Node,
    Plan,
    Recolour,
    Remake,
    Resize,
    Seen,
    Step,
)
from magnum_swarm_mode.decisions.upgrade_plan import Target

_QUOTA = re.compile("(?i)quota")
_BLUE = ""
# Among the managers that are named in Heat, stands for all others.
DEFAULT = "default"

Machines = dict[str, dict[str, Any]]


def begin(seen: Seen, plan: Plan) -> None:
    """Take note of what nodes are made of, and which new ones did not become ready."""
    upgrade = plan.upgrade
    if upgrade is None:
        return
    if upgrade.over:
        plan.upgrade = None
        return
    for group in seen.groups:
        plan.seals.setdefault(group.uuid, list(group.seals))
    if upgrade.running:
        return
    upgrade.running = True
    for group in seen.groups:
        target = plan.target(group)
        if target is not None:
            target.redo = [
                member.hostname for member in group.members if not seen.is_well(group, member)
            ]


def workers_first(seen: Seen, plan: Plan, group: Group) -> bool:
    """Return whether Heat would fail at a request for managers, because of broken new workers."""
    return not _is_whole(group) and any(
        target.redo
        for one in seen.groups
        if not one.is_manager and one.stack == group.stack and (target := plan.target(one))
    )


def no_room(seen: Seen, plan: Plan, group: Group) -> bool:
    """Return whether Heat failed for want of room for new nodes, and let old ones go first then."""
    target = plan.target(group)
    if (
        target is None
        or target.old_first
        or group.is_manager
        or seen.nodes is None
        or not _QUOTA.search(group.failure)
        or any(one.is_manager and plan.target(one) for one in seen.groups)
    ):
        return False
    target.old_first = True
    plan.sent.pop(group.stack, None)
    filling = _filling(plan, group, target)
    for member in group.members:
        if _colour(member) == filling and not seen.is_well(group, member):
            steps.leave(seen, plan, group, member, "broken")
    steps.note(
        plan,
        f"The old nodes of {group.name} went first, as there was no room for more: {group.failure}",
    )
    return True


def told(seen: Seen, plan: Plan, reason: str | None, *, failed: bool) -> str | None:
    """Return a sentence with where the upgrade is."""
    staying = [one for one in seen.groups if one.wanted is not None]
    current = next(((one, t) for one in staying if (t := plan.target(one))), None)
    if current is None or reason is None:
        return reason
    group, target = current
    where = f"{target.ready} of {group.wanted}"
    if not failed:
        return f"Upgrading {group.name}: {where} done. {reason}"
    return (
        f"Upgrading {group.name} stopped with {where} done: {reason.rstrip()} The cluster works. "
        f"Resize {group.name} to {group.wanted} to try again, or upgrade to the former template "
        "to go back."
    )


# Workers


def workers(seen: Seen, plan: Plan, group: Group, target: Target) -> Step | None:
    """Return the next step for a group of workers; None once it is upgraded."""
    wanted = group.wanted or 0
    aim = _aim(plan, group, target)
    filling = _filling(plan, group, target)
    for member in group.members:
        if member.hostname in target.redo and _colour(member) == aim:
            steps.leave(seen, plan, group, member, "broken")
    new: list[Member] = []
    old: list[Member] = []
    for member in group.members:
        if member.hostname not in plan.leaving:
            (new if _colour(member) == filling else old).append(member)
    target.ready = sum(
        seen.is_well(group, one) for one in group.members if filling == aim and one in new
    )
    if step := steps.late(
        seen, plan, [(group, one) for one in new if not seen.is_well(group, one)]
    ):
        return step
    total = len(new) + len(old)
    leavers = [one for one in group.members if one.hostname in plan.leaving]
    surplus = total - wanted
    if surplus <= 0 and old and not leavers and target.old_first and total == wanted:
        surplus = target.batch
    if surplus > 0:
        # Whoever is left over if that is more than there are old ones is new.
        order = sorted(old, key=lambda one: steps.rank(seen, group, one))
        order += sorted(new, key=lambda one: steps.rank(seen, group, one))
        for member in order[: min(surplus, total)]:
            steps.leave(seen, plan, group, member, "upgraded")
            leavers.append(member)
    if leavers:
        if step := steps.vacate(seen, plan, leavers, group):
            return step
        new = [one for one in new if one not in leavers]
        old = [one for one in old if one not in leavers]
        return _recolour(seen, plan, group, target, len(new), len(old), leavers)
    add = wanted - total if target.old_first else wanted - total + target.batch * bool(old)
    add = max(0, min(add, wanted - len(new)))
    looks_right = group.seals[0] == group.seals[1] and _is_told(plan, group, target, aim)
    if not add and not old and filling == aim and looks_right and _is_whole(group):
        target.done, target.ready = True, wanted
        return None
    return _recolour(seen, plan, group, target, len(new) + add, len(old), ())


def _is_told(plan: Plan, group: Group, target: Target, aim: str) -> bool:
    """Return whether Heat was asked for what the new nodes are made of."""
    asked = target.told and steps.is_answered(plan, group)
    return asked or group.seals[aim == GREEN] == target.seal


def _is_whole(group: Group) -> bool:
    return not (group.stack_status or "").endswith("_FAILED")


def _colour(member: Member) -> str:
    return GREEN if member.is_green else _BLUE


def _aim(plan: Plan, group: Group, target: Target) -> str:
    """Return the colour that the nodes shall have in the end."""
    seals = plan.seals.get(group.uuid, list(group.seals))
    present = [_colour(member) for member in group.members]
    fitting = [c for c, seal in zip((_BLUE, GREEN), seals, strict=True) if seal == target.seal]
    if fitting:
        # If both would do, the one with more nodes is there already.
        return max(fitting, key=lambda c: (present.count(c), c == _BLUE))
    return min((GREEN, _BLUE), key=present.count)


def _filling(plan: Plan, group: Group, target: Target) -> str:
    """Return the colour that gets more nodes now: the other one while the aim holds wrong ones."""
    aim = _aim(plan, group, target)
    seals = plan.seals.get(group.uuid, list(group.seals))
    wrong = seals[aim == GREEN] != target.seal
    if wrong and any(_colour(member) == aim for member in group.members):
        return _BLUE if aim == GREEN else GREEN
    return aim


def _recolour(
    seen: Seen,
    plan: Plan,
    group: Group,
    target: Target,
    new: int,
    old: int,
    leavers: Sequence[Member],
) -> Step:
    aim, filling = _aim(plan, group, target), _filling(plan, group, target)
    blue, green = (new, old) if filling == _BLUE else (old, new)
    looks: dict[str, tuple[str, str]] = {}
    renew = False
    if filling == aim:
        renew = not _is_told(plan, group, target, aim)
        target.told = True
        looks[aim] = (target.image, target.flavor)
        colours = [aim]
        if not old:
            # The empty one must not name an image that may be deleted now.
            other = _BLUE if aim == GREEN else GREEN
            looks[other] = looks[aim]
            colours.append(other)
        for colour in colours:
            plan.seals[group.uuid][colour == GREEN] = target.seal
    steps.ask(plan, group)
    removals = tuple(member.index for member in leavers)
    reason = f"Heat is asked for {new} new and {old} old workers of {group.name}"
    if filling != aim:
        reason = f"Heat is asked to empty what another template filled of {group.name}"
    if leavers:
        reason += f", without {steps.listed(one.hostname for one in leavers)}"
    pins = _pins_of_others(seen, plan, target) if renew and group.stack == "cluster" else None
    return steps.act(
        plan,
        f"{reason}.",
        Recolour(group.uuid, blue, green, removals, looks, renew=renew, machines=pins),
    )


def _pins_of_others(seen: Seen, plan: Plan, target: Target) -> Machines | None:
    """Return what managers are that shall not change when the settings of new nodes do."""
    for group in seen.groups:
        if not group.is_manager or plan.upgrade is None:
            continue
        own = plan.upgrade.groups.get(group.uuid)
        if own is None or own.template != target.template:
            return {
                **{
                    index: dict(one)
                    for index, one in group.machines.items()
                    # What new ones are made of is another thing now.
                    if index != DEFAULT
                },
                **{
                    one.index: _pin(group)
                    for one in group.members
                    if one.index not in group.machines
                },
            }
    return None


# Managers


def managers(seen: Seen, plan: Plan, group: Group, target: Target) -> Step | None:
    """Return the next step for the managers.

    None once they are upgraded, and where one that is to be removed is all that is left to do.
    """
    machines = group.machines
    absent = [one for one in group.members if machines.get(one.index, {}).get("absent")]
    old: list[Member] = []
    new: list[Member] = []
    for member in group.members:
        if member not in absent:
            again = member.hostname in target.redo or _seal(group, member) != target.seal
            (old if again else new).append(member)
    target.ready = sum(seen.is_well(group, one) for one in new)
    if absent:
        return _make_again(seen, plan, group, target, absent)
    if step := steps.late(
        seen, plan, [(group, one) for one in new if not seen.is_well(group, one)]
    ):
        return step
    renewed = group.seals[0] == target.seal
    if old:
        old.sort(key=lambda one: _order(seen, group, one))
        if step := _refuse_with_lost(seen, plan, group, old[0]):
            return step
        if group.wanted == 1:
            return _single(seen, plan, group, target, old[0])
        return _take_away(seen, plan, group, target, old[0])
    if not renewed or any(one.index in machines for one in new):
        if not _is_whole(group):
            # What is broken is somewhere else, and Heat would only fail at it again.
            return None
        return _remake(plan, group, target, {}, "Heat is asked to make all managers alike.")
    target.done, target.ready = True, group.wanted or 0
    return None


def _seal(group: Group, member: Member) -> str:
    return str(group.machines.get(member.index, {}).get("seal") or group.seals[0])


def _pin(group: Group) -> dict[str, Any]:
    return {"image": group.image, "flavor": group.flavor, "seal": group.seals[0]}


def _pins(group: Group, target: Target) -> Machines:
    """Return what Heat must be told of the managers that are not what new ones will be."""
    return {
        member.index: dict(group.machines.get(member.index) or _pin(group))
        for member in group.members
        if not group.machines.get(member.index, {}).get("absent")
        and _seal(group, member) != target.seal
    }


def _order(seen: Seen, group: Group, member: Member) -> tuple[Any, ...]:
    leads = any(entry.leader for entry in seen.entries(member))
    return (seen.is_well(group, member), leads, member.number)


def _refuse_with_lost(seen: Seen, plan: Plan, group: Group, victim: Member) -> Step | None:
    """Replace no manager while another one is lost."""
    raft = [node for node in seen.nodes or () if node.in_raft]
    lost = [node for node in raft if not node.reachable and node.hostname != victim.hostname]
    if not lost:
        return None
    rest = len(raft) - 1
    stays = sum(node.reachable for node in raft if node.hostname != victim.hostname)
    return steps.fail(
        seen,
        plan,
        f"Upgrading the managers is refused: {sum(node.reachable for node in raft)} of {len(raft)} "
        f"managers are reachable ({lost[0].hostname} is not), and without {victim.hostname} "
        f"{stays} of {rest} would be, where {roles.quorum(rest)} are needed for a quorum and none "
        "more could fail.",
        group,
    )


def _take_away(seen: Seen, plan: Plan, group: Group, target: Target, victim: Member) -> Step:
    """Drain, demote and take away one of several managers."""
    steps.leave(seen, plan, group, victim, "upgraded")
    if step := steps.unlisted(seen, plan, [victim]):
        return step
    if step := steps.empty(seen, plan, [victim]):
        return step
    raft = [node for node in seen.entries(victim) if node.in_raft]
    if raft:
        why = f"{len(group.members) - 1} of {len(group.members)} managers stay"
        return steps.demote(seen, plan, raft[0], why, group, undone=False)
    if not any(node.in_raft and node.leader for node in seen.nodes or ()):
        return steps.wait(seen, plan, "leader", "The managers choose a leader.", steps.PATIENCE)
    # It is owed its place until Heat shows that it is away; see _make_again.
    machines = {**_pins(group, target), victim.index: {"absent": True}}
    return _remake(plan, group, target, machines, f"Heat is asked to take {victim.hostname} away.")


def _make_again(
    seen: Seen, plan: Plan, group: Group, target: Target, absent: Sequence[Member]
) -> Step:
    """Have a manager made again that was taken away."""
    for member in absent:
        plan.leaving.pop(member.hostname, None)
    entries: list[Node] = [node for one in absent for node in seen.entries(one)]
    for node in entries:
        if node.in_raft:
            return steps.demote(seen, plan, node, "its server is gone", group, undone=False)
    names = steps.listed(one.hostname for one in absent)
    if entries:
        return steps.act(
            plan,
            f"Removing {names} from the swarm, to be made again.",
            *(Forget(node.id) for node in entries),
            soon=True,
        )
    target.redo = [name for name in target.redo if name not in [one.hostname for one in absent]]
    return _remake(
        plan, group, target, _pins(group, target), f"Heat is asked to make {names} again."
    )


def _single(seen: Seen, plan: Plan, group: Group, target: Target, victim: Member) -> Step | None:
    """Put a second manager beside the only one, and let the first one go."""
    made = [one for one in group.members if _seal(group, one) == target.seal]
    for member in made:
        if member.hostname in target.redo:
            # It never became ready: another one takes its place.
            steps.leave(seen, plan, group, member, "broken")
    if not made and len(group.members) > 1:
        # Another upgrade had come so far: back to one first.
        steps.leave(seen, plan, group, victim, "upgraded")
    if any(one.hostname in plan.leaving for one in group.members):
        return None
    if group.seals[0] != target.seal or victim.index not in group.machines:
        reason = "Heat is told what the next manager is made of."
        return _remake(plan, group, target, _pins(group, target), reason)
    if not made:
        steps.ask(plan, group)
        return steps.act(
            plan,
            f"Heat is asked for a second manager, which takes the place of {victim.hostname}: the "
            "address of the Docker API changes.",
            Resize(group.uuid, 2),
        )
    steps.leave(seen, plan, group, victim, "upgraded")
    steps.note(
        plan,
        f"{made[0].hostname} took the place of {victim.hostname}, the only manager: the Docker "
        "API has another address now (cluster-config gives it).",
    )
    return None


def _remake(
    plan: Plan,
    group: Group,
    target: Target,
    machines: Mapping[str, Mapping[str, Any]],
    reason: str,
) -> Step:
    steps.ask(plan, group)
    renew = group.seals[0] != target.seal
    named = {**machines, DEFAULT: {"seal": target.seal}}
    return steps.act(
        plan, reason, Remake(group.uuid, target.image, target.flavor, named, renew=renew)
    )
