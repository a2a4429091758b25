# SPDX-License-Identifier: Apache-2.0
"""Operations end, whatever Heat and the swarm do and whatever is requested meanwhile."""

import dataclasses

from oslotest import base

from magnum_swarm_mode import clocks
from magnum_swarm_mode.decisions import change, steps
from magnum_swarm_mode.decisions.healing import Memory
from magnum_swarm_mode.decisions.model import Debt, Leaving, Outcome, Plan, Remake, Waiting
from magnum_swarm_mode.decisions.record import Kind, Phase, new
from magnum_swarm_mode.decisions.rotation import CaRotation, CredentialRotation
from tests import cases
from tests.unit.decisions.swarm_world import World
from tests.unit.decisions.upgrade_world import COMPLETE, NEW, UpgradeWorld


class StuckWorld(World):
    """A world whose Heat says that it is done, and changes nothing."""

    def finish_heat(self):
        self.stack_status = "UPDATE_COMPLETE"
        self.rows["worker"].asked = len(self.rows["worker"].indices)


class UpgradesTest(base.BaseTestCase):
    def test_another_group_is_upgraded_meanwhile(self):
        """A group that is upgraded half way keeps its target when another group gets one."""
        world = UpgradeWorld(managers=3, workers=4)
        world.upgrade(groups=["worker"])
        while len([name for name, image in world.made_of.items() if image == NEW]) < 2:
            if not world.step().soon:
                world.advance()
        world.upgrade(groups=["masters"])

        step = world.run()

        self.assertEqual(COMPLETE, step.outcome)
        self.assertEqual({NEW}, set(world.made_of.values()))
        self.assertEqual(7, len(world.made_of))
        self.assertLess(len(world.updates), 30)
        self.assertEqual({"masters": "template-new", "worker": "template-new"}, world.plan.followed)

    def test_a_group_keeps_its_own_template(self):
        """Each group is made of what its own template says."""
        world = UpgradeWorld(managers=1, workers=2)
        world.upgrade("first", groups=["worker"])
        world.step()
        world.upgrade("second", groups=["masters"])

        self.assertEqual(COMPLETE, world.run().outcome)

        self.assertEqual(
            {"worker": "template-first", "masters": "template-second"}, world.plan.followed
        )

    def test_demoted_manager_gets_its_place_back(self):
        """A manager that was demoted for an update that Heat refuses becomes a manager again."""
        world = UpgradeWorld(managers=3, workers=1)
        world.upgrade(groups=["masters"])
        for _ in range(60):
            step = change.decide(world.seen())
            demoted = [n for n in world.nodes.values() if "manager" in n.hostname and not n.in_raft]
            if demoted and any(isinstance(action, Remake) for action in step.actions):
                break
            step = world.step()
            if not step.soon:
                world.advance()
        self.assertEqual(1, len(demoted))

        failed = steps.give_up(world.seen(), step.plan, "The image does not exist.")
        for action in failed.actions:
            world.act(action)
        world.advance()

        self.assertEqual(Outcome.FAILED, failed.outcome)
        self.assertEqual(
            [("manager", "active", True)] * 3,
            [
                (node.role, node.availability, node.reachable)
                for node in world.nodes.values()
                if "manager" in node.hostname
            ],
        )


class RepairTest(base.BaseTestCase):
    def test_worker_that_comes_and_goes(self):
        """A worker that is down for one look in fifty seconds does not keep a lost manager away."""
        world = World(managers=3, workers=2)
        world.kill("swarm-manager-1")
        world.request("masters", "same")
        began = world.now
        while "swarm-manager-3" not in world.hostnames() and world.now < began + 3600:
            blinks = (world.now - began) % 50 == 0
            world.change("swarm-worker-0", state="down" if blinks else "ready")
            step = world.step()
            self.assertIs(Outcome.GOES_ON, step.outcome, step.reason)
            if not step.soon:
                world.advance()

        self.assertLess(world.now - began, 400)

    def test_requested_while_another_operation_waits(self):
        """A repair is not dropped by a resize that comes before it has begun."""
        world = World(managers=3, workers=3)
        world.kill("swarm-manager-1")
        world.request("masters", "same")
        world.request("worker", 2, ["swarm-worker-0"])

        step = world.run()

        self.assertEqual(COMPLETE, step.outcome)
        self.assertEqual(
            [
                "swarm-manager-0",
                "swarm-manager-2",
                "swarm-manager-3",
                "swarm-worker-1",
                "swarm-worker-2",
            ],
            world.hostnames(),
        )


