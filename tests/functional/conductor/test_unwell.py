# SPDX-License-Identifier: Apache-2.0
"""Services that answer nonsense after magnum-api has found everything in order."""

from magnum_swarm_mode import exceptions
from tests.fakes.wire import Mood
from tests.functional.conductor import base

NONSENSE = (Mood.HTML, Mood.TRUNCATED, Mood.WRONG, Mood.REDIRECT, Mood.SILENT)


class NonsenseTest(base.DriverTest):
    def assert_failed(self, service, title):
        """Check that creating fails with a sentence about a service, and that nothing stays."""
        for mood in NONSENSE:
            with self.subTest(mood=mood):
                self.cloud.moods = {service: mood}
                error = self.assertRaises(exceptions.SwarmModeError, self.create)
                self.cloud.moods = {}
                cluster = self.clusters()[-1]
                self.assertEqual("CREATE_FAILED", cluster.status)
                self.assertEqual(str(error), cluster.status_reason)
                self.assertIn(title, str(error))
                self.delete(cluster.uuid)
                # Whether Heat got a request nobody knows.
                self.pass_time(130)
                self.poll(2)
                self.assertEqual({}, self.cloud.leftovers())
                self.assertEqual(([], [], []), (self.clusters(), self.records(), self.keys()))

    def keys(self):
        """The rows of certificates and keys."""
        return self.certificates()

    def test_keystone(self):
        """Keystone: the cluster fails with its name, and deleting it leaves nothing."""
        self.assert_failed("keystone", "Keystone")

    def test_heat(self):
        """Heat: the same."""
        self.assert_failed("heat", "Heat")

    def test_while_watching(self):
        """Nonsense during a poll changes the reason only, and is forgotten afterwards."""
        uuid = self.create()
        for mood in NONSENSE:
            with self.subTest(mood=mood):
                self.cloud.moods = {"heat": mood}
                self.poll()
                self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status)
                self.assertIn("Heat", self.cluster(uuid).status_reason)
        self.cloud.moods = {}
        self.serve_docker(uuid)
        self.finish_stack()
        self.poll()
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)
