# SPDX-License-Identifier: Apache-2.0
"""Questions to OpenStack's services share a bounded number of threads."""

import concurrent.futures
import threading

import fixtures
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.cloud import rest
from magnum_swarm_mode.cloud.rest import Deadline, Service, Services


class BoundTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        pool = concurrent.futures.ThreadPoolExecutor(2)
        self.addCleanup(pool.shutdown)
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.cloud.rest._POOL", pool))
        self.gate = threading.Event()
        # Before the pool is shut down.
        self.addCleanup(self.gate.set)

    def services(self, seconds: float) -> Services:
        return Services(None, None, "public", Deadline.after(seconds))

    def test_most_at_once(self):
        """However many questions there are, no more are asked at once than there are threads."""
        lock, now, most = threading.Lock(), [0], [0]

        def ask() -> str:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            self.gate.wait(0.02)
            with lock:
                now[0] -= 1
            return "answer"

        asks = [(Service.NOVA, ask)] * 9
        self.assertEqual(["answer"] * 9, self.services(30).together(*asks))
        self.assertEqual(2, most[0])

    def test_no_thread_before_the_deadline(self):
        """A question for which there is no thread in time is given up, and says who is slow."""
        for _ in range(2):
            rest._POOL.submit(self.gate.wait, 30)
        asked = []
        error = self.assertRaises(
            exceptions.Unavailable,
            self.services(0.1).together,
            (Service.NEUTRON, lambda: asked.append("late")),
        )
        self.assertIn("Neutron", error.user_message)
        self.assertEqual("none", rest.in_time(Deadline.after(0.1), lambda: "late", "none"))
        self.gate.set()
        rest._POOL.shutdown()
        self.assertEqual([], asked)
