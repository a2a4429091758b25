# SPDX-License-Identifier: Apache-2.0
"""Processes of the conductor are killed at random moments, as kernels and power cuts do it."""

import contextlib
import os
import pathlib
import random
import signal
import time

import fixtures
from oslo_db.sqlalchemy import enginefacade

from magnum_swarm_mode.swarm import pool as swarm_pool
from tests.functional.conductor import test_operations

KILLS = 20
SEED = 7
LONGEST = 0.4  # seconds of CPU that a conductor lives: a busy machine gives it more time
PATIENCE = 60.0  # seconds that it may take for them
LEASE = 100.0  # seconds after which a dead one's lease has expired
MOST = 10 * KILLS  # conductors


def cpu_seconds(pid: int) -> float:
    """How long a process of one thread has run; see proc_pid_schedstat in the kernel's pages."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


class KillsTest(test_operations.OperationsCase):
    def test_resize(self):
        """A conductor is killed twenty times in the middle of resizes; the end is right every
        time, with one update of Heat for each resize."""
        dice = random.Random(SEED)
        late, killed = 0.0, 0
        while killed < KILLS:
            self.assertLess(late, MOST * LEASE, "no conductor comes to an end")
            count = 1 if self.cluster(self.uuid).node_count == 2 else 2
            updates = len(self.stack.updates)
            self.resize(count)
            while self._under_way() and late < MOST * LEASE:
                late += LEASE
                killed += self._conduct(late, dice.uniform(0.0, LONGEST))
            cluster = self.cluster(self.uuid)
            self.assertEqual("UPDATE_COMPLETE", cluster.status, cluster.status_reason)
            self.assertEqual(1 + count, len(self.hostnames()))
            self.assertEqual(updates + 1, len(self.stack.updates))

    def _under_way(self):
        return self.cluster(self.uuid).status.endswith("_IN_PROGRESS")

    def _conduct(self, late, seconds):
        """Have a conductor for so many seconds of CPU; whether it was killed before the end."""
        child = os.fork()
        if not child:
            self._work(late)
        try:
            end = time.monotonic() + PATIENCE
            while cpu_seconds(child) < seconds and time.monotonic() < end and self._under_way():
                if self.stack.status == "UPDATE_IN_PROGRESS":
                    self.heat_finishes()
                time.sleep(0.02)
            is_killed = self._under_way()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return is_killed

    def _work(self, late):
        """Look at what is under way, again and again, as a process of its own."""
        with contextlib.suppress(BaseException):
            # Nothing that two processes would both speak to.
            enginefacade.writer.get_engine().dispose(close=False)
            pool = fixtures.MonkeyPatch("magnum_swarm_mode.reach.SWARMS", swarm_pool.Pool())
            with pool:
                self.pass_time(late)
                while True:
                    self.poll()
                    time.sleep(0.02)
        os._exit(1)
