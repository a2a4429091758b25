# SPDX-License-Identifier: Apache-2.0
"""The conductors of the releases before the newest, with the driver in them.

They run what :mod:`tests.functional.conductor` runs on the newest one: clusters are created,
watched, resized (managers too), get other certificates and are deleted, and those of Magnum 17's
drivers too. (Where a creation fails, these conductors keep a trust of Magnum's own until the
cluster is deleted, which tests of that do not expect.)
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import fixtures
from oslotest import base as test_base

from devcloud import releases
from tests.functional.api import base

_SECONDS = 900  # beside the end-to-end tests; 70 alone
_TESTS = (
    "test_legacy",
    "test_lifecycle.CreateTest.test_complete",
    "test_lifecycle.CreateTest.test_failed",
    "test_lifecycle.CreateTest.test_two_conductors",
    "test_lifecycle.DeleteTest.test_owner",
    "test_lifecycle.DeleteTest.test_member",
    "test_lifecycle.DeleteTest.test_administrator",
    "test_lifecycle.DeleteTest.test_stack_gone",
    "test_operations.ResizeTest.test_grow",
    "test_operations.ResizeTest.test_managers",
    "test_operations.ResizeTest.test_manager_lost_refused",
    "test_rotation.RotateTest.test_whole",
    "test_rotation.RefusedTest.test_managers_of_an_earlier_release",
    "test_rotation.RefusedTest.test_second_at_once",
    "test_rotation.ConductorTest.test_handler_died",
    "test_rotation.MakingTest.test_second_try",
    "test_rotation_unwell.EndsWellTest.test_unhealthy",
)
# Since Magnum 21.
_ROTATION = (
    "test_credential_rotation.RotateTest.test_other_member",
    "test_credential_rotation.RotateTest.test_creator_deleted",
    "test_credential_rotation.RotateTest.test_creator_without_role",
    "test_owner_lost.OwnerLostTest.test_deleted",
)
# Until Magnum 20.
_NO_ROTATION = ("test_owner_lost.OldMagnumTest",)


class ConductorTest(test_base.BaseTestCase):
    def _check(self, version: str, *more: str) -> None:
        release = releases.find(version)
        self.assertTrue(release.is_current, f"Magnum {version}: `tools/devcloud install`")
        directory = Path(self.useFixture(fixtures.TempDir()).path)
        tests = [f"tests.functional.conductor.{name}" for name in (*_TESTS, *more)]
        done = subprocess.run(
            [release.python, "-W", "ignore", "-m", "unittest", *tests],
            env=os.environ
            | {"PYTHONPATH": str(base.ROOT), "XDG_CACHE_HOME": str(directory / "cache")},
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        self.assertEqual(0, done.returncode, done.stderr[-5000:])
        ran = re.search(r"^Ran (\d+) tests", done.stderr, re.MULTILINE)
        assert ran, done.stderr[-1000:]
        self.assertGreater(int(ran[1]), len(_TESTS))

    def test_20(self) -> None:
        """Clusters live and die on Magnum 20's conductor as on the newest one."""
        self._check("20.0.2", *_NO_ROTATION)

    def test_21(self) -> None:
        """Clusters live and die on Magnum 21's conductor as on the newest one, and change hands."""
        self._check("21.0.1", *_ROTATION)

    def test_22(self) -> None:
        """Clusters live and die on Magnum 22's conductor as on the newest one, and change hands."""
        self._check("22.0.0", *_ROTATION)
