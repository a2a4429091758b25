# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import uuid
from typing import Any

import fixtures
from magnum import objects
from magnum.conductor.handlers import nodegroup_conductor

from magnum_swarm_mode import exceptions, reach
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.conductor.due import loop
from magnum_swarm_mode.stack import node_group
from magnum_swarm_mode.stack import upgrade as stack_upgrade
from tests import cases
from tests.fakes import docker as fake_docker
from tests.functional.conductor import base, fake_cloud, test_operations


class NodeGroupsCase(test_operations.OperationsCase):
    def add(self, name="gpu", count=2, **fields):
        """Ask the conductor for a group, as magnum-api does."""
        context = self.context()
        row = objects.NodeGroup(
            context,
            uuid=str(uuid.uuid4()),
            name=name,
            cluster_id=self.uuid,
            project_id=fake_cloud.PROJECT,
            node_count=count,
            role="worker",
            is_default=False,
            flavor_id=fields.pop("flavor_id", "m1.large"),
            image_id="ubuntu_xenial",
            labels=fields.pop("labels", {}),
            **fields,
        )
        nodegroup_conductor.Handler().nodegroup_create(context, self.cluster(self.uuid), row)
        return row

    def row(self, name):
        for row in self.cluster(self.uuid).nodegroups:
            if row.name == name:
                return row
        return None

    def stack_of(self, row):
        return next(s for s in self.cloud.stacks.values() if s.name.endswith(row.uuid))

    def finish_group(self, row, status="CREATE_COMPLETE"):
        """Let Heat finish with a group's stack, and its nodes join or go."""
        stack = self.stack_of(row)
        count, prefix = int(stack.parameters["count"]), stack.parameters["group_name_prefix"]
        nodes = self.docker.answers["/nodes"][1]
        known = {node["Description"]["Hostname"]: node for node in nodes}
        wanted = {f"{prefix}-{index}" for index in range(count)}
        stack.outputs = {
            "servers": {str(index): f"{prefix}-id-{index}" for index in range(count)},
            "addresses": [f"10.0.1.{index}" for index in range(count)],
        }
        nodes.extend(fake_docker.node(name) for name in sorted(wanted - set(known)))
        for name in set(known) - wanted:
            if name.startswith(f"{prefix}-"):
                known[name]["Status"]["State"] = "down"
        stack.status = status

    def made(self, **fields):
        row = self.add(**fields)
        self.poll()
        self.finish_group(row)
        self.go_on()
        return row


