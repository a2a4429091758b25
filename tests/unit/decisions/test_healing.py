# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st
from oslotest import base

from magnum_swarm_mode import stored
from magnum_swarm_mode.decisions import healing, model
from magnum_swarm_mode.decisions.healing import Memory, Rule
from magnum_swarm_mode.decisions.model import Node
from tests.unit.decisions.swarm_world import World

RULE = Rule(delay=30, most=3)
NOW = 1_000_000


def manager(number, *, down=False, leader=False):
    return Node(
        id=f"m{number}",
        hostname=f"manager-{number}",
        role="manager",
        in_raft=True,
        reachable=not down,
        leader=leader,
        state="down" if down else "ready",
    )


def worker(number, *, down=False, **more):
    state = "down" if down else "ready"
    return Node(id=f"w{number}", hostname=f"worker-{number}", **{"state": state, **more})


def nodes(managers=3, workers=3, down=()):
    """Return a swarm; ``down`` are names such as ``m0`` and ``w2``."""
    return [
        *(manager(i, down=f"m{i}" in down) for i in range(managers)),
        *(worker(i, down=f"w{i}" in down) for i in range(workers)),
    ]


def look(times, rule=RULE, memory=None):
    """Look at a cluster at some seconds; return what was to be replaced when, and the end."""
    memory, acted, verdict = memory or Memory(), {}, None
    for second, seen in times:
        verdict = healing.decide(seen, memory, rule, NOW + second)
        # The record holds JSON.
        memory = stored.load(Memory, stored.dump(verdict.memory))
        if verdict.replace:
            acted[second] = verdict.replace
    return acted, verdict


