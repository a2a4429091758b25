# SPDX-License-Identifier: Apache-2.0
"""What is to be done next about a cluster that shall change; a pure function.

The wanted numbers of nodes are Magnum's own rows, so that whoever asks for another number while an
operation is under way is served next: nothing that Heat does is ever cut off. What was begun, and
with which nodes, is the plan, kept in the cluster's record. One look at Heat and the swarm leads to
one step::

    Heat is at work                      wait
    Heat failed at what it was asked     fail (or go back, where that was asked for)
    a node without a server              remove it from the swarm
    too many managers                    demote one at a time, drain, remove from Heat
    too many workers                     drain some at a time, remove from Heat
    too few of either                    have Heat make them, wait until they are in the swarm
    a group that shall go                drain it, delete its stack
    node labels that differ              set them
    nothing                              complete

No step is taken that would cost the managers their quorum; the plan's owner is told why.
"""

import copy
import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# How long a demotion, or the swarm's answer, may take before the operation is given up, in seconds.
PATIENCE = 300
# What a new node may take beside the time in which it tries to join.
BOOT_SECONDS = 300
# How long a conductor may take to ask Heat for a new group.
MAKE_SECONDS = 180
# How long nodes that are away may take to come back before a repair replaces them.
REPAIR_SECONDS = 60
# The part of a cluster's nodes that is emptied at a time.
_DRAIN_SHARE = 10
_LABELS_PER_STEP = 50
_MOST_NAMES = 5

ACTIVE, PAUSE, DRAIN = "active", "pause", "drain"
# What the indices of a group's second colour begin with.
GREEN = "g"


@dataclasses.dataclass(frozen=True)
class Member:
    """A server that Heat has in a group.

    :ivar index: as users and host names have it; it begins with ``GREEN`` for one of the second of
        the two ResourceGroups that a group of workers is.
    :ivar server_id: empty for one that could not be made, or is away while it is replaced.
    """

    index: str
    hostname: str
    server_id: str = ""

    @property
    def is_green(self) -> bool:
        """Whether it is of the second colour."""
        return self.index.startswith(GREEN)

    @property
    def number(self) -> int:
        """Its index in its ResourceGroup."""
        digits = self.index.removeprefix(GREEN)
        return int(digits) if digits.isdigit() else 0


