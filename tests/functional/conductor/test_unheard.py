# SPDX-License-Identifier: Apache-2.0
"""Requests that leave no other trace than their group's row: the record never heard of them."""

import contextlib

import fixtures
from magnum import objects
from magnum.conductor.handlers import nodegroup_conductor

from magnum_swarm_mode.conductor.due import loop
from tests.functional.conductor import base, test_node_groups, test_operations

RECORD = "magnum_swarm_mode.db.store.Store.amend"


class UnheardTest(test_node_groups.NodeGroupsCase):
    def die(self, function, *arguments):
        """Let a conductor die between the row and the record."""

        def death(*_, **__):
            raise base.Died

        foretold = test_operations.FORETOLD
        with (
            # As a conductor of an earlier release.
            fixtures.MonkeyPatch(foretold, lambda *_: contextlib.nullcontext()),
            fixtures.MonkeyPatch(RECORD, death),
            contextlib.suppress(base.Died),
        ):
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

    def die_saving(self, kind, function, *arguments):
        """Let a conductor die when it saves the first row of a kind."""

        def death(*_, **__):
            raise base.Died

        with (
            fixtures.MonkeyPatch(f"magnum.objects.{kind}.save", death),
            contextlib.suppress(base.Died),
        ):
            function(*arguments)

    def delete_group(self, name):
        """Ask the conductor for the deletion of a group, as magnum-api does."""
        handler = nodegroup_conductor.Handler()
        handler.nodegroup_delete(self.context(), self.cluster(self.uuid), self.row(name))

    def test_names_behind_another(self):
        """Nodes named while the group's last request is pending go although a conductor dies."""
        for before in (True, False):
            count = 3 if before else 4
            self.resize(count)
            self.poll()
            doomed = self.cluster(self.uuid).default_ng_worker.node_addresses
            self.assertTrue(doomed)
            name = "swarm-worker-0" if before else "swarm-worker-1"
            if before:
                self.die_saving("NodeGroup", self.resize, count, [name])
            else:
                self.die_saving("Cluster", self.resize, count, [name])

            self.go_on()

            self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
            self.assertNotIn(name, self.hostnames())
            self.assertEqual(1 + count, len(self.hostnames()))

    def test_foretold_at_rest(self):
        """A resize whose conductor dies before it saves a row is carried out, names and all."""
        self.poll_health()
        self.die_saving("NodeGroup", self.resize, 1, ["swarm-worker-0"])
        self.assertEqual(2, self.cluster(self.uuid).default_ng_worker.node_count)

        self.pass_time(61)
        loop.run(self.store)
        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        self.assertEqual(1, cluster.default_ng_worker.node_count)
        self.assertEqual(["swarm-manager-0", "swarm-worker-1"], self.hostnames())

    def test_served_meanwhile(self):
        """A conductor that stood still, and goes on after its request was served, repeats it."""
        self.poll_health()
        save = objects.NodeGroup.save

        def late(row, *arguments):
            if row.node_count == 1 and self.cluster(self.uuid).status == "CREATE_COMPLETE":
                self.pass_time(61)
                loop.run(self.store)
                self.go_on()
                self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
            save(row, *arguments)

        with fixtures.MonkeyPatch("magnum.objects.NodeGroup.save", late):
            self.resize(1, ["swarm-worker-0"])
        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual(("UPDATE_COMPLETE", None), (cluster.status, cluster.status_reason))
        self.assertEqual(["swarm-manager-0", "swarm-worker-1"], self.hostnames())

    def test_row_before_cluster(self):
        """A deletion, and labels, outlive a conductor that saved no more than the group's row."""
        self.made()
        self.poll_health()
        self.die_saving("Cluster", self.label, "gpu", {"disk": "ssd"})
        self.pass_time(121)
        self.assert_told("gpu")
        self.assertEqual("ssd", (self.labels("swarm-gpu-0") or {}).get("disk"))

        self.die_saving("Cluster", self.delete_group, "gpu")
        self.poll_health()
        for _ in range(10):
            self.poll()
            self.cloud.finish_deletes()

        self.assertIsNone(self.row("gpu"))
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
