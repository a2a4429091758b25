# SPDX-License-Identifier: Apache-2.0
"""The sample configuration says what the code says."""

import subprocess
import sys
from pathlib import Path

import fixtures
from oslotest import base as test_base

from tests.functional.api import base


class SampleTest(test_base.BaseTestCase):
    def test_generated(self):
        """The sample in the repository is what oslo-config-generator makes now."""
        service = self.useFixture(base.MagnumService(None))
        made = Path(self.useFixture(fixtures.TempDir()).path, "sample")
        subprocess.run(
            [
                sys.executable,
                "-m",
                "oslo_config.generator",
                "--config-file",
                str(base.ROOT / "etc/config-generator.conf"),
                "--output-file",
                str(made),
            ],
            env=service.environment,
            check=True,
        )
        self.assertEqual(
            made.read_text(), (base.ROOT / "etc/magnum-swarm-mode.conf.sample").read_text()
        )

    def test_snippet(self):
        """Magnum's API starts with the snippet that operators are told to use."""
        snippet = (base.ROOT / "etc/magnum.conf.snippet").read_text()
        service = self.useFixture(base.MagnumService(registered=False, extra=snippet))
        answer = service.call("GET", "/v1/clustertemplates")
        self.assertEqual("swarm-mode", answer.json()["clustertemplates"][0]["coe"])
