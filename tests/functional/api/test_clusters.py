# SPDX-License-Identifier: Apache-2.0
"""Clusters of swarm-mode at Magnum's own API, up to the message to the conductor."""

import uuid

import sqlalchemy

from tests import cases
from tests.functional.api import base, fake_cloud


class ClusterCase(base.MagnumTestCase):
    def post(self, template, token="demo", **fields):
        return self.service.call(
            "POST", "/v1/clusters", self.cluster(template, **fields), token=token
        )

    def settle(self):
        """Return what the conductor was sent, after everything sent so far has arrived."""
        if not hasattr(self, "_marker"):
            self._marker = self.existing()
        # A call, which is answered after the casts before it.
        self.service.call("GET", f"/v1/certificates/{self._marker}")
        return [m for m in self.service.messages() if m["method"] != "get_ca_certificate"]

    def sent(self, method):
        """Return the arguments of the newest message of one kind."""
        return [m["arguments"] for m in self.settle() if m["method"] == method][-1]

    def assert_nothing_sent(self, template, *words, **fields):
        """Check that a cluster is refused in these words, and that no message went out."""
        before = self.settle()
        self.assert_refused(self.post(template, **fields), *words)
        self.assertEqual(before, self.settle())

    def existing(self, group_status="CREATE_COMPLETE", **fields):
        """Put a cluster that is complete into the database, and return its uuid."""
        template = self.create_template(name="existing")
        ident = str(uuid.uuid4())
        engine = sqlalchemy.create_engine(f"sqlite:///{self.service.directory}/magnum.sqlite")
        self.addCleanup(engine.dispose)
        values = {
            "uuid": ident,
            "project_id": fake_cloud.PROJECT,
            "user_id": fake_cloud.USER,
            "name": f"existing-{ident}",
            "cluster_template_id": template["uuid"],
            "status": "CREATE_COMPLETE",
            "api_address": "tcp://172.24.4.9:2376",
            "labels": "{}",
            "health_status_reason": "{}",
            "create_timeout": 60,
            "flavor_id": "m1.medium",
            "master_flavor_id": "m1.medium",
            **fields,
        }
        groups = [
            {
                "uuid": str(uuid.uuid4()),
                "name": f"default-{role}",
                "cluster_id": ident,
                "project_id": fake_cloud.PROJECT,
                "role": role,
                "node_count": count,
                "min_node_count": 0,
                "is_default": True,
                "status": group_status,
                "labels": "{}",
                "node_addresses": "[]",
                "flavor_id": "m1.medium",
                "image_id": "ubuntu_xenial",
            }
            for role, count in (("master", 3), ("worker", 8))
        ]
        with engine.begin() as connection:
            metadata = sqlalchemy.MetaData()
            metadata.reflect(engine, only=["cluster", "nodegroup"])
            connection.execute(metadata.tables["cluster"].insert(), [values])
            connection.execute(metadata.tables["nodegroup"].insert(), groups)
        return ident


