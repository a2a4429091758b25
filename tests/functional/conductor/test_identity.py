# SPDX-License-Identifier: Apache-2.0
"""Nodes that call themselves something else than Heat does."""

from tests.fakes import docker as fake_docker
from tests.functional.conductor import base, test_healing

ADDRESSES = {
    "swarm-manager-0": "10.0.0.11",
    "swarm-worker-0": "10.0.0.21",
    "swarm-worker-1": "10.0.0.22",
    "swarm-worker-2": "10.0.0.23",
}


def at(address, node):
    """Put a node at an address of the cluster's network."""
    node["Status"]["Addr"] = "0.0.0.0" if node.get("ManagerStatus") else address
    if node.get("ManagerStatus"):
        node["ManagerStatus"]["Addr"] = f"{address}:2377"
    return node


class LiarsTest(test_healing.HealingCase):
    def serve_docker(self, uuid, address=base.MANAGER):
        docker = super().serve_docker(uuid, address)
        for node in docker.answers["/nodes"][1]:
            at(ADDRESSES[node["Description"]["Hostname"]], node)
        return docker

    def finish_stack(self):
        super().finish_stack()
        self.cloud.stack().outputs["node_configuration"] = {
            "version": 1,
            "managers": {"0": {"address": "10.0.0.11", "floating_address": base.MANAGER}},
        }

    def setUp(self):
        super().setUp()
        self.nodes = {
            node["Description"]["Hostname"]: node for node in self.docker.answers["/nodes"][1]
        }

    def call(self, server, name):
        """Let a node call itself so; return its entry."""
        self.nodes[server]["Description"]["Hostname"] = name
        return self.nodes[server]

    def test_known(self):
        """Once a cluster is complete it is known which node is which server."""
        plan = self.record().state.plan
        self.assertEqual({node["ID"]: name for name, node in self.nodes.items()}, plan.ids)
        self.assertEqual({name: ADDRESSES[name] for name in self.nodes}, plan.addresses)

    def test_health(self):
        """What nodes call themselves does not change the health."""
        expected = dict(self.poll_health().health_status_reason)
        for names in (
            ("swarm-manager-0", "swarm-manager-0", "swarm-manager-0"),
            ("swarm-worker-0", "swarm-worker-1", "swarm-worker-0"),
            ("managers", "api", "reason:managers"),
            ("", "", ""),
            ("laptop", "swarm-worker-7", "swarm-worker-1 (x)"),
        ):
            for server, name in zip(self.nodes, names, strict=True):
                self.call(server, name)
            cluster = self.poll_health()
            self.assertEqual("HEALTHY", cluster.health_status, str(names))
            self.assertEqual(expected, cluster.health_status_reason)
        self.assertEqual([], self.docker.changes)

    def test_healing(self):
        """What is down is replaced, and not the server whose name it bears."""
        liar = self.call("swarm-worker-0", "swarm-worker-1")
        liar["Status"]["State"] = "down"
        for _ in range(3):
            cluster = self.poll_health()
        self.assertIn("Healing: swarm-worker-0 was down", cluster.status_reason)
        self.assertEqual("NodeDown", cluster.health_status_reason["reason:swarm-worker-0"])
        self.assertNotIn("reason:swarm-worker-1", cluster.health_status_reason)
        self.poll()
        self.assertEqual([{"worker_count": 2, "worker_removals": ["0"]}], self.asked())

    def test_healing_of_a_name_that_is_taken(self):
        """A worker that is down is replaced although another one that is ready bears its name."""
        self.call("swarm-worker-0", "swarm-worker-1")
        self.nodes["swarm-worker-1"]["Status"]["State"] = "down"
        for _ in range(3):
            self.poll_health()
        self.poll()
        self.assertEqual([{"worker_count": 2, "worker_removals": ["1"]}], self.asked())

    def test_drain(self):
        """The node is drained and removed that Heat's server is, and no other one."""
        self.call("swarm-worker-0", "swarm-worker-1")
        named = self.call("swarm-worker-1", "swarm-manager-0")
        self.resize(1, ["server-worker-1"])
        self.poll()
        self.poll()
        self.assertEqual("drain", named["Spec"]["Availability"])
        self.assertEqual("active", self.nodes["swarm-worker-0"]["Spec"]["Availability"])
        self.assertEqual([{"worker_count": 1, "worker_removals": ["1"]}], self.asked())

    def test_resize(self):
        """A new worker is waited for at its address, also while another node bears its name."""
        self.call("swarm-worker-0", "swarm-worker-2")
        self.call("swarm-worker-1", "swarm-manager-0")
        self.resize(3)
        self.poll(2)
        self.heat_finishes()
        (made,) = [
            one for one in self.docker.answers["/nodes"][1] if one not in self.nodes.values()
        ]
        self.docker.answers["/nodes"][1].remove(made)
        self.poll()
        self.assertIn("Waiting until swarm-worker-2 joined", self.cluster(self.uuid).status_reason)
        self.docker.answers["/nodes"][1].append(at(ADDRESSES["swarm-worker-2"], made))
        made["Description"]["Hostname"] = "managers"
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual(("UPDATE_COMPLETE", None), (cluster.status, cluster.status_reason))

    def test_back_as_another_node(self):
        """A worker that joins again is the same server, its former entry goes."""
        old = self.call("swarm-worker-0", "swarm-worker-1")
        old["Status"]["State"] = "down"
        new = at(ADDRESSES["swarm-worker-0"], fake_docker.node("swarm-worker-1", number=5))
        self.docker.answers["/nodes"][1].append(new)
        for _ in range(3):
            self.poll_health()
        self.go_on()
        self.assertEqual([], self.asked())
        self.assertNotIn(old, self.docker.answers["/nodes"][1])
        self.assertEqual("HEALTHY", self.poll_health().health_status)

    def test_two_engines(self):
        """A second engine on a worker takes no place of one that is missing, and that is said."""
        self.docker.answers["/nodes"][1].remove(self.nodes["swarm-worker-1"])
        twin = at(ADDRESSES["swarm-worker-0"], fake_docker.node("swarm-worker-1", number=5))
        self.docker.answers["/nodes"][1].append(twin)
        cluster = self.poll_health()
        self.assertEqual("UNHEALTHY", cluster.health_status)
        reason = cluster.health_status_reason
        self.assertEqual("1 of 2 ready", reason["workers"])
        self.assertEqual(
            {
                f"reason:swarm-worker-0 ({one['ID']})": "NodeDuplicate"
                for one in (twin, self.nodes["swarm-worker-0"])
            },
            {name: text for name, text in reason.items() if name.startswith("reason:")},
        )

    def test_roles(self):
        """A node with the name of a manager is no manager, and a promoted worker is made one."""
        liar = self.call("swarm-worker-0", "swarm-manager-0")
        liar["Spec"]["Role"] = "manager"
        cluster = self.poll_health()
        self.assertIn("WorkerPromoted", cluster.health_status_reason["reason:swarm-worker-0"])
        self.assertEqual("worker", liar["Spec"]["Role"])
        self.assertEqual("manager", self.nodes["swarm-manager-0"]["Spec"]["Role"])
