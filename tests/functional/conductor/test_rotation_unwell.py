# SPDX-License-Identifier: Apache-2.0
"""Certificates are to be replaced of a cluster in which not all is well."""

from magnum.common import exception as magnum_exception

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.conductor.due import loop
from magnum_swarm_mode.swarm import manager_settings
from tests import cases
from tests.fakes import docker as fake_docker
from tests.functional.conductor import base, test_rotation


class UnwellCase(test_rotation.RotationCase):
    def setUp(self):
        super().setUp()
        self.before = self.references()

    def health(self):
        """Look at the cluster's health as the conductor does."""
        cluster = self.cluster(self.uuid)
        monitor = base.DRIVER().get_monitor(self.context(), cluster)
        monitor.poll_health_status()
        self.pass_time(100)
        return monitor.data.get("health_status")

    def further_manager(self, number, **more):
        node = fake_docker.node(f"swarm-manager-{number}", manager="reachable", **more)
        node["ManagerStatus"]["Addr"] = f"10.0.0.1{number}:2377"
        node["Spec"]["Labels"] = {manager_settings.LABEL: "0"}
        self.docker.answers["/nodes"][1].append(node)
        return node

    def switch_off(self, node):
        node["Status"] = {"State": "down"}
        if node.get("ManagerStatus"):
            node["ManagerStatus"]["Reachability"] = "unreachable"

    def take_over(self):
        super().take_over()
        for node in self.docker.answers["/nodes"][1]:
            if node.get("ManagerStatus") and node["Status"]["State"] == "ready":
                node["Spec"]["Labels"][manager_settings.LABEL] = self.label

    def all_off(self):
        """Switch the manager off, and everything on the cluster's way to it."""
        self.docker.stop()

    def all_on(self):
        old, identity = self.docker, self.old
        self.docker = self.useFixture(
            fake_docker.FakeDocker(identity.ca, self.pair, base.MANAGER, 2376)
        )
        self.docker.answers, self.docker.on_config = old.answers, old.on_config
        self.docker.context = old.context

    def assert_nothing_begun(self):
        self.assertEqual(self.before, self.references())
        self.assertEqual(set(self.before.values()), {row.uuid for row in self.certificates()})
        record = self.store.get(self.uuid)
        assert record is not None
        self.assertEqual((None, []), (record.state.ca, orphans._loose(record.state)))

    def assert_works_afterwards(self):
        """What the sentence says to do lets the certificates be replaced."""
        self.assertTrue(self.serves(self.old))
        self.resize(2)
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.rotate()
        self.go_on()
        self.assert_done(self.before)


class RefusedTest(UnwellCase):
    """Nothing is begun, and the reason says what to change."""

    def refused(self, case):
        self.assertRaises(exceptions.SwarmModeError, self.rotate)
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        cases.shown(self, case, cluster.status_reason, answer=cluster.status)
        self.assert_nothing_begun()

    def test_after_a_failure(self):
        """Magnum's conductor refuses a cluster in UPDATE_FAILED without a trace."""
        failed = {"status": "UPDATE_FAILED", "status_reason": "No host."}
        rows.change(self.uuid, "CREATE_COMPLETE", failed)
        self.assertRaises(magnum_exception.NotSupported, self.rotate)
        self.assertEqual("No host.", self.cluster(self.uuid).status_reason)
        self.assert_nothing_begun()

    def test_all_managers_off(self):
        """Where no manager answers, they have to be started first."""
        self.all_off()
        self.assertEqual("UNKNOWN", self.health())
        self.refused("certificates-nobody-answers")
        self.all_on()
        self.assert_works_afterwards()

    def test_no_quorum(self):
        """Where most managers are away, so that nothing can be told to any, likewise."""
        nodes = self.docker.answers["/nodes"]
        self.docker.answers["/nodes"] = (503, {"message": fake_docker.NO_LEADER})
        self.assertEqual("UNHEALTHY", self.health())
        self.refused("certificates-nobody-answers")
        self.docker.answers["/nodes"] = nodes
        self.assert_works_afterwards()


