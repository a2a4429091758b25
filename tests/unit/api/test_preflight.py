# SPDX-License-Identifier: Apache-2.0
"""Whatever services answer, asking them ends as a result or as a sentence."""

import copy
import json
import re
import time
from typing import Any

import requests_mock
from hypothesis import given
from hypothesis import strategies as st
from keystoneauth1 import session, token_endpoint
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import room as rules
from magnum_swarm_mode.api import preflight
from magnum_swarm_mode.cloud import rest
from tests.unit.admission.properties import PROPERTY

CLOUD = "http://cloud.test"
PROJECT = "p"
WANTED = rules.Wanted(
    image="ubuntu",
    manager_flavor="m1.small",
    worker_flavor="m1.small",
    external_network="public",
    fixed_network="private",
    keypair="fuel",
    managers=1,
    workers=1,
    docker_volume_size=1,
    volume_types={"label docker_volume_type": "fast"},
    availability_zones={"label availability_zone": "nova"},
)
LIMITS = {"maxTotalInstances": 10, "totalInstancesUsed": 0}
VOLUME_LIMITS = {"maxTotalVolumes": 10, "totalVolumesUsed": 0}
SUBNET = {
    "id": "s",
    "name": "subnet",
    "network_id": "n",
    "cidr": "10.0.0.0/24",
    "ip_version": 4,
    "gateway_ip": "10.0.0.1",
    "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.9"}],
}
PORT = {
    "device_owner": "network:router_interface",
    "device_id": "r",
    "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.1"}],
}
ANSWERS: dict[str, Any] = {
    r"/v3$": {"version": {"id": "v3"}},
    r"/v2/images\?": {
        "images": [{"id": "i", "name": "ubuntu", "status": "active", "os_distro": "ubuntu"}]
    },
    r"/flavors/detail": {
        "flavors": [{"id": "1", "name": "m1.small", "vcpus": 1, "ram": 1024, "disk": 10}]
    },
    r"/os-keypairs/fuel": {"keypair": {"name": "fuel"}},
    r"/v2.1/limits": {"limits": {"absolute": LIMITS}},
    r"/os-availability-zone": {
        "availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]
    },
    r"/v3/limits": {"limits": {"absolute": VOLUME_LIMITS}},
    r"/v3/types": {"volume_types": [{"id": "t", "name": "fast"}]},
    r"/v3/types/default": {"volume_type": {"id": "d", "name": "__DEFAULT__"}},
    r"/v3/os-quota-sets/p": {
        "quota_set": {
            "id": "p",
            "per_volume_gigabytes": {"limit": 100, "in_use": 0, "reserved": 0},
            "volumes_fast": {"limit": 10, "in_use": 1, "reserved": 1},
        }
    },
    r"/stacks": {"stacks": []},
    r"/networks\?.*name=private": {"networks": [{"id": "n", "name": "private", "project_id": "p"}]},
    r"/networks\?.*name=public": {
        "networks": [{"id": "e", "name": "public", "router:external": True}]
    },
    r"/subnets": {"subnets": [SUBNET]},
    r"/ports": {"ports": [PORT]},
    r"/routers/r": {"router": {"id": "r", "external_gateway_info": {"network_id": "e"}}},
    r"/quotas/p/details": {"quota": {"port": {"limit": 100, "used": 1, "reserved": 0}}},
}
strange = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.one_of(st.none(), st.integers(), st.dictionaries(st.text(max_size=2), st.none()))),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


class _Endpoints(token_endpoint.Token):
    """A token for everything, with an endpoint for each type."""

    def get_endpoint(self, session, **kwargs):
        return f"{CLOUD}/{kwargs['service_type']}"


def spots(value, path=()):
    """Every place in some JSON."""
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from spots(value[name], (*path, name))
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from spots(item, (*path, place))


SPOTS = [(pattern, path) for pattern, answer in ANSWERS.items() for path in spots(answer)]


class PreflightCase(base.BaseTestCase):
    preview: Any = {"error": {"type": "StackValidationFailed", "message": "Invalid stack name"}}

    def look(self, answers, wants=WANTED, seconds=20.0, **texts):
        """Do a preflight against these answers; its result, or the error's sentence."""
        ask = rest.Services(
            session.Session(auth=_Endpoints(CLOUD, "token")),
            None,
            "public",
            rest.Deadline.after(seconds),
        )
        with requests_mock.Mocker() as wire:
            wire.get(re.compile(".*"), status_code=404)
            wire.post(re.compile("/stacks/preview"), status_code=400, json=self.preview)
            for pattern, answer in answers.items():
                if callable(answer):
                    wire.get(re.compile(pattern), text=answer)
                else:
                    wire.get(re.compile(pattern), text=json.dumps(answer), **texts)
            try:
                return preflight.Preflight(ask, PROJECT).check(wants, cluster=True)
            except (exceptions.Refused, exceptions.Unavailable) as error:
                return str(error)


