# SPDX-License-Identifier: Apache-2.0
import contextlib
import dataclasses
import threading

import fixtures
from magnum.conductor.handlers import cluster_conductor
from magnum.service import periodic
from oslo_service import loopingcall, threadgroup

from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.decisions import healing
from magnum_swarm_mode.registration import register as registration
from tests import cases
from tests.fakes import docker as fake_docker
from tests.functional.conductor import base, test_operations

LABELS = {"auto_healing_enabled": "true", "auto_healing_delay": "100"}


class HealingCase(test_operations.OperationsCase):
    """A cluster of one manager and two workers, with healing."""

    labels = LABELS

    def create(self, *args, **kwargs):
        return super().create(*args, labels=self.labels, **kwargs)

    def poll_health(self, seconds=60):
        """Let Magnum's periodic task look at the cluster some time later; return its row."""
        self.pass_time(seconds)
        self.look()
        return self.cluster(self.uuid)

    def look(self):
        job = periodic.ClusterHealthUpdateJob(
            cloud_sessions.admin_context(), self.cluster(self.uuid)
        )
        with contextlib.suppress(loopingcall.LoopingCallDone):
            job.update_health_status()

    def node(self, hostname):
        nodes = self.docker.answers["/nodes"][1]
        return next(node for node in nodes if node["Description"]["Hostname"] == hostname)

    def kill(self, hostname):
        found = self.node(hostname)
        found["Status"]["State"] = "down"
        if found.get("ManagerStatus"):
            found["ManagerStatus"]["Reachability"] = "unreachable"

    def healings(self):
        return [
            (payload["outcome"], payload["target"]["attachments"][-1]["content"])
            for kind, payload in self.events
            if kind == "magnum.cluster.healing"
        ]

    def record(self):
        record = self.store.get(self.uuid)
        assert record is not None
        return record

    def memory(self):
        return self.record().state.healing