@dataclasses.dataclass(frozen=True)
class Node:
    """An entry of the swarm's list of nodes.

    :ivar tasks: how many tasks are on it that have not ended.
    :ivar role: what it shall be, ``manager`` or ``worker``; ``in_raft`` says what it is.
    """

    id: str
    hostname: str
    state: str = "ready"
    availability: str = ACTIVE
    role: str = "worker"
    in_raft: bool = False
    reachable: bool = False
    leader: bool = False
    tasks: int = 0
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Whether it is ready, and reached by the others if it is a manager."""
        return self.state == "ready" and (self.reachable or not self.in_raft)


@dataclasses.dataclass(frozen=True)
class Group:
    """A node group as it is wanted, and as Heat has it.

    :ivar wanted: how many nodes there shall be; None for a group that shall go.
    :ivar asked: how many nodes Heat was last asked for.
    :ivar stack: names the stack that holds the group; others may be in the same.
    :ivar stack_status: as ``UPDATE_COMPLETE``; None where there is no stack (any more).
    :ivar stack_updated: when Heat last began to change the stack, in Heat's words.
    :ivar failure: what failed first in the stack.
    :ivar labels: labels of the swarm that its nodes shall have; None where they are nobody's.
    :ivar is_new: whether it is being created.
    :ivar at_rest: whether nobody asked for anything of it.
    :ivar has_spare_ports: whether Heat keeps ports of managers that are gone: Neutron lets a port
        go only after its server.
    """

    uuid: str
    name: str
    is_manager: bool
    wanted: int | None
    asked: int
    members: tuple[Member, ...]
    stack: str = "cluster"
    stack_status: str | None = "CREATE_COMPLETE"
    stack_updated: str = ""
    failure: str = ""
    labels: Mapping[str, str] | None = None
    is_new: bool = False
    at_rest: bool = False
    has_spare_ports: bool = False

    @property
    def kind(self) -> str:
        """The word for its nodes."""
        return "manager" if self.is_manager else "worker"


@dataclasses.dataclass
class Leaving:
    """A node that is being removed.

    :ivar why: ``named`` by the user, in ``excess``, or ``broken``.
    :ivar was: its availability before.
    :ivar since: seconds since 1970 at which it began to be drained; 0 before.
    """

    group: str
    why: str
    was: str = ACTIVE
    since: int = 0


@dataclasses.dataclass
class Plan:
    """What is under way, as the cluster's record keeps it; times are seconds since 1970.

    :ivar number: how many requests there were so far.
    :ivar begun: the last of them that was looked at.
    :ivar named: group to what the user calls the nodes to remove.
    :ivar rollback: whether a failure leads back to the numbers before.
    :ivar previous: group to the number of nodes before.
    :ivar resized: whether a number of nodes was asked for, and not only something else.
    :ivar repair: whether nodes that are away are replaced.
    :ivar repaired: groups for which Heat was asked since the operation began.
    :ivar staying: host name to availability of nodes that were to leave and stay after all.
    :ivar newest: group to the highest index before; only nodes with higher ones are waited for.
    :ivar leaving: host name to node that is being removed.
    :ivar sent: stack to the request for which Heat was last asked, and what ``stack_updated`` was.
    :ivar waiting: what is waited for, and since when.
    :ivar labels: group to the labels of the swarm that were set.
    :ivar notes: what is to be said at the end.
    :ivar failed: why the last operation failed; empty after one that did not.
    :ivar troubled: since when a step could not be taken; 0 where the last one could.
    """

    number: int = 0
    begun: int = 0
    named: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    rollback: bool = False
    previous: dict[str, int] = dataclasses.field(default_factory=dict)
    resized: bool = False
    repair: bool = False
    repaired: list[str] = dataclasses.field(default_factory=list)
    staying: dict[str, str] = dataclasses.field(default_factory=dict)
    newest: dict[str, int] = dataclasses.field(default_factory=dict)
    leaving: dict[str, Leaving] = dataclasses.field(default_factory=dict)
    sent: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    waiting: list[Any] = dataclasses.field(default_factory=list)
    labels: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    failed: str = ""
    troubled: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Plan":
        """Read what :meth:`to_json` gave, also that of a newer release."""
        names = {field.name for field in dataclasses.fields(cls)}
        known = {name: copy.deepcopy(v) for name, v in values.items() if name in names}
        known["leaving"] = {k: Leaving(**v) for k, v in known.get("leaving", {}).items()}
        return cls(**known)

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return dataclasses.asdict(self)

    def requested(
        self,
        group: str = "",
        named: Sequence[str] = (),
        *,
        rollback: bool = False,
        resized: bool = True,
    ) -> "Plan":
        """Return the plan after one more request."""
        plan = copy.deepcopy(self)
        plan.number += 1
        plan.resized |= resized
        if named:
            plan.named[group] = list(dict.fromkeys([*plan.named.get(group, []), *named]))
        plan.rollback = rollback
        return plan

    @property
    def is_over(self) -> bool:
        """Whether every request was looked at and nothing is being removed."""
        return self.begun == self.number and not self.leaving and not self.waiting


@dataclasses.dataclass(frozen=True)
class Seen:
    """One look at a cluster.

    :ivar now: seconds since 1970.
    :ivar nodes: the swarm's; None where it could not be asked, for the reason in ``silence``.
    :ivar reports: server id to what the node said why it could not join.
    :ivar starting: how many tasks are on a node and do not run yet.
    :ivar drain_timeout: seconds that the tasks of one node get to move away.
    :ivar join_timeout: seconds that a new node tries to join.
    """

    groups: tuple[Group, ...]
    nodes: tuple[Node, ...] | None
    plan: Plan
    now: int
    silence: str = ""
    reports: Mapping[str, str] = dataclasses.field(default_factory=dict)
    starting: int = 0
    drain_timeout: int = 300
    join_timeout: int = 1200

    def entries(self, member: Member) -> list[Node]:
        """Return what the swarm lists under a member's name."""
        return [node for node in self.nodes or () if node.hostname == member.hostname]

    def node(self, member: Member) -> Node | None:
        """Return the living entry of a member, if there is one."""
        well = (node for node in self.entries(member) if node.state == "ready")
        return next(well, None)

    def is_well(self, group: Group, member: Member) -> bool:
        """Tell whether a member has its place in the swarm."""
        node = self.node(member)
        return node is not None and node.is_well and node.in_raft == group.is_manager


