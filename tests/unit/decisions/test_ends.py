# SPDX-License-Identifier: Apache-2.0
"""How operations end: what the status says, when a cluster is complete, and the ways out."""

import copy
import dataclasses

from oslotest import base

from magnum_swarm_mode.decisions import change, steps, upgrade
from magnum_swarm_mode.decisions.model import Debt, End, Node, Outcome, Resize, SetNode
from magnum_swarm_mode.decisions.upgrade_plan import Target, Upgrade
from tests.unit.decisions.swarm_world import Row, World
from tests.unit.decisions.upgrade_world import UpgradeWorld


class FullWorld(World):
    """A cloud with room for some nodes: Heat fails at each request for more."""

    room = 5

    def finish_heat(self):
        super().finish_heat()
        if sum(row.asked for row in self.rows.values()) > self.room:
            self.stack_status = "UPDATE_FAILED"
            self.failure = "Quota exceeded."


class WayOutTest(base.BaseTestCase):
    """A growth has failed, and the stack with it."""

    def setUp(self):
        super().setUp()
        self.world = FullWorld(managers=3, workers=2)
        self.world.mute = {f"swarm-worker-{index}" for index in range(2, 9)}

    def grow(self, **more):
        self.world.request("worker", 5, **more)
        return self.world.run()

    def test_shrink(self):
        """The former number of workers leads out, without a request for managers before."""
        self.assertEqual(Outcome.FAILED, self.grow().outcome)
        self.world.request("worker", 2)

        step = self.world.run()

        self.assertEqual(Outcome.COMPLETE, step.outcome, step.reason)
        self.assertEqual([("worker", 5), ("worker", 2)], [one[:2] for one in self.world.updates])
        self.assertEqual(2, len(self.world.rows["worker"].indices))

    def test_rollback(self):
        """So does the way back that was asked for."""
        step = self.grow(rollback=True)

        self.assertEqual(Outcome.COMPLETE, step.outcome, step.reason)
        self.assertEqual([("worker", 5), ("worker", 2)], [one[:2] for one in self.world.updates])

    def test_rollback_of_both(self):
        """A way back for managers and workers does not end at the first request to Heat."""
        self.world.room = 4
        world = self.world
        world.rows["masters"] = Row("masters", True, 1, 1, [0], ports=[0], port_count=1)
        world.nodes = {key: node for key, node in world.nodes.items() if "-0" in node.hostname}
        world.rows["worker"] = Row("worker", False, 1, 1, [0])
        world.rows["masters"].wanted, world.rows["worker"].wanted = 3, 4
        world.plan = world.plan.requested("masters", rollback=True).requested("worker")

        step = world.run()

        self.assertEqual(Outcome.COMPLETE, step.outcome, step.reason)
        self.assertIn("Went back", step.reason)
        self.assertEqual(["swarm-manager-0", "swarm-worker-0"], world.hostnames())

    def test_ports_are_left(self):
        """Managers can shrink although a failed growth has left ports to be deleted."""
        world = FullWorld(managers=3, workers=2)
        world.request("masters", 5)
        while not world.updates:
            world.step()
        world.rows["masters"].port_count = 6
        world.mute = {"swarm-manager-3", "swarm-manager-4"}
        self.assertEqual(Outcome.FAILED, world.run().outcome)
        world.request("masters", 3)

        step = world.run()

        self.assertEqual(Outcome.COMPLETE, step.outcome, step.reason)
        self.assertEqual(3, len(world.rows["masters"].indices))


class KeepingWorld(World):
    """A cloud whose first update deletes nothing; later ones delete what they shall."""

    def act(self, action):
        super().act(action)
        if isinstance(action, Resize):
            # As the list of removals is made: members that are not to go stay.
            row = self.rows[action.group]
            row.removed -= set(row.indices) - {int(index) for index in action.removals}

    def finish_heat(self):
        if len(self.updates) == 1:
            self.stack_status, self.failure = "UPDATE_FAILED", "Nova does not answer."
            return
        before = {node.hostname: node for node in self.nodes.values()}
        kept = {row.hostname(index) for row in self.rows.values() for index in row.indices}
        super().finish_heat()
        kept -= {row.hostname(index) for row in self.rows.values() for index in row.indices}
        for name in kept:
            assert before[name].availability == "drain", f"{name} was not drained"


