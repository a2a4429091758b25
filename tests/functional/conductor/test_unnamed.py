# SPDX-License-Identifier: Apache-2.0
"""Requests of which a look sees the row before the record knows which nodes were named."""

import contextlib

import fixtures

from tests.functional.conductor import base, test_operations

REQUEST = "magnum_swarm_mode.conductor.change.requests.request"


class UnnamedTest(test_operations.OperationsCase):
    def setUp(self):
        super().setUp()
        # As a conductor of an earlier release.
        self.useFixture(
            fixtures.MonkeyPatch(test_operations.FORETOLD, lambda *_: contextlib.nullcontext())
        )

    def names(self):
        """Return the workers that are ready, and those that are to get no more tasks."""
        nodes = self.docker.answers["/nodes"][1]
        ready = [one for one in nodes if one["Status"]["State"] == "ready"]
        return (
            {one["Description"]["Hostname"] for one in ready} - {"swarm-manager-0"},
            {
                one["Description"]["Hostname"]
                for one in ready
                if one["Spec"].get("Availability", "active") != "active"
            },
        )

    def resize_and_die(self, count, remove, group="default-worker"):
        """Let a conductor die between the row and the record."""

        def death(*_, **__):
            raise base.Died

        with fixtures.MonkeyPatch(REQUEST, death), contextlib.suppress(base.Died):
            self.resize(count, remove, group)

    def test_dies_while_another_goes_on(self):
        """Nobody leaves in the place of nodes whose names died with a conductor."""
        self.resize(4)
        self.poll()
        self.resize_and_die(3, ["swarm-worker-0"])

        self.go_on()

        workers = {f"swarm-worker-{index}" for index in range(4)}
        self.assertEqual((workers, set()), self.names())
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual([{"worker_count": 4}], self.asked())
        self.assert_never_begun(4)
        self.assertEqual((workers, set()), self.names())

    def test_dies_before_another_fails(self):
        """So it is where the operation that goes on fails."""
        self.resize(4)
        self.poll()
        self.resize_and_die(3, ["swarm-worker-0"])
        with fixtures.MonkeyPatch("magnum_swarm_mode.decisions.change.decide", lambda: None):
            self.poll(10)
        self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)

        for _ in range(4):
            self.poll_health()
            if self.stack.status == "UPDATE_IN_PROGRESS":
                self.heat_finishes()
            self.poll()

        self.assertEqual([{"worker_count": 4}], self.asked())
        self.assertEqual(4, self.cluster(self.uuid).default_ng_worker.node_count)

    def test_new_cluster(self):
        """So it is in a cluster whose health nobody has looked at yet."""
        self.resize_and_die(1, ["swarm-worker-0"])
        for _ in range(4):
            self.poll_health()
            self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertEqual(2, cluster.default_ng_worker.node_count)
        self.resize(2)
        self.go_on()
        self.assertEqual(({"swarm-worker-0", "swarm-worker-1"}, set()), self.names())

    def test_looks_meanwhile(self):
        """Nobody leaves before the names are there, and then those leave."""
        self.resize(4)
        self.poll()
        self.heat_finishes()
        looked: list[set[str]] = []

        def late(*arguments, **more):
            patch.cleanUp()
            self.poll(3)
            looked.append(self.names()[1])
            from magnum_swarm_mode.conductor.change import requests

            requests.request(*arguments, **more)

        patch = fixtures.MonkeyPatch(REQUEST, late)
        with patch:
            self.resize(3, ["swarm-worker-0"])
        self.go_on()

        self.assertEqual([set()], looked)
        self.assertEqual({f"swarm-worker-{index}" for index in (1, 2, 3)}, self.names()[0])
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual(["0"], self.asked()[-1]["worker_removals"])
