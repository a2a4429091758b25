# SPDX-License-Identifier: Apache-2.0
"""A state machine: what may happen to a cluster in any order, and what holds all the same.

Three conductors look after one cluster. Each can be stopped before any write and any request,
while the others go on; then it goes on itself, or dies there.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from magnum_swarm_mode.certificates import orphans
from tests.model import swarm
from tests.model.conductors import Conductor, Fate
from tests.model.counts import COUNTS
from tests.model.invariants import Judge
from tests.model.ledger import Ledger, Request
from tests.model.simulation import CONDUCTORS, TEMPLATES, Simulation
from tests.model.world import MEMBER, OWNER

# Of virtual time between two looks of the conductors, and how many looks there are to come to rest.
TURN_SECONDS = 70
MOST_TURNS = 400
_CALM_TURNS = 3
_LONGEST_TURN = 1500.0
_DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_RESIZABLE = (*_DONE, "UPDATE_FAILED", "UPDATE_IN_PROGRESS")

SETTINGS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    stateful_step_count=12,
    suppress_health_check=list(HealthCheck),
)

TROUBLES = (
    "heat silent",
    "swarm silent",
    "keystone silent",
    "heat stale",
    "swarm stale",
    "heat slow",
    "heat failed",
    "heat quota",
    "a mute",
    "nodes lie",
    "no trouble",
)

conductors = st.integers(0, CONDUCTORS - 1)
fates = st.none() | st.builds(
    Fate, st.integers(0, 12), st.sampled_from(["dies", "dies after", "stalls"])
)


class Life(RuleBasedStateMachine):
    """A cluster is created, looked after, and deleted; services are troubled all the while.

    :ivar from_the_beginning: whether troubles begin before the cluster is complete.
    """

    from_the_beginning = True

    def __init__(self) -> None:
        super().__init__()
        self.simulation = Simulation()
        self.world = self.simulation.world
        self.ledger = Ledger()
        self.judge = Judge(self.simulation, self.ledger)
        self._told = self._losses = 0

    # How things are done

    def _do(self, which: int, action: Callable[[], Any], fate: Fate | None) -> None:
        self._conductor(which).do(action, fate)

    def _conductor(self, which: int) -> Conductor:
        """Return a conductor that is in the middle of nothing; the given one, if it is."""
        chosen = self.simulation.conductors.each[which]
        if chosen.is_stalled:
            chosen = self.simulation.idle() or chosen
            chosen.die()
        return chosen

    def _ask(
        self, which: int, action: Callable[[], Any], fate: Fate | None, *requests: Request
    ) -> None:
        for request in requests:
            done = self.simulation.conductors.done
            action = self.ledger.followed(request, action, done)
        self._do(which, action, fate)

    def _note(self, what: str, about: str, value: Any) -> Request:
        return self.ledger.note(what, about, value, len(self.simulation.database.history()))

    def _turn(self, which: int = 0, seconds: float = TURN_SECONDS) -> None:
        self.world.tick(seconds)
        self._do(which, self.simulation.poll, None)
        self._do(which, self.simulation.health, None)

    def _is_admitted(self, *statuses: str) -> bool:
        return self.simulation.status() in statuses

    def _group(self, which: int) -> dict[str, Any]:
        """Return a group that the API lets be changed."""
        groups = [one for one in self.simulation.groups() if not one["status"].startswith("DELETE")]
        return groups[which % len(groups)]

    # Life

    @initialize(
        which=conductors,
        managers=st.sampled_from([3, 1]),
        workers=st.integers(0, 2),
        healing=st.booleans(),
        fate=fates,
    )
    def create(
        self, which: int, managers: int, workers: int, healing: bool, fate: Fate | None
    ) -> None:
        """Create the cluster."""
        fate = fate if self.from_the_beginning else None
        self.world.swarm.managers_wanted = managers
        labels = {"auto_healing_enabled": "true"} if healing else {}
        request = self._note("create", "", None)
        self._ask(which, self.simulation.create(managers, workers, labels), fate, request)
        for group in self.simulation.groups():
            self.ledger.each.append(request.part("count", group["uuid"], group["node_count"]))
        if not self.from_the_beginning:
            # Nothing disturbs it; how it comes to rest is what other sequences are about.
            self._turn()
            self.time_passes(which=0, turns=MOST_TURNS)

    @rule(which=conductors, turns=st.integers(1, 6))
    def time_passes(self, which: int, turns: int) -> None:
        """Let time pass, in which a conductor looks, until the cluster is in no operation."""
        for _ in range(turns):
            self._turn(which)
            if not self.simulation.status().endswith("_IN_PROGRESS"):
                break

    @rule(
        which=conductors,
        what=st.sampled_from(["poll", "health"]),
        seconds=st.sampled_from([0, 10, 70]),
        fate=fates,
    )
    def look(self, which: int, what: str, seconds: int, fate: Fate | None) -> None:
        """Let a conductor look at what is in progress, or due, or at the cluster's health."""
        self.world.tick(seconds)
        self._do(which, getattr(self.simulation, what), fate)

    @precondition(lambda self: any(c.is_stalled for c in self.simulation.conductors.each))
    @rule(fate=fates, seconds=st.sampled_from([0, 70, 700]))
    def go_on(self, fate: Fate | None, seconds: int) -> None:
        """Let a conductor go on that stalled."""
        self.world.tick(seconds)
        next(c for c in self.simulation.conductors.each if c.is_stalled).go_on(fate)

    @precondition(lambda self: bool(self.simulation.status()))
    @rule(which=conductors, surely=st.sampled_from([True, False, False, False]), fate=fates)
    def delete(self, which: int, surely: bool, fate: Fate | None) -> None:
        """Delete the cluster; seldom where it is to live on for other things to happen."""
        if not surely and not self.from_the_beginning:
            return
        self._ask(which, self.simulation.delete(), fate, self._note("delete", "", None))

    # Trouble

    @rule(what=st.sampled_from(TROUBLES))
    def trouble(self, what: str) -> None:
        """Let services fall silent, lie, lag, fail at the next thing, or work again."""
        stacks = self.world.stacks
        service, _, how = what.partition(" ")
        if how == "silent":
            self.world.down.add(service)
        elif how == "stale":
            self.world.stale.add(service)
            self.world.swarm.remember()
            stacks.remember()
        elif how == "slow":
            stacks.lag = 3
        elif how in ("failed", "quota"):
            stacks.fails = how
        elif how == "mute":
            stacks.mute = True
        elif how == "lie":
            # They bear each other's names from now on.
            self.world.swarm.lies = swarm.lie
        else:
            self._services_are_well()

    def _services_are_well(self) -> None:
        self.world.down.clear()
        self.world.stale.clear()
        self.world.stacks.lag, self.world.stacks.fails, self.world.stacks.mute = 0, "", False

    @precondition(lambda self: self.world.swarm.ready())
    @rule(what=st.sampled_from(["lost", "lost", "back", "promoted"]), which=st.integers(0, 7))
    def node(self, what: str, which: int) -> None:
        """Let a node fall silent, but no second manager; or come back; or be promoted by a user."""
        if what == "back":
            self._bring_back()
            return
        swarm = self.world.swarm
        ready = [node for node in swarm.nodes.values() if node["Status"]["State"] == "ready"]
        node = ready[which % len(ready)]
        is_manager = "-manager-" in node["Description"]["Hostname"]
        if what == "lost":
            lost = any(one["Status"]["State"] != "ready" for one in swarm.raft())
            if not is_manager or (not lost and len(swarm.raft()) > 2):
                self._losses += 1
                swarm.lost.add(node["Description"]["Hostname"])
                swarm.set_state(node, "down")
        elif not is_manager:
            node["Spec"]["Role"] = "manager"
            node["Version"]["Index"] += 1
            if self.world.stacks.are_busy():
                swarm.too_late.add(node["ID"])

    def _bring_back(self) -> None:
        swarm, servers = self.world.swarm, self.world.stacks.servers()
        for name, node in swarm.nodes.items():
            hostname = node["Description"]["Hostname"]
            own = servers.get(hostname)
            if hostname in swarm.lost and own and own.id == swarm.servers[name]:
                swarm.set_state(node, "ready")
        swarm.lost.clear()

    # What holds

    @invariant()
    def nothing_is_broken(self) -> None:
        """Nothing was done that must never be, and failures were told with a reason."""
        found = [*self.judge.always(), *self.judge.told(self._told)]
        self._assert([*found, *self.judge.bounded(self._losses)])
        self._told = len(self.simulation.database.history())

    @staticmethod
    def _assert(broken: list[str]) -> None:
        assert not broken, broken

    def teardown(self) -> None:
        """Let services work again: the cluster comes to rest, and nobody is stuck."""
        conductors = self.simulation.conductors
        try:
            if self.ledger.each:
                self._end()
        finally:
            COUNTS.sequences += 1
            COUNTS.deaths += conductors.deaths
            COUNTS.boundaries += conductors.boundaries
            COUNTS.requests += len(self.ledger.each)
            self.simulation.close()

    def _end(self) -> None:
        world = self.world
        self._services_are_well()
        self._bring_back()
        for conductor in self.simulation.conductors.each:
            conductor.go_on()
        self.settle()
        self._assert(list(self.judge.at_rest()))
        self._nobody_touches_it()
        world.swarm.mute.clear()
        self._find_the_way_out()

    def _nobody_touches_it(self) -> None:
        """Let conductors look at a cluster at rest: nothing is written of it, nor asked of Heat."""
        # What was made by a conductor that died is deleted some minutes later.
        self._turn(0, orphans.OLD_SECONDS + TURN_SECONDS)
        before = self.simulation.written()
        for which in range(CONDUCTORS):
            self._turn(which)
        after = self.simulation.written()
        differing = [
            f"{one} became {other}"
            for one, other in zip(before, after, strict=False)
            if one != other
        ]
        self._assert([f"written while nobody asks for anything: {differing}"] if differing else [])

    def settle(self) -> None:
        """Let time pass until nothing changes any more."""
        calm, before, seconds = 0, None, float(TURN_SECONDS)
        for turn in range(MOST_TURNS):
            self._turn(turn % CONDUCTORS, seconds)
            self.nothing_is_broken()
            self._assert([*self.judge.healthy(), *self.judge.in_time(self.world.now - seconds)])
            status = self.simulation.status()
            if not status:
                if self.simulation.record() is not None:
                    # What a conductor may yet make of it is deleted for a day.
                    seconds = _LONGEST_TURN
                elif not self.world.stacks.are_busy():
                    return
                continue
            now = self._picture()
            busy = status.endswith("_IN_PROGRESS")
            calm = calm + 1 if now == before else 0
            # Nobody has to be looked at often who only waits.
            seconds = min(seconds * 2, _LONGEST_TURN) if busy and calm else float(TURN_SECONDS)
            if calm >= _CALM_TURNS and not busy:
                return
            before = now
        row, record = self.simulation.facts(), self.simulation.record()
        reason = row.status_reason if row else record and record.state
        self._assert([f"it does not come to rest: {status}: {reason}"])

    def _picture(self) -> Any:
        row, record = self.simulation.facts(), self.simulation.record()
        state = record.state if record else None
        return (
            row and (row.status, row.health_status),
            state and (state.phase, state.plan.number, state.plan.debts),
            state and (state.ca, state.credential, state.owned, not state.healing.down),
            self.world.stacks.updates,
            self.world.swarm.ready(),
        )

    def _find_the_way_out(self) -> None:
        """Do what the documentation says of a cluster that failed, and then delete it."""
        status = self.simulation.status()
        if status in ("UPDATE_FAILED", *_DONE):
            self._resize_again(self.simulation.groups()[:2])
            reason = self.simulation.facts().status_reason or ""
            further = [one for one in self.simulation.groups()[2:] if one["name"] in reason]
            if self.simulation.status() not in _DONE and further:
                self._resize_again(further)
            if self.simulation.status() not in _DONE:
                self._assert([f"there is no way out: {self.simulation.facts().status_reason}"])
        if not status:
            return
        self._ask(0, self.simulation.delete(), None, self._note("delete", "", None))
        self.settle()
        self._assert(list(self.judge.at_rest()))

    def _resize_again(self, groups: list[dict[str, Any]]) -> None:
        """Resize groups to as many nodes as they are to have."""
        for group in groups:
            request = self._note("count", group["uuid"], group["node_count"])
            action = self.simulation.resize(group["uuid"], group["node_count"], [])
            self._ask(0, action, None, request)
        self.settle()
        self._assert(list(self.judge.at_rest()))