class LeftToDeleteTest(base.BaseTestCase):
    """Heat failed to delete workers, which have their tasks again."""

    def setUp(self):
        super().setUp()
        self.world = KeepingWorld(managers=3, workers=3)
        self.world.request("worker", 1)
        self.assertEqual(Outcome.FAILED, self.world.run().outcome)
        while any(node.availability == "drain" for node in self.world.nodes.values()):
            self.world.step()

    def test_another_group(self):
        """A request for managers does not let Heat delete them before they are drained again."""
        self.world.request("masters", "same", ["1"])

        step = self.world.run()

        self.assertEqual(Outcome.COMPLETE, step.outcome, step.reason)
        self.assertEqual(1, len(self.world.rows["worker"].indices))
        self.assertEqual([0, 2, 3], self.world.rows["masters"].indices)

    def test_back(self):
        """They stay where the former number is asked for, with managers or without."""
        self.world.rows["worker"].wanted = 3
        self.world.plan = self.world.plan.requested("masters", ["1"]).requested("worker")

        step = self.world.run()

        self.assertEqual(Outcome.COMPLETE, step.outcome, step.reason)
        self.assertEqual(3, len(self.world.rows["worker"].indices))


class AtFaultTest(base.BaseTestCase):
    def test_workers(self):
        """A healthy group is not the one at fault where Heat fails at another of its stack."""
        world = FullWorld(managers=3, workers=2)
        world.mute = {"swarm-worker-2", "swarm-worker-3"}
        world.request("worker", 4)

        step = world.run()

        self.assertEqual((Outcome.FAILED, "worker"), (step.outcome, step.group))


class CompleteTest(base.BaseTestCase):
    def test_node_is_lost_meanwhile(self):
        """A cluster is not complete while a node is away that was there when it was resized."""
        for group, number, lost in (
            ("masters", 5, "swarm-manager-1"),
            ("masters", 5, "swarm-worker-0"),
            ("worker", 3, "swarm-worker-1"),
        ):
            with self.subTest(group=group, lost=lost):
                world = World(managers=3, workers=2)
                world.request(group, number)
                while not world.updates:
                    world.step()
                world.kill(lost)

                step = world.run()

                self.assertEqual(Outcome.FAILED, step.outcome)
                self.assertIn(f"{lost} joined the swarm", step.reason)

    def test_node_comes_back(self):
        """It is complete once that node is back."""
        world = World(managers=3, workers=2)
        world.request("worker", 3)
        while not world.updates:
            world.step()
        world.change("swarm-worker-0", state="down")
        world.advance()
        self.assertIs(Outcome.GOES_ON, world.step().outcome)
        world.change("swarm-worker-0", state="ready")

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

    def test_node_was_away_before(self):
        """A node that was away before is waited for by nobody who did not ask for it."""
        world = World(managers=3, workers=2)
        world.kill("swarm-worker-0")
        world.request("masters", 5)

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

    def test_node_never_joined(self):
        """A change is not complete while a node of its group has never been in the swarm."""
        world = World(managers=3, workers=2)
        del world.nodes[world.node("swarm-worker-1").id]
        world.rows["worker"].labels = {"disk": "ssd"}
        world.request("worker", "same", resized=False)

        step = world.run()

        self.assertEqual((Outcome.FAILED, "worker"), (step.outcome, step.group))
        self.assertEqual(
            "What was requested is done, but node group worker has 1 of 2 nodes; not in the swarm: "
            "swarm-worker-1. Resize worker to try again.",
            step.reason,
        )
        self.assertEqual({"disk": "ssd"}, world.node("swarm-worker-0").labels)

    def test_node_was_not_made_before(self):
        """A server that Heat failed to make before, and makes now, is waited for."""
        world = World(managers=3, workers=2)
        del world.nodes[world.node("swarm-worker-1").id]
        world.unmade, world.stack_status = {"swarm-worker-1"}, "UPDATE_FAILED"
        world.request("worker", "same", resized=False)
        while not world.updates:
            world.step()
        world.unmade.clear()
        world.advance()

        step = world.step()

        self.assertEqual(
            (Outcome.GOES_ON, "Waiting until swarm-worker-1 joined the swarm and is ready."),
            (step.outcome, step.reason),
        )