@dataclasses.dataclass(frozen=True)
class SetNode:
    """Change what the swarm wants of a node; None leaves a thing as it is."""

    node_id: str
    role: str | None = None
    availability: str | None = None
    labels: Mapping[str, str] | None = None
    without: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Forget:
    """Remove a node from the swarm's list."""

    node_id: str


@dataclasses.dataclass(frozen=True)
class Resize:
    """Ask Heat for so many nodes, without those of the given indices."""

    group: str
    count: int
    removals: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class FreePorts:
    """Ask Heat to delete the ports of managers that are gone."""

    group: str


@dataclasses.dataclass(frozen=True)
class DeleteStack:
    """Ask Heat to delete the stack of a group of its own."""

    group: str


@dataclasses.dataclass(frozen=True)
class DropGroup:
    """Remove what is left of a group that is gone."""

    group: str


Action = SetNode | Forget | Resize | FreePorts | DeleteStack | DropGroup


class Outcome(enum.Enum):
    """How an operation stands after a step."""

    GOES_ON = "goes on"
    COMPLETE = "complete"
    FAILED = "failed"
    GOES_BACK = "goes back"


@dataclasses.dataclass(frozen=True)
class Step:
    """What is to be done now: keep the plan, then act, then tell.

    :ivar reason: a sentence for the user; None for nothing to say.
    :ivar wanted: group to the number of nodes that its row shall say from now on.
    :ivar group: the group at fault for a failure.
    :ivar soon: whether another look is worth while at once.
    """

    reason: str | None
    plan: Plan
    actions: tuple[Action, ...] = ()
    outcome: Outcome = Outcome.GOES_ON
    wanted: Mapping[str, int] = dataclasses.field(default_factory=dict)
    group: str = ""
    soon: bool = False


def decide(seen: Seen) -> Step:
    """Return what follows from one look."""
    plan = copy.deepcopy(seen.plan)
    for consider in (
        _heat_at_work,
        _heat_failed,
        _silence,
        _begin,
        _unmade,
        _ghosts,
        _managers,
        _workers,
        _gone_groups,
        _labels,
        _arrivals,
    ):
        step = consider(seen, plan)
        if step is not None:
            return step
    return _complete(plan)


def _complete(plan: Plan) -> Step:
    reason = " ".join(plan.notes) or None
    plan.failed, plan.notes, plan.staying = "", [], {}
    _end(plan)
    return Step(reason, plan, outcome=Outcome.COMPLETE)


def _end(plan: Plan) -> None:
    plan.rollback = plan.repair = plan.resized = False
    plan.previous, plan.newest, plan.waiting, plan.named = {}, {}, [], {}
    plan.repaired, plan.leaving, plan.troubled = [], {}, 0


def _note(plan: Plan, text: str) -> None:
    if text not in plan.notes:
        plan.notes.append(text)


