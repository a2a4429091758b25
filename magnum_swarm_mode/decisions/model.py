# SPDX-License-Identifier: Apache-2.0
"""What is known of a cluster that shall change, what is under way, and what a step may be."""

import copy
import dataclasses
import enum
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from magnum_swarm_mode import text
from magnum_swarm_mode.decisions.upgrade_plan import Target, Upgrade

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
        return text.number(self.index.removeprefix(GREEN)) or 0


@dataclasses.dataclass(frozen=True)
class Node:
    """An entry of the swarm's list of nodes.

    :ivar tasks: how many tasks are on it that have not ended.
    :ivar hostname: of the server that it is; what it calls itself does not count.
    :ivar is_ours: whether it is, or was, a server of the cluster; users may have joined others.
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
    is_ours: bool = True

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
    :ivar image, flavor: of managers that are made now.
    :ivar labels: labels of the swarm that its nodes shall have; None where they are nobody's.
    :ivar is_new: whether it is being created.
    :ivar at_rest: whether nobody asked for anything of it.
    :ivar green: how many of those that Heat was asked for are of the second colour.
    :ivar seals: what the nodes of either colour would be made of if they were made now, as
        :func:`.upgrade_plan.seal` gives it; managers have the first one only.
    :ivar machines: managers that are not as the others, by index: ``image``, ``flavor`` and
        ``seal``, or ``absent``.
    :ivar has_spare_ports: whether Heat keeps ports of managers that are gone.
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
    green: int = 0
    seals: tuple[str, str] = ("", "")
    machines: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    image: str = ""
    flavor: str = ""

    @property
    def kind(self) -> str:
        """The word for its nodes."""
        return "manager" if self.is_manager else "worker"


@dataclasses.dataclass
class Leaving:
    """A node that is being removed.

    :ivar why: ``named`` by the user, in ``excess``, ``broken``, or ``upgraded``.
    :ivar was: its availability before.
    :ivar since: seconds since 1970 at which it began to be drained; 0 before.
    :ivar demoted: whether the operation took it out of the quorum.
    :ivar manager: the swarm's id of the manager that it was then.
    """

    group: str
    why: str
    was: str = ACTIVE
    since: int = 0
    demoted: bool = False
    manager: str = ""
    unknown: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Debt:
    """What a step took from a node that stays, until the node has it back.

    :ivar availability: of the node before the step.
    :ivar demoted: whether the node was a manager before the step.
    :ivar manager: the swarm's id of that manager: another node of its name gets nothing.
    """

    availability: str = ACTIVE
    demoted: bool = False
    manager: str = ""
    unknown: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Sent:
    """The last request to Heat about a stack.

    :ivar number: of the request of ours that it belongs to.
    :ivar updated: when Heat had last begun to change the stack before, in Heat's words.
    """

    number: int = 0
    updated: str = ""


@dataclasses.dataclass
class Waiting:
    """What is waited for, and since when."""

    what: str
    since: int


@dataclasses.dataclass
class End:
    """How an operation ended, for the row that has to show it.

    :ivar outcome: the value of an :class:`Outcome`.
    :ivar reason: a sentence for the user; None for nothing to say.
    :ivar group: the group at fault for a failure.
    """

    outcome: str
    reason: str | None = None
    group: str = ""
    unknown: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Plan:
    """What is under way, as the cluster's record keeps it; times are seconds since 1970.

    :ivar number: how many requests there were so far.
    :ivar begun: the last of them that was looked at.
    :ivar desired: group to its desired number of nodes; None for a group that is to be deleted.
    :ivar projected: group to the number that its row had at the end of the last pass.
    :ivar pending: groups with a request that has not ended.
    :ivar served: groups with requests that the last operation has ended.
    :ivar named: group to what the user calls the nodes to remove.
    :ivar rollback: whether a failure leads back to the numbers before.
    :ivar previous: group to the number of nodes before.
    :ivar resized: groups for which a number of nodes was requested since the last look.
    :ivar repairs: groups of which nodes that are away are replaced.
    :ivar repaired: groups for which Heat was asked since the operation began.
    :ivar debts: host name to what a node that stays after all must get back.
    :ivar away: host name to when a node of the cluster was first seen not to be well.
    :ivar deadline: when the operation ends; 0 before its first look, and where there is none.
    :ivar allowance: how many seconds after the operation began the deadline is.
    :ivar distance: the smallest distance so far between what is observed and what is desired.
    :ivar updates: how many updates of Heat did not make that distance smaller.
    :ivar repeats: how many times in a row Heat was asked again because it had not begun.
    :ivar blind: since when Heat does not show the cluster; 0 while it does.
    :ivar absent: servers whose nodes were away at its beginning, and are not waited for.
    :ivar making: further groups whose first nodes are being made.
    :ivar leaving: host name to node that is being removed.
    :ivar sent: stack to what Heat was last asked for.
    :ivar waiting: what is waited for; None for nothing.
    :ivar labels: group to the labels of the swarm that were set.
    :ivar notes: what is to be said at the end of an operation that completes.
    :ivar lasting: what is to be said at the end of the next operation however it ends.
    :ivar ended: how the last operation ended; None while one is under way.
    :ivar failed: why the last operation failed; empty after one that did not.
    :ivar troubled: since when a step could not be taken; 0 where the last one could.
    :ivar broken: host names of nodes to replace unless they come back.
    :ivar cause: a sentence about why nodes are healed; empty for what a user asked for.
    :ivar upgrade: the last upgrade, unless another operation has begun since it was done.
    :ivar seals: group to what its nodes of either colour are made of, since its first upgrade.
    :ivar followed: group to the template that it was upgraded to last.
    :ivar ids: node id to the host name of the server that the node was seen to be.
    :ivar addresses: host name of a server to its address in the cluster's network.
    """

    number: int = 0
    begun: int = 0
    desired: dict[str, int | None] = dataclasses.field(default_factory=dict)
    projected: dict[str, int] = dataclasses.field(default_factory=dict)
    pending: list[str] = dataclasses.field(default_factory=list)
    served: list[str] = dataclasses.field(default_factory=list)
    named: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    rollback: bool = False
    previous: dict[str, int] = dataclasses.field(default_factory=dict)
    resized: list[str] = dataclasses.field(default_factory=list)
    repairs: list[str] = dataclasses.field(default_factory=list)
    repaired: list[str] = dataclasses.field(default_factory=list)
    debts: dict[str, Debt] = dataclasses.field(default_factory=dict)
    away: dict[str, int] = dataclasses.field(default_factory=dict)
    deadline: int = 0
    allowance: int = 0
    distance: int | None = None
    updates: int = 0
    repeats: int = 0
    blind: int = 0
    absent: list[str] = dataclasses.field(default_factory=list)
    making: list[str] = dataclasses.field(default_factory=list)
    leaving: dict[str, Leaving] = dataclasses.field(default_factory=dict)
    sent: dict[str, Sent] = dataclasses.field(default_factory=dict)
    waiting: Waiting | None = None
    labels: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    lasting: list[str] = dataclasses.field(default_factory=list)
    ended: End | None = None
    failed: str = ""
    troubled: int = 0
    broken: list[str] = dataclasses.field(default_factory=list)
    cause: str = ""
    upgrade: Upgrade | None = None
    seals: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    followed: dict[str, str] = dataclasses.field(default_factory=dict)
    ids: dict[str, str] = dataclasses.field(default_factory=dict)
    addresses: dict[str, str] = dataclasses.field(default_factory=dict)
    unknown: dict[str, Any] = dataclasses.field(default_factory=dict)

    def requested(
        self,
        group: str = "",
        named: Sequence[str] = (),
        *,
        rollback: bool = False,
        resized: bool = True,
        upgrade: Upgrade | None = None,
    ) -> "Plan":
        """Return the plan after one more request."""
        plan = copy.deepcopy(self)
        plan.number += 1
        # Each request gets its own, at the next look.
        plan.deadline, plan.ended = 0, None
        touched = [group] if group else []
        if resized:
            plan.resized = list(dict.fromkeys([*plan.resized, *touched]))
        if named:
            plan.named[group] = list(dict.fromkeys([*plan.named.get(group, []), *named]))
        # What comes later takes nobody's way back away.
        plan.rollback = plan.rollback or rollback
        if upgrade is not None:
            plan.upgrade = upgrade.after(self.upgrade)
            touched += plan.upgrade.groups
        plan.pending = list(dict.fromkeys([*plan.pending, *touched]))
        return plan

    def healing(self, hostnames: Sequence[str], cause: str) -> "Plan":
        """Return the plan after the request to replace exactly these nodes.

        :param cause: a sentence about why.
        """
        plan = self.requested(resized=False)
        plan.broken, plan.cause = list(hostnames), cause
        return plan

    def target(self, group: Group) -> Target | None:
        """Return what a group is being upgraded to, unless it is done."""
        target = self.upgrade.groups.get(group.uuid) if self.upgrade else None
        return target if target and not target.done else None

    def is_to_go(self, group: str) -> bool:
        """Return whether a group is to be deleted, which no later request takes back."""
        return self.desired.get(group, 0) is None

    @property
    def is_upgrading(self) -> bool:
        """Whether an upgrade is not done yet."""
        return self.upgrade is not None and not self.upgrade.over

    @property
    def is_over(self) -> bool:
        """Whether every request was looked at, and the operation has ended that served it."""
        return self.begun == self.number and not (self.deadline or self.leaving or self.waiting)

    def adopted(self, rows: Mapping[str, int], deleted: Sequence[str] = ()) -> "Plan":
        """Return the plan after requests that reached Magnum's rows but not the record.

        A conductor that dies between the two leaves a row that differs from the last projection.

        :param rows: group to the number of nodes in its row.
        :param deleted: groups whose rows say that they are to be deleted.
        """
        plan = self
        for group, count in rows.items():
            known = plan.projected.get(group, count)
            if group in deleted and not plan.is_to_go(group):
                plan = plan.requested(group, resized=False)
                plan.desired[group] = None
            elif count not in (known, plan.desired.get(group, known)) and not plan.is_to_go(group):
                plan = plan.requested(group)
                plan.desired[group] = plan.projected[group] = count
        return plan


@dataclasses.dataclass(frozen=True)
class Seen:
    """One look at a cluster.

    :ivar now: seconds since 1970.
    :ivar nodes: the swarm's; None where it could not be asked, for the reason in ``silence``.
    :ivar reports: server id to what the node said why it could not join.
    :ivar starting: how many tasks are on a node and do not run yet.
    :ivar drain_timeout, join_timeout: seconds for a node's tasks to leave, for a node to join.
    :ivar heat_timeout: seconds that Heat gets for one update.
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
    heat_timeout: int = 3600

    @functools.cached_property
    def by_hostname(self) -> Mapping[str, list[Node]]:
        """What the swarm lists, by name: looking for each of a thousand members takes long."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes or ():
            found.setdefault(node.hostname, []).append(node)
        return found

    def entries(self, member: Member) -> list[Node]:
        """Return what the swarm lists that is a member, or was one of its name."""
        return self.by_hostname.get(member.hostname, [])

    def node(self, member: Member) -> Node | None:
        """Return the living entry of a member, if there is one."""
        well = (node for node in self.entries(member) if node.state == "ready")
        return next(well, None)

    def is_well(self, group: Group, member: Member) -> bool:
        """Return whether a member has its place in the swarm."""
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
class Recolour:
    """Ask Heat for so many workers of either colour, without those of the given indices.

    :ivar looks: colour (empty or ``GREEN``) to image and flavor, where they change.
    :ivar renew: whether Heat is given this release's templates, and the upgrade's settings.
    :ivar machines: managers that are not as the others, where that changes.
    """

    group: str
    blue: int
    green: int
    removals: tuple[str, ...] = ()
    looks: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    renew: bool = False
    machines: Mapping[str, Mapping[str, Any]] | None = None


@dataclasses.dataclass(frozen=True)
class Remake:
    """Ask Heat for managers of an image and flavor, but for those of ``machines``."""

    group: str
    image: str
    flavor: str
    machines: Mapping[str, Mapping[str, Any]]
    renew: bool = False


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


Action = SetNode | Forget | Resize | Recolour | Remake | FreePorts | DeleteStack | DropGroup


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
    :ivar group: the group at fault for a failure.
    :ivar soon: whether another look is worth while at once.
    :ivar owed: what a failure leaves unpaid of the plan's debts once the actions are taken.
    """

    reason: str | None
    plan: Plan
    actions: tuple[Action, ...] = ()
    outcome: Outcome = Outcome.GOES_ON
    group: str = ""
    soon: bool = False
    owed: Mapping[str, Debt] = dataclasses.field(default_factory=dict)
