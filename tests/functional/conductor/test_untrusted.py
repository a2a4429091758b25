# SPDX-License-Identifier: Apache-2.0
"""Texts of Docker, Heat and nodes that would do harm in a row, in a log or on a terminal."""

import contextlib
import json
import logging
import unicodedata

import fixtures
from magnum.conductor.handlers import cluster_conductor
from magnum.db.sqlalchemy import models
from magnum.service import periodic
from oslo_db.sqlalchemy import enginefacade
from oslo_service import loopingcall

from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.db import schema
from tests.functional.conductor import base

# A colour, a bell, an override of the direction, an isolate, a separator of lines, an entry of a
# log, and a character that utf8mb3 has no place for.
HOSTILE = "\x1b[31m\x07\u202e\u2066\u2028\n2026-01-01 INFO evil\x9b\U0001f41b"
HARMFUL = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


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


def _unescaped(value: str) -> str:
    """Return a text, with what JSON has escaped in it as it will be shown."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.dumps(json.loads(value), ensure_ascii=False)
    return value