def _fail(
    seen: Seen, plan: Plan, reason: str, group: Group | None = None, *, undone: bool = False
) -> Step:
    """Give the operation up: nodes that were to leave and are still there stay.

    :param undone: whether nothing was begun, so that the rows shall say what is there.
    """
    before = {name: entry.was for name, entry in plan.leaving.items()} | plan.staying
    actions = [
        SetNode(node.id, availability=before[node.hostname])
        for node in seen.nodes or ()
        if node.availability != before.get(node.hostname, node.availability)
    ]
    goes_back = plan.rollback and bool(plan.previous) and not undone
    wanted = dict(plan.previous) if goes_back else {}
    if undone:
        wanted = {one.uuid: len(one.members) for one in seen.groups if one.wanted is not None}
    _end(plan)
    # Until somebody has seen that they are what they were.
    plan.staying = before
    # One look is one request: what fails now does not fail again at the next look.
    plan.begun = plan.number
    plan.failed = reason
    outcome = Outcome.FAILED
    if goes_back:
        outcome = Outcome.GOES_BACK
        plan.number += 1
        plan.notes = [f"Went back to the number of nodes before, because this failed: {reason}"]
    else:
        plan.notes = []
    return Step(reason, plan, tuple(actions), outcome, wanted, group.uuid if group else "")


def give_up(seen: Seen, plan: Plan, reason: str) -> Step:
    """Return what follows when a step can never be taken."""
    return _fail(seen, copy.deepcopy(plan), reason)


def _wait(seen: Seen, plan: Plan, what: str, reason: str, patience: float | None = None) -> Step:
    """Wait for something; give up when it takes longer than ``patience`` seconds."""
    if plan.waiting[:1] != [what]:
        plan.waiting = [what, seen.now]
    elif patience is not None and seen.now - plan.waiting[1] > patience:
        return _fail(seen, plan, f"Given up after {int(patience)} seconds: {reason}")
    return Step(reason, plan)


def _act(plan: Plan, reason: str, *actions: Action, soon: bool = False) -> Step:
    return Step(reason, plan, tuple(actions), soon=soon)


def _heat_at_work(seen: Seen, plan: Plan) -> Step | None:
    for group in seen.groups:
        if (group.stack_status or "").endswith("_IN_PROGRESS"):
            action = (group.stack_status or "").partition("_")[0].lower()
            numbers = ", ".join(
                f"{other.asked} {other.kind}s"
                for other in seen.groups
                if other.stack == group.stack and other.wanted is not None
            )
            what = {"delete": f"deletes node group {group.name}"}.get(action, f"makes it {numbers}")
            return _wait(seen, plan, "heat", f"Heat {what}.")
    return None


def _heat_failed(seen: Seen, plan: Plan) -> Step | None:
    for group in seen.groups:
        if not (group.stack_status or "").endswith("_FAILED"):
            continue
        number, updated = plan.sent.get(group.stack, [0, ""])
        if number == plan.number and updated != group.stack_updated:
            return _fail(seen, plan, group.failure or "Heat failed and gives no reason.", group)
    return None


def _needs_heat(group: Group) -> bool:
    """Tell whether Heat must be asked although nobody is to leave."""
    return group.asked != group.wanted or (group.stack_status or "").endswith("_FAILED")


def _silence(seen: Seen, plan: Plan) -> Step | None:
    if seen.nodes is None:
        return _wait(seen, plan, "docker", f"Waiting for the swarm: {seen.silence}", PATIENCE)
    return None


def _begin(seen: Seen, plan: Plan) -> Step | None:
    """Take note of what was so when the operation began."""
    if plan.begun == plan.number:
        return None
    changes = any(group.wanted != group.asked for group in seen.groups)
    # Who asks for what is there already wants it to be well; so does who asks after a failure.
    plan.repair = plan.resized and (bool(plan.failed) or not (changes or plan.named))
    if not plan.previous:
        plan.previous = {one.uuid: one.asked for one in seen.groups if one.wanted is not None}
        plan.newest = {
            one.uuid: max((member.number for member in one.members), default=-1)
            for one in seen.groups
            if not one.is_new
        }
    plan.begun, plan.repaired = plan.number, []
    for group in seen.groups:
        _take_named(seen, plan, group)
    plan.named = {}
    return None


def _unmade(seen: Seen, plan: Plan) -> Step | None:
    """Fail where the conductor died that was to ask Heat for a group."""
    for group in seen.groups:
        if group.wanted is None or group.stack_status is not None:
            continue
        reason = f"Heat is being asked for node group {group.name}."
        step = _wait(seen, plan, f"group {group.uuid}", reason)
        if seen.now - plan.waiting[1] < MAKE_SECONDS:
            return step
        return _fail(
            seen,
            plan,
            f"The making of node group {group.name} was interrupted before Heat was asked for it; "
            "delete it and create it again.",
            group,
        )
    return None


