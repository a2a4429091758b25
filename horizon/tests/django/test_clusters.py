# SPDX-License-Identifier: Apache-2.0
from typing import Any

from django import test

from tests.django import base
from tests.django.fake_magnum import CLUSTER, GROUP, KUBERNETES, TEMPLATE, cluster, template


class ListTest(base.RestTestCase):
    def test_items_carry_the_engine_of_their_template(self) -> None:
        """Each cluster of the list names the engine and the template that it was made of."""
        self.say(
            "GET /v1/clustertemplates/detail",
            {"clustertemplates": [template(), template("kubernetes", KUBERNETES)]},
        )
        self.say("GET /v1/clusters/detail", {"clusters": [cluster(), cluster(KUBERNETES)]})
        items = self.ajax("GET", f"{base.ROOT}/clusters/").json()["items"]
        self.assertEqual(["swarm-mode", "kubernetes"], [item["coe"] for item in items])
        self.assertEqual(CLUSTER, items[0]["id"])
        self.assertEqual("swarm-mode-template", items[0]["cluster_template_name"])

    def test_pages_are_followed(self) -> None:
        """A list that Magnum cuts into pages is shown as a whole."""
        self.say("GET /v1/clustertemplates/detail", {"clustertemplates": [template()]})
        following = "http://magnum.example.com/v1/clusters/detail?limit=1&marker=m"
        self.say("GET /v1/clusters/detail", {"clusters": [cluster()], "next": following})
        self.say("GET /v1/clusters/detail?limit=1&marker=m", {"clusters": [cluster(name="2")]})
        items = self.ajax("GET", f"{base.ROOT}/clusters/").json()["items"]
        self.assertEqual(["swarm", "2"], [item["name"] for item in items])

    def test_cluster_of_a_hidden_template(self) -> None:
        """A cluster whose template is not in the list is shown without an engine."""
        self.say("GET /v1/clustertemplates/detail", {"clustertemplates": []})
        self.say("GET /v1/clusters/detail", {"clusters": [cluster()]})
        [item] = self.ajax("GET", f"{base.ROOT}/clusters/").json()["items"]
        self.assertIsNone(item["coe"])


class DetailsTest(base.RestTestCase):
    def test_swarm_has_its_template_and_groups(self) -> None:
        """The details of a swarm carry its template and its node groups in full."""
        self.say(f"GET /v1/clusters/{CLUSTER}", cluster())
        self.say(f"GET /v1/clustertemplates/{TEMPLATE}", template())
        groups = f"/v1/clusters/{CLUSTER}/nodegroups"
        self.say(f"GET {groups}", {"nodegroups": [{"uuid": GROUP}]})
        self.say(f"GET {groups}/{GROUP}", {"uuid": GROUP, "node_labels": {"disk": "ssd"}})
        found = self.ajax("GET", base.CLUSTER).json()
        self.assertEqual("swarm-mode", found["coe"])
        self.assertEqual({"disk": "ssd"}, found["node_groups"][0]["node_labels"])
        # Older versions of the API have no node labels.
        self.assertEqual({"container-infra latest"}, set(self.magnum.versions))

    def test_other_engines_are_left_alone(self) -> None:
        """The node groups of a Kubernetes cluster are not asked for."""
        self.say(f"GET /v1/clusters/{CLUSTER}", cluster(KUBERNETES))
        self.say(f"GET /v1/clustertemplates/{KUBERNETES}", template("kubernetes", KUBERNETES))
        found = self.ajax("GET", base.CLUSTER).json()
        self.assertEqual("kubernetes", found["coe"])
        self.assertNotIn("node_groups", found)
        self.assertEqual(2, len(self.magnum.requests))

    def test_what_is_no_id_is_no_address(self) -> None:
        """A path that is not a cluster's id does not reach Magnum."""
        for path in ("../../v1/quotas", "x", f"{CLUSTER}%2Factions"):
            answer = self.ajax("GET", f"{base.ROOT}/clusters/{path}")
            self.assertIn(answer.status_code, (301, 302, 404), path)
        self.assertEqual([], self.magnum.requests)


