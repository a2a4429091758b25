# SPDX-License-Identifier: Apache-2.0
import random

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from oslotest import base

from magnum_swarm_mode import stored
from magnum_swarm_mode.decisions import change, model
from magnum_swarm_mode.decisions.model import Recolour, Remake, Resize
from magnum_swarm_mode.decisions.upgrade_plan import Upgrade
from tests import cases
from tests.unit.decisions.upgrade_world import COMPLETE, FAILED, NEW, OLD, UpgradeWorld


class WorkersTest(base.BaseTestCase):
    def test_new_before_old(self):
        """Workers are made anew in batches, never fewer than wanted, and then the old ones go."""
        world = UpgradeWorld(workers=4, tasks=2)
        world.upgrade(groups=["worker"], batch=2)

        step = world.run()

        self.assertEqual(COMPLETE, step.outcome)
        self.assertEqual(
            {**{f"swarm-manager-{i}": OLD for i in range(3)},
             **{f"swarm-worker-g{i}": NEW for i in range(4)}},
            world.made(),
        )  # fmt: skip
        self.assertEqual(
            [(4, 2), (2, 2), (2, 4), (0, 4)], [(one.blue, one.green) for one in world.updates]
        )
        self.assertEqual(4, world.fewest)
        self.assertEqual(1, world.renewals)
        self.assertEqual({"": NEW, "g": NEW}, world.images["worker"])
        self.assertFalse(world.plan.is_upgrading)
        self.assertEqual({"worker": "template-new"}, world.plan.followed)

    def test_back_into_the_first_colour(self):
        """The next upgrade fills the other colour."""
        world = UpgradeWorld(workers=2)
        world.upgrade(groups=["worker"])
        world.run()
        world.upgrade("newer", groups=["worker"])

        self.assertEqual(COMPLETE, world.run().outcome)

        self.assertEqual(
            {"swarm-worker-2": "newer", "swarm-worker-3": "newer"},
            {name: image for name, image in world.made().items() if "worker" in name},
        )

    def test_where_it_is(self):
        """Every sentence meanwhile says how many nodes are done."""
        world = UpgradeWorld(workers=2)
        world.upgrade(groups=["worker"])
        reasons = []
        for _ in range(40):
            step = world.step()
            if step.outcome is COMPLETE:
                break
            if step.reason not in reasons:
                reasons.append(step.reason)
            if not step.soon:
                world.advance()
        self.assertTrue(all(one.startswith("Upgrading worker: ") for one in reasons), reasons)
        self.assertEqual(
            "Upgrading worker: 0 of 2 done. Heat is asked for 1 new and 2 old workers of worker.",
            reasons[0],
        )
        self.assertIn("Upgrading worker: 1 of 2 done. Draining swarm-worker-1.", reasons)

    def test_nothing_to_do(self):
        """What is as the template says already is left alone."""
        world = UpgradeWorld()
        world.upgrade(OLD)
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual([], world.updates)

    def test_other_settings(self):
        """Nodes are made anew as well where only the settings of their engine differ."""
        world = UpgradeWorld(workers=1)
        world.upgrade(OLD, groups=["worker"], settings={"engine": 2})
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertIn("swarm-worker-g0", world.made())
        # The managers are pinned, as what new ones would be made of has changed.
        self.assertEqual({"0", "1", "2"}, set(world.machines))
        world.upgrade(OLD, settings={"engine": 2})
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual({"default"}, set(world.machines))

    def test_no_room(self):
        """Where a quota has no room for more nodes, old ones go first, and that is said."""
        world = UpgradeWorld(managers=1, workers=3)
        world.limit = 4
        world.upgrade(groups=["worker"])

        step = world.run()

        self.assertEqual(COMPLETE, step.outcome)
        self.assertEqual(2, world.fewest)
        self.assertIn("The old nodes of worker went first, as there was no room", step.reason)
        cases.shown(self, "upgrade-old-first", step.reason, answer="UPDATE_COMPLETE")
        self.assertEqual(3, sum(image == NEW for image in world.made().values()))

    def test_no_workers(self):
        """A group without nodes gets its new image all the same."""
        world = UpgradeWorld(workers=0)
        world.upgrade(groups=["worker"])
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual({"": NEW, "g": NEW}, world.images["worker"])
        world.request("worker", 2)
        world.run()
        self.assertEqual(2, sum(image == NEW for image in world.made().values()))

    def test_resized_meanwhile(self):
        """A group that shall have another number of nodes while it is upgraded gets it."""
        for wanted in (1, 6):
            world = UpgradeWorld(workers=3)
            world.upgrade(groups=["worker"])
            for _ in range(4):
                if not world.step().soon:
                    world.advance()
            world.request("worker", wanted)
            self.assertEqual(COMPLETE, world.run().outcome)
            workers = [name for name in world.made() if "worker" in name]
            self.assertEqual([f"swarm-worker-g{i}" for i in range(wanted)], workers[:wanted])
            self.assertEqual(wanted, len(workers))

    def test_resized_afterwards(self):
        """The colour that has the nodes grows and shrinks, and nodes are named as before."""
        world = UpgradeWorld(workers=2)
        world.upgrade(groups=["worker"])
        world.run()
        world.request("worker", 3)
        world.run()
        world.request("worker", 2, ["g1"])
        world.run()
        self.assertEqual(
            ["swarm-worker-g0", "swarm-worker-g2"], [n for n in world.made() if "worker" in n]
        )