class HealingTest(HealingCase):
    """What is healed, and when."""

    def test_worker(self):
        """A worker that is down for the delay is replaced; status, health and events say so."""
        self.stop_clock()
        self.kill("swarm-worker-1")
        cluster = self.poll_health()
        self.assertEqual("CREATE_COMPLETE", cluster.status)
        self.assertEqual(
            "swarm-worker-1 is down for 0 s; what is down for 100 s is replaced",
            cluster.health_status_reason["healing"],
        )
        self.assertEqual("CREATE_COMPLETE", self.poll_health().status)
        cluster = self.poll_health()
        cause = "Healing: swarm-worker-1 was down for 120 s."
        self.assertEqual(("UPDATE_IN_PROGRESS", cause), (cluster.status, cluster.status_reason))
        self.assertEqual("UNHEALTHY", cluster.health_status)
        self.poll()
        self.assertEqual(
            f"{cause} Heat is asked to make the workers of default-worker 2 again, without "
            "swarm-worker-1.",
            self.cluster(self.uuid).status_reason,
        )

        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        self.assertEqual(f"{cause} Replaced swarm-worker-1.", cluster.status_reason)
        self.assertEqual(["swarm-manager-0", "swarm-worker-0", "swarm-worker-2"], self.hostnames())
        self.assertEqual([{"worker_count": 2, "worker_removals": ["1"]}], self.asked())
        (token,) = [token for token, _ in self.stack.updates]
        self.assertTrue(token.trust)
        self.assertEqual(
            [("pending", {"nodes": ["swarm-worker-1"], "reason": cause})], self.healings()
        )
        self.assertIn(
            ("update", "success"),
            [(payload["action"], payload["outcome"]) for _, payload in self.events],
        )
        cluster = self.poll_health()
        self.assertEqual("HEALTHY", cluster.health_status)
        self.assertNotIn("healing", cluster.health_status_reason)
        self.assertTrue(self.memory().is_at_rest)

    def test_back(self):
        """A worker that comes back in time stays, and is forgotten."""
        self.kill("swarm-worker-1")
        self.poll_health()
        self.poll_health()
        self.node("swarm-worker-1")["Status"]["State"] = "ready"
        for _ in range(3):
            cluster = self.poll_health()

        self.assertEqual("CREATE_COMPLETE", cluster.status)
        self.assertEqual({}, self.memory().down)
        self.assertEqual([], self.asked())

    def test_back_at_last(self):
        """One that comes back after the healing began stays too, and that is said."""
        self.kill("swarm-worker-1")
        for _ in range(3):
            self.poll_health()
        self.node("swarm-worker-1")["Status"]["State"] = "ready"

        self.go_on()

        self.assertEqual([], self.asked())
        self.assertIn("came back before", self.cluster(self.uuid).status_reason)

    def test_silence(self):
        """Time in which no manager answered does not count."""
        self.kill("swarm-worker-1")
        self.poll_health()
        answer = self.docker.answers["/nodes"]
        self.docker.answers["/nodes"] = (503, {"message": fake_docker.NO_LEADER})
        self.poll_health()
        self.docker.answers["/nodes"] = answer

        self.assertEqual("CREATE_COMPLETE", self.poll_health().status)
        self.assertEqual("CREATE_COMPLETE", self.poll_health().status)
        self.assertEqual("UPDATE_IN_PROGRESS", self.poll_health().status)

    def test_all_workers(self):
        """When all workers are down one is replaced, and the other after it has joined."""
        self.kill("swarm-worker-0")
        self.kill("swarm-worker-1")
        for _ in range(3):
            self.poll_health()
        self.go_on()
        self.assertEqual(["0"], self.asked()[-1]["worker_removals"])
        self.assertEqual("UPDATE_IN_PROGRESS", self.poll_health().status)

        self.go_on()

        self.assertEqual(["swarm-manager-0", "swarm-worker-2", "swarm-worker-3"], self.hostnames())
        self.assertEqual(2, len(self.asked()))
        self.assertEqual("HEALTHY", self.poll_health().health_status)

    def test_busy(self):
        """Nothing is begun while something else is under way."""
        self.kill("swarm-worker-1")
        self.poll_health()
        self.poll_health()
        cluster = self.cluster(self.uuid)
        cluster_conductor.Handler().cluster_resize(
            self.context(), cluster, 3, [], cluster.default_ng_worker
        )
        self.poll()
        self.poll_health()

        self.go_on()

        self.assertEqual([{"worker_count": 3}], self.asked())
        self.assertEqual([], self.healings())

    def test_failed(self):
        """A healing that fails ends healing until somebody resizes; the health says so."""
        self.stop_clock()
        self.kill("swarm-worker-1")
        for _ in range(3):
            self.poll_health()
        self.cloud.refused_updates = "Maximum resources per stack exceeded."
        self.go_on()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("Healing: swarm-worker-1 was down for 120 s.", cluster.status_reason)
        self.assertIn("Maximum resources", cluster.status_reason)
        for _ in range(3):
            cluster = self.poll_health()
        self.assertEqual("UPDATE_FAILED", cluster.status)
        said = cluster.health_status_reason["healing"]
        cases.shown(self, "healing-failed", said, answer=cluster.health_status)
        self.cloud.refused_updates = ""
        self.resize(2)

        self.pass_time(61)
        for _ in range(3):
            self.poll()
            self.pass_time(61)
        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertNotIn("swarm-worker-1", self.hostnames())

    def test_limit(self):
        """As many healings as the operator allows; then the health and one event say so."""
        self._set("swarm_mode", "most_healings_per_hour", 1)
        self.kill("swarm-worker-1")
        for _ in range(3):
            self.poll_health()
        self.go_on()
        self.kill("swarm-worker-2")
        for _ in range(5):
            cluster = self.poll_health()

        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        said = cluster.health_status_reason["healing"]
        self.assertIn("there were 1 healings within an hour, and the operator allows 1", said)
        cases.shown(self, "healing-limit", said, answer=cluster.health_status)
        self.assertEqual(["pending", "failure"], [outcome for outcome, _ in self.healings()])
        for _ in range(60):
            cluster = self.poll_health()
            if cluster.status == "UPDATE_IN_PROGRESS":
                break
        self.go_on()
        self.assertEqual("HEALTHY", self.poll_health().health_status)

    def test_drained(self):
        """A worker that its owner drained is left alone, which the health says."""
        self.kill("swarm-worker-1")
        self.node("swarm-worker-1")["Spec"]["Availability"] = "drain"
        for _ in range(4):
            cluster = self.poll_health()

        self.assertEqual("CREATE_COMPLETE", cluster.status)
        said = cluster.health_status_reason["healing"]
        cases.shown(self, "healing-drained", said, answer=cluster.health_status)

    def test_deleted(self):
        """A cluster that is deleted meanwhile is not healed."""
        self.kill("swarm-worker-1")
        self.poll_health()
        self.poll_health()
        stale = self.cluster(self.uuid)
        self.delete(self.uuid)
        self.pass_time(60)
        job = periodic.ClusterHealthUpdateJob(cloud_sessions.admin_context(), stale)
        with contextlib.suppress(loopingcall.LoopingCallDone):
            job.update_health_status()

        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.assertEqual([], self.healings())


