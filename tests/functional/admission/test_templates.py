# SPDX-License-Identifier: Apache-2.0
"""Cluster templates of swarm-mode at Magnum's own API."""

from tests.functional.admission import base


class TemplateTest(base.MagnumTestCase):
    def test_created_listed_shown(self):
        """A template is created, listed, shown and deleted like any other."""
        created = self.create_template()
        self.assertEqual("swarm-mode", created["coe"])
        self.assertEqual("swarm_mode", created["driver"])
        self.assertEqual("overlay", created["network_driver"])
        self.assertEqual("ubuntu", created["cluster_distro"])
        self.assertEqual("m1.medium", created["master_flavor_id"])
        listed = self.service.call("GET", "/v1/clustertemplates").json()["clustertemplates"]
        self.assertIn(created["uuid"], [template["uuid"] for template in listed])
        shown = self.service.call("GET", f"/v1/clustertemplates/{created['uuid']}")
        self.assertEqual("swarm-mode", shown.json()["coe"])
        deleted = self.service.call("DELETE", f"/v1/clustertemplates/{created['uuid']}")
        self.assertEqual(204, deleted.status_code)
