# SPDX-License-Identifier: Apache-2.0
"""Rows of Magnum 17's Swarm drivers at Magnum's own API."""

import functools
import uuid

from tests import cases
from tests.functional.api import base, fake_cloud

KINDS = (
    ("swarm", "fedora-atomic", "vm"),
    ("swarm-mode", "fedora-atomic", "vm"),
    ("swarm", "fedora", "bm"),
    ("swarm-mode", "ubuntu", "bm"),
)


class LegacyTest(base.MagnumTestCase):
    def setUp(self):
        super().setUp()
        self.templates = {}
        for coe, distro, server_type in KINDS:
            ident = str(uuid.uuid4())
            self.templates[ident] = coe
            # As Magnum 17 wrote it: there was no driver then.
            self.service.insert(
                "cluster_template",
                uuid=ident,
                project_id=fake_cloud.PROJECT,
                user_id=fake_cloud.USER,
                name=f"{coe}-{distro}-{server_type}",
                coe=coe,
                cluster_distro=distro,
                server_type=server_type,
                image_id="fedora-atomic-latest",
                flavor_id="m1.small",
                master_flavor_id="m1.small",
                keypair_id="fuel",
                external_network_id="public",
                network_driver="docker",
                volume_driver="rexray",
                docker_storage_driver="devicemapper",
                docker_volume_size=5,
                labels='{"swarm_strategy": "spread"}',
                public=False,
                registry_enabled=False,
                tls_disabled=False,
                master_lb_enabled=False,
                floating_ip_enabled=True,
                hidden=False,
            )

    def existing(self, template, status="CREATE_COMPLETE"):
        """Put a cluster of a template into the database; its uuid."""
        ident = str(uuid.uuid4())
        self.service.insert(
            "cluster",
            uuid=ident,
            project_id=fake_cloud.PROJECT,
            user_id=fake_cloud.USER,
            name=f"old-{ident}",
            cluster_template_id=template,
            keypair="fuel",
            docker_volume_size=5,
            labels='{"swarm_strategy": "spread"}',
            flavor_id="m1.small",
            master_flavor_id="m1.small",
            stack_id=str(uuid.uuid4()),
            api_address="tcp://172.24.4.9:2376",
            status=status,
            create_timeout=60,
            discovery_url="https://discovery.etcd.io/a5ece414689287eca62e35555512bfd5",
            trust_id="39d920ca67204ee8b8f1e0a8b4b9a5b0",
            trustee_username=f"{ident}_{fake_cloud.PROJECT}",
            trustee_user_id="7b489f04b458420a9e9a4a3a7b3e0a11",
            trustee_password="secret",
            coe_version="1.2.5",
            container_version="1.12.6",
            health_status_reason="{}",
            floating_ip_enabled=True,
            master_lb_enabled=False,
        )
        for role, count in (("master", 1), ("worker", 2)):
            self.service.insert(
                "nodegroup",
                uuid=str(uuid.uuid4()),
                name=f"default-{role}",
                cluster_id=ident,
                project_id=fake_cloud.PROJECT,
                role=role,
                node_count=count,
                min_node_count=0,
                is_default=True,
                status=status,
                version="1",
                labels="{}",
                node_addresses='["10.0.0.5"]',
                flavor_id="m1.small",
                image_id="fedora-atomic-latest",
            )
        return ident

    def assert_only_deleted(self, answer, case):
        self.assert_refused(answer)
        sentence = answer.json()["errors"][0]["detail"]
        cases.shown(self, case, sentence, answer=answer.status_code)

    def test_templates(self):
        """Templates are listed, shown and deleted, and not changed."""
        listed = self.service.call("GET", "/v1/clustertemplates")
        self.assertEqual(200, listed.status_code, listed.text)
        found = {one["uuid"]: one["coe"] for one in listed.json()["clustertemplates"]}
        self.assertEqual(self.templates, {k: found.get(k) for k in self.templates})
        for ident, coe in self.templates.items():
            path = f"/v1/clustertemplates/{ident}"
            shown = self.service.call("GET", path)
            self.assertEqual((200, coe), (shown.status_code, shown.json()["coe"]))
            for name, value in (("name", "new"), ("labels", "{}"), ("image_id", "debian")):
                change = [{"op": "replace", "path": f"/{name}", "value": value}]
                answer = self.service.call("PATCH", path, change)
                self.assert_only_deleted(answer, "legacy-template")
            self.assertEqual(204, self.service.call("DELETE", path).status_code)

    def test_clusters(self):
        """Clusters are listed, shown and sent to be deleted; everything else is refused."""
        for template in self.templates:
            ident = self.existing(template)
            path = f"/v1/clusters/{ident}"
            listed = self.service.call("GET", "/v1/clusters").json()["clusters"]
            self.assertIn(
                (ident, 1, 2),
                [(one["uuid"], one["master_count"], one["node_count"]) for one in listed],
            )
            shown = self.service.call("GET", path)
            self.assertEqual("tcp://172.24.4.9:2376", shown.json()["api_address"])
            groups = self.service.call("GET", f"{path}/nodegroups")
            self.assertEqual(2, len(groups.json()["nodegroups"]))
            self.assert_changes_refused(ident)
            again = {"name": "new", "cluster_template_id": template, "master_count": 1}
            answer = self.service.call("POST", "/v1/clusters", again)
            self.assert_only_deleted(answer, "legacy-template")
            self.assertEqual(204, self.service.call("DELETE", path).status_code)
            self.service.call("GET", f"/v1/certificates/{ident}")
            sent = [
                m["arguments"]["uuid"]
                for m in self.service.messages()
                if m["method"] == "cluster_delete"
            ]
            self.assertEqual(ident, sent[-1])

    def assert_changes_refused(self, ident):
        path = f"/v1/clusters/{ident}"
        operation = functools.partial(self.assert_only_deleted, case="legacy-operation")
        replace = [{"op": "replace", "path": "/node_count", "value": 3}]
        operation(self.service.call("PATCH", path, replace))
        resize = self.service.call("POST", f"{path}/actions/resize", {"node_count": 3})
        operation(resize)
        upgrade = {"cluster_template": self.create_template()["uuid"]}
        operation(self.service.call("POST", f"{path}/actions/upgrade", upgrade))
        operation(self.service.call("PATCH", f"/v1/certificates/{ident}"))
        more = self.service.call("POST", f"{path}/nodegroups", {"name": "more"})
        operation(more)
        self.assertEqual("CREATE_COMPLETE", self.service.call("GET", path).json()["status"])

    def test_nothing_new(self):
        """The old engine and the driver that deletes are not for new templates."""
        body = self.template(coe="swarm")
        answer = self.service.call("POST", "/v1/clustertemplates", body)
        self.assert_only_deleted(answer, "legacy-engine")
        for coe in ("swarm-mode", "kubernetes"):
            body = self.template(coe=coe, driver="swarm_mode_legacy")
            if coe == "kubernetes":
                body |= {"network_driver": "flannel"}
            answer = self.service.call("POST", "/v1/clustertemplates", body)
            self.assert_refused(answer, "swarm_mode_legacy")