class CreateTest(ClusterCase):
    def test_sent_to_the_conductor(self):
        """A good cluster is accepted, and the conductor is told to make it."""
        template = self.create_template(labels={"join_timeout": "300"})
        answer = self.post(template)
        self.assertEqual(202, answer.status_code, answer.text)
        sent = self.sent("cluster_create")
        self.assertEqual(
            (3, 8, 60), tuple(sent[n] for n in ("master_count", "node_count", "create_timeout"))
        )
        cluster = sent["cluster"]["magnum_object.data"]
        self.assertEqual(answer.json()["uuid"], cluster["uuid"])
        self.assertEqual({"join_timeout": "300"}, cluster["labels"])
        self.assertEqual("m1.medium", cluster["master_flavor_id"])
        self.assertEqual("fuel", cluster["keypair"])

    def test_values_of_its_own(self):
        """A cluster's own values replace its template's."""
        answer = self.post(
            self.create_template(labels={"join_timeout": "300"}),
            master_count=1,
            node_count=0,
            labels={"data_path_port": "5000"},
            merge_labels=True,
            fixed_network=fake_cloud.NETWORK,
            fixed_subnet="private-subnet",
            docker_volume_size=9,
            create_timeout=0,
        )
        self.assertEqual(202, answer.status_code, answer.text)
        cluster = self.sent("cluster_create")["cluster"]["magnum_object.data"]
        self.assertEqual({"join_timeout": "300", "data_path_port": "5000"}, cluster["labels"])
        self.assertEqual(9, cluster["docker_volume_size"])

    def test_refused(self):
        """Each value that cannot be honoured is a 400 that names it, and nothing is sent."""
        template = self.create_template()
        for words, fields in (
            (["4 managers need 3 for a quorum"], {"master_count": 4}),
            (["master_count"], {"master_count": 0}),
            (["node_count"], {"node_count": -1}),
            (["master_lb_enabled"], {"master_lb_enabled": True}),
            (["floating_ip_enabled"], {"floating_ip_enabled": False}),
            (["discovery_url"], {"discovery_url": "https://discovery.example.com/x"}),
            (["create_timeout=721"], {"create_timeout": 721}),
            (["kube_tag"], {"labels": {"kube_tag": "v1"}}),
            (["status is written"], {"status": "CREATE_COMPLETE"}),
            (["health_status is written"], {"health_status": "HEALTHY"}),
            (["uuid is written"], {"uuid": str(uuid.uuid4())}),
            (["faults is written"], {"faults": {"a": "b"}}),
            (["labels_added is written"], {"labels_added": {"a": "b"}}),
            (["api_address"], {"api_address": "tcp://1.2.3.4"}),
            (["10.0.0.0/8 overlaps 10.0.0.0/24"], {"labels": {"swarm_address_pool": "10.0.0.0/8"}}),
            (["172.17.0.0/16"], {"labels": {"swarm_address_pool": "172.16.0.0/12"}}),
            (
                ["127.0.0.0/8 is for the loopback"],
                {"labels": {"swarm_address_pool": "127.0.0.0/8"}},
            ),
            (["8.8.8.8"], {"labels": {"swarm_address_pool": "8.0.0.0/8"}}),
            (["fixed_subnet"], {"fixed_network": "public", "fixed_subnet": "private-subnet"}),
        ):
            with self.subTest(words=words):
                self.assert_nothing_sent(template, *words, **fields)

    def test_nothing_of_that_name(self):
        """What does not exist is refused, and nothing is sent."""
        template = self.create_template()
        before = self.settle()
        for name in ("flavor_id", "master_flavor_id", "fixed_network", "fixed_subnet", "keypair"):
            answer = self.post(template, **{name: "absent"})
            self.assertIn(answer.status_code, (400, 404), answer.text)
            self.assertIn("absent", answer.text)
        self.assertEqual(before, self.settle())

    def test_without_pool(self):
        """Where no configured pool is free the user is told which label helps."""
        template = self.create_template(
            dns_nameserver="10.200.0.1,10.216.0.1,172.30.0.1,192.168.192.1"
        )
        self.assert_nothing_sent(template, "swarm_address_pool")
        answer = self.post(template, labels={"swarm_address_pool": "10.77.0.0/16"})
        self.assertEqual(202, answer.status_code, answer.text)

    def test_restricted_application_credential(self):
        """A token that could not make the cluster's credentials is refused at once."""
        token = self.service.cloud.token(
            "restricted",
            application_credential={"id": "1", "name": "ci", "restricted": True},
        )
        self.assert_nothing_sent(
            self.create_template(), "restricted application credential", token=token
        )

    def test_unrestricted_application_credential(self):
        """Whether an unrestricted one suffices is asked of Keystone."""
        credential = {"id": "1", "name": "ci", "restricted": False}
        allowed = self.service.cloud.token("unrestricted", application_credential=credential)
        template = self.create_template()
        self.assertEqual(202, self.post(template, token=allowed).status_code)
        denied = self.service.cloud.token("trustless", application_credential=credential)
        self.service.cloud.without_trusts.add(denied)
        self.assert_nothing_sent(template, "application credential", "password", token=denied)


class ReachableTest(ClusterCase):
    """Where the conductor reaches tenants' networks."""

    service_options = {"options": "tenant_networks_reachable = true"}

    def test_without_floating_ips(self):
        """Managers need no floating IPs there."""
        template = self.create_template(floating_ip_enabled=False)
        self.assertEqual(202, self.post(template).status_code)


