# SPDX-License-Identifier: Apache-2.0
import contextlib
import dataclasses
import threading

import fixtures
from magnum.conductor.handlers import cluster_conductor
from magnum.service import periodic
from oslo_service import loopingcall

from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.conductor.change import requests
from magnum_swarm_mode.db.store import Store
from tests import cases
from tests.fakes import docker as fake_docker
from tests.functional.conductor import base, fake_cloud

# What writes a request down before Magnum's handler saves anything of it.
FORETOLD = "magnum_swarm_mode.conductor.change.requests.foretold"


class OperationsCase(base.DriverTest):
    """A cluster of one manager and two workers that is complete."""

    def setUp(self):
        super().setUp()
        self.uuid = self.create(managers=1, workers=2)
        self.docker = self.serve_docker(self.uuid)
        self.finish_stack()
        self.poll()
        self.stack = self.cloud.stack()
        self.gone = set()
        self.events.clear()

    def resize(self, count, remove=(), group="default-worker", context=None):
        """Ask the conductor as magnum-api does."""
        cluster = self.cluster(self.uuid)
        (row,) = [one for one in cluster.nodegroups if one.name == group]
        cluster_conductor.Handler().cluster_resize(
            context or self.context(), cluster, count, list(remove), row
        )

    def heat_finishes(self, status="UPDATE_COMPLETE"):
        """Let Heat do what it was asked for, and new nodes join."""
        parameters, outputs = self.stack.parameters, self.stack.outputs
        self.gone |= {int(index) for index in parameters.get("worker_removals", ())}
        names = [i for i in range(100) if i not in self.gone][: int(parameters["worker_count"])]
        before = {int(index) for index in outputs["worker_servers"]}
        outputs["worker_servers"] = {str(i): f"server-worker-{i}" for i in names}
        outputs["worker_addresses"] = [f"10.0.0.{21 + i}" for i in names]
        nodes = self.docker.answers["/nodes"][1]
        for index in set(names) - before:
            nodes.append(fake_docker.node(f"swarm-worker-{index}"))
        self._managers_follow(nodes)
        for node in nodes:
            if node["Description"]["Hostname"] in {
                f"swarm-worker-{i}" for i in before - set(names)
            }:
                node["Status"]["State"] = "down"
        self.stack.status = status

    def _managers_follow(self, nodes):
        """Do with managers what Heat was asked for."""
        parameters, outputs = self.stack.parameters, self.stack.outputs
        gone = {int(index) for index in parameters.get("manager_removals", ())}
        names = [i for i in range(100) if i not in gone][: int(parameters["manager_count"])]
        before = {int(index) for index in outputs["manager_servers"]}
        outputs["manager_servers"] = {str(i): f"server-manager-{i}" for i in names}
        nodes.extend(
            fake_docker.node(f"swarm-manager-{i}", manager="reachable")
            for i in sorted(set(names) - before)
        )
        for node in nodes:
            if node["Description"]["Hostname"] in {
                f"swarm-manager-{i}" for i in before - set(names)
            }:
                node["Status"]["State"] = "down"

    def go_on(self, most=60):
        """Poll, with a Heat that is always quick, until the operation has ended."""
        for _ in range(most):
            if self.stack.status == "UPDATE_IN_PROGRESS":
                self.heat_finishes()
            self.poll()
            if not self.cluster(self.uuid).status.endswith("_IN_PROGRESS"):
                return
        raise AssertionError(self.cluster(self.uuid).status_reason)

    def poll_health(self):
        """Let Magnum's periodic task look at the cluster a minute later."""
        self.pass_time(60)
        job = periodic.ClusterHealthUpdateJob(
            cloud_sessions.admin_context(), self.cluster(self.uuid)
        )
        with contextlib.suppress(loopingcall.LoopingCallDone):
            job.update_health_status()

    def hostnames(self):
        return sorted(node["Description"]["Hostname"] for node in self.docker.answers["/nodes"][1])

    def asked(self):
        return [parameters for _, parameters in self.stack.updates]

    def assert_never_begun(self, workers):
        """A request whose conductor died fails before long, and the workers are as many as before.

        :param workers: the number in their group's row.
        """
        for _ in range(4):
            self.poll_health()
            self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        cases.shown(self, "change-never-begun", cluster.status_reason, answer=cluster.status)
        self.assertEqual(workers, cluster.default_ng_worker.node_count)


