# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from devcloud import files, host_limits
from tests.unit.devcloud import base

INSTANCES = "fs/inotify/max_user_instances"
WATCHES = "fs/inotify/max_user_watches"


class LimitsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sysctl = self.home / "sys"
        self._write(INSTANCES, 128)
        self._write(WATCHES, 1_000_000)

    def _path(self, name: str) -> Path:
        return self.sysctl / name

    def _write(self, name: str, value: int) -> None:
        files.write(self._path(name), f"{value}\n")

    def _values(self) -> tuple[int, int]:
        return (
            int(self._path(INSTANCES).read_text(encoding="ascii")),
            int(self._path(WATCHES).read_text(encoding="ascii")),
        )

    def test_raised_and_restored(self) -> None:
        """What is too low is raised and comes back; what is high enough is not touched."""
        host_limits.raise_limits(self.sysctl)
        self.assertEqual((8192, 1_000_000), self._values())
        host_limits.restore_limits(self.sysctl)
        self.assertEqual((128, 1_000_000), self._values())

    def test_raised_twice(self) -> None:
        """A second `up` does not take its own value for the machine's."""
        host_limits.raise_limits(self.sysctl)
        host_limits.raise_limits(self.sysctl)
        host_limits.restore_limits(self.sysctl)
        self.assertEqual((128, 1_000_000), self._values())

    def test_changed_since(self) -> None:
        """A value that somebody else set in between stays."""
        host_limits.raise_limits(self.sysctl)
        self._write(INSTANCES, 9000)
        host_limits.restore_limits(self.sysctl)
        self.assertEqual((9000, 1_000_000), self._values())

    def test_nothing_remembered(self) -> None:
        """Without an `up` there is nothing to restore."""
        host_limits.restore_limits(self.sysctl)
        self.assertEqual((128, 1_000_000), self._values())