class AnswersTest(PreflightCase):
    def test_good(self):
        """What is there is found."""
        seen = self.look(ANSWERS)
        self.assertEqual(("ubuntu", "10.0.0.0/24"), (seen.image["name"], seen.network.cidr))

    @PROPERTY
    @given(st.sampled_from(SPOTS), strange)
    def test_strange(self, spot, value):
        """JSON of any shape in any place of any answer ends as a result or as a sentence."""
        pattern, path = spot
        answers = copy.deepcopy(ANSWERS)
        if path:
            inner = answers[pattern]
            for step in path[:-1]:
                inner = inner[step]
            inner[path[-1]] = value
        else:
            answers[pattern] = value
        seen = self.look(answers)
        if isinstance(seen, str):
            self.assertGreater(len(seen.split()), 4)

    @PROPERTY
    @given(st.sampled_from(SPOTS))
    def test_incomplete(self, spot):
        """So does an answer in which something is missing."""
        pattern, path = spot
        if not path:
            return
        answers = copy.deepcopy(ANSWERS)
        inner = answers[pattern]
        for step in path[:-1]:
            inner = inner[step]
        del inner[path[-1]]
        self.look(answers)

    def test_unknown_everywhere(self):
        """So does a server that knows none of a service's paths."""
        for pattern in ANSWERS:
            with self.subTest(pattern=pattern):
                answers = {name: answer for name, answer in ANSWERS.items() if name != pattern}
                self.look(answers)

    def test_addresses(self):
        """Endpoints are used with the version that the catalogue names, or with the usual one."""
        for service, endpoint, address in (
            (rest.Service.NOVA, "http://x/compute", "http://x/compute/v2.1"),
            (rest.Service.NOVA, "http://x/compute/v2.1/", "http://x/compute/v2.1"),
            (rest.Service.NOVA, "http://x:8774/v2/abc", "http://x:8774/v2/abc"),
            (rest.Service.CINDER, "http://x/volume/v3/p1", "http://x/volume/v3/p1"),
            (rest.Service.GLANCE, "http://x:9292", "http://x:9292/v2"),
            (rest.Service.NEUTRON, "http://vpn.x/", "http://vpn.x/v2.0"),
            (rest.Service.HEAT, "http://x/v1/p1", "http://x/v1/p1"),
        ):
            self.assertEqual(address, service.address(endpoint))

    def test_many_flavors(self):
        """Flavors are listed page by page."""
        first = [
            {"id": str(i), "name": f"f{i}", "vcpus": 1, "ram": 1, "disk": 1} for i in range(1000)
        ]
        answers = {**ANSWERS, r"/flavors/detail\?.*limit=1000$": {"flavors": first}}
        answers[r"/flavors/detail\?.*marker=999"] = ANSWERS[r"/flavors/detail"]
        self.assertNotIsInstance(self.look(answers), str)

    def test_deadline(self):
        """A service that is late is named when the time is over, and not later."""

        def late(*_):
            time.sleep(3)
            return "{}"

        began = time.monotonic()
        sentence = self.look({**ANSWERS, r"/stacks": late}, seconds=0.5)
        self.assertLess(time.monotonic() - began, 2.5)
        self.assertIn("does not answer, so nothing was created", sentence)

    def test_what_need_not_be_known(self):
        """Answers that need not be had are not waited for after the deadline; errors are none."""

        def fail(error):
            raise error

        asks = {
            "known": lambda: 5,
            "late": lambda: time.sleep(3),
            "absent": lambda: fail(rest.NotThere("404")),
            "refused": lambda: fail(rest.NotAllowed("403")),
            "away": lambda: fail(rest.does_not_answer(rest.Service.HEAT, "503")),
        }
        ask = rest.Services(None, None, "public", rest.Deadline.after(0.5))
        began = time.monotonic()
        answers = ask.begin({name: (rest.Service.HEAT, one) for name, one in asks.items()})
        self.assertEqual({"known": 5}, answers())
        self.assertLess(time.monotonic() - began, 2.5)
        ask = rest.Services(None, None, "public", rest.Deadline.after(30))
        broken = ask.begin({"broken": (rest.Service.HEAT, lambda: fail(ZeroDivisionError()))})
        self.assertRaises(ZeroDivisionError, broken)

    def test_limits(self):
        """Heat's answer to a preview need not make sense; a refusal that does is passed on."""
        answers: tuple[Any, ...] = (
            None,
            [],
            {"error": []},
            {"error": {"message": 3}},
            {"stack": {}},
        )
        for answer in answers:
            self.preview = answer
            self.assertNotIsInstance(self.look(ANSWERS), str)
        message = "Request limit exceeded: Maximum resources per stack exceeded."
        self.preview = {"error": {"type": "RequestLimitExceeded", "message": message}}
        self.assertIn("Maximum resources per stack exceeded. Make it", self.look(ANSWERS))

    def test_token_not_accepted(self):
        """A token that has expired meanwhile is called so."""
        answers = {name: answer for name, answer in ANSWERS.items() if "stacks" not in name}
        answers[r"/stacks"] = {}
        with requests_mock.Mocker() as wire:
            wire.get(re.compile(".*"), status_code=401, json={"error": {"message": "expired"}})
            ask = rest.Services(
                session.Session(auth=_Endpoints(CLOUD, "token")),
                None,
                "public",
                rest.Deadline.after(5),
            )
            error = self.assertRaises(exceptions.Refused, ask.get, rest.Service.HEAT, "/stacks")
        self.assertIn("authenticate again", str(error))