class RuleTest(base.BaseTestCase):
    def test_worker(self):
        """A node is replaced when it has been down for the delay, not before."""
        seen = nodes(down=["w1"])
        acted, verdict = look([(0, seen), (10, seen), (29, seen), (35, seen)])

        self.assertEqual({35: ("worker-1",)}, acted)
        self.assertEqual("Healing: worker-1 was down for 35 s.", verdict.cause)

    def test_foreign(self):
        """A node that a user joined to the swarm is neither replaced nor spoken of."""
        seen = [*nodes(), worker(7, down=True, is_ours=False)]

        acted, verdict = look([(0, seen), (35, seen)])

        self.assertEqual({}, acted)
        self.assertEqual("", verdict.line)

    def test_back(self):
        """A node that comes back is forgotten; the next time its time begins anew."""
        away, well = nodes(down=["w1"]), nodes()

        acted, verdict = look([(0, away), (20, well), (40, away), (60, away)])

        self.assertEqual({}, acted)
        self.assertEqual({"w1": NOW + 40}, verdict.memory.down)

    def test_well(self):
        """Nothing is remembered of a cluster that is well, so that nothing need be written."""
        _, verdict = look([(0, nodes())])

        self.assertTrue(verdict.memory.is_at_rest)
        self.assertEqual("", verdict.line)

    def test_waiting_is_told(self):
        """While a node's time runs the health says so."""
        _, verdict = look([(0, nodes(down=["w1"])), (10, nodes(down=["w1"]))])

        self.assertEqual(
            "worker-1 is down for 10 s; what is down for 30 s is replaced", verdict.line
        )

    def test_manager(self):
        """A lost manager is replaced; one whose engine lives but whom the others miss, too."""
        mute = nodes()
        mute[1] = Node("m1", "manager-1", role="manager", in_raft=True, reachable=False)
        for seen in (nodes(down=["m1"]), mute):
            acted, _ = look([(0, seen), (30, seen)])
            self.assertEqual({30: ("manager-1",)}, acted)

    def test_two_of_five_managers(self):
        """No manager is replaced before all that are lost may be, as none could join."""
        one, both = nodes(5, down=["m1"]), nodes(5, down=["m1", "m3"])

        acted, _ = look([(0, one), (20, both), (40, both), (50, both)])

        self.assertEqual({50: ("manager-1", "manager-3")}, acted)

    def test_quorum(self):
        """Nothing is done to managers that have lost their quorum."""
        seen = nodes(down=["m0", "m1"])

        acted, _ = look([(0, seen), (100, seen)])

        self.assertEqual({}, acted)

    def test_manager_beside_worker(self):
        """A manager waits until workers that are down go with it, but not for ever."""
        one, both = nodes(down=["m0"]), nodes(down=["m0", "w0"])
        acted, _ = look([(0, one), (20, both), (30, both), (50, both)])
        self.assertEqual({50: ("manager-0", "worker-0")}, acted)
        flapping = [(s, nodes(down=["m0", f"w{s // 20 % 3}"])) for s in range(0, 151, 10)]

        acted, _ = look(flapping)

        self.assertEqual({150: ("manager-0",)}, acted)

    def test_manager_beside_blinking_worker(self):
        """Workers that blink in turns for a day keep a lost manager no longer than the bound."""
        for interval, blink in ((10, 50), (50, 50), (60, 180)):
            with self.subTest(interval=interval, blink=blink):
                looks = (
                    (s, nodes(down=["m0", f"w{s // blink % 2}"]))
                    for s in range(0, 24 * 3600, interval)
                )
                acted, _ = look(looks, Rule(delay=300, most=6))
                first = min((s for s, names in acted.items() if "manager-0" in names), default=0)
                self.assertIn(first, range(600, 600 + interval + 1))

    def test_manager_beside_unknown(self):
        """A manager waits also for workers of which a new leader does not know yet."""
        unknown = [*nodes(workers=0, down=["m0"]), worker(0, state="unknown"), worker(1)]
        both = nodes(workers=2, down=["m0", "w0"])

        acted, _ = look([(0, unknown), (30, unknown), (40, both), (60, both), (70, both)])

        self.assertEqual({70: ("manager-0", "worker-0")}, acted)

    def test_worker_beside_manager(self):
        """A worker does not wait for a manager."""
        acted, _ = look(
            [
                (0, nodes(down=["w0"])),
                (20, nodes(down=["w0", "m0"])),
                (30, nodes(down=["w0", "m0"])),
            ]
        )

        self.assertEqual({30: ("worker-0",)}, acted)

    def test_most_workers(self):
        """Of most workers one is replaced first; the others as soon as that has joined."""
        seen = nodes(workers=3, down=["w0", "w1", "w2"])
        first, verdict = look([(0, seen), (30, seen)])
        self.assertEqual({30: ("worker-0",)}, first)
        self.assertIn("Of the workers 3 are down at once", verdict.cause)
        after = [*nodes(workers=0), *seen[4:], worker(3)]

        second, verdict = look([(400, after)], memory=verdict.memory)

        self.assertEqual({400: ("worker-1", "worker-2")}, second)

    def test_most_workers_again(self):
        """Others that went down since are not taken for granted."""
        _, verdict = look(
            [
                (0, nodes(workers=4, down=["w0", "w1", "w2"])),
                (30, nodes(workers=4, down=["w0", "w1", "w2"])),
            ]
        )
        later = [*nodes(workers=0), worker(3, down=True), worker(4, down=True)]

        acted, _ = look([(50, later), (90, later)], memory=verdict.memory)

        self.assertEqual({90: ("worker-3",)}, acted)

    def test_half_of_the_workers(self):
        """Half of the workers are replaced at once."""
        seen = nodes(workers=4, down=["w0", "w1"])

        acted, verdict = look([(0, seen), (30, seen)])

        self.assertEqual({30: ("worker-0", "worker-1")}, acted)
        self.assertEqual("Healing: worker-0, worker-1 were down for 30 s or longer.", verdict.cause)

    def test_drained(self):
        """A worker that its owner drained is left alone, and that is said."""
        seen = [*nodes(workers=0), worker(0, down=True, availability="drain"), worker(1)]

        acted, verdict = look([(0, seen), (500, seen)])

        self.assertEqual({}, acted)
        self.assertEqual("worker-0 is drained and left alone", verdict.line)

    def test_limit(self):
        """As many healings as are allowed within an hour, then none, and that is said."""
        seen = nodes(down=["w1"])

        acted, verdict = look([(second, seen) for second in range(0, 2400, 10)])

        self.assertEqual([30, 70, 110], [*acted])
        self.assertTrue(verdict.memory.limited)
        self.assertRegex(
            verdict.line,
            r"stopped until \d\d:\d\d UTC: there were 3 healings within an hour, and the operator "
            "allows 3; worker-1 is down",
        )

    def test_limit_ends(self):
        """An hour after the first of them the next is allowed."""
        memory = Memory(acted=(NOW, NOW + 10, NOW + 20))
        seen = nodes(down=["w1"])

        acted, _ = look([(s, seen) for s in range(100, 4000, 60)], memory=memory)

        self.assertEqual(3640, min(acted))

    def test_none_allowed(self):
        """An operator may allow none."""
        seen = nodes(down=["w1"])

        acted, verdict = look([(0, seen), (100, seen)], Rule(30, 0))

        self.assertEqual({}, acted)
        self.assertIn("the operator allows 0", verdict.line)

    def test_blind(self):
        """Time in which nobody looked does not count."""
        seen = nodes(down=["w1"])

        acted, _ = look([(0, seen), (500, seen), (520, seen), (530, seen)])

        self.assertEqual({530: ("worker-1",)}, acted)

    def test_clock(self):
        """A conductor whose clock is behind does not wait longer for it."""
        _, verdict = look([(0, nodes(down=["w1"])), (-50, nodes(down=["w1"]))])

        self.assertEqual({"w1": NOW - 50}, verdict.memory.down)

    def test_paused(self):
        """Where healing does not go on by itself the health says what helps."""
        line = healing.paused(nodes(down=["w1"]), "UPDATE_FAILED")

        self.assertIn("stopped while the cluster is UPDATE_FAILED; worker-1 is down", line)
        self.assertEqual("", healing.paused(nodes(), "UPDATE_FAILED"))

    @given(
        st.lists(
            st.sets(st.sampled_from(["m0", "m1", "m2", "w0", "w1", "w2", "w3"])),
            min_size=1,
            max_size=40,
        ),
        st.integers(1, 4),
    )
    def test_properties(self, history, most):
        """Whatever happens: only who was down at every look of the delay goes, or waited for one
        that did; the managers keep their quorum, and the limit holds."""
        memory, acted = Memory(), 0
        for step, down in enumerate(history):
            waited = set(memory.probed)
            verdict = healing.decide(
                nodes(workers=4, down=down), memory, Rule(30, most), NOW + 10 * step
            )
            memory = stored.load(Memory, stored.dump(verdict.memory))
            if not verdict.replace:
                continue
            acted += 1
            gone = {f"{name[0]}{name[-1]}" for name in verdict.replace}
            for seen in history[max(0, step - 3) : step + 1]:
                self.assertLessEqual(gone - waited, seen)
            self.assertLessEqual(gone, down)
            managers = {name for name in gone if name.startswith("m")}
            self.assertLessEqual(len(managers), 1)
            self.assertIn(managers, (set(), {name for name in down if name.startswith("m")}))
        self.assertLessEqual(acted, most)