class EndTest(base.BaseTestCase):
    def test_updates_without_progress(self):
        """An operation ends whose updates of Heat change nothing."""
        world = StuckWorld(workers=2)
        world.request("worker", 4)

        step = world.run(most=2000)

        self.assertEqual(Outcome.FAILED, step.outcome)
        cases.shown(self, "change-no-progress", step.reason, answer="UPDATE_FAILED")
        self.assertEqual(change.MOST_UPDATES, len(world.updates))

    def test_conductors_die_before_they_ask(self):
        """Requests that conductors noted, and died before they sent, are no updates of Heat."""
        world = World(workers=2)
        world.request("worker", 4)
        for _ in range(2 * change.MOST_UPDATES):
            self.assertIs(Outcome.GOES_ON, world.step(act=False).outcome)

        self.assertIs(Outcome.COMPLETE, world.run().outcome)

    def test_heat_never_begins(self):
        """An operation ends although each of its requests counts as one that was never sent."""
        world = World(workers=2)
        world.request("worker", 4)
        for _ in range(change.MOST_REPEATS + 1):
            self.assertIs(Outcome.GOES_ON, world.step(act=False).outcome)

        self.assertIs(Outcome.FAILED, world.step(act=False).outcome)

    def test_deadline(self):
        """An operation ends at its deadline, also where Heat is at work for ever."""
        world = World(workers=2)
        world.request("worker", 4)
        began = world.now
        world.step()
        while world.now < began + 100_000:
            world.now += 60
            world.stack_status = "UPDATE_IN_PROGRESS"
            step = world.step()
            if step.outcome is not Outcome.GOES_ON:
                break

        self.assertEqual(Outcome.FAILED, step.outcome)
        cases.shown(self, "change-overdue", step.reason, answer="UPDATE_FAILED")
        self.assertLess(
            world.now - began,
            change.OPERATION_SECONDS + 2 * (300 + 1200 + steps.BOOT_SECONDS) + 120,
        )
        self.assertTrue(world.plan.is_over)


class HungHeatTest(base.BaseTestCase):
    """Heat is at work for ever."""

    def setUp(self):
        super().setUp()
        self.world = World(workers=2)

    def look(self, days=2):
        """Look once an hour until the operation ends; return the last step."""
        for _ in range(24 * days):
            step = self.world.step()
            if step.outcome is not Outcome.GOES_ON:
                break
            self.world.now += 3600
        return step

    def test_it_hangs_before_the_request(self):
        """An operation that Heat never lets begin ends at its deadline."""
        self.world.stack_status = "UPDATE_IN_PROGRESS"
        self.world.request("worker", 4)

        self.assertEqual(Outcome.FAILED, self.look().outcome)
        self.assertTrue(self.world.plan.is_over)

    def test_another_request(self):
        """A request that comes meanwhile gets a deadline of its own."""
        self.world.request("worker", 4)
        self.world.step()
        first = self.world.plan.deadline
        self.world.now = first
        self.world.request("worker", 5)

        step = self.world.step()
        self.world.now = first + 1
        later = self.world.step()

        self.assertEqual([Outcome.GOES_ON, Outcome.GOES_ON], [one.outcome for one in (step, later)])
        self.assertEqual(Outcome.FAILED, self.look().outcome)

    def test_the_way_back(self):
        """The way back that a missed deadline leads to has a deadline, too."""
        self.world.request("worker", 4, rollback=True)

        self.assertEqual(Outcome.GOES_BACK, self.look().outcome)
        self.assertEqual(Outcome.FAILED, self.look().outcome)

    def test_conductor_dies_before_the_row(self):
        """An operation whose end reached the record only ends again."""
        self.world.request("worker", 4)
        self.look()

        self.assertEqual(Outcome.FAILED, self.look().outcome)

    def test_is_over(self):
        """A plan is not over while Heat works on it, and is over at its end."""
        self.world.request("worker", 4)
        self.world.step()
        self.assertEqual("UPDATE_IN_PROGRESS", self.world.stack_status)
        self.assertFalse(self.world.plan.is_over)

        self.assertEqual(Outcome.COMPLETE, self.world.run().outcome)
        self.assertTrue(self.world.plan.is_over)


