# SPDX-License-Identifier: Apache-2.0
from magnum import objects
from magnum.conductor.handlers import cluster_conductor

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.stack import upgrade as stack_upgrade
from tests.fakes import docker as fake_docker
from tests.functional.conductor import test_node_groups, test_operations

NEW = "debian-docker-26.1"


def another(case, **fields):
    """Make a template that differs from the cluster's in its image, and in what is given."""
    values = {
        name: getattr(case.template, name)
        for name in case.template.fields
        if case.template.obj_attr_is_set(name)
        and name not in ("id", "uuid", "created_at", "updated_at", "tags")
    }
    template = objects.ClusterTemplate(
        case.context(), **{**values, "name": "other", "image_id": NEW, **fields}
    )
    template.create()
    return template


class UpgradeCase(test_operations.OperationsCase):
    """A cluster of one manager and two workers, and another template."""

    def setUp(self):
        super().setUp()
        self.away: set[str] = set()
        self.made_again: list[str] = []

    def other_template(self, **fields):
        return another(self, **fields)

    def upgrade(self, template, size=1, groups=("default-worker",)):
        """Ask the conductor as magnum-api does, with what stands before it there."""
        cluster = self.cluster(self.uuid)
        rows = {row.name: row for row in cluster.nodegroups}
        if cluster.status == "UPDATE_FAILED":
            cluster.status = "UPDATE_COMPLETE"
        cluster_conductor.Handler().cluster_upgrade(
            self.context(),
            cluster,
            template,
            stack_upgrade.message(size, [rows[name].uuid for name in groups]),
            rows["default-worker"],
        )

    def heat_finishes(self, status="UPDATE_COMPLETE"):
        """As before, with the second colour, and managers that are away."""
        parameters, outputs = self.stack.parameters, self.stack.outputs
        before = set(outputs.get("worker_green_servers", {}))
        count = int(parameters.get("worker_green_count", 0))
        gone = set(getattr(self, "green_gone", set()))
        gone |= {int(one) for one in parameters.get("worker_green_removals", ())}
        self.green_gone = gone
        names = [str(i) for i in range(100) if i not in gone][:count]
        outputs["worker_green_servers"] = {i: f"server-green-{i}" for i in names}
        nodes = self.docker.answers["/nodes"][1]
        for index in sorted(set(names) - before):
            nodes.append(fake_docker.node(f"swarm-worker-g{index}"))
        for node in nodes:
            if node["Description"]["Hostname"] in {
                f"swarm-worker-g{i}" for i in before - set(names)
            }:
                node["Status"]["State"] = "down"
        away = self.away
        machines = parameters.get("manager_machines") or {}
        self.away = {index for index, one in machines.items() if one.get("absent")}
        for node in nodes:
            if node["Description"]["Hostname"] in {f"swarm-manager-{i}" for i in self.away}:
                node["Status"]["State"] = "down"
        for index in sorted(away - self.away):
            self.made_again.append(f"{index} of {parameters['manager_image']}")
            nodes.append(fake_docker.node(f"swarm-manager-{index}", manager="reachable"))
        super().heat_finishes(status)

    def row(self, name):
        (found,) = [row for row in self.cluster(self.uuid).nodegroups if row.name == name]
        return found


class ManagersTest(UpgradeCase):
    def test_three(self):
        """Three managers are taken away and made again one after the other, the leader last; what
        is left in Heat names none of them."""
        self.resize(3, group="default-master")
        self.go_on()
        self.stack.updates.clear()
        self.upgrade(self.other_template(), groups=("default-master",))
        reasons = set()
        for _ in range(80):
            if self.stack.status == "UPDATE_IN_PROGRESS":
                self.heat_finishes()
            self.poll()
            cluster = self.cluster(self.uuid)
            reasons.add(cluster.status_reason)
            if cluster.status != "UPDATE_IN_PROGRESS":
                break
        self.assertEqual("UPDATE_COMPLETE", cluster.status, cluster.status_reason)
        self.assertEqual([f"{one} of {NEW}" for one in (1, 2, 0)], self.made_again)
        self.assertEqual({"default"}, set(self.asked()[-1]["manager_machines"]))
        self.assertEqual(
            [f"swarm-manager-{i}" for i in range(3)] + ["swarm-worker-0", "swarm-worker-1"],
            self.hostnames(),
        )
        self.assertIn(
            "Upgrading default-master: 1 of 3 done. Heat is asked to take swarm-manager-2 away.",
            reasons,
        )
        self.assertEqual(NEW, self.row("default-master").image_id)
        # Repaired and grown as any others afterwards.
        self.resize(5, group="default-master")
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)


