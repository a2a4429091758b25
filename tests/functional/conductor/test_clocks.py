# SPDX-License-Identifier: Apache-2.0
"""Conductors of one cluster, of which one has a clock that is an hour off."""

import time

import fixtures

from tests.functional.conductor import test_operations

HOUR = 3600


class ClocksCase(test_operations.OperationsCase):
    """The clock of the database is right; here it is the machine's."""

    def setUp(self):
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.clocks._reading", None))
        self.useFixture(
            fixtures.MonkeyPatch(
                "magnum_swarm_mode.db.clock._SERVER_TIME",
                {"sqlite": "SELECT strftime('%s', 'now')"},
            )
        )
        self.right = time.time
        super().setUp()

    def off(self, seconds):
        """Let the next conductor be one whose own clock is off by so many seconds."""
        self.useFixture(fixtures.MonkeyPatch("time.time", lambda: self.right() + seconds))
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.clocks._reading", None))

    def both(self, first, second):
        """Let two conductors look at an operation that waits, and then let it go on."""
        answer = self.docker.answers["/nodes"]
        self.docker.answers["/nodes"] = (503, {"message": "no leader"})
        self.off(first)
        self.resize(4)
        self.poll()
        self.off(second)
        self.poll(2)

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_IN_PROGRESS", cluster.status, cluster.status_reason)
        self.docker.answers["/nodes"] = answer
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)


class OperationTest(ClocksCase):
    def test_ahead(self):
        """A conductor whose clock is ahead gives up no wait that another one began."""
        self.both(0, HOUR)

    def test_behind(self):
        """A conductor whose clock is behind begins no wait that another one gives up."""
        self.both(-HOUR, 0)
