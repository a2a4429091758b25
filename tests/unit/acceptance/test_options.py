# SPDX-License-Identifier: Apache-2.0
import contextlib
import io

from oslotest import base

from acceptance import cloud, options

NEEDED = ("--node-image", "debian", "--flavor", "m1", "--external-network", "public")


class OptionsTest(base.BaseTestCase):
    def _refused(self, *words):
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.assertRaises(SystemExit, options.parse, words, {})
        return said.getvalue()

    def test_needed(self):
        """What has no default must be given, and is named."""
        said = self._refused("--flavor", "m1")
        self.assertIn("required: --node-image, --external-network", said)

    def test_environment(self):
        """The environment gives defaults, of their types; the command line comes first."""
        environment = {
            "ACCEPTANCE_NODE_IMAGE": "from-environment",
            "ACCEPTANCE_FLAVOR": "small",
            "ACCEPTANCE_EXTERNAL_NETWORK": "public",
            "ACCEPTANCE_WORKERS": "7",
        }
        found = options.parse(["--flavor", "large"], environment)
        self.assertEqual(
            ("from-environment", "large", 7, 3),
            (found.node_image, found.flavor, found.workers, found.managers),
        )

    def test_list_needs_nothing(self):
        """The list of promises needs no cloud."""
        self.assertTrue(options.parse(["--list"], {}).list)

    def test_nonsense(self):
        """A cluster without workers, and a label without a value, are refused."""
        self.assertIn("at least one", self._refused(*NEEDED, "--workers", "0"))
        self.assertIn("name=value", self._refused(*NEEDED, "--label", "x"))

    def test_template(self):
        """The template has what was said, opens the published port, and nothing empty."""
        found = options.parse(
            [*NEEDED, "--label", "docker_version=26.1", "--published-port", "8000"], {}
        )
        self.assertEqual(
            {
                "name": "swarm-mode-acceptance",
                "coe": "swarm-mode",
                "image_id": "debian",
                "flavor_id": "m1",
                "master_flavor_id": "m1",
                "external_network_id": "public",
                "labels": {"published_ports": "8000", "docker_version": "26.1"},
            },
            cloud.template_body(found),
        )
