# SPDX-License-Identifier: Apache-2.0
import json
import types

import fixtures
from magnum.common import rpc
from oslotest import base

from magnum_swarm_mode.conductor import notifications


class Notifier:
    """Takes what would go to the message bus."""

    def __init__(self, problem=None):
        self.sent, self.problem = [], problem

    def prepare(self, publisher_id):
        return self

    def info(self, context, event_type, payload):
        self._send("info", event_type, payload)

    def error(self, context, event_type, payload):
        self._send("error", event_type, payload)

    def _send(self, priority, event_type, payload):
        if self.problem:
            raise self.problem
        self.sent.append((priority, event_type, payload))


class HealthChangedTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        names = [
            "uuid",
            "name",
            "status",
            "status_reason",
            "project_id",
            "created_at",
            "updated_at",
            "cluster_template_id",
            "keypair",
            "docker_volume_size",
            "labels",
            "master_flavor_id",
            "flavor_id",
            "stack_id",
            "health_status",
            "create_timeout",
            "api_address",
            "discovery_url",
            "node_addresses",
            "master_addresses",
            "node_count",
            "master_count",
        ]
        self.cluster = types.SimpleNamespace(**dict.fromkeys(names))
        self.cluster.uuid, self.cluster.name = "067d30c0-abc7-46d2-8709-c616e77742a4", "swarm"

    def send(self, notifier, now="UNHEALTHY"):
        self.useFixture(fixtures.MonkeyPatch("magnum.common.rpc.NOTIFIER", notifier))
        self.assertIs(notifier, rpc.NOTIFIER)
        notifications.health_changed(None, self.cluster, "HEALTHY", now, {"worker-0": "down"})

    def test_unhealthy(self):
        """An event in CADF form says which cluster, from what to what, and why."""
        notifier = Notifier()

        self.send(notifier)

        ((priority, event_type, payload),) = notifier.sent
        self.assertEqual(("error", "magnum.cluster.health"), (priority, event_type))
        self.assertEqual("failure", payload["outcome"])
        self.assertEqual(self.cluster.uuid, payload["target"]["id"])
        health = payload["target"]["attachments"][-1]["content"]
        self.assertEqual(
            {
                "health_status_before": "HEALTHY",
                "health_status": "UNHEALTHY",
                "health_status_reason": {"worker-0": "down"},
            },
            health,
        )
        json.dumps(payload)

    def test_outcomes(self):
        """Good news is information, and what is not known is said so."""
        for now, outcome in (("HEALTHY", "success"), ("UNKNOWN", "unknown")):
            notifier = Notifier()

            self.send(notifier, now)

            self.assertEqual(
                ("info", outcome), (notifier.sent[0][0], notifier.sent[0][2]["outcome"])
            )

    def test_bus_out_of_order(self):
        """A message bus that fails does not fail the poll."""
        self.send(Notifier(OSError("no bus")))