class HeatTest(base.BaseTestCase):
    def test_group_shall_go(self):
        """While Heat changes a group that is to be deleted, that is said with its name."""
        world = World()
        world.request("worker", None)
        seen = world.seen()
        own = dataclasses.replace(
            seen.groups[1], stack="worker", wanted=None, stack_status="UPDATE_IN_PROGRESS"
        )

        step = change.decide(dataclasses.replace(seen, groups=(seen.groups[0], own)))

        self.assertEqual("Heat changes node group worker.", step.reason)


class EndedTest(base.BaseTestCase):
    """A conductor dies between the record, which says how an operation ended, and the rows."""

    def test_failed(self):
        """The next one tells the failure, and does not go on."""
        world = World(managers=3, workers=2)
        world.request("worker", 4)
        world.step()
        world.now = world.plan.deadline + 1
        first = world.step(act=False)
        self.assertEqual(Outcome.FAILED, first.outcome)
        updates = len(world.updates)
        world.advance(3600)

        step = world.step()

        self.assertEqual((Outcome.FAILED, first.reason), (step.outcome, step.reason))
        self.assertEqual(updates, len(world.updates))

    def test_refused(self):
        """The next pass says that a removal was refused, with its group."""
        world = World(managers=3, workers=2)
        world.kill("swarm-manager-2")
        world.request("masters", 1, ["swarm-manager-0"])
        while (first := world.step(act=False)).outcome is Outcome.GOES_ON:
            world.advance()
        world.rows["masters"].wanted = world.plan.desired["masters"]

        step = world.step()

        self.assertEqual(Outcome.FAILED, step.outcome)
        self.assertEqual((first.reason, "masters"), (step.reason, step.group))

    def test_complete(self):
        """What is said at the end of an operation that is complete is said by the next one."""
        world = World(managers=3, workers=3)
        world.request("worker", 3, ["no-such-node"])
        first = world.step(act=False)
        self.assertIn("no-such-node", first.reason)

        step = world.step()

        self.assertEqual((Outcome.COMPLETE, first.reason), (step.outcome, step.reason))

    def test_another_request(self):
        """A request that came meanwhile is served."""
        world = World(workers=2)
        world.plan.ended = End(Outcome.FAILED.value, "no")
        world.request("worker", 3)

        self.assertEqual(Outcome.COMPLETE, world.run().outcome)

    def test_debts(self):
        """Nodes get back what the operation owes them, also from a later conductor."""
        world = World(workers=2)
        world.request("worker", 1)
        while not any(node.availability == "drain" for node in world.nodes.values()):
            world.step()
        world.now = world.plan.deadline + 1
        world.step(act=False)

        step = world.step()

        self.assertEqual({}, step.owed)
        self.assertEqual({"active"}, {node.availability for node in world.nodes.values()})


class NewRequestTest(base.BaseTestCase):
    """A group's row is there, and its conductor has not reached the record yet."""

    def test_another_end(self):
        """A group that is being created does not end with the operation before."""
        for outcome in (Outcome.COMPLETE, Outcome.FAILED):
            world = World(workers=2)
            world.plan.ended = End(outcome.value, "Heat failed.")
            seen = world.seen()
            new = dataclasses.replace(
                seen.groups[-1], uuid="new", name="new", stack="new", stack_status=None, members=()
            )
            seen = dataclasses.replace(seen, groups=(*seen.groups, new))

            step = change.decide(seen)

            self.assertEqual(Outcome.GOES_ON, step.outcome)
            self.assertEqual("Heat is being asked for node group new.", step.reason)


class NotesTest(base.BaseTestCase):
    def test_failure(self):
        """What is to be said however the operation ends is said with a failure, and once."""
        world = World(workers=2)
        steps.note(world.plan, "The former credential stays valid.", lasting=True)
        world.request("worker", 4)
        world.step()

        step = steps.fail(world.seen(), world.plan, "Heat failed.")

        self.assertEqual(
            "The change of worker failed: Heat failed. The former credential stays valid.",
            step.reason,
        )
        self.assertEqual([], step.plan.lasting)

    def test_without_a_look(self):
        """It is said as well with an operation that ends without a look."""
        world = World(workers=2)
        steps.note(world.plan, "The former credential stays valid.", lasting=True)

        plan = steps.abandon(world.plan, "Given up.")

        expected = End(Outcome.FAILED.value, "Given up. The former credential stays valid.")
        self.assertEqual(expected, plan.ended)

    def test_way_back(self):
        """On the way back it is kept for the end."""
        world = World(workers=2)
        steps.note(world.plan, "The former credential stays valid.", lasting=True)
        world.request("worker", 4, rollback=True)
        world.step()
        world.advance()
        world.stack_status, world.updated = "UPDATE_FAILED", "later"

        step = world.run()

        self.assertEqual(Outcome.COMPLETE, step.outcome)
        self.assertIn("Went back", step.reason)
        self.assertIn("The former credential stays valid.", step.reason)


