# SPDX-License-Identifier: Apache-2.0
from unittest import mock

from oslotest import base

from magnum_swarm_mode.db.store import Store
from tests.model import machine
from tests.model.simulation import Simulation


class LifeTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.simulation = Simulation()
        self.addCleanup(self.simulation.close)

    def test_resize_and_delete(self):
        """Without faults a cluster is created, grows, shrinks and leaves nothing behind."""
        self.simulation.create()
        self.assertTrue(self.simulation.settle())
        self.assertEqual("CREATE_COMPLETE", self.simulation.row().status)
        for count in (4, 1):
            self.simulation.resize(count)
            self.assertEqual([], machine.judge(self.simulation))
            self.assertEqual("UPDATE_COMPLETE", self.simulation.row().status)
            self.assertEqual(3 + count, len(self.simulation.servers()))
        self.simulation.delete()
        self.assertEqual([], machine.judge(self.simulation))
        self.assertIsNone(self.simulation.row())

    def test_lost_request(self):
        """A resize that is complete in Magnum and was never carried out is a lost request."""
        self.simulation.create()
        self.simulation.settle()
        with mock.patch.object(Store, "write", lambda _, record, __: record):
            self.simulation.resize(4)
        row = self.simulation.row()
        row.status = "UPDATE_COMPLETE"
        row.save()
        self.simulation.wanted = {3}
        names = [one.split(":")[0] for one in machine.judge(self.simulation)]
        self.assertIn("no request is lost", names)


class SequencesTest(base.BaseTestCase):
    def test_sequences(self):
        """Whatever happens in whatever order, only known faults break an invariant."""
        counts = machine.Counts()
        for seed in range(60):
            broken, story = machine.play(seed, counts)
            self.assertEqual([], [one for one in broken if not machine.known(one)], str(story))
        self.assertLess(30, counts.deaths)

    def test_delete_dies(self):
        """A delete whose conductor dies before the status is saved ends all the same."""
        for is_made in (False, True):
            simulation = Simulation()
            self.addCleanup(simulation.close)
            simulation.create()
            if is_made:
                simulation.settle()
            simulation.delete(4)
            status = "CREATE_COMPLETE" if is_made else "CREATE_IN_PROGRESS"
            self.assertEqual(status, simulation.row().status)

            self.assertEqual([], machine.judge(simulation))
            self.assertIsNone(simulation.row())
            self.doCleanups()

    def test_creation_dies(self):
        """Whenever a conductor dies during a creation, the cluster's deletion leaves nothing."""
        most = 0
        for number in range(24):
            for after in (False, True):
                simulation = Simulation()
                self.addCleanup(simulation.close)
                simulation.create(number, after=after)
                self.assertEqual(1, simulation.world.deaths)
                most = max(most, len(simulation.world.certificates))

                simulation.delete()

                self.assertEqual([], machine.judge(simulation), f"{number}, {after}")
                self.doCleanups()
        self.assertEqual(4, most)
