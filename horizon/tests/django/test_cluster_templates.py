# SPDX-License-Identifier: Apache-2.0
from tests.django import base
from tests.django.fake_magnum import TEMPLATE, template

PATH = f"{base.ROOT}/cluster_templates/"


class CreateTest(base.RestTestCase):
    def test_is_of_swarm_mode(self) -> None:
        """A template that is created here is of swarm-mode, and its values are as they were."""
        self.say("POST /v1/clustertemplates", template(), 201)
        body = {"name": "t", "docker_volume_size": 5, "labels": {"log_max_size": "10m"}}
        answer = self.ajax("POST", PATH, body)
        self.assertEqual(201, answer.status_code)
        self.assertEqual(TEMPLATE, answer.json()["id"])
        self.assertEqual({**body, "coe": "swarm-mode"}, self.magnum.requests[0][1])


class ChangeTest(base.RestTestCase):
    def test_only_what_differs_is_sent(self) -> None:
        """A change sends what differs, and removes what was emptied."""
        path = f"/v1/clustertemplates/{TEMPLATE}"
        before = template(
            flavor_id="m1.small",
            keypair_id="key",
            public=False,
            driver="swarm_mode",
            labels={"drain_timeout": "60"},
        )
        self.say(f"GET {path}", before)
        self.say(f"PATCH {path}", before)
        answer = self.ajax(
            "PUT",
            f"{PATH}{TEMPLATE}",
            {
                "name": before["name"],
                "flavor_id": "m1.medium",
                "public": False,
                "labels": {"drain_timeout": "0"},
            },
        )
        self.assertEqual(200, answer.status_code)
        self.assertEqual(
            [
                {"op": "replace", "path": "/flavor_id", "value": "m1.medium"},
                {"op": "remove", "path": "/keypair_id"},
                {"op": "replace", "path": "/labels", "value": '{"drain_timeout": "0"}'},
            ],
            self.magnum.requests[-1][1],
        )

    def test_nothing_differs(self) -> None:
        """Where nothing differs Magnum is not asked to change anything."""
        self.say(f"GET /v1/clustertemplates/{TEMPLATE}", template())
        answer = self.ajax("PUT", f"{PATH}{TEMPLATE}", {"name": "swarm-mode-template"})
        self.assertEqual(200, answer.status_code)
        self.assertEqual(1, len(self.magnum.requests))
