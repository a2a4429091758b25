# SPDX-License-Identifier: Apache-2.0
"""Where templates are found."""

import pathlib

import fixtures
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.conf import CONF
from magnum_swarm_mode.stack.files import templates


class TestResources(base.BaseTestCase):
    def _configure(self, path: str) -> None:
        CONF.set_override("template_path", path, "swarm_mode")
        self.addCleanup(CONF.clear_override, "template_path", "swarm_mode")

    def test_templates_of_the_package(self):
        """Without configuration the templates are those of this release."""
        self.assertIn("heat_template_version", templates.read("cluster.yaml"))

    def test_templates_of_the_operator(self):
        """A configured directory is used instead."""
        directory = self.useFixture(fixtures.TempDir()).path
        pathlib.Path(directory, "cluster.yaml").write_text("mine: ä\n", encoding="utf-8")
        self._configure(directory)
        self.assertEqual("mine: ä\n", templates.read("cluster.yaml"))

    def test_a_missing_file_is_named_to_the_operator(self):
        """An incomplete copy says which file it lacks, and where; the user sees no path."""
        directory = self.useFixture(fixtures.TempDir()).path
        self._configure(directory)
        error = self.assertRaises(exceptions.Inconsistent, templates.read, "node_group.yaml")
        self.assertIn(f"{directory}/node_group.yaml", error.operator_message)
        self.assertIn("template_path", error.operator_message)
        self.assertNotIn(directory, error.user_message)

    def test_a_missing_directory_is_named_to_the_operator(self):
        """A path that does not exist is an error, not a reason to use other templates."""
        self._configure("/nonexistent/templates")
        error = self.assertRaises(exceptions.Inconsistent, templates.template_directory)
        self.assertIn("/nonexistent/templates", error.operator_message)