def resolve(members: Iterable[Member], name: str) -> Member | None:
    """Return the member that a user calls by server id, host name or index, or None."""
    for member in members:
        if name in (member.server_id, member.hostname, member.index):
            return member
    return None


def _take_named(seen: Seen, plan: Plan, group: Group) -> None:
    for name in plan.named.get(group.uuid, ()):
        member = resolve(group.members, name)
        if member is None:
            _note(plan, f"Node {name} was not in node group {group.name}.")
        else:
            _leave(seen, plan, group, member, "named")


def _leave(seen: Seen, plan: Plan, group: Group, member: Member, why: str) -> None:
    known = plan.leaving.get(member.hostname)
    if known is None:
        node = seen.node(member)
        was = plan.staying.pop(member.hostname, node.availability if node else ACTIVE)
        plan.leaving[member.hostname] = Leaving(group.uuid, why, was)
    elif known.why == "excess":
        known.why = why


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
            dead = node.state == "down" or node.hostname in plan.leaving
        else:
            # Its server was replaced by another of the same name.
            twins = [n for n in seen.nodes or () if n.hostname == node.hostname and n is not node]
            dead = node.state == "down" and any(twin.state == "ready" for twin in twins)
        if dead:
            ghosts.append(node)
    if not ghosts:
        return None
    managers = [node for node in ghosts if node.in_raft]
    if managers:
        return _demote(seen, plan, managers[0], "its server is gone")
    names = _names(node.hostname for node in ghosts)
    return _act(
        plan,
        f"Removing {names} from the swarm, whose servers are gone.",
        *(Forget(node.id) for node in ghosts),
        soon=True,
    )


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


def _demote(seen: Seen, plan: Plan, victim: Node, why: str, group: Group | None = None) -> Step:
    """Take one manager out of the quorum; the swarm moves the lead off it by itself."""
    if problem := loses_quorum(seen.nodes or (), victim):
        return _fail(seen, plan, f"Removing a manager is refused: {problem}", group, undone=True)
    if victim.role != "manager":
        return _wait(
            seen,
            plan,
            f"demotion {victim.id}",
            f"{victim.hostname} is being demoted ({why}).",
            PATIENCE,
        )
    leads = ", the leader," if victim.leader else ""
    plan.waiting = [f"demotion {victim.id}", seen.now]
    return _act(
        plan,
        f"Demoting {victim.hostname}{leads} ({why}).",
        SetNode(victim.id, role="worker"),
    )


def _managers(seen: Seen, plan: Plan) -> Step | None:
    group = next(one for one in seen.groups if one.is_manager)
    wanted = group.wanted or 0
    if group.has_spare_ports:
        # Indices of servers and ports must stay the same, so nothing new is begun before.
        if (group.stack_status or "").endswith("_FAILED"):
            return _ask_heat(plan, group, group.asked, ())
        plan.sent[group.stack] = [plan.number, group.stack_updated]
        plan.waiting = []
        reason = "Heat is asked to delete the ports of the managers that are gone."
        return _act(plan, reason, FreePorts(group.uuid))
    if plan.repair and (step := _replace_broken(seen, plan, group)):
        return step
    _choose(seen, plan, group)
    victims = [member for member in group.members if member.hostname in plan.leaving]
    if not victims and not _needs_heat(group):
        return None
    if step := _refuse_with_lost(seen, plan, group, victims):
        return step
    if victims:
        raft = [node for member in victims for node in seen.entries(member) if node.in_raft]
        # First whoever is lost, and the leader last.
        raft.sort(key=lambda node: (node.role == "manager", node.reachable, node.leader))
        if raft:
            why = f"{len(group.members) - len(victims)} of {len(group.members)} managers stay"
            return _demote(seen, plan, raft[0], why, group)
        if not any(node.in_raft and node.leader for node in seen.nodes or ()):
            return _wait(seen, plan, "leader", "The managers choose a leader.", PATIENCE)
        if step := _empty(seen, plan, victims):
            return step
    return _ask_heat(plan, group, wanted, victims)


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
            f"{quorum(rest)} are needed for a quorum and none more could fail"
            if stays == quorum(rest)
            else f"removing {len(names)} that work would leave {stays} reachable of {rest}, where "
            f"{quorum(rest)} are needed for a quorum"
        )
    else:
        consequence = "none joins before all are"
    return _fail(
        seen,
        plan,
        f"Changing the number of managers is refused: {reachable} of {len(raft)} managers are "
        f"reachable ({name} is not), and {consequence}. Name {name} among the nodes to remove, or "
        "resize default-master to its present number to have it replaced.",
        group,
        undone=True,
    )


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
    names = _names(member.hostname for member in away)
    step = _wait(seen, plan, f"back {group.uuid}", f"Waiting whether {names} comes back.")
    if seen.now - plan.waiting[1] < REPAIR_SECONDS:
        return step
    for member in away:
        _leave(seen, plan, group, member, "broken")
    _note(plan, f"Replaced {names}.")
    return None


