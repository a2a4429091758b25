# SPDX-License-Identifier: Apache-2.0
import contextlib

import sqlalchemy as sa
from magnum.conductor import monitors
from magnum.conductor.handlers import cluster_conductor
from magnum.service import periodic
from oslo_db.sqlalchemy import enginefacade
from oslo_service import loopingcall

from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor.monitor import SwarmModeMonitor
from tests import cases
from tests.fakes.docker import NO_LEADER
from tests.functional.conductor import base

OTHER = base.MANAGER.replace("127.95.", "127.96.")


class HealthTest(base.DriverTest):
    def setUp(self):
        super().setUp()
        self.uuid = self.create(managers=1, workers=1)
        self.docker = self.serve_docker(self.uuid)
        self.finish_stack()
        self.poll()
        self.events.clear()

    def poll_health(self, seconds=60):
        """Let Magnum's periodic task look at the cluster some time later; return its row."""
        self.pass_time(seconds)
        job = periodic.ClusterHealthUpdateJob(
            cloud_sessions.admin_context(), self.cluster(self.uuid)
        )
        with contextlib.suppress(loopingcall.LoopingCallDone):
            job.update_health_status()
        return self.cluster(self.uuid)

    def test_healthy(self):
        """A swarm that is well is HEALTHY, with a line for each node."""
        cluster = self.poll_health()

        self.assertEqual("HEALTHY", cluster.health_status)
        self.assertEqual(
            {
                "api": "ok",
                "managers": "1 of 1 reachable; quorum holds, 0 more may fail",
                "workers": "1 of 1 ready",
                "swarm-manager-0": "ready, active, leader, engine 20.10.24",
                "swarm-worker-0": "ready, active, engine 20.10.24",
            },
            cluster.health_status_reason,
        )

    def test_cost(self):
        """Polls after the first cost one request each on a kept connection."""
        self.poll_health()
        before, connections = len(self.docker.requests), self.docker.connections

        for _ in range(3):
            self.poll_health()

        self.assertEqual(["/v1.41/nodes"] * 3, self.docker.requests[before:])
        self.assertEqual(connections, self.docker.connections)

    def test_database(self):
        """A poll reads the cluster's record and its node groups few times."""
        self.poll_health()
        transactions: list[object] = []
        engine = enginefacade.writer.get_engine()
        listener = ("begin", transactions.append)
        sa.event.listen(engine, *listener)
        self.addCleanup(sa.event.remove, engine, *listener)
        cluster = self.cluster(self.uuid)
        self.pass_time(60)
        transactions.clear()

        SwarmModeMonitor(cloud_sessions.admin_context(), cluster).poll_health_status()

        # The look is claimed; the record; node groups twice, before and after what was forgotten.
        self.assertEqual(4, len(transactions))

    def test_events(self):
        """Each change of health is told once."""
        self.poll_health()
        self.poll_health()
        self.docker.answers["/nodes"][1][1]["Status"]["State"] = "down"
        self.poll_health()
        self.poll_health()

        changes = [
            (event_type, payload["target"]["attachments"][-1]["content"])
            for event_type, payload in self.events
        ]
        self.assertEqual(
            [
                ("magnum.cluster.health", None, "HEALTHY"),
                ("magnum.cluster.health", "HEALTHY", "UNHEALTHY"),
            ],
            [
                (event_type, content["health_status_before"], content["health_status"])
                for event_type, content in changes
            ],
        )

    def test_shared_out(self):
        """Of several conductors that poll within a minute one asks the managers."""
        self.poll_health()
        before = len(self.docker.requests)
        self.docker.answers["/nodes"][1][1]["Status"]["State"] = "down"
        for _ in range(2):
            job = periodic.ClusterHealthUpdateJob(
                cloud_sessions.admin_context(), self.cluster(self.uuid)
            )
            with contextlib.suppress(loopingcall.LoopingCallDone):
                job.update_health_status()

        self.assertEqual(before, len(self.docker.requests))
        self.assertEqual("HEALTHY", self.cluster(self.uuid).health_status)

    def test_often(self):
        """Where the operator has the health looked at more often, it is."""
        self._set("kubernetes", "health_polling_interval", 20)
        self.poll_health()
        before = len(self.docker.requests)
        self.poll_health(16)

        self.assertEqual(before + 1, len(self.docker.requests))

    def test_busy(self):
        """While nodes are added their absence is no illness; a node that is down is."""
        self.resize(2)
        self.assertEqual("HEALTHY", self.poll_health().health_status)
        self.docker.answers["/nodes"][1][1]["Status"]["State"] = "down"

        self.assertEqual("UNHEALTHY", self.poll_health().health_status)

    def test_foreign(self):
        """A node of a user's own in the place of a worker makes no cluster healthy."""
        worker = self.docker.answers["/nodes"][1][1]
        worker["Description"]["Hostname"] = "my-own"

        cluster = self.poll_health()

        self.assertEqual("UNHEALTHY", cluster.health_status)
        self.assertEqual("0 of 1 ready", cluster.health_status_reason["workers"])
        self.assertEqual("NodeForeign", cluster.health_status_reason["reason:my-own"])

    def resize(self, count):
        cluster = self.cluster(self.uuid)
        cluster_conductor.Handler().cluster_resize(
            self.context(), cluster, count, [], cluster.default_ng_worker
        )

    def test_unreachable(self):
        """What cannot be asked is UNKNOWN, with the cause."""
        self.docker.stop()

        cluster = self.poll_health()

        self.assertEqual("UNKNOWN", cluster.health_status)
        self.assertEqual(
            f"The Docker API answers on no manager ({base.MANAGER}: connection refused).",
            cluster.health_status_reason["api"],
        )

    def test_quorum_lost(self):
        """A manager that answers without a leader makes the cluster UNHEALTHY."""
        self.docker.answers["/nodes"] = (503, {"message": NO_LEADER})

        cluster = self.poll_health()

        self.assertEqual("UNHEALTHY", cluster.health_status)
        said = cluster.health_status_reason["managers"]
        cases.shown(self, "healing-quorum", said, answer=cluster.health_status)

    def second_manager(self):
        """Serve the same swarm at another address."""
        row = self.cluster(self.uuid).default_ng_master
        row.node_addresses = [base.MANAGER, OTHER]
        row.save()
        second = self.serve_docker(self.uuid, OTHER)
        second.answers["/nodes"] = self.docker.answers["/nodes"]
        return second

    def test_api_address_follows(self):
        """``api_address`` moves to a manager that answers when its own one does not, and stays."""
        second = self.second_manager()
        self.assertEqual(f"tcp://{base.MANAGER}:2376", self.poll_health().api_address)
        self.assertEqual([], second.requests)
        self.docker.stop()

        cluster = self.poll_health()

        self.assertEqual("HEALTHY", cluster.health_status)
        self.assertEqual(f"tcp://{OTHER}:2376", cluster.api_address)
        second.stop()
        cluster = self.poll_health()
        self.assertEqual("UNKNOWN", cluster.health_status)
        self.assertEqual(f"tcp://{OTHER}:2376", cluster.api_address)

    def test_api_address_of_a_busy_cluster(self):
        """While a cluster is changed, the operation alone says where the API is."""
        self.second_manager()
        self.resize(2)
        self.docker.stop()

        self.assertEqual(f"tcp://{base.MANAGER}:2376", self.poll_health().api_address)

    def test_deleting(self):
        """A cluster that is being deleted keeps the health it had."""
        self.poll_health()
        self.delete(self.uuid)
        self.docker.stop()

        self.assertEqual("HEALTHY", self.poll_health().health_status)

    def test_not_made_yet(self):
        """A cluster in creation has no health."""
        other = self.create()
        self.uuid = other

        self.assertIsNone(self.poll_health().health_status)

    def test_metrics(self):
        """Magnum computes each metric by its name."""
        self.docker.answers["/services"] = (
            200,
            [{"ID": "a", "Spec": {"Mode": {"Replicated": {"Replicas": 2}}}}],
        )
        task = {
            "ServiceID": "a",
            "Status": {"State": "running"},
            "Spec": {"Resources": {"Reservations": {"NanoCPUs": 10**9, "MemoryBytes": 2**30}}},
        }
        self.docker.answers["/tasks"] = (200, [task])
        monitor = monitors.create_monitor(cloud_sessions.admin_context(), self.cluster(self.uuid))

        monitor.pull_data()

        self.assertEqual(
            {
                "cpu_util": (25.0, "%"),
                "memory_util": (12.5, "%"),
                "nodes_ready": (2, "node"),
                "tasks_wanted": (2, "task"),
                "tasks_running": (1, "task"),
            },
            {
                name: (monitor.compute_metric_value(name), monitor.get_metric_unit(name))
                for name in monitor.get_metric_names()
            },
        )