class WorkersTest(UpgradeCase):
    def test_by_group(self):
        """The first group of workers alone: Heat gets templates once, rows say what is there, and
        the cluster's own template stays until the managers have followed."""
        other = self.other_template()
        self.upgrade(other, 2)
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_IN_PROGRESS", cluster.status)

        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual(("UPDATE_COMPLETE", None), (cluster.status, cluster.status_reason))
        self.assertEqual(
            ["swarm-manager-0", "swarm-worker-g0", "swarm-worker-g1"], self.hostnames()
        )
        self.assertEqual(NEW, self.row("default-worker").image_id)
        self.assertEqual("ubuntu_xenial", self.row("default-master").image_id or "ubuntu_xenial")
        self.assertEqual(self.template.uuid, cluster.cluster_template_id)
        asked = self.asked()
        self.assertEqual((2, 2), (asked[0]["worker_count"], asked[0]["worker_green_count"]))
        self.assertEqual(NEW, asked[0]["worker_green_image"])
        self.assertEqual((0, 2), (asked[1]["worker_count"], asked[1]["worker_green_count"]))
        self.assertEqual(["0", "1"], sorted(asked[1]["worker_removals"]))
        self.assertEqual(NEW, asked[1]["worker_image"])
        self.assertEqual([True, False], [bool(one) for one in self.stack.renewed])

    def test_whole(self):
        """All of it: the only manager is replaced, and then the cluster's row names the template,
        its flavors and labels."""
        other = self.other_template(labels={"log_max_file": "9"}, flavor_id="m1.large")
        self.upgrade(other, 2, ("default-master", "default-worker"))

        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status, cluster.status_reason)
        self.assertIn("swarm-manager-1 took the place of swarm-manager-0", cluster.status_reason)
        self.assertEqual(
            ["swarm-manager-1", "swarm-worker-g0", "swarm-worker-g1"], self.hostnames()
        )
        self.assertEqual(other.uuid, cluster.cluster_template_id)
        self.assertEqual("9", cluster.labels["log_max_file"])
        self.assertEqual("m1.large", cluster.flavor_id)
        for name in ("default-master", "default-worker"):
            self.assertEqual(NEW, self.row(name).image_id)
        self.assertEqual("m1.large", self.row("default-worker").flavor_id)
        engine = next(one["engine"] for one in self.asked() if "engine" in one)
        self.assertEqual("9", engine["daemon"]["log-opts"]["max-file"])

    def test_resized_afterwards(self):
        """A resize changes the colour that has the nodes, and sends no templates."""
        self.upgrade(self.other_template(), 2)
        self.go_on()
        self.stack.updates.clear()
        self.stack.renewed.clear()
        self.resize(3)
        self.go_on()
        self.resize(2, remove=["g0"])
        self.go_on()
        self.assertEqual(
            [
                {"worker_green_count": 3},
                {"worker_green_count": 2, "worker_green_removals": ["0"]},
            ],
            self.asked(),
        )
        self.assertEqual([False, False], [bool(one) for one in self.stack.renewed])

    def test_refused_by_the_conductor(self):
        """What the API lets through by mistake fails, and changes nothing."""
        other = self.other_template(fixed_network="elsewhere")
        error = self.assertRaises(exceptions.Refused, self.upgrade, other)
        self.assertIn("fixed_network is fixed when a cluster is created", str(error))
        self.assertEqual([], self.asked())


class FurtherGroupTest(test_node_groups.NodeGroupsCase):
    def finish_green(self, row):
        """Let Heat do what a group's stack was asked for, in the second colour."""
        stack = self.stack_of(row)
        prefix = stack.parameters["group_name_prefix"]
        nodes = self.docker.answers["/nodes"][1]
        wanted = {}
        for colour, name in (("", ""), ("g", "green_")):
            for index in range(int(stack.parameters.get(f"{name}count") or 0)):
                wanted[f"{prefix}-{colour}{index}"] = (name, str(index))
        stack.outputs = {"servers": {}, "green_servers": {}, "addresses": []}
        for hostname, (colour, place) in wanted.items():
            stack.outputs[f"{colour}servers"][place] = f"id-{hostname}"
        known = {node["Description"]["Hostname"]: node for node in nodes}
        nodes.extend(fake_docker.node(name) for name in sorted(set(wanted) - set(known)))
        for hostname in set(known) - set(wanted):
            if hostname.startswith(f"{prefix}-"):
                known[hostname]["Status"]["State"] = "down"
        stack.status = "UPDATE_COMPLETE"

    def test_by_name(self):
        """A further group follows the cluster's template in a stack of its own, with its flavor."""
        row = self.made()
        cluster = self.cluster(self.uuid)
        (group,) = [one for one in cluster.nodegroups if one.name == "gpu"]
        cluster_conductor.Handler().cluster_upgrade(
            self.context(),
            cluster,
            another(self),
            stack_upgrade.message(2, [group.uuid]),
            group,
        )
        for _ in range(40):
            if self.stack_of(row).status == "UPDATE_IN_PROGRESS":
                self.finish_green(row)
            self.poll()
            if self.cluster(self.uuid).status != "UPDATE_IN_PROGRESS":
                break
        cluster = self.cluster(self.uuid)
        self.assertEqual(("UPDATE_COMPLETE", None), (cluster.status, cluster.status_reason))
        self.assertEqual(["swarm-gpu-g0", "swarm-gpu-g1"],
                         [one for one in self.hostnames() if "gpu" in one])  # fmt: skip
        found = self.row("gpu")
        self.assertEqual((NEW, "m1.large"), (found.image_id, found.flavor_id))
        stack = self.stack_of(row)
        self.assertEqual([True, False], [bool(one) for one in stack.renewed])
        self.assertEqual((0, 2), (stack.parameters["count"], stack.parameters["green_count"]))
        self.assertEqual([], self.stack.updates)