class BadImageTest(base.BaseTestCase):
    def stopped(self, groups=("worker",), **counts):
        """A world whose upgrade has stopped at an image that does not work."""
        world = UpgradeWorld(**counts)
        world.bad = {"bad"}
        world.upgrade("bad", groups=groups)
        step = world.run()
        self.assertEqual(FAILED, step.outcome)
        return world, step

    def test_stops(self):
        """Workers that do not become ready end the upgrade; all old ones go on."""
        world, step = self.stopped(workers=3)
        self.assertIn("Upgrading worker stopped with 0 of 3 done: Given up after", step.reason)
        self.assertEqual(3, world.fewest)
        self.assertEqual([1], [one.green for one in world.updates])
        self.assertFalse(world.plan.leaving)
        cases.shown(self, "upgrade-stopped", step.reason, answer="UPDATE_FAILED")

    def test_goes_on(self):
        """A resize to the present number tries again, with new nodes in place of the bad ones."""
        world, _ = self.stopped(workers=2)
        world.bad = set()
        world.request("worker", 2)
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual(
            {"swarm-worker-g1": "bad", "swarm-worker-g2": "bad"},
            {name: image for name, image in world.made().items() if "worker" in name},
        )
        self.assertEqual(2, world.fewest)

    def test_goes_back(self):
        """An upgrade to the old template removes what does not work."""
        world, _ = self.stopped(workers=2)
        world.upgrade(OLD, groups=["worker"])
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual(["swarm-worker-0", "swarm-worker-1"],
                         [name for name in world.made() if "worker" in name])  # fmt: skip
        self.assertEqual(2, world.fewest)

    def test_goes_to_a_third(self):
        """An upgrade to a template that mends the image goes on from the old nodes."""
        world, _ = self.stopped(workers=2)
        world.upgrade("mended", groups=["worker"])
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual({"mended"},
                         {i for name, i in world.made().items() if "worker" in name})  # fmt: skip
        self.assertEqual(2, world.fewest)

    def test_half_way_to_a_third(self):
        """From half old and half new nodes a third image is reached without a loss of capacity."""
        world = UpgradeWorld(workers=4)
        world.upgrade(groups=["worker"])
        while sum(image == NEW for image in world.made().values()) < 2:
            if not world.step().soon:
                world.advance()
        world.bad = {NEW}
        world.change("swarm-worker-g1", state="down")
        world.stack_status = "UPDATE_COMPLETE"
        self.assertEqual(FAILED, world.run().outcome)
        world.upgrade("third", groups=["worker"])
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual({"third"},
                         {i for name, i in world.made().items() if "worker" in name})  # fmt: skip

    def test_manager(self):
        """A manager that does not come back ends the upgrade, with a quorum of the others."""
        world, step = self.stopped(groups=("masters", "worker"))
        self.assertIn("Upgrading masters stopped with 0 of 3 done", step.reason)
        self.assertEqual(2, sum(node.in_raft for node in world.nodes.values()))
        self.assertEqual([OLD, OLD], [i for i in world.made().values() if i == OLD][:2])

        world.upgrade(OLD)
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual({OLD}, set(world.made().values()))
        self.assertEqual(3, sum(node.in_raft for node in world.nodes.values()))

    def test_manager_again(self):
        """A resize to the present number makes the manager again that did not come back."""
        world, _ = self.stopped(groups=("masters",))
        world.bad = set()
        world.request("worker", 3)
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual({"bad"},
                         {i for name, i in world.made().items() if "manager" in name})  # fmt: skip