class DebtsTest(base.BaseTestCase):
    def test_swarm_is_silent(self):
        """What nodes are owed stays owed where the swarm does not answer at the end."""
        world = World(workers=2)
        world.plan.leaving["swarm-worker-0"] = Leaving("worker", "named")
        seen = dataclasses.replace(world.seen(), nodes=None)

        step = steps.fail(seen, seen.plan, "The swarm does not answer.")

        self.assertEqual(["swarm-worker-0"], list(step.plan.debts))
        self.assertEqual(step.plan.debts, step.owed)

    def test_swarm_answers(self):
        """Nothing is owed any more where nodes get it back at the end."""
        world = World(workers=2)
        world.change("swarm-worker-0", availability="drain")
        world.plan.leaving["swarm-worker-0"] = Leaving("worker", "named")

        step = steps.fail(world.seen(), world.plan, "Heat failed.")

        self.assertEqual(1, len(step.actions))
        self.assertEqual({}, step.owed)

    def test_demoted_manager_is_down(self):
        """A demoted manager that is down when an operation ends is promoted once it is back."""
        world = World(managers=3, workers=2)
        world.change("swarm-manager-2", role="worker", in_raft=False, reachable=False)
        world.change("swarm-manager-2", state="down")
        world.plan.debts["swarm-manager-2"] = Debt(demoted=True)
        world.request("worker", 3)

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)
        self.assertEqual("worker", world.node("swarm-manager-2").role)
        world.change("swarm-manager-2", state="ready")
        world.request("worker", 4)
        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

        self.assertEqual("manager", world.node("swarm-manager-2").role)
        self.assertEqual({}, world.plan.debts)


class RefusedTest(base.BaseTestCase):
    def test_the_request_of_another_group_stays(self):
        """Managers that are refused leave the desired number of workers as it is."""
        world = World(managers=3, workers=2)
        world.kill("swarm-manager-2")
        world.plan.desired = {"worker": 5, "masters": 1}
        world.request("worker", 5)
        world.request("masters", 1, ["swarm-manager-0"])

        self.assertEqual(Outcome.FAILED, world.run().outcome)

        self.assertEqual({"worker": 5, "masters": 3}, world.plan.desired)


class RollbackTest(base.BaseTestCase):
    def test_another_request(self):
        """A later request does not take away the way back that an earlier one asked for."""
        world = World(workers=2)
        world.limit = 5
        world.request("worker", 4, rollback=True)
        world.step()
        world.request("masters", "same")

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)
        self.assertEqual(2, world.rows["worker"].wanted)

    def test_deleted_meanwhile(self):
        """A group that was deleted meanwhile is not brought back by a rollback."""
        world = World(workers=2)
        world.request("worker", 4, rollback=True)
        world.step()
        world.plan = world.plan.requested("gpu", resized=False)
        world.plan.previous["gpu"], world.plan.desired["gpu"] = 2, None

        step = steps.fail(world.seen(), world.plan, "Heat failed.")

        self.assertEqual(Outcome.GOES_BACK, step.outcome)
        self.assertEqual({"masters": 3, "worker": 2, "gpu": None}, step.plan.desired)
        self.assertIn("gpu", step.plan.pending)


class AdoptionTest(base.BaseTestCase):
    def test_row_that_nobody_told(self):
        """A row that differs from the last projection is a request whose conductor died."""
        plan = Plan(desired={"worker": 3}, projected={"worker": 3})

        adopted = plan.adopted({"worker": 5})

        self.assertEqual({"worker": 5}, adopted.desired)
        self.assertEqual(["worker"], adopted.pending)
        self.assertFalse(adopted.is_over)
        self.assertEqual(adopted, adopted.adopted({"worker": 5}))

    def test_row_that_is_behind(self):
        """A row that still says what it said before is repaired, not adopted."""
        plan = Plan(desired={"worker": 3}, projected={"worker": 5})

        self.assertEqual(plan, plan.adopted({"worker": 5}))
        self.assertEqual(plan, plan.adopted({"worker": 3}))

    def test_row_that_is_to_be_deleted(self):
        """A further group whose row says that it is deleted is deleted."""
        adopted = Plan(desired={"gpu": 2}).adopted({"gpu": 2}, ["gpu"])

        self.assertEqual({"gpu": None}, adopted.desired)
        self.assertEqual(adopted, adopted.adopted({"gpu": 2}, ["gpu"]))


