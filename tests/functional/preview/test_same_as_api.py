# SPDX-License-Identifier: Apache-2.0
"""The preview refuses what Magnum's API refuses, in the same words."""

import contextlib
import io
import json
import pathlib
from typing import Any

import fixtures

from magnum_swarm_mode import conf
from magnum_swarm_mode.preview import main
from tests.functional.api import base

# What is wrong with a template, and with a cluster of a good template.
TEMPLATES: tuple[dict[str, Any], ...] = (
    {"labels": {"join_timout": "300"}},
    {"labels": {"swarm_address_pool_mask": "31"}},
    {"tls_disabled": True},
    {"registry_enabled": True},
    {"volume_driver": "rexray"},
    {"docker_storage_driver": "devicemapper"},
    {"network_driver": "flannel"},
    {"apiserver_port": 6443},
    {"insecure_registry": "http://registry"},
    {"http_proxy": "nowhere"},
    {"no_proxy": "a b"},
    {"floating_ip_enabled": False},
    {"driver": "k8s_other"},
)
CLUSTERS: tuple[dict[str, Any], ...] = (
    {"master_count": 2},
    {"labels": {"data_path_port": "7946"}},
    {"labels": {"manager_availability": "pause"}},
    {"labels": {"swarm_address_pool": "10.0.0.0/16"}},
    {"labels": {"ssh_allowed_cidrs": "everybody"}},
    {"discovery_url": "https://discovery.example.com"},
    {"master_lb_enabled": True},
    {"create_timeout": 721},
)


class SameWordsTest(base.MagnumTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.addCleanup(conf.CONF.clear)

    def preview(self, template: dict[str, Any], cluster: dict[str, Any]) -> str:
        """Return the sentence with which the command refuses."""
        arguments = ["render"]
        for kind, fields in (("template", template), ("cluster", cluster)):
            path = self.directory / f"{kind}.json"
            path.write_text(json.dumps(fields))
            arguments += [f"--{kind}-file", str(path)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.main(arguments)
        self.assertEqual((1, ""), (code, out.getvalue()), f"{template} {cluster}")
        return err.getvalue().splitlines()[0].removeprefix("ERROR: ")

    def test_templates(self) -> None:
        """A template is refused in the API's words."""
        for wrong in TEMPLATES:
            answer = self.service.call("POST", "/v1/clustertemplates", self.template(**wrong))
            self.assertEqual(400, answer.status_code, f"{wrong}: {answer.text}")
            self.assertEqual(
                answer.json()["errors"][0]["detail"], self.preview(self.template(**wrong), {})
            )

    def test_clusters(self) -> None:
        """A cluster is refused in the API's words."""
        template = self.create_template()
        for wrong in CLUSTERS:
            answer = self.service.call("POST", "/v1/clusters", self.cluster(template, **wrong))
            self.assertEqual(400, answer.status_code, f"{wrong}: {answer.text}")
            cluster = {"name": "swarm", "master_count": 3, "node_count": 8, **wrong}
            self.assertEqual(
                answer.json()["errors"][0]["detail"], self.preview(self.template(), cluster)
            )