class ResizeTest(OperationsCase):
    def test_grow(self):
        """More workers are one update of Heat by the creator's trust, and then all is filled in."""
        self.resize(4)
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual(
            "Heat is asked to make the workers of default-worker from 2 to 4.",
            cluster.status_reason,
        )
        self.poll()
        self.assertEqual(
            "Heat makes it 1 managers, 4 workers.", self.cluster(self.uuid).status_reason
        )

        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual(("UPDATE_COMPLETE", None), (cluster.status, cluster.status_reason))
        self.assertEqual([{"worker_count": 4}], self.asked())
        (token,) = [token for token, _ in self.stack.updates]
        self.assertEqual((fake_cloud.OWNER, True), (token.user, bool(token.trust)))
        self.assertEqual(4, len(cluster.default_ng_worker.node_addresses))
        self.assertEqual(4, cluster.node_count)
        self.assertEqual(
            {"UPDATE_COMPLETE", "CREATE_COMPLETE"}, {row.status for row in cluster.nodegroups}
        )
        self.assertEqual(
            [("update", "pending"), ("update", "success")],
            [(payload["action"], payload["outcome"]) for _, payload in self.events],
        )

    def test_outputs_at_rest(self):
        """While Heat is at work nobody asks for outputs, for which it would ask of each server."""
        self.resize(4)
        self.poll()
        before = self.cloud.resolved
        self.assertLess(0, before)
        self.poll(3)
        self.assertEqual(before, self.cloud.resolved)

    def test_shrink(self):
        """A node that leaves is paused, drained, removed from Heat, then from the swarm."""
        self.resize(1, ["swarm-worker-0"])

        self.go_on()

        self.assertEqual(
            [
                ("swarm-worker-0", {"Availability": "pause"}),
                ("swarm-worker-0", {"Availability": "drain"}),
                ("swarm-worker-0", "removed"),
            ],
            self.docker.changes,
        )
        self.assertEqual([{"worker_count": 1, "worker_removals": ["0"]}], self.asked())
        self.assertEqual(["swarm-manager-0", "swarm-worker-1"], self.hostnames())
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_update(self):
        """``cluster update node_count`` does the same."""
        cluster = self.cluster(self.uuid)
        cluster_conductor.Handler().cluster_update(self.context(), cluster, 3, None, None)

        self.go_on()

        self.assertEqual([{"worker_count": 3}], self.asked())
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_rollback(self):
        """An update that fails with --rollback leads back, and both are told."""
        cluster = self.cluster(self.uuid)
        cluster_conductor.Handler().cluster_update(
            self.context(), cluster, 3, None, None, rollback=True
        )
        self.poll()
        self.heat_finishes("UPDATE_FAILED")
        self.stack.reason = "Resource UPDATE failed: no host"
        self.poll()
        self.assertEqual("ROLLBACK_IN_PROGRESS", self.cluster(self.uuid).status)

        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        self.assertIn("Went back to the number of nodes before", cluster.status_reason)
        self.assertEqual(2, cluster.default_ng_worker.node_count)
        self.assertEqual(["swarm-manager-0", "swarm-worker-0", "swarm-worker-1"], self.hostnames())

    def test_failure_and_repair(self):
        """What Heat cannot do is told; the same number again repairs it."""
        self.resize(3)
        self.poll()
        self.stack.status, self.stack.reason = "UPDATE_FAILED", "Resource UPDATE failed: no host"
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("no host", cluster.status_reason)
        self.assertEqual("UPDATE_FAILED", cluster.default_ng_worker.status)

        self.resize(3)
        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual(("UPDATE_COMPLETE", None), (cluster.status, cluster.status_reason))
        self.assertEqual("UPDATE_COMPLETE", cluster.default_ng_worker.status)
        self.assertEqual(4, len(self.hostnames()))

    def test_foreign_node(self):
        """A server that a user joined to the swarm stays in its list although it is down."""
        self.docker.answers["/nodes"][1].append(fake_docker.node("own-server", state="down"))

        self.resize(3)
        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertIn("own-server", self.hostnames())

    def test_second_waits(self):
        """What is asked for while Heat is at work is served after it."""
        self.resize(5)
        self.poll()
        self.resize(1)
        self.poll()
        self.assertEqual(1, len(self.stack.updates))

        self.go_on()

        self.assertEqual([5, 1], [parameters["worker_count"] for parameters in self.asked()])
        self.assertEqual(2, len(self.hostnames()))

    def test_manager_lost_refused(self):
        """Managers are not resized while the only one leads alone; the row says what is there."""
        self.resize(1, ["swarm-manager-0"], group="default-master")

        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("swarm-manager-0 is the only manager", cluster.status_reason)
        self.assertEqual(1, cluster.master_count)
        self.assertEqual([], self.stack.updates)

    def test_managers(self):
        """Ports come with new managers, and go in an update of their own after the servers."""
        self.resize(3, group="default-master")
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        keys = {"0": "a", "1": "b", "2": "c"}
        Store().amend(self.uuid, lambda state: dataclasses.replace(state, manager_keys=keys))
        self.resize(1, ["swarm-manager-0"], group="default-master")
        self.go_on()

        # Nothing is signed any more for those that are gone.
        record = Store().get(self.uuid)
        self.assertEqual({"1": "b"}, record and record.state.manager_keys)
        cluster = self.cluster(self.uuid)
        self.assertEqual(("UPDATE_COMPLETE", None), (cluster.status, cluster.status_reason))
        self.assertEqual(
            [
                {"manager_count": 3, "manager_port_count": 3},
                {"manager_count": 1, "manager_port_count": 3, "manager_removals": ["0", "2"]},
                {"manager_port_count": 1, "manager_port_removals": ["0", "2"]},
            ],
            self.asked(),
        )
        self.assertEqual(
            [("swarm-manager-2", {"Role": "worker"}), ("swarm-manager-0", {"Role": "worker"})],
            [change for change in self.docker.changes if "Role" in change[1]],
        )
        self.assertEqual(["swarm-manager-1", "swarm-worker-0", "swarm-worker-1"], self.hostnames())

    def test_addresses_follow(self):
        """Looks at the health ask managers that have come while the operation still goes on."""
        self.resize(3)
        self.poll()
        self.heat_finishes()
        nodes = self.docker.answers["/nodes"][1]
        late = nodes.pop()
        self.stack.outputs["manager_addresses"] = ["127.0.0.9", base.MANAGER]

        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_IN_PROGRESS", cluster.status)
        self.assertEqual(["127.0.0.9", base.MANAGER], cluster.master_addresses)
        nodes.append(late)
        self.go_on()

    def test_heat_away(self):
        """While Heat does not answer nothing changes but the reason."""
        self.resize(3)
        self.cloud.down.add("heat")
        self.poll()
        self.assertIn("Heat", self.cluster(self.uuid).status_reason)
        self.cloud.down.clear()

        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_heat_refuses(self):
        """What Heat refuses for good fails the operation with its words."""
        self.resize(3)
        self.cloud.refused_updates = "Maximum resources per stack exceeded."

        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("Maximum resources per stack exceeded", cluster.status_reason)
        cases.shown(self, "change-heat-refuses", cluster.status_reason, answer=cluster.status)

    def test_heat_shows_no_nodes(self):
        """While Heat does not show all nodes nothing is changed, and none is taken for gone."""
        servers = self.stack.outputs["worker_servers"]
        self.docker.answers["/nodes"][1][1]["Status"]["State"] = "down"
        self.resize(1)
        for shown in (None, {"0": "server-worker-0"}):
            self.stack.outputs["worker_servers"] = shown
            self.poll()
            reason = self.cluster(self.uuid).status_reason
            self.assertIn("of the 2 nodes of default-worker now", reason)
        self.assertEqual(([], []), (self.docker.changes, self.stack.updates))
        self.stack.outputs["worker_servers"] = servers

        self.go_on()

        self.assertEqual(["swarm-manager-0", "swarm-worker-1"], self.hostnames())

    def test_stack_deleted(self):
        """A stack that somebody deletes behind Magnum's back ends the operation."""
        self.resize(3)
        self.poll()
        self.stack.status = "DELETE_COMPLETE"
        self.stack.outputs.clear()

        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        cases.shown(self, "change-stack-deleted", cluster.status_reason, answer=cluster.status)

    def test_docker_refuses(self):
        """A step that an engine refuses is tried for ten minutes; then the operation fails."""
        self.resize(1)
        answer = (500, {"message": "no quorum for writing"})
        self.useFixture(fixtures.MockPatchObject(self.docker, "change", lambda *_: answer))
        self.poll(2)
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_IN_PROGRESS", cluster.status)
        self.assertIn("no quorum for writing", cluster.status_reason)
        self.pass_time(601)

        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("no quorum for writing", cluster.status_reason)

    def test_docker_away(self):
        """A swarm that cannot be asked fails the operation after some minutes."""
        self.resize(3)
        self.docker.stop()
        self.poll()
        self.assertIn("Waiting for the swarm", self.cluster(self.uuid).status_reason)
        self.pass_time(301)

        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("connection refused", cluster.status_reason)

    def test_deleted_meanwhile(self):
        """A delete overtakes whatever is under way, also one whose status was overwritten."""
        self.resize(3)
        self.poll()
        self.delete(self.uuid)
        self.resize_late()
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.pass_time(61)
        for _ in range(3):
            self.poll()
            self.cloud.finish_deletes()
        self.assertEqual([], self.clusters())
        self.assertEqual({}, self.cloud.leftovers())

    def resize_late(self):
        """Ask for a resize with a cluster as it was before its delete."""
        cluster = self.cluster(self.uuid)
        cluster.status = "UPDATE_IN_PROGRESS"
        cluster_conductor.Handler().cluster_resize(
            self.context(), cluster, 1, [], cluster.default_ng_worker
        )