class Counting(Life):
    """Nodes and node groups come and go."""

    from_the_beginning = False

    @precondition(lambda self: self._is_admitted(*_RESIZABLE))
    @rule(which=conductors, group=st.integers(0, 4), count=st.integers(0, 4), fate=fates)
    def resize(self, which: int, group: int, count: int, fate: Fate | None) -> None:
        """Let a group have another number of nodes."""
        row = self._group(group)
        if row["role"] == "master":
            count = (1, 3, 3, 5, 3)[count]
            swarm = self.world.swarm
            swarm.managers_wanted = min(swarm.managers_wanted, count)
        request = self._note("count", row["uuid"], count)
        self._ask(which, self.simulation.resize(row["uuid"], count, []), fate, request)

    @precondition(lambda self: self._is_admitted(*_RESIZABLE))
    @rule(
        which=conductors,
        group=st.integers(0, 4),
        nodes=st.lists(st.integers(0, 4), min_size=1, max_size=2),
        fewer=st.booleans(),
        fate=fates,
    )
    def replace(
        self, which: int, group: int, nodes: list[int], fewer: bool, fate: Fate | None
    ) -> None:
        """Remove nodes, and let others take their places; one less, where there shall be fewer."""
        row = self._group(group)
        servers = self.judge._servers(row["uuid"], row)
        if not servers or (row["role"] == "master" and len(servers) == 1):
            return
        ids = sorted({servers[node % len(servers)].id for node in nodes})
        number = row["node_count"]
        if fewer and number and row["role"] != "master":
            number -= 1
        action = self.simulation.resize(row["uuid"], number, ids)
        named = [self._note("named", one, one) for one in ids]
        self._ask(which, action, fate, self._note("count", row["uuid"], number), *named)

    @precondition(lambda self: self._is_admitted(*_DONE))
    @rule(which=conductors, count=st.integers(0, 4), rollback=st.booleans(), fate=fates)
    def update(self, which: int, count: int, rollback: bool, fate: Fate | None) -> None:
        """Let there be another number of workers, or go back to what was before."""
        row = self.simulation.groups()[1]
        if row["node_count"] == count:
            return
        request = self._note("count", row["uuid"], count)
        self._ask(which, self.simulation.update(count, rollback=rollback), fate, request)

    @precondition(lambda self: self._is_admitted(*_DONE, "UPDATE_FAILED"))
    @precondition(lambda self: len(self.simulation.groups()) < 4)
    @rule(which=conductors, count=st.integers(0, 2), fate=fates)
    def create_group(self, which: int, count: int, fate: Fate | None) -> None:
        """Create a node group."""
        name = f"group-{len(self.ledger.each)}"
        request = self._note("group", name, True)
        self._ask(which, self.simulation.create_group(name, count), fate, request)
        for row in self.simulation.groups():
            if row["name"] == name:
                self.ledger.each.append(request.part("count", row["uuid"], count))

    @precondition(lambda self: self._is_admitted(*_RESIZABLE))
    @precondition(lambda self: len(self.simulation.groups()) > 2)
    @rule(which=conductors, group=st.integers(0, 4), fate=fates)
    def delete_group(self, which: int, group: int, fate: Fate | None) -> None:
        """Delete a node group."""
        rows = self.simulation.groups()[2:]
        row = rows[group % len(rows)]
        request = self._note("group", row["name"], False)
        self._ask(which, self.simulation.delete_group(row["uuid"]), fate, request)

    @precondition(lambda self: self._is_admitted(*_RESIZABLE))
    @rule(which=conductors, group=st.integers(0, 4), value=st.sampled_from("ab"), fate=fates)
    def label(self, which: int, group: int, value: str, fate: Fate | None) -> None:
        """Give the nodes of a group a label."""
        row = self._group(group)
        if row["role"] == "master":
            return
        request = self._note("label", row["uuid"], value)
        self._ask(which, self.simulation.update_group(row["uuid"], {"x": value}), fate, request)