class ManagersTest(base.BaseTestCase):
    def test_one_at_a_time(self):
        """Each manager is taken away and made again under its name, the leader last."""
        world = UpgradeWorld(managers=3, workers=0)
        world.change("swarm-manager-0", leader=False)
        world.change("swarm-manager-1", leader=True)
        world.upgrade()

        self.assertEqual(COMPLETE, world.run().outcome)

        self.assertEqual({f"swarm-manager-{i}": NEW for i in range(3)}, world.made())
        away = [
            index
            for one in world.updates
            if isinstance(one, Remake)
            for index, machine in one.machines.items()
            if machine.get("absent")
        ]
        self.assertEqual(["0", "2", "1"], away)
        self.assertEqual({"default"}, set(world.machines))
        self.assertEqual(3, sum(node.in_raft for node in world.nodes.values()))

    def test_list_is_old(self):
        """No manager is taken away that the swarm does not list yet, for it may have joined."""
        world = UpgradeWorld(managers=3, workers=0)
        world.upgrade()
        new = world.node("swarm-manager-2")
        del world.nodes[new.id]

        for _ in range(3):
            step = change.decide(world.seen())
            world.plan = step.plan
            self.assertEqual((), step.actions)
            self.assertIn("Waiting until the swarm lists swarm-manager-2.", step.reason or "")
            world.now += 10
        world.nodes[new.id] = new

        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual({f"swarm-manager-{i}": NEW for i in range(3)}, world.made())

    def test_managers_before_workers(self):
        """Workers follow when all managers are done."""
        world = UpgradeWorld(managers=3, workers=2)
        world.upgrade()
        self.assertEqual(COMPLETE, world.run().outcome)
        kinds = [type(one).__name__ for one in world.updates]
        self.assertEqual(sorted(kinds, reverse=True), kinds)
        self.assertEqual({NEW}, set(world.made().values()))

    def test_a_lost_manager(self):
        """No manager is taken away while another one is lost; the arithmetic is said."""
        world = UpgradeWorld(managers=5, workers=1)
        world.kill("swarm-manager-3")
        world.kill("swarm-manager-4")
        world.upgrade()
        step = world.run()
        self.assertEqual(FAILED, step.outcome)
        cases.shown(self, "upgrade-lost-managers", step.reason, answer="UPDATE_FAILED")
        self.assertEqual([], world.updates)

    def test_the_lost_one_first(self):
        """A single manager that is lost is the first to be made again."""
        world = UpgradeWorld(managers=3, workers=0)
        world.kill("swarm-manager-2")
        world.upgrade()
        self.assertEqual(COMPLETE, world.run().outcome)
        first = world.updates[0]
        self.assertEqual({"absent": True}, first.machines["2"])
        self.assertEqual({NEW}, set(world.made().values()))

    def test_the_only_one(self):
        """A single manager gets a second one beside it and goes then; the address changes."""
        world = UpgradeWorld(managers=1, workers=1)
        world.upgrade()

        step = world.run()

        self.assertEqual(COMPLETE, step.outcome)
        self.assertEqual({"swarm-manager-1": NEW, "swarm-worker-g0": NEW}, world.made())
        self.assertEqual(1, sum(node.in_raft for node in world.nodes.values()))
        self.assertTrue([one for one in world.updates if isinstance(one, Remake)])
        cases.shown(self, "upgrade-only-manager", step.reason, answer="UPDATE_COMPLETE")

    def test_the_only_one_bad(self):
        """A second manager that does not become ready leaves the first one alone, and goes when
        another is tried."""
        world = UpgradeWorld(managers=1, workers=1)
        world.bad = {NEW}
        world.upgrade(groups=["masters"])
        self.assertEqual(FAILED, world.run().outcome)
        world.bad = set()
        world.upgrade("mended", groups=["masters"])
        self.assertEqual(COMPLETE, world.run().outcome)
        self.assertEqual("mended", world.made()["swarm-manager-2"])
        self.assertEqual(2, len(world.made()))


class AnyMomentTest(base.BaseTestCase):
    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from([1, 3, 5]),
        st.integers(0, 5),
        st.integers(1, 3),
        st.integers(0, 2**32),
        st.booleans(),
    )
    @example(1, 0, 3, 1986028977, False)  # eight die in a row before they ask Heat
    def test_conductors_die(self, managers, workers, batch, seed, tight):
        """Whenever conductors die, before or after they asked Heat, the end is the same: all nodes
        are new, capacity and quorum were never short, and no node was replaced in its place."""
        dice = random.Random(seed)
        world = UpgradeWorld(managers=managers, workers=workers, tasks=2)
        if tight:
            world.limit = managers + workers + 1
        world.upgrade(batch=batch)
        for _ in range(600):
            step = world.step(act=dice.random() < 0.7)
            if step.outcome is COMPLETE:
                break
            self.assertIsNot(FAILED, step.outcome, step.reason)
            if dice.random() < 0.8:
                world.advance(10)
        else:
            raise AssertionError(step.reason)
        self.assertEqual({NEW}, set(world.made().values()))
        self.assertEqual(managers + workers, len(world.made()))
        self.assertEqual(managers + workers, len(world.nodes))
        short = min(batch, workers) if tight and workers else 0
        self.assertGreaterEqual(world.fewest, workers - short)

    def test_record(self):
        """What is kept of an upgrade can be read again."""
        world = UpgradeWorld()
        world.upgrade()
        world.step()
        again = stored.load(model.Plan, stored.dump(world.plan))
        self.assertEqual(world.plan, again)
        self.assertIsInstance(again.upgrade, Upgrade)

    def test_actions(self):
        """Every request to Heat is of a kind that the operations know."""
        world = UpgradeWorld(managers=1, workers=1)
        world.upgrade()
        world.run()
        for one in world.updates:
            self.assertIsInstance(one, (Recolour, Remake, Resize, tuple))
