# SPDX-License-Identifier: Apache-2.0
"""Heat, faked at the wire."""

from typing import Any

import requests
from keystoneauth1 import session, token_endpoint
from oslotest import base
from requests_mock.contrib import fixture

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.stack.request import StackRequest

# Without it heatclient takes no body for JSON.
JSON = {"Content-Type": "application/json"}
URL = "http://heat.test:8004/v1/project"
STACK = {
    "id": "a1",
    "stack_name": "swarm-mode-u",
    "stack_status": "CREATE_COMPLETE",
    "stack_status_reason": "Stack CREATE completed successfully",
    "outputs": [
        {"output_key": "api_address", "output_value": "172.24.4.30"},
        {"output_key": "manager_addresses", "output_error": "not yet"},
    ],
    "parameters": {"worker_count": "8"},
}
REQUEST = StackRequest(
    "template", {"f": "file"}, {"resource_registry": {}}, {"worker_count": 8}, ("one", "two")
)


def resource(
    name: str,
    type_: str,
    reason: str,
    stack: str = "swarm-mode-u",
    stack_id: str = "a1",
    physical: str = "",
    updated: str = "2026-11-23T08:00:00Z",
) -> dict[str, Any]:
    """Return a failed resource as Heat's API lists it."""
    return {
        "resource_name": name,
        "resource_type": type_,
        "resource_status": "CREATE_FAILED",
        "resource_status_reason": reason,
        "physical_resource_id": physical,
        "updated_time": updated,
        "links": [
            {"rel": "self", "href": f"{URL}/stacks/{stack}/{stack_id}/resources/{name}"},
            {"rel": "stack", "href": f"{URL}/stacks/{stack}/{stack_id}"},
        ],
    }


