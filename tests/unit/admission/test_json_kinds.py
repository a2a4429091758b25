# SPDX-License-Identifier: Apache-2.0
from typing import Any

from magnum.api.controllers.v1 import cluster, cluster_actions, cluster_template, nodegroup
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.admission import json_kinds
from magnum_swarm_mode.admission.json_kinds import Kind

TEMPLATE = json_kinds.kinds(cluster_template.ClusterTemplate)
CLUSTER = json_kinds.kinds(cluster.Cluster)
MAPS = {"labels", "health_status_reason", "faults", "labels_overridden", "labels_added"}


class RequestBodiesTest(base.BaseTestCase):
    def accept(self, body):
        json_kinds.check_object(CLUSTER, request_fields.CLUSTER_FIELDS, body)

    def refuse(self, name, value):
        error = self.assertRaises(exceptions.Refused, self.accept, {name: value})
        self.assertIn(name, str(error))

    def test_kinds(self):
        """Every field of Magnum's types is of a known kind, but those that Magnum writes."""
        others = {name for name, kind in (TEMPLATE | CLUSTER).items() if kind is Kind.OTHER}
        tables = {**request_fields.CLUSTER_TEMPLATE_FIELDS, **request_fields.CLUSTER_FIELDS}
        self.assertEqual(
            {request_fields.Handling.REFUSED},
            {tables[name].handling for name in others},
            str(others),
        )
        self.assertEqual(Kind.INTEGER, CLUSTER["node_count"])
        self.assertEqual(Kind.TRUTH, TEMPLATE["public"])
        self.assertEqual(Kind.TEXT, TEMPLATE["dns_nameserver"])
        self.assertEqual(MAPS, MAPS & {name for name, kind in CLUSTER.items() if kind is Kind.MAP})

    def test_accepted(self):
        """What clients send is accepted: numbers and truth as text, too."""
        self.accept({"node_count": 1, "master_count": "3", "floating_ip_enabled": "True"})
        self.accept({"floating_ip_enabled": 1, "labels": {"a": "b", "c": 1, "d": 0.5, "e": True}})
        self.accept({"name": None, "whatever": [], "labels": {}})

    def test_refused(self):
        """A value of another kind is refused by a sentence that names the field."""
        for name, value in (
            ("node_count", []),
            ("node_count", True),
            ("node_count", 1.5),
            ("node_count", "many"),
            ("node_count", "9" * 11),
            ("floating_ip_enabled", {}),
            ("floating_ip_enabled", "perhaps"),
            ("floating_ip_enabled", 2),
            ("name", 1),
            ("labels", []),
            ("labels", {"a": None}),
            ("labels", {"a": {"b": "c"}}),
            ("labels", {"a": float("inf")}),
            ("links", []),
            ("node_addresses", ["10.0.0.1"]),
        ):
            with self.subTest(name=name, value=value):
                self.refuse(name, value)

    def test_patches(self):
        """A patch is a list of objects whose values are text or integers."""
        good = [{"op": "replace", "path": "/apiserver_port", "value": "2376"}]
        json_kinds.check_patch(TEMPLATE, good)
        json_kinds.check_patch(TEMPLATE, [{"op": "remove", "path": "/labels"}])
        json_kinds.check_patch(TEMPLATE, [{"op": "add", "path": "/labels", "value": "{}"}])
        json_kinds.check_patch(TEMPLATE, [{"op": "add", "path": "/public", "value": True}])
        json_kinds.check_patch(TEMPLATE, [{"op": "add", "path": "/hidden", "value": "false"}])
        bad: tuple[Any, ...] = (
            {},
            [1],
            [{"op": "add", "path": "/apiserver_port", "value": "x"}],
            [{"op": "add", "path": "/name", "value": 1}],
            [{"op": "add", "path": "/public", "value": "maybe"}],
            [{"op": "add", "path": "/labels", "value": {}}],
            [{"op": "add", "path": "/labels", "value": 1}],
            [{"op": "add", "path": "/labels", "value": True}],
            [{"op": "add", "path": "/apiserver_port", "value": True}],
            [{"op": "add", "path": "/public", "value": None}],
            [{"op": "add", "path": "/public", "value": 2}],
            [{"op": "add", "path": "/name"}],
        )
        for body in bad:
            with self.subTest(body=body):
                self.assertRaises(exceptions.Refused, json_kinds.check_patch, TEMPLATE, body)

    def test_counts(self):
        """A number of nodes is a number: no text, not null, and not removed."""
        value: object
        for value in (True, "5", None, 1.5, [], {}):
            with self.subTest(value=value):
                error = self.assertRaises(
                    exceptions.Refused,
                    json_kinds.check_patch,
                    CLUSTER,
                    [{"op": "replace", "path": "/node_count", "value": value}],
                    converts=False,
                )
                self.assertIn(
                    "node_count must be an integer",
                    str(error).replace("The value of node_count in a patch", "node_count"),
                )
        removal = [{"op": "remove", "path": "/node_count"}]
        error = self.assertRaises(
            exceptions.Refused, json_kinds.check_patch, CLUSTER, removal, ["node_count"]
        )
        self.assertEqual(
            "node_count cannot be removed; replace it with the value that it is to have.",
            str(error),
        )
        self.assertRaises(
            exceptions.Refused,
            json_kinds.check_object,
            CLUSTER,
            {},
            {"node_count": None},
            ["node_count"],
        )

    def test_actions(self):
        """The nodes to remove are a list of texts, and nothing else."""
        known = json_kinds.kinds(cluster_actions.ClusterResizeRequest)
        for good in ([], ["3", "a-worker-0001"]):
            json_kinds.check_object(known, {}, {"node_count": 1, "nodes_to_remove": good})
        bad: object
        for bad in ("3", [3], [None], {}, True):
            with self.subTest(bad=bad):
                error = self.assertRaises(
                    exceptions.Refused, json_kinds.check_object, known, {}, {"nodes_to_remove": bad}
                )
                self.assertEqual("nodes_to_remove must be a list of texts.", str(error))

    def test_taints(self):
        """A list that is refused says why, and an empty one asks for nothing."""
        known = json_kinds.kinds(nodegroup.NodeGroup)
        fields = request_fields.NODE_GROUP_FIELDS
        json_kinds.check_object(known, fields, {"node_taints": []})
        if "node_taints" in known:
            taints = {"node_taints": [{"key": "a"}]}
            error = self.assertRaises(
                exceptions.Refused, json_kinds.check_object, known, fields, taints
            )
            self.assertIn("Swarm has no taints", str(error))

    def test_no_json(self):
        """What is no JSON is refused."""
        for body in (b"", b"{", b"\xff", b"[" * 100_000):
            self.assertRaises(exceptions.Refused, json_kinds.parse, body)