class ConductorsTest(HealingCase):
    """What must happen once happens once."""

    def test_at_once(self):
        """Three conductors that look at the same moment begin one healing."""
        self.kill("swarm-worker-1")
        self.poll_health()
        self.poll_health()
        self.pass_time(60)
        # Each believes that it is the one to look.
        store = "magnum_swarm_mode.db.store.Store.claim_health"
        self.useFixture(fixtures.MonkeyPatch(store, lambda *_: True))
        threads = [threading.Thread(target=self.look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.go_on()

        self.assertEqual([{"worker_count": 2, "worker_removals": ["1"]}], self.asked())
        self.assertEqual(1, len(self.healings()))
        self.assertEqual(1, len(self.memory().acted))

    def test_death(self):
        """A conductor may die at any of its requests; another one ends the healing, once."""
        number = 0
        self._set("swarm_mode", "most_healings_per_hour", 1000)
        while self._dies_at(number := number + base.DEATH_STEP, after=bool(number % 2)):
            pass
        self.assertGreater(number, 8)

    def _dies_at(self, number, *, after):
        victim = self.hostnames()[1]
        updates, killer, died = len(self.stack.updates), base.Killer(), False
        self.kill(victim)
        with killer:
            killer.deadly, killer.after = number, after
            try:
                self._until_healed()
            except base.Died:
                died = True
        if died:
            self.pass_time(100)  # its lease
            self._until_healed()
        self.assertNotIn(victim, self.hostnames())
        self.assertEqual(3, len(self.hostnames()))
        self.assertEqual(updates + 1, len(self.stack.updates))
        return died

    def _until_healed(self):
        for _ in range(8):
            if self.cluster(self.uuid).status != "UPDATE_IN_PROGRESS":
                self.poll_health()
            if self.cluster(self.uuid).status == "UPDATE_IN_PROGRESS":
                self.go_on()
            if self.poll_health().health_status == "HEALTHY":
                return
        raise AssertionError(self.cluster(self.uuid).health_status_reason)

    def test_forgotten(self):
        """A healing that was written down and whose conductor died before the status is begun."""
        record = self.record()
        self.kill("swarm-worker-1")
        plan = record.state.plan.healing(["swarm-worker-1"], "Healing: it was.")
        self.store.write(record, dataclasses.replace(record.state, plan=plan))
        self.assertEqual("UPDATE_IN_PROGRESS", self.poll_health().status)

        self.go_on()

        self.assertNotIn("swarm-worker-1", self.hostnames())


class FiveManagersTest(HealingCase):
    """Managers of a larger quorum."""

    def create(self, *args, **kwargs):
        return super().create(*args, **{**kwargs, "managers": 5})

    def serve_docker(self, *args, **kwargs):
        docker = super().serve_docker(*args, **kwargs)
        docker.answers["/nodes"][1].extend(
            fake_docker.node(f"swarm-manager-{i}", manager="reachable") for i in range(1, 5)
        )
        return docker

    def finish_stack(self):
        super().finish_stack()
        outputs = self.cloud.stack().outputs
        outputs["manager_servers"] = {str(i): f"server-manager-{i}" for i in range(5)}

    def managers(self):
        return [name for name in self.hostnames() if "manager" in name]

    def test_in_a_row(self):
        """Two managers lost one after the other, the second before the first was replaced, are
        demoted one at a time and replaced; the quorum of the others stands all the time."""
        self.kill("swarm-manager-1")
        self.poll_health()
        self.kill("swarm-manager-3")
        self.poll_health()
        self.assertEqual("CREATE_COMPLETE", self.poll_health().status)
        self.assertEqual("UPDATE_IN_PROGRESS", self.poll_health().status)

        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        self.assertEqual([f"swarm-manager-{i}" for i in (0, 2, 4, 5, 6)], self.managers())
        self.assertEqual(
            [("swarm-manager-1", {"Role": "worker"}), ("swarm-manager-3", {"Role": "worker"})],
            [change for change in self.docker.changes if "Role" in change[1]],
        )
        self.assertEqual(
            [
                {"manager_count": 5, "manager_port_count": 7, "manager_removals": ["1", "3"]},
                {"manager_port_count": 5, "manager_port_removals": ["1", "3"]},
            ],
            self.asked(),
        )
        self.assertEqual("HEALTHY", self.poll_health().health_status)

    def test_no_quorum(self):
        """With most of them lost nothing is changed, however long it lasts."""
        for index in (1, 2, 3):
            self.kill(f"swarm-manager-{index}")
        for _ in range(5):
            cluster = self.poll_health()

        self.assertEqual(("CREATE_COMPLETE", "UNHEALTHY"), (cluster.status, cluster.health_status))
        self.assertEqual(([], []), (self.asked(), self.docker.changes))


class OffTest(HealingCase):
    """A cluster without the label."""

    labels: dict[str, str] = {}

    def test_nothing(self):
        """Nothing is healed, and nothing is said of it."""
        self.kill("swarm-worker-1")
        for _ in range(10):
            cluster = self.poll_health()

        self.assertEqual(("CREATE_COMPLETE", "UNHEALTHY"), (cluster.status, cluster.health_status))
        self.assertNotIn("healing", cluster.health_status_reason)
        self.assertEqual(healing.Memory(), self.record().state.healing)


class IntervalTest(base.DriverTest):
    def test_interval(self):
        """Magnum looks as often as its own option says, which it reads too early."""
        spacing = periodic.MagnumPeriodicTasks._periodic_spacing
        self.addCleanup(spacing.update, dict(spacing))
        registration.register(api=False)
        self._set("kubernetes", "health_polling_interval", 7)
        group = threadgroup.ThreadGroup()
        self.addCleanup(group.stop)

        periodic.setup(base.CONF, group)

        self.assertEqual(7, spacing["sync_cluster_health_status"])
        self.assertEqual(10, spacing["sync_cluster_status"])
