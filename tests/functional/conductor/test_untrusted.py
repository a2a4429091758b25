# SPDX-License-Identifier: Apache-2.0
"""Texts of Docker, Heat and nodes that would do harm in a row, in a log or on a terminal."""

import contextlib
import json
import logging
import unicodedata

import fixtures
from magnum.common import exception as magnum_exception
from magnum.conductor.handlers import cluster_conductor
from magnum.db.sqlalchemy import models
from magnum.service import periodic
from oslo_db.sqlalchemy import enginefacade
from oslo_service import loopingcall

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.db import schema
from tests.fakes import wire
from tests.functional.conductor import base, fake_cloud

# A colour, a bell, an override of the direction, an isolate, a separator of lines, an entry of a
# log, and a character that utf8mb3 has no place for.
HOSTILE = "\x1b[31m\x07\u202e\u2066\u2028\n2026-01-01 INFO evil\x9b\U0001f41b"
HARMFUL = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# Around requests that services may refuse: what matters is what is said then.
REFUSED = contextlib.suppress(exceptions.SwarmModeError, magnum_exception.MagnumException)


def words(name: str) -> str:
    """Return a hostile text, by whose name one finds out where it came from."""
    return f"{name}{HOSTILE}{name}"


class UntrustedTest(base.DriverTest):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))

    def assert_harmless(self, *expected):
        """Look at all rows, events and logs; the expected names must be somewhere there."""
        found = []
        with enginefacade.writer.get_engine().begin() as connection:
            for metadata in (models.Base.metadata, schema.METADATA):
                for table in metadata.tables.values():
                    for row in connection.execute(table.select()):
                        found += [str(value) for value in row]
        found += [json.dumps(event, default=str, ensure_ascii=False) for event in self.events]
        found += [
            line
            for line in self.log.output.splitlines()
            # What libraries say of their own at this level is not ours.
            if not line.startswith(("RESP", "REQ", "curl"))
        ]
        texts = [_unescaped(one) for one in found]
        for one in texts:
            bad = {
                sign for sign in one if sign not in "\n\t" and unicodedata.category(sign) in HARMFUL
            }
            self.assertEqual(set(), bad, repr(one)[:500])
            self.assertFalse(one.startswith("2026-01-01 INFO evil"), repr(one)[:500])
        for name in expected:
            self.assertTrue(any(name in one for one in texts), name)

    def poll_health(self, uuid):
        self.pass_time(60)
        job = periodic.ClusterHealthUpdateJob(cloud_sessions.admin_context(), self.cluster(uuid))
        with contextlib.suppress(loopingcall.LoopingCallDone):
            job.update_health_status()
        return self.cluster(uuid)

    def test_docker(self):
        """Whatever engines and nodes say is harmless where it is kept and shown."""
        uuid = self.create(managers=1, workers=1)
        docker = self.serve_docker(uuid)
        self.finish_stack()
        self.poll()
        manager, worker = docker.answers["/nodes"][1]
        worker["Description"]["Hostname"] = words("hostname")
        worker["Description"]["Engine"]["EngineVersion"] = words("engine")
        worker["Status"] = {"State": words("state"), "Message": words("message")}
        worker["Spec"]["Availability"] = words("availability")
        manager["ManagerStatus"]["Reachability"] = words("reachability")
        manager["ManagerStatus"].pop("Leader")

        self.poll_health(uuid)

        self.assert_harmless(
            "hostname", "engine", "state", "message", "availability", "reachability"
        )

    def test_errors(self):
        """So are the engine's errors, and why it is in no swarm."""
        uuid = self.create(managers=1, workers=1)
        docker = self.serve_docker(uuid)
        self.finish_stack()
        self.poll()
        docker.answers["/nodes"] = (500, {"message": words("refusal")})
        self.poll_health(uuid)
        self.assert_harmless("refusal")
        docker.answers["/nodes"] = (503, {"message": "This node is not a swarm manager. Use"})
        docker.answers["/info"] = (200, {"Swarm": {"Error": words("swarmkit")}})
        self.poll_health(uuid)
        self.assert_harmless("swarmkit")

    def test_heat(self):
        """So is what Heat tells of a stack that failed, in whichever field."""
        uuid = self.create(managers=1, workers=1)
        stack = self.cloud.stack()
        stack.status = "CREATE_FAILED"
        stack.reason = words("stack")
        self.poll()
        self.assert_harmless("stack")
        self.assertEqual("CREATE_FAILED", self.cluster(uuid).status)
        uuid = self.create(managers=1, workers=1)
        stack = list(self.cloud.stacks.values())[-1]
        stack.status = "CREATE_FAILED"
        stack.failed = [
            {
                "resource_name": words("resource"),
                "resource_type": words("kind"),
                "physical_resource_id": "",
                "resource_status": "CREATE_FAILED",
                "resource_status_reason": words("reason"),
                "updated_time": "2026-01-01T00:00:00Z",
                "links": [{"rel": "stack", "href": "http://heat/stacks/s/id"}],
            }
        ]
        self.poll()
        self.assertEqual("CREATE_FAILED", self.cluster(uuid).status)
        self.assert_harmless("resource", "kind", "reason")

    def test_refusal(self):
        """So is what Heat says when it refuses a change."""
        uuid = self.create(managers=1, workers=1)
        self.serve_docker(uuid)
        self.finish_stack()
        self.poll()
        self.cloud.refused_updates = words("refused")
        cluster = self.cluster(uuid)
        cluster_conductor.Handler().cluster_resize(
            self.context(), cluster, 2, [], cluster.default_ng_worker
        )
        for _ in range(3):
            self.pass_time(60)
            self.poll()

        self.assert_harmless("refused")

    def whole(self):
        """Return the uuid of a cluster that is complete, and its Docker API."""
        uuid = self.create(managers=1, workers=1)
        docker = self.serve_docker(uuid)
        self.finish_stack()
        self.poll()
        return uuid, docker

    def resize(self, uuid, count):
        cluster = self.cluster(uuid)
        cluster_conductor.Handler().cluster_resize(
            self.context(), cluster, count, [], cluster.default_ng_worker
        )

    def test_services_down(self):
        """So is what Keystone and Heat say when they do not serve, in each phase of a cluster."""
        uuid, _ = self.whole()
        self.resize(uuid, 2)
        self.cloud.said = words("service")
        for service in ("keystone", "heat"):
            self.cloud.down = {service}
            with REFUSED:
                self.create(managers=1, workers=1)
            self.poll()
            self.poll_health(uuid)
            with REFUSED:
                self.delete(uuid)
            self.poll()
        self.assert_harmless("service")

    def test_services_refuse(self):
        """So is what they say when the rights of a cluster's creator are gone."""
        uuid, _ = self.whole()
        self.cloud.said = words("refusal")
        self.resize(uuid, 2)
        self.cloud.remove_roles(fake_cloud.OWNER)
        self.cloud.trusts.clear()
        for _ in range(3):
            self.pass_time(60)
            self.poll()
        with REFUSED:
            self.delete(uuid)
        self.poll()
        self.assert_harmless("refusal")

    def test_services_of_another_kind(self):
        """So is an answer that is none of the service, and its headers."""
        uuid, _ = self.whole()
        # These repeat whole answers at the level of debugging, on as many lines as they have.
        for name in ("keystoneauth", "heatclient", "keystoneclient"):
            self.useFixture(fixtures.FakeLogger(name, level=logging.INFO))
        self.resize(uuid, 2)
        for body in (words("page"), f"<html>{words('page')}</html>", '{"stack": "' + "x" * 90000):
            self.cloud.moods = {"heat": (200, body.encode(), {})}
            self.pass_time(60)
            self.poll()
            self.cloud.moods = {"heat": (500, body.encode(), {})}
            self.poll()
        self.assert_harmless()

    def test_signals(self):
        """So is what nodes report to Heat, in whichever field, and whoever does."""
        uuid, _ = self.whole()
        stack = self.cloud.stack()
        self.resize(uuid, 2)
        self.poll()
        stack.outputs["worker_servers"] = {"0": "server-worker-0", "1": "server-worker-1"}
        stack.status = "UPDATE_COMPLETE"
        failure = {"status": "FAILURE", "data": words("data")}
        stack.signals = {
            "worker_signal": {
                "server-worker-1": {**failure, "reason": words("report") + "x" * 90000},
                words("server"): {**failure, "reason": words("other")},
            },
            "manager_signal": {"server-worker-1": {**failure, "reason": words("forged")}},
        }
        self.pass_time(60)
        self.poll()
        cluster = self.cluster(uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("A report to Heat in the name of swarm-worker-1", cluster.status_reason)
        self.assertNotIn("forged", cluster.status_reason)
        self.assertLess(len(cluster.status_reason), 2000)
        self.assert_harmless("report")

    def test_wait_condition(self):
        """So is what a creation failed with because a node reported so."""
        uuid = self.create(managers=1, workers=1)
        stack = self.cloud.stack()
        stack.status = "CREATE_FAILED"
        said = f"WaitConditionFailure: resources.worker_ready: {words('node')}"
        stack.signals = {
            "worker_signal": {
                words("server"): {"status": "FAILURE", "reason": words("node"), "data": words("d")}
            }
        }
        stack.failed = [
            {
                "resource_name": "worker_ready",
                "resource_type": "OS::Heat::WaitCondition",
                "physical_resource_id": words("id"),
                "resource_status": "CREATE_FAILED",
                "resource_status_reason": said,
                "updated_time": words("time"),
                "links": [
                    {"rel": "stack", "href": f"http://heat/stacks/{words('s')}/{stack.id}"},
                ],
            }
        ]
        self.poll()
        self.assertEqual("CREATE_FAILED", self.cluster(uuid).status)
        self.assert_harmless("node")

    def test_nova(self):
        """So is the fault of a server that Nova could not make."""
        uuid = self.create(managers=1, workers=1)
        stack = self.cloud.stack()
        stack.status = "CREATE_FAILED"
        fault = f'due to "Message: {words("fault")}, Code: 500"'
        stack.failed = [
            {
                "resource_name": "0",
                "resource_type": "Magnum::SwarmMode::Worker",
                "physical_resource_id": "",
                "resource_status": "CREATE_FAILED",
                "resource_status_reason": f"ResourceInError: resources[0]: Went to ERROR {fault}",
                "updated_time": "",
                "links": [],
            }
        ]
        self.poll()
        self.assertEqual("CREATE_FAILED", self.cluster(uuid).status)
        self.assert_harmless("fault")

    def test_cinder(self):
        """So is Cinder's message about a volume that it could not make."""
        answer = {"messages": [{"user_message": words("cinder")}]}
        server = self.useFixture(wire.JsonServer(lambda _: (200, answer, {})))
        self.cloud.further_endpoints = {"block-storage": server.url, "volumev3": server.url}
        uuid = self.create(managers=1, workers=1)
        stack = self.cloud.stack()
        stack.status = "CREATE_FAILED"
        stack.failed = [
            {
                "resource_name": "docker_volume",
                "resource_type": "OS::Cinder::Volume",
                "physical_resource_id": "volume",
                "resource_status": "CREATE_FAILED",
                "resource_status_reason": 'Went to status error due to "Unknown"',
                "updated_time": "",
                "links": [],
            }
        ]
        self.poll()
        self.assertEqual("CREATE_FAILED", self.cluster(uuid).status)
        self.assert_harmless("cinder")

    def test_outputs(self):
        """So are the outputs of a stack that end in rows."""
        uuid = self.create(managers=1, workers=1)
        self.serve_docker(uuid)
        self.finish_stack()
        outputs = self.cloud.stack().outputs
        outputs["worker_addresses"] = [words("address"), words("address") + "x" * 90000]
        outputs["api_address"] = words("api")
        self.poll()
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)
        self.assert_harmless("address")

    def test_operation(self):
        """So is each text of a swarm in which nodes are drained, labelled and waited for."""
        uuid, docker = self.whole()
        manager, worker = docker.answers["/nodes"][1]
        worker["Spec"]["Labels"] = {words("label"): words("value")}
        worker["Description"]["Hostname"] = words("hostname")
        worker["Status"]["Message"] = words("message")
        manager["Status"]["Addr"] = words("addr")
        version = {"Version": words("version"), "ApiVersion": "1.41"}
        docker.answers["/version"] = (200, version)
        docker.answers["/services"] = (200, [{"ID": words("service"), "Spec": words("spec")}])
        tasks = [{"ID": words("task"), "NodeID": words("on"), "Status": {"State": words("is")}}]
        docker.answers["/tasks"] = (200, tasks)
        self.resize(uuid, 0)
        for _ in range(3):
            self.pass_time(60)
            self.poll()
            self.poll_health(uuid)
        self.assert_harmless("hostname")

    def test_unexpected(self):
        """So is an exception that nobody expects, with what it says."""
        uuid, _ = self.whole()
        self.resize(uuid, 2)
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.decisions.change.decide", _fail_unexpectedly)
        )
        self.poll()
        self.assert_harmless("unexpected")


def _fail_unexpectedly(*_):
    raise ZeroDivisionError(words("unexpected"))


def _unescaped(value: str) -> str:
    """Return a text, with what JSON has escaped in it as it will be shown."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.dumps(json.loads(value), ensure_ascii=False)
    return value