class Upgrading(Counting):
    """Nodes are made of something else, and back."""

    @precondition(lambda self: self._is_admitted(*_DONE, "UPDATE_FAILED"))
    @rule(
        which=conductors,
        template=st.sampled_from(sorted(TEMPLATES, reverse=True)),
        group=st.none() | st.integers(0, 4),
        batch=st.integers(1, 2),
        fate=fates,
    )
    def upgrade(
        self, which: int, template: str, group: int | None, batch: int, fate: Fate | None
    ) -> None:
        """Upgrade a group, or the first two."""
        rows = self.simulation.groups()[:2] if group is None else [self._group(group)]
        named = None if group is None else rows[0]["uuid"]
        action = self.simulation.upgrade(template, named, batch)
        noted = [self._note("look", row["uuid"], TEMPLATES[template]) for row in rows]
        self._ask(which, action, fate, *noted)


class Rotating(Life):
    """Certificates and rights are replaced."""

    from_the_beginning = False

    @precondition(lambda self: self._is_admitted(*_DONE))
    @rule(which=conductors, fate=fates)
    def rotate_ca(self, which: int, fate: Fate | None) -> None:
        """Replace the cluster's certificates."""
        self._ask(which, self.simulation.rotate_ca(), fate, self._note("ca", "", None))

    @precondition(lambda self: self._is_admitted(*_DONE, "UPDATE_FAILED"))
    @rule(which=conductors, user=st.sampled_from([OWNER, MEMBER]), fate=fates)
    def rotate_credential(self, which: int, user: str, fate: Fate | None) -> None:
        """Replace the cluster's rights."""
        request = self._note("credential", "", user)
        self._ask(which, self.simulation.rotate_credential(user), fate, request)

    @precondition(lambda self: self._is_admitted(*_RESIZABLE))
    @rule(which=conductors, count=st.integers(0, 3), fate=fates)
    def resize(self, which: int, count: int, fate: Fate | None) -> None:
        """Let there be another number of workers meanwhile."""
        row = self._group(1)
        request = self._note("count", row["uuid"], count)
        self._ask(which, self.simulation.resize(row["uuid"], count, []), fate, request)


EMPHASES = {"life": Life, "counting": Counting, "upgrading": Upgrading, "rotating": Rotating}


def play(emphasis: str, sequences: int, number: int) -> None:
    """Play sequences of one kind.

    :param number: the same number leads to the same sequences.
    :raises AssertionError: with the shortest sequence that breaks an invariant.
    """
    # Each kind is a class of its own, so that a seed is not kept by the next one.
    machine = seed(number)(type(emphasis, (EMPHASES[emphasis],), {}))
    run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=sequences))
