# SPDX-License-Identifier: Apache-2.0
"""Magnum's own unit tests of its API and its conductor pass with this package in place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fixtures
from oslotest import base as test_base

from devcloud import releases
from tests.functional.api import base

_SECONDS = 300
# These three of Magnum 20 to 22 want requests to be let in with options that keystonemiddleware has
# lost; with and without this package the middleware misses an authentication plug-in instead.
_OUTDATED = frozenset(
    f"magnum.tests.unit.api.controllers.test_root.TestRootController.test_auth_with_{name}"
    for name in ("no_public_routes", "root_access", "v1_access")
)


class UpstreamTest(test_base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.useFixture(fixtures.TempDir()).path)

    def _run(
        self, release: releases.Release, area: str, *only: str, ours: bool = True
    ) -> dict[str, Any]:
        """Run an area's tests, or some of them, and return what is told of them."""
        self.assertTrue(release.is_current, f"Magnum {release.version}: `tools/devcloud install`")
        result = self.directory / "result.json"
        site = self.directory / ("with" if ours else "without")
        if not site.exists():
            base.write_distribution(site, "magnum_swarm_mode", base.entry_points() if ours else "")
        done = subprocess.run(
            [
                sys.executable if release.is_default else str(release.python),
                *("-m", "tests.functional.releases.upstream", area, str(result), *only),
            ],
            env=os.environ
            | {
                "PYTHONPATH": f"{site}:{base.ROOT}",
                "XDG_CACHE_HOME": str(self.directory / f"cache-{ours}"),
            },
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        self.assertEqual(0, done.returncode, done.stderr[-3000:])
        told: dict[str, Any] = json.loads(result.read_text())
        self.assertEqual((release.version, ours), (told["magnum"], told["ours"]))
        return told

    def _check(self, release: releases.Release) -> None:
        outdated = frozenset() if release.is_default else _OUTDATED
        for area, least, expected in (("api", 500, outdated), ("conductor", 60, frozenset())):
            told = self._run(release, area)
            self.assertEqual(expected, set(told["bad"]), json.dumps(told["bad"], indent=1))
            self.assertGreater(told["passed"], least)
        if outdated:
            told = self._run(release, "api", *outdated, ours=False)
            self.assertEqual((0, outdated), (told["passed"], set(told["bad"])))

    def test_20(self) -> None:
        """Those of Magnum 20 pass."""
        self._check(releases.find("20.0.2"))

    def test_21(self) -> None:
        """Those of Magnum 21 pass."""
        self._check(releases.find("21.0.1"))

    def test_22(self) -> None:
        """Those of Magnum 22 pass."""
        self._check(releases.find("22.0.0"))

    def test_23(self) -> None:
        """Those of Magnum 23 pass."""
        self._check(releases.find("23.0.0"))
