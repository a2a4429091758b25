# SPDX-License-Identifier: Apache-2.0
"""Heat and a swarm as a cluster's update sees them, without a wire: what each step does to them.

A member of a ResourceGroup keeps its index; indices that were removed are never used again.
"""

import dataclasses
import itertools
from typing import Any

from magnum_swarm_mode import stored
from magnum_swarm_mode.decisions import change, model, roles
from magnum_swarm_mode.decisions.model import (
    Forget,
    Group,
    Member,
    Node,
    Plan,
    Resize,
    Seen,
    SetNode,
)


class LostQuorumError(AssertionError):
    """A step cost the managers their quorum."""


@dataclasses.dataclass
class Row:
    """A node group: what is wanted, and what Heat has."""

    uuid: str
    is_manager: bool
    wanted: int | None
    asked: int
    indices: list[int]
    removed: set[int] = dataclasses.field(default_factory=set)
    labels: dict[str, str] | None = None
    is_new: bool = False
    ports: list[int] = dataclasses.field(default_factory=list)
    port_removed: set[int] = dataclasses.field(default_factory=set)
    port_count: int = 0

    def hostname(self, index):
        return f"swarm-{'manager' if self.is_manager else self.uuid}-{index}"


class World:
    """One cluster of ``managers`` and ``workers``.

    :ivar limit: how many servers Heat can make; more fail.
    :ivar mute: host names of servers whose nodes never join.
    :ivar unmade: host names of servers that Heat could not make.
    """

    def __init__(self, managers=3, workers=3, tasks=1):
        self.now = 1_000_000
        self.rows = {
            "masters": Row("masters", True, managers, managers, list(range(managers))),
            "worker": Row("worker", False, workers, workers, list(range(workers))),
        }
        self.plan = Plan()
        self.nodes: dict[str, Node] = {}
        self.serial = 0
        self.stack_status, self.updated, self.failure = "CREATE_COMPLETE", "t0", ""
        self.limit = 10_000
        self.mute: set[str] = set()
        self.unmade: set[str] = set()
        self.updates: list[Any] = []
        self.moves = True  # whether tasks leave drained nodes
        self.drain_timeout = 300
        for row in self.rows.values():
            row.ports, row.port_count = list(row.indices), row.asked
            for index in row.indices:
                self.join(row, index, tasks=0 if row.is_manager else tasks)

    # What happens outside

    def join(self, row, index, tasks=0):
        hostname = row.hostname(index)
        if hostname in self.mute:
            return
        self.serial += 1
        leader = row.is_manager and not any(n.leader for n in self.nodes.values())
        self.nodes[f"n{self.serial}"] = Node(
            id=f"n{self.serial}",
            hostname=hostname,
            role="manager" if row.is_manager else "worker",
            in_raft=row.is_manager,
            reachable=row.is_manager,
            leader=leader,
            tasks=tasks,
        )

    def node(self, hostname):
        (found,) = [n for n in self.nodes.values() if n.hostname == hostname]
        return found

    def change(self, hostname, **changes):
        node = self.node(hostname)
        self.nodes[node.id] = dataclasses.replace(node, **changes)

    def kill(self, hostname):
        """Let a node fall silent."""
        node = self.node(hostname)
        leads = node.leader
        self.nodes[node.id] = dataclasses.replace(
            node, state="down", reachable=False, leader=False, tasks=0
        )
        if leads:
            self.elect()

    def elect(self):
        for node in list(self.nodes.values()):
            if node.in_raft and node.reachable:
                self.nodes[node.id] = dataclasses.replace(node, leader=True)
                return

    def request(self, group, wanted, named=(), **more):
        """Ask for another number of nodes."""
        if wanted != "same":
            self.rows[group].wanted = wanted
        self.plan = self.plan.requested(group, named, **more)

    # What a look shows

    def members(self, row):
        return tuple(
            Member(str(index), name, "" if name in self.unmade else f"server-{name}")
            for index in row.indices
            for name in [row.hostname(index)]
        )

    def seen(self, **more):
        raft = [n for n in self.nodes.values() if n.in_raft]
        answers = sum(n.reachable for n in raft) >= roles.quorum(len(raft))
        return Seen(
            groups=tuple(
                Group(
                    uuid=row.uuid,
                    name=row.uuid,
                    is_manager=row.is_manager,
                    wanted=row.wanted,
                    asked=row.asked,
                    members=self.members(row),
                    stack_status=self.stack_status,
                    stack_updated=self.updated,
                    failure=self.failure,
                    labels=row.labels,
                    is_new=row.is_new,
                    has_spare_ports=row.is_manager
                    and (row.port_count, row.port_removed) != (row.asked, row.removed),
                )
                for row in self.rows.values()
            ),
            nodes=tuple(self.nodes.values()) if answers else None,
            silence="" if answers else "no leader",
            plan=stored.load(Plan, stored.dump(self.plan)),
            now=self.now,
            drain_timeout=self.drain_timeout,
            **more,
        )

    # What a step does

    def step(self, act=True):
        """Look, decide, act; ``act`` False is a conductor that died after it wrote the plan."""
        step = change.decide(self.seen())
        self.plan = step.plan
        if act:
            for group, count in step.plan.desired.items():
                self.rows[group].wanted = count
            for action in step.actions:
                self.act(action)
        self.check()
        return step

    def act(self, action):
        if isinstance(action, SetNode):
            node = self.nodes[action.node_id]
            if action.availability is not None:
                node = dataclasses.replace(node, availability=action.availability)
            if action.labels is not None:
                kept = {k: v for k, v in node.labels.items() if k not in action.without}
                node = dataclasses.replace(node, labels={**kept, **action.labels})
            if action.role is not None:
                node = dataclasses.replace(node, role=action.role)
            self.nodes[node.id] = node
        elif isinstance(action, Forget):
            assert not self.nodes[action.node_id].in_raft
            del self.nodes[action.node_id]
        elif isinstance(action, Resize):
            assert not self.stack_status.endswith("IN_PROGRESS"), (
                "a second update cancels the first"
            )
            row = self.rows[action.group]
            self.updates.append((action.group, action.count, action.removals))
            row.asked = action.count
            if (row.port_removed, row.port_count) == (row.removed, len(row.ports)):
                row.port_count = action.count + len(action.removals)
            row.removed |= {int(index) for index in action.removals}
            self.stack_status = "UPDATE_IN_PROGRESS"
            self.updated = f"t{len(self.updates)}"
        elif isinstance(action, model.FreePorts):
            assert not self.stack_status.endswith("IN_PROGRESS"), (
                "a second update cancels the first"
            )
            row = self.rows[action.group]
            row.port_count, row.port_removed = row.asked, set(row.removed)
            self.stack_status = "UPDATE_IN_PROGRESS"
            self.updated += "p"
        else:
            raise AssertionError(action)

    def check(self):
        raft = [n for n in self.nodes.values() if n.in_raft]
        if sum(n.reachable for n in raft) < roles.quorum(len(raft)):
            raise LostQuorumError(raft)
        leaders = [n for n in raft if n.leader]
        assert len(leaders) == 1, leaders

    def advance(self, seconds=10):
        """Let time pass: demotions take effect, tasks move, Heat finishes, nodes join."""
        self.now += seconds
        for node in list(self.nodes.values()):
            if node.in_raft and node.role == "worker":
                self.nodes[node.id] = dataclasses.replace(
                    node, in_raft=False, reachable=False, leader=False
                )
                if node.leader:
                    self.elect()
            elif node.role == "manager" and not node.in_raft and node.state == "ready":
                self.nodes[node.id] = dataclasses.replace(node, in_raft=True, reachable=True)
            elif node.availability == "drain" and node.tasks and self.moves:
                self.nodes[node.id] = dataclasses.replace(node, tasks=node.tasks - 1)
                targets = [n for n in self.nodes.values() if n.availability == "active"]
                if targets:
                    least = min(targets, key=lambda n: n.tasks)
                    self.nodes[least.id] = dataclasses.replace(least, tasks=least.tasks + 1)
        if self.stack_status == "UPDATE_IN_PROGRESS":
            self.finish_heat()

    def finish_heat(self):
        self.stack_status = "UPDATE_COMPLETE"
        for row in self.rows.values():
            free = (i for i in range(1000) if i not in row.port_removed)
            row.ports = list(itertools.islice(free, row.port_count))
            names = [i for i in range(1000) if i not in row.removed][: row.asked]
            for index in set(row.indices) - set(names):
                for node in list(self.nodes.values()):
                    if node.hostname == row.hostname(index) and node.state == "ready":
                        self.nodes[node.id] = dataclasses.replace(
                            node, state="down", reachable=False, tasks=0
                        )
            made = []
            for index in names:
                there = sum(len(r.indices) for r in self.rows.values())
                if index in row.indices:
                    made.append(index)
                elif there + len(made) - len(set(made) & set(row.indices)) < self.limit:
                    made.append(index)
                    self.join(row, index)
                else:
                    made.append(index)
                    self.mute.add(row.hostname(index))
                    self.stack_status = "UPDATE_FAILED"
                    self.failure = "The server of worker 9 failed: Quota exceeded."
            row.indices = made
            if row.is_manager:
                assert set(made) <= set(row.ports), "a manager has no port"

    def run(self, most=400):
        """Go on until the operation ends; return the last step."""
        for _ in range(most):
            step = self.step()
            if step.outcome is model.Outcome.GOES_BACK:
                continue
            if step.outcome is not model.Outcome.GOES_ON:
                return step
            if not step.soon:
                self.advance()
        raise AssertionError(f"no end: {step.reason}")

    def hostnames(self):
        return sorted(node.hostname for node in self.nodes.values())