class NodeGroupsTest(NodeGroupsCase):
    def test_created(self):
        """A group is a stack of its own on the cluster's network, made with the user's token."""
        row = self.add(labels={"availability_zone": "rack-2"})
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.poll()
        self.assertEqual("Heat makes it 2 workers.", self.cluster(self.uuid).status_reason)
        self.finish_group(row)

        self.go_on()

        cluster, found = self.cluster(self.uuid), self.row("gpu")
        self.assertEqual(("UPDATE_COMPLETE", None), (cluster.status, cluster.status_reason))
        self.assertEqual("CREATE_COMPLETE", found.status)
        self.assertEqual(["10.0.1.0", "10.0.1.1"], found.node_addresses)
        self.assertEqual(4, cluster.node_count)
        stack = self.stack_of(row)
        self.assertEqual(stack.id, found.stack_id)
        expected = {
            "group_name_prefix": "swarm-gpu",
            "network": "network-id",
            "subnet": "subnet-id",
            "security_groups": ["security-group-id"],
            "count": 2,
            "signals": 2,
            "flavor": "m1.large",
            "availability_zone": "rack-2",
        }
        self.assertEqual(expected, {name: stack.parameters[name] for name in expected})
        self.assertEqual([], self.stack.updates)

    def test_secret(self):
        """Managers are told the digest of the group's secret; the secret is in Heat alone."""
        row = self.made()

        secret = self.stack_of(row).parameters["join_secret"]
        (config,) = self.docker.answers["/configs"][1]
        self.assertEqual(
            {node_group.DIGEST_LABEL: node_group.digest(secret)}, config["Spec"]["Labels"]
        )
        rows = json.dumps([list(map(str, row)) for row in self.records()])
        self.assertNotIn(secret, rows)

    def test_labels(self):
        """The nodes of a group bear its name in the swarm."""
        self.made()

        labels = {
            node["Description"]["Hostname"]: node["Spec"]["Labels"]
            for node in self.docker.answers["/nodes"][1]
        }
        self.assertEqual({"magnum.node_group": "gpu"}, labels["swarm-gpu-0"])
        self.assertEqual({}, labels["swarm-worker-0"])

    def test_node_labels_follow(self):
        """Labels of Magnum 23 are set, changed and taken off again."""
        row = self.made()
        if "node_labels" not in row.fields:
            return  # up to Magnum 22 a group has none
        for wanted in ({"disk": "ssd"}, {"disk": "hdd", "x": "y"}, {}):
            found = self.row("gpu")
            found.node_labels = wanted
            nodegroup_conductor.Handler().nodegroup_update(
                self.context(), self.cluster(self.uuid), found
            )
            self.go_on()
            for node in self.docker.answers["/nodes"][1]:
                if node["Description"]["Hostname"].startswith("swarm-gpu"):
                    self.assertEqual({"magnum.node_group": "gpu", **wanted}, node["Spec"]["Labels"])
        self.assertEqual("UPDATE_COMPLETE", self.row("gpu").status)

    def test_resized(self):
        """A group is resized in its own stack; the cluster's is left alone."""
        row = self.made()
        self.resize(1, ["swarm-gpu-1"], group="gpu")
        for _ in range(8):
            self.poll()
            if self.stack_of(row).status == "UPDATE_IN_PROGRESS":
                self.finish_group(row, "UPDATE_COMPLETE")

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        ((_, asked),) = self.stack_of(row).updates
        self.assertEqual({"count": 1, "removals": ["1"]}, asked)
        self.assertEqual([], self.stack.updates)
        self.assertEqual(
            ["swarm-gpu-0", "swarm-manager-0", "swarm-worker-0", "swarm-worker-1"],
            self.hostnames(),
        )

    def test_deleted(self):
        """A group is drained, its stack deleted, its nodes, row and config forgotten."""
        row = self.made()
        nodegroup_conductor.Handler().nodegroup_delete(
            self.context(), self.cluster(self.uuid), self.row("gpu")
        )
        for _ in range(10):
            self.poll()
            self.cloud.finish_deletes()

        self.assertIsNone(self.row("gpu"))
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual("DELETE_COMPLETE", self.stack_of(row).status)
        self.assertEqual([], self.docker.answers["/configs"][1])
        self.assertEqual(["swarm-manager-0", "swarm-worker-0", "swarm-worker-1"], self.hostnames())
        self.assertIn(("swarm-gpu-0", {"Availability": "drain"}), self.docker.changes)

    def test_deletion_wins(self):
        """A resize, an upgrade or labels that arrive after a deletion do not take it back."""
        for number, late in enumerate(("resize", "upgrade", "label", "row")):
            row = self.made(name=f"gpu-{number}")
            cluster, changed = self.cluster(self.uuid), self.row(row.name)
            nodegroup_conductor.Handler().nodegroup_delete(
                self.context(), self.cluster(self.uuid), self.row(row.name)
            )
            changed.status = "UPDATE_IN_PROGRESS"
            if late == "row":
                # The conductor died before it called the driver.
                changed.node_count = 5
                changed.save()
            elif late == "resize":
                changed.node_count = 5
                base.DRIVER().resize_cluster(self.context(), cluster, None, 5, [], changed)
            elif late == "upgrade":
                template = cluster.cluster_template
                size: Any = stack_upgrade.message(1, [row.uuid])
                base.DRIVER().upgrade_cluster(self.context(), cluster, template, size, changed)
                changed.save()
            else:
                base.DRIVER().update_nodegroup(self.context(), cluster, changed)
            for _ in range(10):
                self.poll()
                self.cloud.finish_deletes()

            self.assertIsNone(self.row(row.name), late)
            self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
            self.assertEqual("DELETE_COMPLETE", self.stack_of(row).status)

    def test_failed_deletion(self):
        """A deletion that failed says so in the group's row whoever ended it."""
        self.made()
        nodegroup_conductor.Handler().nodegroup_delete(
            self.context(), self.cluster(self.uuid), self.row("gpu")
        )
        with fixtures.MonkeyPatch("magnum_swarm_mode.decisions.change.decide", lambda: None):
            self.poll(10)

        self.assertEqual("DELETE_FAILED", self.row("gpu").status)

    def test_cluster_deleted(self):
        """Deleting the cluster deletes its groups first, and leaves nothing."""
        row = self.made()
        self.made(name="more")
        self.delete(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", self.stack.status.replace("CREATE", "UPDATE"))
        self.assertEqual("DELETE_IN_PROGRESS", self.stack_of(row).status)
        self.poll()
        self.assertEqual(
            "Heat deletes the further node groups.", self.cluster(self.uuid).status_reason
        )
        for _ in range(4):
            self.cloud.finish_deletes()
            self.poll()

        self.assertEqual([], self.clusters())
        self.assertEqual({}, self.cloud.leftovers())
        self.assertEqual([], self.records())

    def test_cluster_deleted_while_asked(self):
        """A group's stack that Heat shows only after the cluster's delete has begun goes too."""
        asked = []

        def die(heat_api, *arguments):
            asked.append((heat_api, arguments))
            raise base.Died

        with (
            fixtures.MonkeyPatch("magnum_swarm_mode.reach.submit", die),
            contextlib.suppress(base.Died),
        ):
            self.add()
        self.delete(self.uuid)
        self.poll()
        ((heat_api, arguments),) = asked
        heat_api.create(*arguments)
        for _ in range(6):
            self.pass_time(100)
            self.poll()
            self.cloud.finish_deletes()

        self.assertEqual(([], []), (self.clusters(), self.records()))
        self.assertEqual({}, self.cloud.leftovers())

    def test_stood_still(self):
        """A conductor that stood still until its request was given up makes no group any more."""
        submit = reach.submit

        def late(*arguments):
            while self.row("gpu").status != "CREATE_FAILED":
                self.pass_time(100)
                self.poll()
            return submit(*arguments)

        before = set(self.cloud.stacks)
        with fixtures.MonkeyPatch("magnum_swarm_mode.reach.submit", late):
            self.add()
        for _ in range(3):
            self.pass_time(100)
            self.cloud.finish_deletes()
            self.poll()
        made = [stack.status for key, stack in self.cloud.stacks.items() if key not in before]
        self.assertEqual(["DELETE_COMPLETE"], made)
        self.assertEqual("CREATE_FAILED", self.row("gpu").status)
        self.assertIn("interrupted before Heat", self.row("gpu").status_reason)
        self.assertFalse(self.cluster(self.uuid).status.endswith("_IN_PROGRESS"))

    def test_failed(self):
        """A group that Heat cannot make fails, the rest of the cluster does not; it can go."""
        row = self.add()
        self.finish_group(row, "CREATE_FAILED")
        self.stack_of(row).reason = "Resource CREATE failed: no host"
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("no host", cluster.status_reason)
        self.assertEqual("CREATE_FAILED", self.row("gpu").status)
        self.assertEqual("CREATE_COMPLETE", self.row("default-worker").status)

        self.delete_group()
        self.assertIsNone(self.row("gpu"))
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_interrupted(self):
        """A group whose conductor died before it asked Heat fails after some minutes."""
        row = objects.NodeGroup(
            self.context(),
            uuid=str(uuid.uuid4()),
            name="lost",
            cluster_id=self.uuid,
            project_id=fake_cloud.PROJECT,
            node_count=1,
            role="worker",
            is_default=False,
            status="CREATE_IN_PROGRESS",
        )
        row.create()
        rows.change(self.uuid, "CREATE_COMPLETE", {"status": "UPDATE_IN_PROGRESS"})
        self.poll()
        self.pass_time(181)
        self.poll()

        cluster = self.cluster(self.uuid)
        cases.shown(self, "change-group-interrupted", cluster.status_reason, answer=cluster.status)
        self.resize(3)
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_cluster_being_deleted(self):
        """A group that a delete of the cluster overtakes is not made."""
        cluster = self.cluster(self.uuid)
        self.delete(self.uuid)
        self.useFixture(fixtures.MockPatchObject(self, "cluster", lambda _: cluster))
        stacks = len(self.cloud.stacks)

        error = self.assertRaises(exceptions.Refused, self.add)

        self.assertEqual(stacks, len(self.cloud.stacks))
        cases.shown(self, "change-group-deleting", str(error), answer="CREATE_FAILED")

    def test_foreign_label(self):
        """A label that is the whole cluster's cannot differ in a group."""
        error = self.assertRaises(
            exceptions.Refused, self.add, labels={"api_allowed_cidrs": "192.0.2.0/24"}
        )
        cases.shown(self, "change-group-label", str(error), answer=400)

    def test_refused_in_conductor(self):
        """The cluster's row says why it failed where a group could not be asked for."""
        self.assertRaises(
            exceptions.Refused, self.add, labels={"api_allowed_cidrs": "192.0.2.0/24"}
        )

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("Label api_allowed_cidrs is the whole cluster's", cluster.status_reason)

    def test_complete_beside_a_refused_group(self):
        """A row asks for no nodes of a group that Heat was not asked for once others complete."""
        for name, error in (
            ("gpu", exceptions.Refused("Quota exceeded.")),
            ("more", exceptions.Unavailable("No answer.")),
        ):
            self.refused_by_heat(error, name=name)
            for _ in range(2):
                self.pass_time(200)
                loop.run(self.store)
                self.poll()
            for count in (3, 2):
                self.resize(count)
                self.go_on()

            self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
            row = self.row(name)
            self.assertEqual(("CREATE_FAILED", 0), (row.status, row.node_count))

    def test_beside_a_failed_group(self):
        """A group that Heat could not make holds nothing up, and is named until it is there."""
        row = self.add()
        self.finish_group(row, "CREATE_FAILED")
        stack = self.stack_of(row)
        stack.outputs["servers"], stack.reason = {}, "Quota exceeded."
        self.poll()

        self.resize(3)
        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual({"worker_count": 3}, self.asked()[-1])
        self.assertEqual("UPDATE_FAILED", cluster.status)
        said = "node group gpu has 0 of 2 nodes: Quota exceeded. Resize gpu to try again"
        self.assertIn(said, cluster.status_reason)
        statuses = [self.row(name).status for name in ("default-worker", "gpu")]
        self.assertEqual(["UPDATE_COMPLETE", "CREATE_FAILED"], statuses)

        self.resize(2, group="gpu")
        self.poll()
        self.finish_group(row, "UPDATE_COMPLETE")
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def refused_by_heat(self, error, **fields):
        """Add a group which Heat does not make."""
        with fixtures.MockPatch("magnum_swarm_mode.reach.submit", side_effect=error):
            self.assertRaises(type(error), self.add, **fields)

    def test_refused_by_heat(self):
        """The reason for which Heat refused a group stays, and other changes are possible."""
        self.refused_by_heat(exceptions.Refused("Quota exceeded."))
        for _ in range(4):
            self.pass_time(100)
            loop.run(self.store)
            self.poll()

        cluster, row = self.cluster(self.uuid), self.row("gpu")
        said = "Node group gpu: Quota exceeded."
        self.assertEqual(("UPDATE_FAILED", said), (cluster.status, cluster.status_reason))
        self.assertEqual(("CREATE_FAILED", "Quota exceeded."), (row.status, row.status_reason))
        self.resize(3)
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.delete_group()
        self.assertIsNone(self.row("gpu"))
        self.assertEqual([], self.docker.answers["/configs"][1])

    def test_refused_beside_a_resize(self):
        """A resize that is under way goes on, and says in the end that a group was refused."""
        self.resize(3)
        self.refused_by_heat(exceptions.Refused("Quota exceeded."))
        self.pass_time(100)
        loop.run(self.store)
        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        self.assertEqual("Node group gpu: Quota exceeded.", cluster.status_reason)
        self.assertEqual({"worker_count": 3}, self.stack.updates[-1][1])

    def test_unclear(self):
        """A group of which nobody knows whether Heat makes it is still looked for."""
        self.refused_by_heat(exceptions.Unavailable("No answer."))
        self.pass_time(100)
        loop.run(self.store)
        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_IN_PROGRESS", cluster.status)
        self.assertEqual("Heat is being asked for node group gpu.", cluster.status_reason)

    def delete_group(self):
        """Ask for the deletion of a group, and let it happen."""
        nodegroup_conductor.Handler().nodegroup_delete(
            self.context(), self.cluster(self.uuid), self.failed_row("gpu")
        )
        for _ in range(10):
            self.poll()
            self.cloud.finish_deletes()

    def failed_row(self, name):
        row = self.row(name)
        row.status = "UPDATE_FAILED"  # as magnum-api makes it, or the conductor refuses
        return row


class NamesTest(NodeGroupsCase):
    def test_prefixes(self):
        """Host names follow the group's name, and differ where names would not."""
        long = node_group.name_prefix("c" * 50, "a-rather-long-name", "1" * 36, [])
        self.assertEqual((57, "11111111"), (len(long), long[-8:]))
        self.assertEqual("swarm-gpu", node_group.name_prefix("swarm", "GPU", "1" * 36, []))
        for name, taken in (("worker", []), ("a.b", ["swarm-a-b"]), ("ü", [])):
            prefix = node_group.name_prefix("swarm", name, "1" * 36, taken)
            self.assertTrue(prefix.endswith("-11111111"), prefix)