class HealTest(base.BaseTestCase):
    """What ``update`` makes of it."""

    def heal(self, world, *names):
        world.plan = world.plan.healing(names, "Healing: it was down for 35 s.")

    def test_only_named(self):
        """Exactly the nodes that are named are replaced, and no other that is down."""
        world = World(workers=3)
        world.kill("swarm-worker-0")
        world.kill("swarm-worker-2")
        self.heal(world, "swarm-worker-0")

        step = world.run()

        self.assertEqual([("worker", 3, ("0",))], world.updates)
        self.assertEqual(model.Outcome.COMPLETE, step.outcome)
        self.assertEqual("Healing: it was down for 35 s. Replaced swarm-worker-0.", step.reason)
        self.assertEqual("down", world.node("swarm-worker-2").state)

    def test_came_back(self):
        """A node that came back in the last moment stays."""
        world = World(workers=2)
        self.heal(world, "swarm-worker-0")

        step = world.run()

        self.assertEqual([], world.updates)
        self.assertIn("swarm-worker-0 came back before.", step.reason)

    def test_workers_first(self):
        """Lost workers are replaced before managers are, at whom Heat would fail otherwise."""
        for repair in (False, True):
            world = World(managers=3, workers=2)
            world.kill("swarm-manager-1")
            world.kill("swarm-worker-0")
            if repair:
                world.request("worker", "same")
            else:
                self.heal(world, "swarm-manager-1", "swarm-worker-0")

            step = world.run()

            self.assertEqual(model.Outcome.COMPLETE, step.outcome)
            self.assertEqual([("worker", 2, ("0",)), ("masters", 3, ("1",))], world.updates)

    def test_leader(self):
        """A lost leader's place is taken, its entry is removed, and each step says why."""
        world = World(managers=3, workers=1)
        world.kill("swarm-manager-0")
        self.heal(world, "swarm-manager-0")
        self.assertEqual(
            "Healing: it was down for 35 s. Demoting swarm-manager-0 (2 of 3 managers stay).",
            world.step().reason,
        )

        step = world.run()

        self.assertEqual(model.Outcome.COMPLETE, step.outcome)
        self.assertEqual(
            ["swarm-manager-1", "swarm-manager-2", "swarm-manager-3"], world.hostnames()[:3]
        )

    def test_two_of_five(self):
        """Two lost managers of five are demoted one after the other."""
        world = World(managers=5, workers=1)
        for name in ("swarm-manager-0", "swarm-manager-3"):
            world.kill(name)
        self.heal(world, "swarm-manager-0", "swarm-manager-3")

        step = world.run()

        self.assertEqual(model.Outcome.COMPLETE, step.outcome)
        self.assertEqual(5, sum(n.in_raft and n.reachable for n in world.nodes.values()))
        self.assertEqual([("masters", 5, ("0", "3"))], world.updates)

    def test_stale(self):
        """An entry without a server is removed."""
        world = World(workers=2)
        world.kill("swarm-worker-1")
        world.rows["worker"].indices.remove(1)
        world.rows["worker"].removed.add(1)
        world.rows["worker"].indices.append(2)
        world.join(world.rows["worker"], 2)
        self.heal(world, "swarm-worker-1")

        step = world.run()

        self.assertEqual([], world.updates)
        self.assertNotIn("swarm-worker-1", world.hostnames())
        self.assertIn("Removed swarm-worker-1, which had no server any more.", step.reason)

    def test_failure(self):
        """A healing that fails says why it was there."""
        world = World(workers=2)
        world.kill("swarm-worker-0")
        world.limit = 4
        self.heal(world, "swarm-worker-0")

        step = world.run()

        self.assertEqual(model.Outcome.FAILED, step.outcome)
        self.assertEqual(
            "Healing: it was down for 35 s. The server of worker 9 failed: Quota exceeded.",
            step.reason,
        )