class ConductorsTest(OperationsCase):
    def test_at_once(self):
        """Several conductors that poll at the same moment ask Heat once."""
        self.resize(4)
        cluster = self.cluster(self.uuid)
        threads = [threading.Thread(target=self.poll_alone, args=(cluster,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual([{"worker_count": 4}], self.asked())

    @staticmethod
    def poll_alone(cluster):
        job = periodic.ClusterUpdateJob(cloud_sessions.admin_context(), cluster)
        with contextlib.suppress(loopingcall.LoopingCallDone):
            job.update_status()

    def test_death(self):
        """A conductor may die at any of its requests; another brings the operation to its end."""
        number = 0
        # In turn before a service is asked, and after it has answered.
        while self._dies_at(number := number + base.DEATH_STEP, after=bool(number % 2)):
            pass
        self.assertGreater(number, 15)

    def _dies_at(self, number, *, after):
        """Swap one worker for another while a conductor dies; whether it died."""
        (old,) = self.hostnames()[1:2]
        updates = len(self.stack.updates)
        self.resize(2, [old])
        killer = base.Killer()
        died = False
        with killer:
            killer.deadly, killer.after = number, after
            try:
                self.go_on()
            except base.Died:
                died = True
        if died:
            self.pass_time(100)  # its lease
            self.go_on()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status, cluster.status_reason)
        self.assertEqual(3, len(self.hostnames()))
        self.assertNotIn(old, self.hostnames())
        self.assertEqual(updates + 1, len(self.stack.updates))
        return died

    def test_forgotten(self):
        """A request whose conductor died before it set the status is taken up again."""
        cluster = self.cluster(self.uuid)
        row = cluster.default_ng_worker
        row.node_count = 3
        row.save()
        store = Store()
        requests.request(store, cluster, row)
        rows.change(self.uuid, "UPDATE_IN_PROGRESS", {"status": "CREATE_COMPLETE"})
        self.poll_health()
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_swarm_is_silent_at_the_end(self):
        """A node that was to leave works again once a swarm answers that did not at the end."""
        nodes = self.docker.answers["/nodes"][1]
        task = {"ID": "t", "Status": {"State": "running"}, "DesiredState": "running"}
        (node,) = [one for one in nodes if one["Description"]["Hostname"] == "swarm-worker-0"]
        self.docker.answers["/tasks"] = (200, [{**task, "NodeID": node["ID"]}])
        self.resize(1, ["swarm-worker-0"])
        self.poll(2)
        self.assertEqual("drain", node["Spec"]["Availability"])
        self.docker.answers["/nodes"] = (503, {"message": "away"})
        self.poll()
        self.pass_time(301)
        self.poll()
        self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)

        self.docker.answers["/nodes"] = (200, nodes)
        self.poll_health()

        self.assertEqual("active", node["Spec"]["Availability"])

    def test_never_begun(self):
        """A request whose conductor died before it wrote it down is told to be asked again."""
        self._forget_projection()
        row = self.cluster(self.uuid).default_ng_worker
        row.node_count, row.status = 3, "UPDATE_IN_PROGRESS"
        row.save()
        self.poll_health()
        self.assertEqual("CREATE_COMPLETE", self.cluster(self.uuid).status)
        self.pass_time(120)
        self.poll_health()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        cases.shown(self, "change-never-begun", cluster.status_reason, answer=cluster.status)

        self.resize(3)
        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual(4, len(self.hostnames()))

    def _forget_projection(self):
        """Let the record not say what was in the rows last."""
        record = self.store.get(self.uuid)
        assert record is not None
        plan = dataclasses.replace(record.state.plan, projected={})
        self.store.write(record, dataclasses.replace(record.state, plan=plan))

    def test_names_are_lost(self):
        """Where nobody knows which nodes were named, no others are removed in their place."""
        self.poll_health()

        def death(*_, **__):
            raise base.Died

        with (
            fixtures.MonkeyPatch(FORETOLD, lambda *_: contextlib.nullcontext()),
            fixtures.MonkeyPatch("magnum_swarm_mode.db.store.Store.amend", death),
        ):
            self.assertRaises(base.Died, self.resize, 1, ["swarm-worker-0"])
        self.assert_never_begun(2)
        self.assertEqual(3, len(self.hostnames()))
        self.assertEqual([], self.asked())

    def test_no_record(self):
        """A request for a cluster of which the conductor has no record ends, and says why."""
        record = self.store.get(self.uuid)
        assert record is not None
        self.store.delete(record)
        self.resize(3)
        self.poll()

        cluster = self.cluster(self.uuid)
        cases.shown(self, "change-no-record", cluster.status_reason, answer=cluster.status)
        self.assertEqual("UPDATE_FAILED", cluster.default_ng_worker.status)
