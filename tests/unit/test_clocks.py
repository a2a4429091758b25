# SPDX-License-Identifier: Apache-2.0
"""The time that conductors share."""

import fixtures
from oslotest import base

from magnum_swarm_mode import clocks


class NowTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.own, self.monotonic = 5000.0, 70.0
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.clocks._reading", None))
        self.useFixture(fixtures.MonkeyPatch("time.time", lambda: self.own))
        self.useFixture(fixtures.MonkeyPatch("time.monotonic", lambda: self.monotonic))

    def test_unread(self) -> None:
        """Before the database's clock is read the host's own clock counts."""
        self.assertEqual((5000.0, True), (clocks.now(), clocks.is_to_be_read()))

    def test_goes_on(self) -> None:
        """The database's time goes on with a clock that nobody sets."""
        self.assertEqual(4000.0, clocks.read(1000.0))
        self.monotonic += 7
        self.own += 7

        self.assertEqual((1007.0, False), (clocks.now(), clocks.is_to_be_read()))

    def test_old(self) -> None:
        """After a minute the database's clock is read again."""
        clocks.read(1000.0)
        self.monotonic += 61
        self.own += 61

        self.assertTrue(clocks.is_to_be_read())

    def test_jump(self) -> None:
        """An own clock that was set changes nothing, and has the database's clock read again."""
        clocks.read(1000.0)
        self.own += 3600

        self.assertEqual((1000.0, True), (clocks.now(), clocks.is_to_be_read()))
