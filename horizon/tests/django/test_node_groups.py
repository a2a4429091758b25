# SPDX-License-Identifier: Apache-2.0
from tests.django import base
from tests.django.fake_magnum import CLUSTER, GROUP

PATH = f"{base.CLUSTER}/node_groups/"


class NodeGroupsTest(base.RestTestCase):
    def test_create(self) -> None:
        """A node group is created with its node labels and bounds."""
        self.say(f"POST /v1/clusters/{CLUSTER}/nodegroups", {"uuid": GROUP}, 202)
        body = {"name": "gpu", "node_count": 2, "max_node_count": 4, "node_labels": {"a": "b"}}
        answer = self.ajax("POST", PATH, body)
        self.assertEqual(202, answer.status_code)
        self.assertEqual(body, self.magnum.requests[0][1])

    def test_label(self) -> None:
        """Node labels and bounds of a group are changed by a patch."""
        path = f"/v1/clusters/{CLUSTER}/nodegroups/{GROUP}"
        before = {"uuid": GROUP, "node_labels": {}, "min_node_count": 0, "max_node_count": None}
        self.say(f"GET {path}", before)
        self.say(f"PATCH {path}", before, 202)
        body = {"node_labels": {"disk": "ssd"}, "min_node_count": 0}
        self.assertEqual(200, self.ajax("PATCH", f"{PATH}{GROUP}", body).status_code)
        self.assertEqual(
            [{"op": "replace", "path": "/node_labels", "value": '{"disk": "ssd"}'}],
            self.magnum.requests[-1][1],
        )

    def test_delete(self) -> None:
        """A node group is deleted by its id."""
        call = f"DELETE /v1/clusters/{CLUSTER}/nodegroups/{GROUP}"
        self.say(call, None, 204)
        self.assertEqual(204, self.ajax("DELETE", f"{PATH}{GROUP}").status_code)
        self.assertEqual([(call, None)], self.magnum.requests)