class EventsTest(base.RestTestCase):
    STACK = "03e84efa-136c-4eba-ba45-28aead8c40c3"
    NAME = f"swarm-mode-{CLUSTER}"
    FOUND = f"GET /heat/v1/project/stacks?name={NAME}"
    ASKED = (
        f"GET /heat/v1/project/stacks/{NAME}/{STACK}/events?limit=200&sort_dir=desc&nested_depth=3"
    )

    def _events(self, *events: tuple[str, str, str]) -> Any:
        """Have Heat list events (name, status and reason); return the answer to the page."""
        listed = [
            {
                "id": str(number),
                "resource_name": name,
                "resource_status": status,
                "resource_status_reason": reason,
                "event_time": "2026-11-30T05:31:58Z",
                "links": [{"href": "http://heat.example.com"}],
            }
            for number, (name, status, reason) in enumerate(events)
        ]
        self.say(self.FOUND, {"stacks": [{"id": self.STACK}]})
        self.say(self.ASKED, {"events": listed})
        return self.ajax("GET", f"{base.CLUSTER}/events").json()["items"]

    def test_last_change(self) -> None:
        """The events of the last change are shown, those of changes before it are not."""
        items = self._events(
            ("worker-0", "CREATE_FAILED", "No valid host."),
            (self.NAME, "UPDATE_IN_PROGRESS", "Stack UPDATE started"),
            (self.NAME, "CREATE_COMPLETE", "Stack CREATE completed successfully"),
            (self.NAME, "CREATE_IN_PROGRESS", "Stack CREATE started"),
        )
        self.assertEqual(["worker-0", ""], [item["resource"] for item in items])
        self.assertEqual(
            {
                "id": "0",
                "time": "2026-11-30T05:31:58Z",
                "resource": "worker-0",
                "status": "CREATE_FAILED",
                "reason": "No valid host.",
            },
            items[0],
        )

    def test_nested_stacks(self) -> None:
        """Stacks within the stack only repeat what their resources say, and are left out."""
        items = self._events((f"{self.NAME}-workers-abc", "CREATE_IN_PROGRESS", ""), ("a", "x", ""))
        self.assertEqual(["a"], [item["resource"] for item in items])

    def test_no_stack(self) -> None:
        """A cluster that has no stack yet, or none any more, has no events."""
        self.say(self.FOUND, {"stacks": []})
        self.assertEqual([], self.ajax("GET", f"{base.CLUSTER}/events").json()["items"])

    def test_heats_refusal(self) -> None:
        """What Heat refuses has its status and its sentence."""
        self.say(self.FOUND, {"stacks": [{"id": self.STACK}]})
        self.say(self.ASKED, {"error": {"message": "The Stack could not be found."}}, 404)
        answer = self.ajax("GET", f"{base.CLUSTER}/events")
        self.assertEqual(
            (404, "The Stack could not be found."), (answer.status_code, answer.json())
        )
        self.say(self.ASKED, ["x"], 500)
        answer = self.ajax("GET", f"{base.CLUSTER}/events")
        self.assertEqual("Heat answers with status 500.", answer.json())