def _choose(seen: Seen, plan: Plan, group: Group) -> None:
    """Choose who leaves beside those that must, and let nodes stay that need not leave any more."""
    wanted = group.wanted or 0
    staying = [member for member in group.members if member.hostname not in plan.leaving]
    over = len(staying) - wanted
    if over > 0:
        staying.sort(key=lambda member: _rank(seen, group, member))
        for member in staying[:over]:
            _leave(seen, plan, group, member, "excess")
    elif over < 0:
        spare = [
            hostname
            for hostname, entry in plan.leaving.items()
            if entry.group == group.uuid and entry.why == "excess"
        ]
        for hostname in spare[:-over]:
            plan.staying[hostname] = plan.leaving.pop(hostname).was


def _rank(seen: Seen, group: Group, member: Member) -> tuple[Any, ...]:
    """Order the nodes of a group: who leaves first."""
    node = seen.node(member)
    if group.is_manager:
        # Whoever is lost may come back: that it shall go is for the user to say.
        entries = [entry for entry in seen.entries(member) if entry.in_raft]
        lost = any(not entry.reachable for entry in entries)
        leads = any(entry.leader for entry in entries)
        return (bool(entries), lost, leads, -member.number)
    return (seen.is_well(group, member), node.tasks if node else 0, -member.number)


def _workers(seen: Seen, plan: Plan) -> Step | None:
    for group in seen.groups:
        if group.is_manager or group.wanted is None or group.at_rest:
            continue
        if plan.repair and (step := _replace_broken(seen, plan, group)):
            return step
        _choose(seen, plan, group)
        victims = [member for member in group.members if member.hostname in plan.leaving]
        if victims and (step := _empty(seen, plan, victims)):
            return step
        if victims or _needs_heat(group):
            return _ask_heat(plan, group, group.wanted, victims)
    return _returned(seen, plan)


def _returned(seen: Seen, plan: Plan) -> Step | None:
    """Let nodes work again that were to leave and stay after all."""
    resting = [
        node
        for node in seen.nodes or ()
        if node.availability != plan.staying.get(node.hostname, node.availability)
    ]
    if not resting:
        plan.staying = {}
        return None
    return _act(
        plan,
        f"{_names(node.hostname for node in resting)} stay after all.",
        *(SetNode(node.id, availability=plan.staying[node.hostname]) for node in resting),
        soon=True,
    )


def _ask_heat(plan: Plan, group: Group, count: int, victims: Sequence[Member]) -> Step:
    plan.sent[group.stack] = [plan.number, group.stack_updated]
    plan.waiting = []
    plan.repaired.append(group.uuid)
    removals = tuple(member.index for member in victims)
    change = f"from {group.asked} to {count}" if group.asked != count else f"{count} again"
    reason = f"Heat is asked to make the {group.kind}s of {group.name} {change}"
    if victims:
        reason += f", without {_names(member.hostname for member in victims)}"
    return _act(plan, f"{reason}.", Resize(group.uuid, count, removals))