class TestHeat(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.wire: Any = self.useFixture(fixture.Fixture())
        self.heat = heat_client.Heat(
            session.Session(token_endpoint.Token(URL, "token")),
            region_name="RegionOne",
            interface="public",
        )

    def test_create(self):
        """A stack is created with all that the request holds, and stays when it fails."""
        self.wire.post(f"{URL}/stacks", status_code=201, headers=JSON, json={"stack": {"id": "a1"}})
        self.assertEqual("a1", self.heat.create(REQUEST, "swarm-mode-u", 60))
        self.assertEqual(
            {
                "stack_name": "swarm-mode-u",
                "template": "template",
                "files": {"f": "file"},
                "environment": {"resource_registry": {}},
                "parameters": {"worker_count": 8},
                "tags": "one,two",
                "timeout_mins": 60,
                "disable_rollback": True,
            },
            self.wire.last_request.json(),
        )

    def test_create_without_limit(self):
        """Magnum's zero leaves the limit to Heat."""
        self.wire.post(f"{URL}/stacks", status_code=201, headers=JSON, json={"stack": {"id": "a1"}})
        self.heat.create(REQUEST, "swarm-mode-u", 0)
        self.assertNotIn("timeout_mins", self.wire.last_request.json())

    def test_every_request_ends_in_time(self):
        """No conductor hangs on a Heat that never answers."""
        self.wire.get(f"{URL}/stacks/a1", headers=JSON, json={"stack": STACK})
        self.heat.get("a1")
        self.assertEqual(120, self.wire.last_request.timeout)

    def _error(self, status: int, message: str) -> Any:
        body = {"code": status, "error": {"message": message, "type": "T"}, "title": "X"}
        self.wire.post(f"{URL}/stacks", status_code=status, headers=JSON, json=body)
        return self.assertRaises(
            exceptions.SwarmModeError, self.heat.create, REQUEST, "swarm-mode-u", 60
        )

    def test_what_heat_refuses_is_refused_with_its_reason(self):
        """A user reads which parameter was wrong."""
        error = self._error(400, "ERROR: The Flavor ID (m9) could not be found.")
        self.assertIsInstance(error, exceptions.Refused)
        self.assertEqual(
            "Heat refuses the cluster's stack: The Flavor ID (m9) could not be found.", str(error)
        )

    def test_statuses_have_their_exceptions(self):
        """A caller can tell what may pass, what is forbidden and what is there already."""
        for status, expected in (
            (401, heat_client.NotAllowed),
            (403, heat_client.NotAllowed),
            (409, heat_client.AlreadyExists),
            (500, exceptions.Unavailable),
            (503, exceptions.Unavailable),
        ):
            self.assertIs(expected, type(self._error(status, "reason")), str(status))

    def test_no_connection(self):
        """A Heat that cannot be reached may be reached later."""
        self.wire.get(f"{URL}/stacks/a1", exc=requests.exceptions.ConnectTimeout)
        self.assertRaises(exceptions.Unavailable, self.heat.get, "a1")

    def test_rubbish(self):
        """An answer that is no JSON is not taken for a stack."""
        self.wire.get(f"{URL}/stacks/a1", text="<html>")
        self.assertRaises(exceptions.Unavailable, self.heat.get, "a1")

    def test_get(self):
        """A stack's outputs are a map; one that cannot be told yet is None."""
        self.wire.get(f"{URL}/stacks/swarm-mode-u", headers=JSON, json={"stack": STACK})
        stack = self.heat.get("swarm-mode-u")
        self.assertEqual(
            heat_client.Stack(
                "a1",
                "swarm-mode-u",
                "CREATE_COMPLETE",
                "Stack CREATE completed successfully",
                {"api_address": "172.24.4.30", "manager_addresses": None},
                {"worker_count": "8"},
            ),
            stack,
        )

    def test_get_of_none(self):
        """A stack that Heat does not know is None."""
        self.wire.get(
            f"{URL}/stacks/a1", status_code=404, headers=JSON, json={"error": {"message": "no"}}
        )
        self.assertIsNone(self.heat.get("a1"))

    def test_update_sends_parameters_only(self):
        """Template and files stay what they were."""
        self.wire.patch(f"{URL}/stacks/a1", status_code=202, headers=JSON, json={})
        self.heat.update("a1", {"worker_count": 9}, 30)
        self.assertEqual(
            {"parameters": {"worker_count": 9}, "timeout_mins": 30}, self.wire.last_request.json()
        )

    def test_delete_twice(self):
        """A stack that is gone already is deleted as well."""
        self.wire.delete(f"{URL}/stacks/a1", [{"status_code": 204}, {"status_code": 404}])
        self.heat.delete("a1")
        self.heat.delete("a1")

    def test_signals(self):
        """Who reported success is known by handle; failures do not count."""
        success, failure = {"status": "SUCCESS"}, {"status": "FAILURE"}
        group = {"resource": {"physical_resource_id": "b2"}}
        for path, body in (
            ("u/a1/resources/manager_signal/metadata", {"s2": success, "s1": success, "s3": {}}),
            ("w/b2/resources/worker_signal/metadata", {"w1": failure}),
        ):
            self.wire.get(f"{URL}/stacks/{path}", headers=JSON, json={"metadata": body})
        self.wire.get(f"{URL}/stacks/u/a1/resources/workers", headers=JSON, json=group)
        # Heat knows a stack by its name and id, and leads there who knows only one of them.
        for known, full in (("a1", "u/a1"), ("b2", "w/b2")):
            location = {"Location": f"{URL}/stacks/{full}"}
            self.wire.get(f"{URL}/stacks/{known}", status_code=302, headers=location)
        self.assertEqual(
            {"manager_signal": ("s1", "s2"), "worker_signal": ()}, self.heat.signals("a1")
        )

    def _fails(self, *failed: dict[str, Any], reason: str = "") -> str:
        self.wire.get(f"{URL}/stacks/a1/resources", headers=JSON, json={"resources": list(failed)})
        parameters = {"node_name_prefix": "c"}
        return self.heat.failure_reason(
            heat_client.Stack("a1", "s", "CREATE_FAILED", reason, {}, parameters)
        )

    def test_failure_reason_asks_for_failed_resources_only(self) -> None:
        """A thousand workers that are well are not listed."""
        self.assertEqual("Heat's own words", self._fails(reason="Heat's own words"))
        self.assertEqual({"status": ["failed"], "nested_depth": ["5"]}, self.wire.last_request.qs)

    def test_failure_reason_of_a_missing_stack(self) -> None:
        """Of a stack that is gone meanwhile nothing is known but what was."""
        self.wire.get(f"{URL}/stacks/a1/resources", status_code=404, headers=JSON, json={})
        stack = heat_client.Stack("a1", "s", "CREATE_FAILED", "before", {}, {})
        self.assertEqual("before", self.heat.failure_reason(stack))

    def test_failure_reason(self) -> None:
        """The innermost resource that failed first explains the whole stack."""
        group, member = "swarm-mode-u-workers-abcdefghijkl", "workers-mnopqrstuvwx"
        none = (
            '"Message: No valid host was found. There are not enough hosts available., Code: 500"'
        )
        reason = self._fails(
            resource("workers", "node_group.yaml", "resources.workers: …", physical="b2"),
            resource("workers", "OS::Heat::ResourceGroup", "…", group, "b2", "c3"),
            resource(
                "3",
                "Magnum::SwarmMode::Worker",
                f"ResourceInError: resources[3]: Went to status ERROR due to {none}",
                f"{group}-{member}",
                "c3",
                "d4",
            ),
            resource(
                "4",
                "Magnum::SwarmMode::Worker",
                "CREATE aborted (user triggered cancel)",
                f"{group}-{member}",
                "c3",
                "e5",
                "2026-11-23T07:00:00Z",
            ),
        )
        self.assertEqual(
            "The server c-worker-3 failed: No valid host was found. There are not enough hosts "
            "available. No host has room for the flavor; choose a smaller one or ask the operator.",
            reason,
        )

    def test_failure_reason_of_a_node(self) -> None:
        """The handle beside the wait condition has the code by which advice is looked up."""
        words = "c-worker-0: clock: off"
        signals = {"w0": {"status": "FAILURE", "reason": words, "data": "ClockSkew"}}
        where = f"{URL}/stacks/w/b2/resources/worker_signal/metadata"
        self.wire.get(
            f"{URL}/stacks/b2", status_code=302, headers={"Location": f"{URL}/stacks/w/b2"}
        )
        failed = resource(
            "worker_ready",
            "OS::Heat::WaitCondition",
            f"WaitConditionFailure: resources.worker_ready: {words}",
            "swarm-mode-u-workers-abcdefghijkl",
            "b2",
        )
        self.wire.get(where, headers=JSON, json={"metadata": signals})
        advice = "Use an image that synchronizes its clock, and a time server that nodes reach."
        self.assertEqual(f"{words}. {advice}", self._fails(failed))
        self.wire.get(where, status_code=404, headers=JSON, json={})
        self.assertEqual(f"{words}.", self._fails(failed))

    def test_failure_reason_of_a_stack_that_came_too_late(self) -> None:
        """Who reported is asked of the handles, and everybody else is named."""
        member = "swarm-mode-u-managers-abcdefghijkl-{}-mnopqrstuvwx"
        self.wire.get(
            f"{URL}/stacks/u/a1/resources/workers", status_code=404, headers=JSON, json={}
        )
        self.wire.get(
            f"{URL}/stacks/u/a1/resources/manager_signal/metadata",
            headers=JSON,
            json={"metadata": {"m0": {"status": "SUCCESS"}, "m1": {"status": "FAILURE"}}},
        )
        self.wire.get(
            f"{URL}/stacks/a1", status_code=302, headers={"Location": f"{URL}/stacks/u/a1"}
        )
        waited = "WaitConditionTimeout: resources.manager_ready: 1 of 2 received - joined"
        reason = self._fails(
            resource("manager_ready", "OS::Heat::WaitCondition", waited),
            resource("server", "OS::Nova::Server", "", member.format(0), "b0", "m0"),
            resource("server", "OS::Nova::Server", "", member.format(1), "b1", "m1"),
        )
        self.assertIn("1 of 2 nodes did not report in time", reason)
        self.assertIn("(openstack console log show c-manager-1)", reason)

    def test_cinder_is_asked_for_its_reason(self) -> None:
        """A volume that failed bears no reason; Cinder keeps it as a message to the user."""
        failed = resource(
            "docker_volume",
            "OS::Cinder::Volume",
            'ResourceInError: resources.docker_volume: Went to status error due to "Unknown"',
            "swarm-mode-u-managers-abcdefghijkl-1-mnopqrstuvwx",
            physical="v1",
        )
        message = {"user_message": "schedule allocate volume: Could not find any backend."}
        self.wire.get(
            f"{URL}/messages?resource_uuid=v1", headers=JSON, json={"messages": [message]}
        )
        self.assertEqual(
            "The Docker volume of c-manager-1 failed: schedule allocate volume: Could not find any "
            "backend. No storage backend takes the volume: choose a smaller docker_volume_size or "
            "ask the operator.",
            self._fails(failed),
        )
        answers: list[dict[str, Any]] = [
            {"status_code": 503},
            {"text": "no JSON"},
            {"json": {"messages": []}},
        ]
        for answer in answers:
            self.wire.get(f"{URL}/messages?resource_uuid=v1", **answer)
            self.assertIn("failed: Unknown. No storage backend", self._fails(failed))
