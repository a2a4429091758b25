# SPDX-License-Identifier: Apache-2.0
"""What requests may carry, in which order it is looked at, and how a refusal is shown."""

from magnumclient.common import httpclient

from tests import cases
from tests.functional.api import test_clusters


class BodyTest(test_clusters.ClusterCase):
    """Bodies of requests that make and change what is swarm-mode's."""

    service_options = {"extra": "[quotas]\nmax_clusters_per_project = 1000"}

    def ask(self, method, path, body, **options):
        return self.service.call(method, path, body, **options)

    def change(self, path, name, value, **options):
        operation = {"op": "replace", "path": f"/{name}", "value": value}
        return self.ask("PATCH", path, [operation], **options)

    def test_booleans(self):
        """A template takes JSON's booleans in a patch, as it does from other engines' users."""
        path = f"/v1/clustertemplates/{self.create_template()['uuid']}"
        for name, value in (("hidden", True), ("hidden", "false"), ("tls_disabled", False)):
            with self.subTest(name=name, value=value):
                token = self.service.cloud.token("admin", roles=("admin", "member", "reader"))
                answer = self.change(path, name, value, token=token)
                self.assertEqual(200, answer.status_code, answer.text)
                self.assertEqual(value in (True, "true"), answer.json()[name])

    def test_counts(self):
        """A number of nodes is a number, wherever it is given."""
        cluster = f"/v1/clusters/{self.existing()}"
        for value in (True, "5", None, [5]):
            with self.subTest(value=value):
                self.assert_refused(self.change(cluster, "node_count", value), "an integer")
                if value == "5":
                    answer = self.change(cluster, "node_count", value)
                    sentence = self.sentence(answer)
                    cases.shown(self, "count-kind", sentence, answer=answer.status_code)
                    continue
                for path in ("/actions/resize", "/nodegroups"):
                    body = {"name": "more", "node_count": value}
                    self.assert_refused(self.ask("POST", cluster + path, body), "node_count")
                made = self.cluster(self.create_template(), node_count=value)
                self.assert_refused(self.ask("POST", "/v1/clusters", made), "node_count")

    def test_lists(self):
        """The nodes to remove are a list of texts."""
        path = f"/v1/clusters/{self.existing()}/actions/resize"
        value: object
        for value in ("3", [3], {}):
            answer = self.ask("POST", path, {"node_count": 7, "nodes_to_remove": value})
            self.assert_refused(answer, "nodes_to_remove must be a list of texts.")

    def test_removal(self):
        """A number of nodes cannot be removed, which would mean one node."""
        answer = self.ask(
            "PATCH", f"/v1/clusters/{self.existing()}", [{"op": "remove", "path": "/node_count"}]
        )
        cases.shown(self, "count-removed", self.sentence(answer), answer=answer.status_code)

    def test_policy_first(self):
        """Who may not make a request learns nothing about its body."""
        token = self.service.cloud.token("looker", roles=("reader",))
        cluster = f"/v1/clusters/{self.existing()}"
        template = self.create_template()
        for call in (
            lambda: self.change(cluster, "node_count", True, token=token),
            lambda: self.change(
                f"/v1/clustertemplates/{template['uuid']}", "apiserver_port", "x", token=token
            ),
            lambda: self.ask(
                "POST", "/v1/clusters", self.cluster(template, node_count=[]), token=token
            ),
        ):
            answer = call()
            self.assertEqual(403, answer.status_code, answer.text)
            self.assertIn("Policy doesn't allow", self.sentence(answer))

    def test_empty_text(self):
        """What Horizon leaves empty counts as left out."""
        template = self.create_template()
        answer = self.post(template, discovery_url="")
        self.assertEqual(202, answer.status_code, answer.text)
        answer = self.post(template, discovery_url="http://discovery.example.com")
        self.assert_refused(answer, "discovery_url is refused")

    def test_horizon(self):
        """What Horizon's panel sends where it knows nothing of Swarm mode creates a cluster."""
        template = self.create_template()
        request = {
            "create_timeout": "60",
            "discovery_url": "",
            "keypair": template["keypair_id"],
            "labels": {
                "auto_healing_enabled": True,
                "auto_scaling_enabled": False,
                "availability_zone": "nova",
                "master_lb_floating_ip_enabled": False,
            },
            "master_count": "1",
            "master_lb_enabled": "False",
            "node_count": "1",
        }
        answer = self.post(template, **request)
        self.assertEqual(202, answer.status_code, answer.text)
        request["labels"] = {**request["labels"], "auto_scaling_enabled": True}
        self.assert_refused(self.post(template, **request), "auto_scaling_enabled is not offered")

    def test_special_pool(self):
        """A pool that could not carry traffic is refused, in a template and a cluster."""
        for pool in ("127.0.0.0/16", "224.0.0.0/8", "240.0.0.0/8", "169.254.0.0/16"):
            labels = {"swarm_address_pool": pool}
            answer = self.post(self.create_template(), labels=labels)
            cases.shown(self, "pool-special", self.sentence(answer), answer=answer.status_code)
            answer = self.ask("POST", "/v1/clustertemplates", self.template(labels=labels))
            self.assert_refused(answer, f"swarm_address_pool={pool} cannot carry traffic")

    def test_token_without_project(self):
        """A token that Keystone finds no project for any more is 401, and no outage."""
        token = self.service.cloud.token("orphan")
        template = self.create_template()
        self.service.cloud.orphans = {token}
        self.addCleanup(self.service.cloud.orphans.clear)
        answer = self.post(template, token=token)
        cases.shown(self, "token-rejected", self.sentence(answer), answer=answer.status_code)

    def test_shown_in_full(self):
        """The command line shows refusals to their end, also behind a full stop."""
        template = self.create_template()
        cluster = f"/v1/clusters/{self.existing()}"
        for answer in (
            self.post(template, labels={"swarm_address_pool": "10.0.0.0/8"}),
            self.change(cluster, "node_count", "5"),
            self.ask("POST", f"{cluster}/actions/resize", {"node_count": 70000}),
            self.post(template, labels={"join_timeout": "1.5"}),
        ):
            with self.subTest(answer=answer.text):
                self.assertEqual(400, answer.status_code, answer.text)
                shown = httpclient._extract_error_json(answer.text, answer)["faultstring"]
                self.assertEqual(self.sentence(answer), shown)
                self.assertTrue(shown.endswith("."), shown)

    def test_others(self):
        """The errors of other engines are shown as Magnum shows them."""
        answer = self.ask(
            "POST", "/v1/clustertemplates", self.template(coe="kubernetes", image_id="ours")
        )
        self.assertEqual(400, answer.status_code, answer.text)