class CreateTest(base.RestTestCase):
    def test_values_reach_magnum_as_they_are(self) -> None:
        """Numbers, booleans and labels with commas reach Magnum unchanged."""
        self.say("POST /v1/clusters", {"uuid": CLUSTER}, 202)
        body = {
            "name": "swarm",
            "cluster_template_id": TEMPLATE,
            "master_count": 3,
            "node_count": 0,
            "floating_ip_enabled": False,
            "labels": {"published_ports": "80,443"},
            "merge_labels": True,
            "keypair": None,
        }
        answer = self.ajax("POST", f"{base.ROOT}/clusters/", body)
        self.assertEqual(202, answer.status_code)
        self.assertEqual(CLUSTER, answer.json()["id"])
        del body["keypair"]
        self.assertEqual([("POST /v1/clusters", body)], self.magnum.requests)

    def test_magnums_sentence_and_status(self) -> None:
        """A refusal has Magnum's status and its sentence, and nothing of the client's."""
        self.refuse("POST /v1/clusters", "master_count=2 is refused: use 1 or 3.")
        answer = self.ajax("POST", f"{base.ROOT}/clusters/", {"name": "swarm"})
        self.assertEqual(400, answer.status_code)
        self.assertEqual("master_count=2 is refused: use 1 or 3.", answer.json())

    def test_unknown_field(self) -> None:
        """A field that no cluster has is refused before Magnum is asked."""
        answer = self.ajax("POST", f"{base.ROOT}/clusters/", {"name": "a", "discovery_url": ""})
        self.assertEqual(400, answer.status_code)
        self.assertEqual("discovery_url cannot be given here.", answer.json())
        self.assertEqual([], self.magnum.requests)

    def test_magnum_that_is_away(self) -> None:
        """A Magnum that does not answer is status 503 with a sentence."""
        self.magnum.stop()
        answer = self.ajax("POST", f"{base.ROOT}/clusters/", {"name": "swarm"})
        self.assertEqual(503, answer.status_code)
        self.assertEqual("Magnum does not answer.", answer.json())

    def test_errors_of_another_form(self) -> None:
        """What is no error of Magnum's form is shown by its status, and nothing of it."""
        for body in ({"errors": []}, {"errors": "x"}, ["x"], None):
            self.say("POST /v1/clusters", body, 502)
            answer = self.ajax("POST", f"{base.ROOT}/clusters/", {"name": "swarm"})
            self.assertEqual(502, answer.status_code)
            self.assertEqual("Magnum answers with status 502.", answer.json())

    def test_faults_of_magnum(self) -> None:
        """Of a fault of Magnum's only the title is shown: details may hold a trace."""
        error = {"title": "Internal error.", "detail": "Traceback"}
        self.say("POST /v1/clusters", {"errors": [error]}, 500)
        answer = self.ajax("POST", f"{base.ROOT}/clusters/", {"name": "swarm"})
        self.assertEqual((500, "Internal error."), (answer.status_code, answer.json()))

    def test_token_goes_to_magnum_only(self) -> None:
        """A redirection is not followed."""
        self.say("POST /v1/clusters", None, 307)
        self.magnum.location = f"{self.magnum.url}/elsewhere"
        answer = self.ajax("POST", f"{base.ROOT}/clusters/", {"name": "swarm"})
        self.assertEqual(502, answer.status_code)
        self.assertEqual(1, len(self.magnum.requests))


class OperationsTest(base.RestTestCase):
    def test_each_calls_magnum(self) -> None:
        """Each operation is one call of Magnum's API."""
        resize = {"node_count": 1, "nodegroup": GROUP, "nodes_to_remove": ["swarm-worker-1"]}
        upgrade = {"cluster_template": TEMPLATE, "max_batch_size": 2}
        cases = (
            ("resize", resize, f"POST /v1/clusters/{CLUSTER}/actions/resize", resize),
            ("upgrade", upgrade, f"POST /v1/clusters/{CLUSTER}/actions/upgrade", upgrade),
            ("certificate_authority", None, f"PATCH /v1/certificates/{CLUSTER}", None),
            ("credential", None, f"PATCH /v1/credentials/{CLUSTER}", None),
        )
        for resource, sent, call, body in cases:
            self.say(call, {"uuid": CLUSTER}, 202)
            answer = self.ajax("POST", f"{base.CLUSTER}/{resource}", sent)
            self.assertEqual(204, answer.status_code, resource)
            self.assertEqual((call, body), self.magnum.requests[-1])


class ProtectionTest(base.RestTestCase):
    def test_get_changes_nothing(self) -> None:
        """No resource that changes or makes something answers to GET."""
        for resource in (
            "resize",
            "upgrade",
            "certificate_authority",
            "credential",
            "client_files",
        ):
            answer = self.ajax("GET", f"{base.CLUSTER}/{resource}")
            self.assertEqual(405, answer.status_code, resource)
        self.assertEqual([], self.magnum.requests)

    def test_other_sites_are_refused(self) -> None:
        """A change without the token against request forgery is refused."""
        browser = test.Client(enforce_csrf_checks=True)
        browser.cookies = self.client.cookies
        for resource in ("clusters/", f"clusters/{CLUSTER}/client_files"):
            answer = browser.post(
                f"{base.ROOT}/{resource}",
                "{}",
                "application/json",
                HTTP_X_REQUESTED_WITH="XMLHttpRequest",
            )
            self.assertEqual(403, answer.status_code)
        self.assertEqual([], self.magnum.requests)

    def test_nobody_is_refused(self) -> None:
        """Who is not logged in gets status 401."""
        self.client.logout()
        self.setActiveUser(token=None)
        answer = test.Client().get(f"{base.ROOT}/clusters/", HTTP_X_REQUESTED_WITH="XMLHttpRequest")
        self.assertEqual(401, answer.status_code)
        self.assertEqual([], self.magnum.requests)
