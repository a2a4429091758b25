# SPDX-License-Identifier: Apache-2.0
from typing import Any

from keystoneauth1 import session, token_endpoint
from oslotest import base
from requests_mock.contrib import fixture

from magnum_swarm_mode.decisions.model import Member
from magnum_swarm_mode.heat import members
from magnum_swarm_mode.heat.client import Heat, Stack

JSON = {"Content-Type": "application/json"}
URL = "http://heat.test:8004/v1/project"


def stack(outputs, **parameters):
    return Stack("id", "name", "CREATE_COMPLETE", "", outputs, parameters)


class AddressesTest(base.BaseTestCase):
    def of_cluster(self, **changed):
        outputs = {
            "node_configuration": {
                "managers": {"0": {"address": "10.0.0.11"}, "4": {"address": "10.0.0.12"}, "5": {}}
            },
            "worker_servers": {"10": "s10", "2": "s2", "1": "s1"},
            "worker_green_servers": {"0": "g0"},
            "worker_addresses": ["10.0.0.1", "10.0.0.2", "10.0.0.10", "10.0.0.100"],
            **changed,
        }
        return members.addresses(stack(outputs, node_name_prefix="c"), is_default=True)

    def test_cluster(self):
        """Managers have addresses by index; those of workers are in the order of their indices."""
        self.assertEqual(
            {
                "c-worker-1": "10.0.0.1",
                "c-worker-2": "10.0.0.2",
                "c-worker-10": "10.0.0.10",
                "c-worker-g0": "10.0.0.100",
                "c-manager-0": "10.0.0.11",
                "c-manager-4": "10.0.0.12",
            },
            self.of_cluster(),
        )

    def test_group(self):
        """So are those of a further group."""
        outputs = {"servers": {"1": "s"}, "green_servers": {}, "addresses": ["10.0.0.1"]}
        found = members.addresses(stack(outputs, group_name_prefix="c-gpu"), is_default=False)
        self.assertEqual({"c-gpu-1": "10.0.0.1"}, found)

    def test_missing(self):
        """Where one worker has no address others keep theirs; a list that is short names none."""
        addresses = ["10.0.0.1", None, "10.0.0.10", "10.0.0.100"]
        found = self.of_cluster(worker_addresses=addresses)
        self.assertEqual("10.0.0.10", found["c-worker-10"])
        self.assertNotIn("c-worker-2", found)
        for short in (addresses[1:], None):
            found = self.of_cluster(worker_addresses=short, node_configuration=None)
            self.assertEqual({}, found)


class ReportsTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.wire = self.useFixture(fixture.Fixture())
        auth = token_endpoint.Token(URL, "token")
        self.heat = Heat(session.Session(auth), region_name=None, interface="public")
        worker = f"{URL}/stacks/c/a1/resources/workers"
        nested = {"resource": {"physical_resource_id": "b2"}}
        self.wire.get(worker, headers=JSON, json=nested)
        self.signals: dict[Any, Any] = {
            ("c", "a1", "manager_signal"): {},
            ("c", "a1", "worker_signal"): {},
            ("w", "b2", "worker_signal"): {},
        }
        for name, stack_id, handle in self.signals:
            there = f"{URL}/stacks/{name}/{stack_id}"
            self.wire.get(f"{URL}/stacks/{stack_id}", status_code=302, headers={"Location": there})
            self.wire.get(
                f"{there}/resources/{handle}/metadata",
                headers=JSON,
                json=lambda *_, key=(name, stack_id, handle): {"metadata": self.signals[key]},
            )

    def reports(self, *ids, is_default=True, is_manager=False):
        found = [Member(str(at), f"c-worker-{at}", one) for at, one in enumerate(ids)]
        where = {"is_default": is_default, "is_manager": is_manager}
        return members.reports(self.heat, "a1", found, **where)

    def test_own_handles(self):
        """The nodes of a group are reported by those of the group alone, each kind at its place."""
        failed = {"s0": {"status": "FAILURE", "reason": "c-worker-0: no disk."}}
        said = {"s0": "A report to Heat in the name of c-worker-0 says: no disk."}
        for place, where in (
            (("c", "a1", "manager_signal"), {"is_manager": True}),
            (("c", "a1", "worker_signal"), {"is_default": False}),
            (("w", "b2", "worker_signal"), {}),
        ):
            for one in self.signals:
                self.signals[one] = failed if one == place else {}
            self.assertEqual(said, self.reports("s0", **where))
            for one in self.signals:
                self.signals[one] = {} if one == place else failed
            self.assertEqual({}, self.reports("s0", **where))

    def test_forged(self):
        """What is reported in the name of a node is never told as what the node says itself."""
        self.signals["w", "b2", "worker_signal"] = {
            "s0": {"status": "FAILURE", "reason": "c-worker-1: I am broken"},
            "s1": {"status": "SUCCESS", "reason": "c-worker-1: x"},
            "s2": {"status": "FAILURE", "reason": None},
            "s3": "FAILURE",
            "other": {"status": "FAILURE", "reason": "c-worker-0: x"},
            "": {"status": "FAILURE", "reason": "c-worker-0: x"},
        }
        self.assertEqual(
            {
                "s0": "A report to Heat in the name of c-worker-0 says: c-worker-1: I am broken.",
                "s2": "A report to Heat in the name of c-worker-2 says: nothing.",
            },
            self.reports("s0", "s1", "s2", "s3", ""),
        )
