# SPDX-License-Identifier: Apache-2.0
"""Machines boot where the host has control groups of version 2 only."""

import json
import subprocess
import sys
import tempfile

from oslotest import base

from devcloud import settings

PROGRAM = "tests.functional.devcloud_dataplane.version_2"
UNSHARE = ("unshare", "--mount", "--propagation", "private")
TIMEOUT = 600.0  # seconds


class VersionTwoTest(base.BaseTestCase):
    """It needs root and the node images; see :mod:`.version_2`."""

    def test_machine(self) -> None:
        """A machine boots, its engine forms a swarm and runs a container, and nothing is left."""
        # As for any machine: the directory of temporary files may not take an overlay.
        settings.RUN.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="version-2-", dir=settings.RUN) as directory:
            done = subprocess.run(
                [*UNSHARE, sys.executable, "-m", PROGRAM, "docker-20.10", directory],
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        self.assertEqual(0, done.returncode, done.stderr[-2000:])
        self.assertEqual(
            {
                "hierarchies": ["/sys/fs/cgroup"],
                "failed units": "",
                "engine": "2 active",
                "container": "in a container",
                "left": [],
            },
            json.loads(done.stdout),
        )