class DeletedTest(base.BaseTestCase):
    def test_group_that_is_upgraded(self):
        """A group that is deleted during its upgrade has no progress."""
        for failed in (False, True):
            world = UpgradeWorld(managers=1, workers=2)
            world.plan.upgrade = Upgrade({"worker": Target("worker", "i", "f", "seal")})
            seen = world.seen()
            groups = tuple(
                dataclasses.replace(one, wanted=None) if one.uuid == "worker" else one
                for one in seen.groups
            )
            seen = dataclasses.replace(seen, groups=groups)

            told = upgrade.told(seen, world.plan, "Draining.", failed=failed)

            self.assertEqual("Draining.", told)


class NamedTest(base.BaseTestCase):
    """A failure says which request it ends, unless it names a node or a group."""

    def failed(self, world, why):
        return change.with_progress(world.seen(), steps.fail(world.seen(), world.plan, why)).reason

    def test_change(self):
        """A change is one of the groups with a request."""
        world = World(workers=2)
        for group in ("masters", "worker"):
            world.request(group, 3)
        said = "The change of masters, worker failed: Heat is away."
        self.assertEqual(said, self.failed(world, "Heat is away."))
        self.assertEqual(said, world.plan.ended and world.plan.ended.reason)

    def test_node(self):
        """What names a node, or a node group, says what has failed."""
        for why in ("The server swarm-worker-1 failed: No.", "Heat fails at node group worker."):
            world = World(workers=2)
            world.request("worker", 4)
            self.assertEqual(why, self.failed(world, why))

    def test_healing(self):
        """The cause of a healing names the nodes that were down."""
        world = World(workers=2)
        world.plan = dataclasses.replace(world.plan, cause="Healing: swarm-worker-1 is gone.")
        why = "Healing: swarm-worker-1 is gone. Heat is away."
        self.assertEqual(why, self.failed(world, "Heat is away."))

    def test_upgrade(self):
        """An upgrade says how far it is, also where it waited for no group of its own."""
        world = UpgradeWorld(managers=1, workers=2)
        world.plan.upgrade = Upgrade({"worker": Target("worker", "i", "f", "seal")})
        world.plan.pending = ["worker"]
        self.assertEqual("Upgrading worker stopped", self.failed(world, "No.")[:24])
        world.plan.upgrade = Upgrade({})
        world.plan.pending = ["worker"]
        seen = world.seen()
        failed = change.with_progress(seen, steps.fail(seen, copy.deepcopy(world.plan), "No."))
        self.assertEqual("The upgrade of worker failed: No.", failed.reason)


class OwedTest(base.BaseTestCase):
    """A manager that was demoted, and stays after all, gets its role back."""

    debts = {"swarm-manager-1": Debt("active", demoted=True, manager="true")}
    true = Node("true", "swarm-manager-1", role="worker")
    impostor = Node("false", "swarm-manager-1", role="worker")

    def test_repayment(self):
        """It alone becomes a manager again, and no node that chose its name."""
        actions = steps.repayment([self.impostor, self.true], self.debts)
        self.assertEqual([SetNode("true", role="manager")], actions)

    def test_unpaid(self):
        """While it is down it is still owed, although a node of its name is ready."""
        down = dataclasses.replace(self.true, state="down")
        self.assertEqual(self.debts, steps.unpaid([self.impostor, down], self.debts))

    def test_noted(self):
        """A demotion notes which node it was."""
        world = World(managers=3, workers=0)
        ids = {node.hostname: node.id for node in world.nodes.values()}
        world.request("masters", 1)
        owed: dict[str, str] = {}
        for _ in range(9):
            world.step()
            owed |= {name: one.manager for name, one in world.plan.leaving.items() if one.demoted}
        self.assertNotEqual({}, owed)
        self.assertEqual({name: ids[name] for name in owed}, owed)