class AllowanceTest(base.BaseTestCase):
    """How long an operation may take."""

    def allowance(self, workers=2, heat_timeout=3600, **groups):
        world = World(managers=3, workers=workers)
        for group, wanted in groups.items():
            world.request(group, wanted)
        seen = dataclasses.replace(world.seen(), heat_timeout=heat_timeout)
        return change.decide(seen).plan.allowance

    def test_growth(self):
        """Nodes that come join together, however many they are."""
        each = 300 + 1200 + steps.BOOT_SECONDS
        self.assertEqual(change.OPERATION_SECONDS + each, self.allowance(worker=4))
        self.assertEqual(self.allowance(worker=4), self.allowance(worker=1000))

    def test_shrink(self):
        """Those that go are drained a tenth of the cluster at a time."""
        each = 300 + 1200 + steps.BOOT_SECONDS
        expected = change.OPERATION_SECONDS + 10 * each
        self.assertEqual(expected, self.allowance(workers=500, worker=0))

    def test_managers(self):
        """Managers change one after the other."""
        each = 300 + 1200 + steps.BOOT_SECONDS
        self.assertEqual(change.OPERATION_SECONDS + 2 * each, self.allowance(masters=5))

    def test_heat(self):
        """Heat gets the time that the cluster has for it, and an hour at least."""
        self.assertEqual(
            4 * 3600 - change.OPERATION_SECONDS,
            self.allowance(worker=4, heat_timeout=4 * 3600) - self.allowance(worker=4),
        )
        self.assertEqual(self.allowance(worker=4), self.allowance(worker=4, heat_timeout=60))


class ClocksTest(base.BaseTestCase):
    """A conductor whose clock was hours ahead has written times, and is gone."""

    ahead = 1_000_000 + 10 * 3600

    def test_deadline(self):
        """A deadline that is later than it can be counts from now."""
        world = World(workers=2)
        world.request("worker", 4)
        world.stack_status = "UPDATE_IN_PROGRESS"
        world.now = self.ahead
        world.step()
        world.now = 1_000_000

        world.step()

        self.assertEqual(world.now + world.plan.allowance, world.plan.deadline)

    def test_deadline_of_its_own(self):
        """One that is as late as it may be stays."""
        world = World(workers=2)
        world.request("worker", 4)
        world.stack_status = "UPDATE_IN_PROGRESS"
        world.step()
        deadline = world.plan.deadline
        world.now -= clocks.APART

        world.step()

        self.assertEqual(deadline, world.plan.deadline)

    def test_state(self):
        """Everything that has begun in the future has begun now."""
        plan = Plan(blind=self.ahead, troubled=self.ahead, away={"a": self.ahead, "b": 5})
        plan.waiting = Waiting("heat", self.ahead)
        plan.leaving = {"c": Leaving("worker", "named", since=self.ahead)}
        state = dataclasses.replace(
            new(Phase.CREATED, "owner", "stack"),
            phase_since=self.ahead,
            complete_since=self.ahead,
            blind_since=self.ahead,
            plan=plan,
            healing=Memory(down={"n": self.ahead}, looked=self.ahead, acted=(self.ahead,)),
            ca=CaRotation(began=self.ahead, trusted=self.ahead),
            credential=CredentialRotation(began=self.ahead, since=self.ahead),
        )
        state = state.owning(Kind.STACK, since=self.ahead)

        text = state.on_time(1_000_000).to_json()

        self.assertEqual(text.replace(str(self.ahead), "1000000"), text)
        self.assertEqual(state.to_json().replace(str(self.ahead), "1000000"), text)

    def test_a_little_ahead(self):
        """Clocks may be a little apart."""
        state = dataclasses.replace(
            new(Phase.CREATED, "owner", "stack"), phase_since=1_000_000 + clocks.APART
        )

        self.assertEqual(state, state.on_time(1_000_000))
