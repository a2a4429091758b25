# SPDX-License-Identifier: Apache-2.0
"""Commands of the documentation, run as they stand in a copy of the checkout."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import fixtures
from oslotest import base

from tests import documented
from tests.functional.packaging import test_distribution as packaging

ENVIRONMENT = pathlib.Path(sys.executable).parent


class HereTest(base.BaseTestCase):
    def test_commands(self) -> None:
        """What contributors are told to type works, one command after the other."""
        copy = pathlib.Path(self.useFixture(fixtures.TempDir()).path, "copy")
        copy.mkdir()
        packaging.copy_sources(copy)
        # As a user got it from Magnum.
        (copy / "template.json").write_text(
            '{"coe": "swarm-mode", "image_id": "debian", "flavor_id": "m1.medium", '
            '"external_network_id": "public", "name": "t", "links": []}'
        )
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            "PATH": f"{ENVIRONMENT}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(copy.parent),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(copy),
        }
        for command in documented.run_here():
            # What stands in brackets may be left out.
            plain = re.sub(r" \[[^\]]*\]", "", command)
            done = subprocess.run(
                ["bash", "-ec", plain],
                cwd=copy,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            self.assertEqual(0, done.returncode, f"{command}: {done.stdout}{done.stderr}")
