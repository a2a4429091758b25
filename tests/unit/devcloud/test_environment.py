# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import fixtures

from devcloud import environment, files
from tests.unit.devcloud import base


class UsableTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.venv = self.home / "venv"
        for name in ("python", "python3.11", "pip"):
            files.write(self.venv / "bin" / name, "")

    def test_complete(self) -> None:
        """An environment with this Python and pip is used again."""
        self.assertTrue(environment.is_usable(self.venv, (3, 11)))

    def test_other_version(self) -> None:
        """One of another Python is made again."""
        self.assertFalse(environment.is_usable(self.venv, (3, 12)))

    def test_half_made(self) -> None:
        """One without pip was interrupted."""
        (self.venv / "bin" / "pip").unlink()
        self.assertFalse(environment.is_usable(self.venv, (3, 11)))

    def test_python_gone(self) -> None:
        """One whose Python was removed from the machine is made again."""
        (self.venv / "bin" / "python").unlink()
        (self.venv / "bin" / "python").symlink_to("/nowhere/python3")
        self.assertFalse(environment.is_usable(self.venv, (3, 11)))


class HashTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("CONSTRAINTS", "TEST_REQUIREMENTS", "DOC_REQUIREMENTS"):
            path = self.home / name
            files.write(path, "a==1\n")
            self.useFixture(fixtures.MonkeyPatch(f"devcloud.environment.{name}", path))

    def _hashes(self) -> tuple[str, str]:
        return environment.wanted_hash(), environment.services_hash()

    def _change(self, path: Path) -> tuple[bool, bool]:
        before = self._hashes()
        files.write(path, "a==2\n")
        after = self._hashes()
        return before[0] != after[0], before[1] != after[1]

    def test_versions_of_services(self) -> None:
        """Another version of a pinned package changes the environment and the services."""
        self.assertEqual((True, True), self._change(environment.CONSTRAINTS))

    def test_tools_for_tests(self) -> None:
        """Another tool for tests changes the environment, but no service restarts for it."""
        self.assertEqual((True, False), self._change(environment.TEST_REQUIREMENTS))
