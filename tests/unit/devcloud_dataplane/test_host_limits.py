# SPDX-License-Identifier: Apache-2.0
"""Limits of the host are raised while needed and put back afterwards."""

from pathlib import Path

import fixtures
from oslotest import base

from devcloud.dataplane import host_limits

NAME = "fs/inotify/max_user_instances"


class HostLimitsTest(base.BaseTestCase):
    """Limits, played with files."""

    def setUp(self) -> None:
        super().setUp()
        self.proc = Path(self.useFixture(fixtures.TempDir()).path)
        self.record = self.proc / "record.json"
        self.limit = self.proc / NAME
        self.limit.parent.mkdir(parents=True)
        self.limit.write_text("128\n")
        self.log: list[str] = []

    def raise_limits(self) -> None:
        host_limits.raise_limits(self.proc, self.record)

    def restore(self) -> None:
        host_limits.restore(self.log.append, self.proc, self.record)

    def test_what_suffices_stays(self) -> None:
        """A limit that is high enough is not touched."""
        self.assertEqual(
            {"b": 9}, host_limits.to_raise({"a": 10, "b": 1}, {"a": 9, "b": 9, "c": 9})
        )

    def test_raised_and_put_back(self) -> None:
        """After down the host's limit is what it was, however often up was called."""
        self.raise_limits()
        self.raise_limits()
        self.assertEqual(str(host_limits.NEEDED[NAME]), self.limit.read_text())
        self.restore()
        self.assertEqual("128", self.limit.read_text())
        self.assertEqual(["put fs.inotify.max_user_instances back to 128"], self.log)

    def test_what_somebody_else_set_since_stays(self) -> None:
        """A value that is not ours is not put back."""
        self.raise_limits()
        self.limit.write_text("999999")
        self.restore()
        self.assertEqual("999999", self.limit.read_text())

    def test_restore_without_a_record(self) -> None:
        """Nothing was raised: nothing is done."""
        self.restore()
        self.assertEqual([], self.log)
