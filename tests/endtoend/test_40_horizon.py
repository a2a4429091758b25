# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
from pathlib import Path

from devcloud import horizon, readiness, settings
from tests.endtoend import base, clusters, conductors, docker

# What horizon/tests/browser/test_walk.py makes.
NAME = "horizon-walk"
MANAGERS, WORKERS = 3, 1
TIMEOUT = 1500.0  # seconds, on a machine that is busy with other tests
PATIENCE = 180  # seconds for what takes a second on an idle one
SHOTS = Path(__file__).resolve().parents[2] / ".logs" / "horizon"


class TestHorizon(base.EndToEndTestCase):
    """The panel in a real browser."""

    beside = "horizon"

    def setUp(self) -> None:
        super().setUp()
        if not readiness.answers(horizon.service().address):
            self.fail("Horizon does not run: start it with `tools/devcloud up --horizon`.")
        self.addCleanup(self._remove)

    def _remove(self) -> None:
        found = clusters.find(self.demo, NAME)
        if found is not None:
            found.remove()
        for template in (NAME, f"{NAME}-2"):
            if self.demo.cloud.find("container-infra", f"/clustertemplates/{template}") is not None:
                clusters.remove_template(self.demo, template)

    def test_walk(self) -> None:
        """A user takes a cluster through its whole life with the mouse, and every page and dialog
        is accessible."""
        variables = {
            "HORIZON_URL": settings.HORIZON_URL.rstrip("/"),
            "NODE_MODULES": str(settings.HORIZON / "node_modules"),
            "PATH": f"{Path(docker.command()).parent}:{self.demo.environment['PATH']}",
            "WALK_CALLS": str(conductors.CALLS),
            "WALK_MANAGERS": str(MANAGERS),
            "WALK_PATIENCE": str(PATIENCE),
            "WALK_SHOTS": str(SHOTS),
            "WALK_WORKERS": str(WORKERS),
        }
        done = subprocess.run(
            [horizon.VENV / "bin/python", "-m", "unittest", "tests.browser.test_walk"],
            cwd=settings.CHECKOUT / "horizon",
            env={**os.environ, **self.demo.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        print(done.stdout, flush=True)
        self.assertEqual(0, done.returncode, f"{done.stdout}\nPictures are in {SHOTS}.")
        self.assertIn("\ndelete: ", done.stdout)