class EndsWellTest(UnwellCase):
    def test_unhealthy(self):
        """Of three managers one is down: the others go on, and it follows when it is back."""
        self.further_manager(1)
        lost = self.further_manager(2)
        self.switch_off(lost)
        self.assertEqual("UNHEALTHY", self.health())

        self.rotate()
        self.go_on()

        self.assert_done(self.before)
        self.assertIn("to follow when they are back: swarm-manager-2.", self.reason())
        self.assertEqual("0", lost["Spec"]["Labels"][manager_settings.LABEL])
        self.assertEqual([], [one for one in self.docker.changes if "Role" in str(one)])
        # What it has to take over is still there for it.
        names = [one["Spec"]["Name"] for one in self.docker.answers["/configs"][1]]
        self.assertEqual([f"{manager_settings.PREFIX}{self.label}"], names)

    def reason(self):
        return self.cluster(self.uuid).status_reason

    def test_nodes_go_off(self):
        """A manager and a worker that are switched off meanwhile are not waited for."""
        self.further_manager(1)
        lost = self.further_manager(2)
        self.docker.on_config = lambda _: None
        self.rotate()
        self.poll()
        self.assertIn("swarm-manager-1, swarm-manager-2", self.reason())
        worker = next(
            node
            for node in self.docker.answers["/nodes"][1]
            if node["Description"]["Hostname"] == "swarm-worker-1"
        )
        self.switch_off(lost)
        self.switch_off(worker)
        worker["Description"]["TLSInfo"]["CertIssuerPublicKey"] = "b2xk"
        self.docker.on_config = lambda _: self.take_over()
        self.take_over()
        self.go_on()
        self.assert_done(self.before)
        self.assertIn("to follow when they are back: swarm-manager-2.", self.reason())

    def test_all_go_off(self):
        """A cluster that is switched off in the middle goes on where it was."""
        self.rotate()
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.all_off()
        self.poll()
        self.assertIn("The Docker API answers on no manager", self.reason())
        self.pass_time(1300)
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        cases.shown(self, "certificates-switched-off", self.reason(), answer=cluster.status)
        self.all_on()
        self.assertTrue(self.serves(self.old))
        self.resize(2)
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertFalse(self.serves(self.old))
        self.assertTrue(self.serves(self.files()))
        now = self.references()
        self.assertEqual(set(now.values()), {row.uuid for row in self.certificates()})
        self.assertEqual({}, self.state())

    def test_stops_again(self):
        """One that somebody had go on stops once more in vain, until somebody asks again."""
        self.lazy = True
        self.rotate()
        self.poll()
        self.pass_time(1300)
        self.poll()
        self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)
        self.resize(2)
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.poll()
        self.pass_time(1300)
        self.poll()
        stopped = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", stopped.status)
        for _ in range(5):
            self.pass_time(600)
            loop.run(self.store)
            self.health()
            now = self.cluster(self.uuid)
            self.assertEqual(stopped.status_reason, now.status_reason)
            self.assertEqual("UPDATE_FAILED", now.status)

        self.resume(3)
        self.assertEqual({}, self.state())
        self.assertEqual({"worker_count": 3}, self.asked()[-1])

    def test_resumed_without_a_status(self):
        """One that was asked to go on goes on, though Magnum's status does not say so."""
        self.lazy = True
        self.rotate()
        self.poll()
        self.pass_time(1300)
        self.poll()
        self.resize(2)
        rows.change(self.uuid, "UPDATE_IN_PROGRESS", {"status": "UPDATE_FAILED"})
        self.lazy = False
        self.take_over()
        self.pass_time(100)
        loop.run(self.store)
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_heat_fails(self):
        """Where Heat fails at what later workers are told, its reason is said."""
        self.rotate()
        self.poll()
        self.assertEqual("UPDATE_IN_PROGRESS", self.stack.status)
        self.stack.status, self.stack.reason = "UPDATE_FAILED", "no host"
        self.poll()
        self.assertIn("Heat failed", self.reason())
        self.assertIn("no host", self.reason())
        self.go_on()
        self.assert_done(self.before)
