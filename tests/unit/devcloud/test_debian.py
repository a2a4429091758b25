# SPDX-License-Identifier: Apache-2.0
import shutil
from pathlib import Path
from unittest import mock

from devcloud import debian
from tests.unit.devcloud import base


class PolicyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.policy = self.home / "policy-rc.d"

    def _left(self) -> list[str]:
        return sorted(path.name for path in self.home.iterdir() if path.is_file())

    def test_none_before(self) -> None:
        """Ours forbids every start while packages are installed, and is gone afterwards."""
        with debian.nothing_starts(self.policy):
            self.assertIn("exit 101", self.policy.read_text(encoding="utf-8"))
            self.assertEqual(0o755, self.policy.stat().st_mode & 0o777)
        self.assertEqual([], self._left())

    def test_another_before(self) -> None:
        """The machine's own policy comes back with its mode."""
        self.policy.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        self.policy.chmod(0o750)
        with debian.nothing_starts(self.policy):
            self.assertIn("exit 101", self.policy.read_text(encoding="utf-8"))
        self.assertEqual("#!/bin/sh\nexit 0\n", self.policy.read_text(encoding="utf-8"))
        self.assertEqual(0o750, self.policy.stat().st_mode & 0o777)
        self.assertEqual(["policy-rc.d"], self._left())

    def test_interrupt(self) -> None:
        """It comes back after an interrupt as well."""
        self.policy.write_text("theirs", encoding="utf-8")

        def interrupted() -> None:
            with debian.nothing_starts(self.policy):
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, interrupted)
        self.assertEqual("theirs", self.policy.read_text(encoding="utf-8"))

    def test_killed(self) -> None:
        """What a killed command left is put right by the next one."""
        self.policy.write_text("theirs", encoding="utf-8")
        manager = debian.nothing_starts(self.policy)
        manager.__enter__()
        debian.restore_policy(self.policy)
        self.assertEqual("theirs", self.policy.read_text(encoding="utf-8"))
        self.assertEqual(["policy-rc.d"], self._left())

    def test_killed_with_none_before(self) -> None:
        """So is ours where there was none before."""
        debian.nothing_starts(self.policy).__enter__()
        debian.restore_policy(self.policy)
        self.assertEqual([], self._left())

    def test_killed_between(self) -> None:
        """Also when the machine's own had been set aside and ours not yet been written."""
        Path(f"{self.policy}.devcloud-saved").write_text("theirs", encoding="utf-8")
        debian.restore_policy(self.policy)
        self.assertEqual("theirs", self.policy.read_text(encoding="utf-8"))

    def test_strangers_stay(self) -> None:
        """A policy that is not ours is not touched."""
        self.policy.write_text("theirs", encoding="utf-8")
        debian.restore_policy(self.policy)
        self.assertEqual("theirs", self.policy.read_text(encoding="utf-8"))


class WantedTest(base.TestCase):
    def test_browser(self) -> None:
        """A browser and npm are wanted for tests only, and npm where no other has come."""
        self.assertEqual([], [name for name in debian.wanted_packages() if "chromium" in name])
        for npm, more in ((None, ["npm"]), ("/usr/bin/npm", [])):
            with mock.patch.object(shutil, "which", return_value=npm):
                found = debian.wanted_packages(with_browser=True)
            without = debian.wanted_packages()
            self.assertEqual([*without, "chromium", "chromium-driver", *more], found)