class LivingClusterTest(ClusterCase):
    def upgrade(self, ident, template, **more):
        path = f"/v1/clusters/{ident}/actions/upgrade"
        headers = {"OpenStack-API-Version": "container-infra latest"}
        body = {"cluster_template": template["uuid"], **more}
        return self.service.call("POST", path, body, headers=headers)

    def test_upgrade(self):
        """Without a node group the managers and the first workers are upgraded; else that group;
        also where the last operation failed."""
        template = self.create_template(name="other", labels={"log_max_file": "9"})
        for status in ("CREATE_COMPLETE", "UPDATE_FAILED"):
            ident = self.existing(status=status)
            answer = self.upgrade(ident, template)
            self.assertEqual(202, answer.status_code, answer.text)
            sent = self.sent("cluster_upgrade")
            self.assertEqual(1, sent["max_batch_size"]["size"])
            self.assertEqual(2, len(sent["max_batch_size"]["groups"]))
            answered = self.upgrade(ident, template, nodegroup="default-worker", max_batch_size=3)
            self.assertEqual(202, answered.status_code, answered.text)
            sent = self.sent("cluster_upgrade")
            self.assertEqual(3, sent["max_batch_size"]["size"])
            self.assertEqual(1, len(sent["max_batch_size"]["groups"]))
            self.assertTrue(sent["cluster"]["magnum_object.data"]["status"].endswith("_COMPLETE"))

    def test_upgrade_refused(self):
        """What a living cluster cannot follow is a 400 that names it; so is a wrong moment."""
        ident = self.existing()
        before = self.settle()
        for name, fields, word in (
            ("a", {"docker_volume_size": 9}, "docker_volume_size"),
            ("b", {"labels": {"data_path_port": "4790"}}, "data_path_port"),
            ("c", {"dns_nameserver": "9.9.9.9"}, "dns_nameserver"),
        ):
            template = self.create_template(name=name, **fields)
            self.assert_refused(self.upgrade(ident, template), word, "fixed when a cluster")
        template = self.create_template(name="other")
        self.assertEqual(400, self.upgrade(ident, template, max_batch_size=0).status_code)
        busy = self.existing(status="UPDATE_IN_PROGRESS", status_reason="Heat makes it.")
        answer = self.upgrade(busy, template)
        self.assert_refused(answer, "Upgrade it when that has ended")
        cases.shown(self, "upgrade-busy", self.sentence(answer), answer="400")
        self.assertEqual(before, self.settle())

    def test_rotation(self):
        """New certificates are asked of the conductor, but not in the middle of something else."""
        ident = self.existing()
        answer = self.service.call("PATCH", f"/v1/certificates/{ident}")
        self.assertEqual(202, answer.status_code, answer.text)
        sent = self.sent("rotate_ca_certificate")["cluster"]["magnum_object.data"]
        self.assertEqual(ident, sent["uuid"])
        busy = self.existing(status="UPDATE_IN_PROGRESS", status_reason="Draining a.")
        answer = self.service.call("PATCH", f"/v1/certificates/{busy}")
        sentence = self.sentence(answer)
        cases.shown(self, "certificates-busy", sentence, answer=answer.status_code)
        failed = self.existing(status="UPDATE_FAILED", status_reason="No host.")
        answer = self.service.call("PATCH", f"/v1/certificates/{failed}")
        sentence = self.sentence(answer)
        cases.shown(self, "certificates-after-failure", sentence, answer=answer.status_code)

    def test_rotate_credential_refused(self):
        """A credential is not rotated beside something else."""
        busy = self.existing(status="UPDATE_IN_PROGRESS", status_reason="Draining a.")
        headers = {"OpenStack-API-Version": "container-infra latest"}
        answer = self.service.call("PATCH", f"/v1/credentials/{busy}", headers=headers)
        if self.service.release.version.startswith("20."):
            # That release has no such request yet.
            self.assertEqual(405, answer.status_code, answer.text)
            return
        sentence = self.sentence(answer)
        cases.shown(self, "credential-busy", sentence, answer=answer.status_code)

    def resize(self, count, **more):
        path = f"/v1/clusters/{self.existing()}/actions/resize"
        headers = {"OpenStack-API-Version": "container-infra 1.10"}
        return self.service.call("POST", path, {"node_count": count, **more}, headers=headers)

    def test_resize(self):
        """Any number of workers, none included, and odd numbers of managers reach the conductor."""
        for count, group in ((9, None), (0, None), (5, "default-master"), (1, "default-master")):
            answer = self.resize(count, **({"nodegroup": group} if group else {}))
            self.assertEqual(202, answer.status_code, answer.text)
            sent = self.sent("cluster_resize")
            self.assertEqual(count, sent["node_count"])

    def test_resize_refused(self):
        """Numbers that make no sense are a 400 with the arithmetic."""
        self.assert_refused(self.resize(4, nodegroup="default-master"), "4 managers need 3")
        self.assert_refused(self.resize(10_000_000), "node_count")

    def test_changed_in_no_other_status(self):
        """What the release's conductor would drop without a word is refused with one."""
        for status, case in (
            ("CREATE_IN_PROGRESS", "change-creating"),
            ("CREATE_FAILED", "change-after-failed-creation"),
            ("ROLLBACK_FAILED", "change-after-failed-rollback"),
        ):
            why = None if case == "change-creating" else "No host"
            path = f"/v1/clusters/{self.existing(status=status, status_reason=why)}/actions/resize"
            for group in ("default-worker", "default-master"):
                body = {"node_count": 5, "nodegroup": group}
                headers = {"OpenStack-API-Version": "container-infra 1.10"}
                answer = self.service.call("POST", path, body, headers=headers)
                sentence = self.sentence(answer)
                cases.shown(self, case, sentence, answer=answer.status_code)

    def test_group_goes(self):
        """A node group whose deletion was requested is not changed any more."""
        template = self.create_template(name="other", labels={"log_max_file": "9"})
        headers = {"OpenStack-API-Version": "container-infra latest"}
        for status in ("DELETE_IN_PROGRESS", "DELETE_FAILED"):
            ident = self.existing(group_status=status)
            path = f"/v1/clusters/{ident}"
            body = {"node_count": 5, "nodegroup": "default-worker"}
            patch = [{"path": "/max_node_count", "value": 20, "op": "replace"}]
            before = self.settle()
            for answer in (
                self.service.call("POST", f"{path}/actions/resize", body, headers=headers),
                self.upgrade(ident, template, nodegroup="default-worker"),
                self.service.call(
                    "PATCH", f"{path}/nodegroups/default-worker", patch, headers=headers
                ),
            ):
                sentence = self.sentence(answer)
                cases.shown(self, "change-group-goes", sentence, answer=answer.status_code)
            self.assertEqual(before, self.settle())

    def test_nodes_unseen(self):
        """Nodes cannot be named while Heat does not show them."""
        answer = self.resize(7, nodes_to_remove=["0"])
        sentence = self.sentence(answer)
        cases.shown(self, "change-nodes-unseen", sentence, answer=answer.status_code)

    def group(self, method, path="", body=None):
        headers = {"OpenStack-API-Version": "container-infra latest"}
        path = f"/v1/clusters/{self.existing()}/nodegroups{path}"
        return self.service.call(method, path, body, headers=headers)

    def test_node_group(self):
        """A further group of workers with what is its own reaches the conductor."""
        answer = self.group(
            "POST", body={"name": "more", "node_count": 2, "labels": {"availability_zone": "nova"}}
        )
        self.assertEqual(202, answer.status_code, answer.text)
        sent = self.sent("nodegroup_create")["nodegroup"]["magnum_object.data"]
        self.assertEqual(("more", 2), (sent["name"], sent["node_count"]))

    def test_node_group_of_another(self):
        """Who is not the cluster's owner is told how he becomes it."""
        path = f"/v1/clusters/{self.existing(user_id='f' * 32)}/nodegroups"
        headers = {"OpenStack-API-Version": "container-infra latest"}
        body = {"name": "more", "node_count": 2}
        answer = self.service.call("POST", path, body, headers=headers)
        sentence = self.sentence(answer)
        cases.shown(self, "group-not-owner", sentence, answer=answer.status_code)

    def test_node_group_refused(self):
        """What a group cannot be is a 400 that says why."""
        for body, words in (
            ({"labels": {"data_path_port": "4800"}}, "is the whole cluster's"),
            ({"labels": {"colour": "red"}}, "is not known"),
            ({"node_count": 10_000_000}, "node_count"),
        ):
            answer = self.group("POST", body={"name": "more", **body})
            self.assert_refused(answer, words)

    def test_update_node_count(self):
        """``cluster update node_count`` reaches the conductor."""
        path = f"/v1/clusters/{self.existing()}"
        replace = [{"op": "replace", "path": "/node_count", "value": 9}]
        self.assertEqual(202, self.service.call("PATCH", path, replace).status_code)
        self.assertEqual(9, self.sent("cluster_update")["node_count"])

    def test_health_can_be_written(self):
        """A health status from outside is Magnum's own business."""
        answer = self.service.call(
            "PATCH",
            f"/v1/clusters/{self.existing()}",
            [{"op": "replace", "path": "/health_status", "value": "UNHEALTHY"}],
            token=self.service.cloud.token("admin", roles=("admin", "member", "reader")),
        )
        self.assertEqual(202, answer.status_code, answer.text)
        self.assertEqual("UNHEALTHY", self.sent("cluster_update")["health_status"])

    def test_listed_and_deleted(self):
        """Clusters are listed with their node groups, and deleted."""
        ident = self.existing()
        listed = self.service.call("GET", "/v1/clusters").json()["clusters"]
        self.assertIn(
            (ident, 3, 8), [(c["uuid"], c["master_count"], c["node_count"]) for c in listed]
        )
        groups = self.service.call("GET", f"/v1/clusters/{ident}/nodegroups").json()["nodegroups"]
        self.assertEqual(["default-master", "default-worker"], [g["name"] for g in groups])
        self.assertEqual(204, self.service.call("DELETE", f"/v1/clusters/{ident}").status_code)
        self.assertEqual(ident, self.sent("cluster_delete")["uuid"])
