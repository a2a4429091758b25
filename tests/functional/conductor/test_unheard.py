# SPDX-License-Identifier: Apache-2.0
"""Requests that leave no other trace than their group's row: the record never heard of them."""

import contextlib

import fixtures
from magnum.conductor.handlers import nodegroup_conductor

from tests.functional.conductor import base, test_node_groups

RECORD = "magnum_swarm_mode.db.store.Store.amend"


class UnheardTest(test_node_groups.NodeGroupsCase):
    def die(self, function, *arguments):
        """Let a conductor die between the row and the record."""

        def death(*_, **__):
            raise base.Died

        with fixtures.MonkeyPatch(RECORD, death), contextlib.suppress(base.Died):
            function(*arguments)

    def label(self, name, labels):
        """Ask the conductor for other labels of a group's nodes, as magnum-api does."""
        row = self.row(name)
        row.node_labels = labels
        handler = nodegroup_conductor.Handler()
        handler.nodegroup_update(self.context(), self.cluster(self.uuid), row)

    def labels(self, name):
        """Return the labels of a node."""
        (node,) = [
            one
            for one in self.docker.answers["/nodes"][1]
            if one["Description"]["Hostname"] == name
        ]
        return node["Spec"].get("Labels")

    def assert_told(self, name):
        """The group is failed after a while, and repeating the request is enough."""
        for _ in range(4):
            self.poll_health()
            self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn(f"Node group {name}: The request was interrupted", cluster.status_reason)
        self.assertEqual("UPDATE_FAILED", self.row(name).status)

        self.resize(2, group=name)
        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_named(self):
        """Nodes named of a group that keeps its number are not forgotten while others change."""
        self.made()
        self.resize(4)
        self.poll()
        self.die(self.resize, 2, ["swarm-gpu-0"], "gpu")

        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual("UPDATE_COMPLETE", self.row("default-worker").status)
        self.assert_told("gpu")

    def test_while_another_fails(self):
        """So it is where the operation that goes on fails, which fails no other group."""
        self.made()
        self.resize(4)
        self.poll()
        self.die(self.resize, 2, ["swarm-gpu-0"], "gpu")
        with fixtures.MonkeyPatch("magnum_swarm_mode.decisions.change.decide", lambda: None):
            self.poll(10)
        self.assertEqual("UPDATE_FAILED", self.row("default-worker").status)
        self.assertEqual("UPDATE_IN_PROGRESS", self.row("gpu").status)
        self.stack.status = "UPDATE_COMPLETE"
        self.heat_finishes()

        self.assert_told("gpu")

    def test_labels(self):
        """Labels that only a row asks for are set before the cluster is complete."""
        self.resize(3)
        self.poll()
        self.go_on()
        self.die(self.label, "default-worker", {"disk": "ssd"})

        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual("UPDATE_COMPLETE", self.row("default-worker").status)
        for index in range(3):
            self.assertEqual({"disk": "ssd"}, self.labels(f"swarm-worker-{index}"))