def _empty(seen: Seen, plan: Plan, victims: Sequence[Member]) -> Step | None:
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
        return _act(
            plan,
            f"No further task is put on {_names(n.hostname for n in fresh)}.",
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
            f"{left} tasks are still on {_names(n.hostname for n in busy)}"
            if busy
            else (f"{seen.starting} tasks are starting elsewhere")
        )
        more = f"; {len(paused)} more nodes follow" if paused else ""
        return _wait(seen, plan, "drain", f"Draining: {what}{more}.")
    idle = [node for node in paused if not node.tasks]
    working = sorted((node for node in paused if node.tasks), key=lambda node: node.tasks)
    lot = [*idle, *working[: max(1, len(seen.nodes or ()) // _DRAIN_SHARE)]]
    if lot:
        for node in lot:
            plan.leaving[node.hostname].since = seen.now
        return _act(
            plan,
            f"Draining {_names(node.hostname for node in lot)}.",
            *(SetNode(node.id, availability=DRAIN) for node in lot),
            soon=not working,
        )
    for node in drained:
        if node.tasks:
            _note(
                plan,
                f"{node.hostname} was removed although {node.tasks} tasks were still on it after "
                f"{seen.drain_timeout} seconds (label drain_timeout).",
            )
    return None


def _gone_groups(seen: Seen, plan: Plan) -> Step | None:
    """Empty and delete the groups that shall go."""
    for group in seen.groups:
        if group.wanted is not None:
            continue
        if group.stack_status is None:
            plan.sent.pop(group.stack, None)
            plan.labels.pop(group.uuid, None)
            return _act(plan, f"Node group {group.name} is gone.", DropGroup(group.uuid), soon=True)
        for member in group.members:
            _leave(seen, plan, group, member, "named")
        if step := _empty(seen, plan, group.members):
            return step
        plan.sent[group.stack] = [plan.number, group.stack_updated]
        return _act(
            plan, f"Heat is asked to delete node group {group.name}.", DeleteStack(group.uuid)
        )
    return None


def _labels(seen: Seen, plan: Plan) -> Step | None:
    """Give nodes their group's labels; others, which their owner set, stay."""
    actions: list[Action] = []
    for group in seen.groups:
        if group.labels is None or group.wanted is None:
            continue
        # Once nodes have a label the plan says so until it is off all of them again.
        old = plan.labels.get(group.uuid, [])
        known = sorted({*old, *group.labels})
        differing = []
        for member in group.members:
            node = seen.node(member)
            if node is None:
                continue
            gone = tuple(key for key in known if key in node.labels and key not in group.labels)
            wrong = any(node.labels.get(key) != value for key, value in group.labels.items())
            if gone or wrong:
                differing.append(SetNode(node.id, labels=group.labels, without=gone))
        plan.labels[group.uuid] = known if differing else sorted(group.labels)
        actions += differing
    if not actions:
        return None
    return _act(plan, "Setting the labels of nodes.", *actions[:_LABELS_PER_STEP], soon=True)


def _arrivals(seen: Seen, plan: Plan) -> Step | None:
    """Wait until whatever Heat made is in the swarm."""
    missing = [
        (group, member)
        for group in seen.groups
        for member in group.members
        if not seen.is_well(group, member)
        and (plan.repair or member.number > plan.newest.get(group.uuid, -1))
    ]
    if not missing:
        return None
    for group, member in missing:
        if report := seen.reports.get(member.server_id):
            return _fail(seen, plan, report, group)
    names = _names(member.hostname for _, member in missing)
    group = missing[0][0]
    step = _wait(
        seen,
        plan,
        "arrivals",
        f"Waiting until {names} joined the swarm and {'is' if len(missing) == 1 else 'are'} ready.",
        seen.join_timeout + BOOT_SECONDS,
    )
    return dataclasses.replace(step, group=group.uuid)


def _names(hostnames: Iterable[str]) -> str:
    names = list(hostnames)
    shown = ", ".join(names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
