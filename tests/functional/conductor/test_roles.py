# SPDX-License-Identifier: Apache-2.0
"""Users promote and demote nodes of a cluster with the docker command."""

from magnum_swarm_mode.cloud import sessions as cloud_sessions
from tests.fakes import docker as fake_docker
from tests.functional.conductor import base, test_operations


class RolesTest(test_operations.OperationsCase):
    def look(self):
        """Look at the cluster's health some time later; return what it says."""
        self.pass_time(100)
        monitor = base.DRIVER().get_monitor(cloud_sessions.admin_context(), self.cluster(self.uuid))
        monitor.poll_health_status()
        return monitor.data["health_status"], monitor.data["health_status_reason"]

    def node(self, hostname):
        nodes = self.docker.answers["/nodes"][1]
        return next(node for node in nodes if node["Description"]["Hostname"] == hostname)

    def test_promoted(self):
        """A worker that was promoted is a worker again, and the health says why."""
        self.node("swarm-worker-1")["Spec"]["Role"] = "manager"
        status, reason = self.look()
        self.assertEqual("UNHEALTHY", status)
        said = reason["reason:swarm-worker-1"]
        self.assertTrue(said.startswith("WorkerPromoted: "), said)
        self.assertIn("It is made a worker again.", said)
        self.assertEqual([("swarm-worker-1", {"Role": "worker"})], self.docker.changes)
        self.assertEqual("HEALTHY", self.look()[0])

    def test_demoted(self):
        """A manager that was demoted is a manager again."""
        self.docker.answers["/nodes"][1].append(fake_docker.node("swarm-manager-1"))
        _, reason = self.look()
        self.assertTrue(reason["reason:swarm-manager-1"].startswith("ManagerDemoted: "))
        self.assertEqual([("swarm-manager-1", {"Role": "manager"})], self.docker.changes)

    def test_worker_that_bears_the_name_of_a_manager(self):
        """An engine on a worker that calls itself like a manager is not promoted."""
        for name in ("swarm-manager-0", "swarm-manager-1"):
            named = fake_docker.node(name, number=1)
            named["Status"]["Addr"] = "10.0.0.21"
            self.docker.answers["/nodes"][1].append(named)
        self.look()
        self.assertEqual([], self.docker.changes)

    def test_demoted_at_its_address(self):
        """A manager that was demoted is known by its address in the cluster's network."""
        demoted = fake_docker.node("swarm-manager-1")
        demoted["Status"]["Addr"] = "10.0.0.12"
        self.docker.answers["/nodes"][1].append(demoted)
        self.cloud.stack().outputs["manager_fixed_addresses"] = ["10.0.0.11", "10.0.0.12"]
        self.look()
        self.assertEqual([("swarm-manager-1", {"Role": "manager"})], self.docker.changes)

    def test_refused(self):
        """Where the swarm refuses, the health says how to be rid of the node."""
        node = self.node("swarm-worker-1")
        node["Spec"]["Role"] = "manager"
        # Whatever the engine refuses looks alike.
        self.docker.meanwhile = lambda: node["Version"].update(Index=99)
        _, reason = self.look()
        self.assertIn(
            "openstack coe cluster resize swarm 2 --nodes-to-remove swarm-worker-1",
            reason["reason:swarm-worker-1"],
        )

    def test_busy(self):
        """While the cluster is changed no role is touched."""
        self.node("swarm-worker-1")["Spec"]["Role"] = "manager"
        self.resize(3)
        self.look()
        self.assertEqual([], self.docker.changes)
