# SPDX-License-Identifier: Apache-2.0
import os
import random
import time

from tests.endtoend import base, living
from tests.endtoend.waiting import wait_for

# How often the conductor is killed; LIVING_KILLS=20 is what the documentation's numbers are from.
KILLS = int(os.environ.get("LIVING_KILLS", "1"))
SEED = int(os.environ.get("LIVING_SEED", "7"))
LATEST = 30.0  # seconds after a request at which it is killed


class TestConductorKilled(base.EndToEndTestCase):
    """The conductor that changes a cluster dies, and another one goes on."""

    def test_resize(self) -> None:
        """Killed at random moments of resizes, the end is right every time."""
        dice = random.Random(SEED)
        cluster = living.cluster()
        docker = living.client(cluster)
        self.addCleanup(living.remove)
        count = len(cluster.workers())
        for _ in range(KILLS):
            count = dice.choice([number for number in (1, 2, 3) if number != count])
            moment = dice.uniform(1.0, LATEST)
            began = time.monotonic()
            living.ask_resize(cluster, count)
            wait_for(
                "the conductor to have taken the request",
                cluster.status,
                lambda seen: seen[0] == "UPDATE_IN_PROGRESS",
                timeout=30,
                interval=0.2,
            )
            time.sleep(max(0.0, moment - (time.monotonic() - began)))
            living.kill_conductor()
            status, reason = wait_for(
                "another conductor to finish",
                cluster.status,
                lambda seen: not seen[0].endswith("_IN_PROGRESS"),
                timeout=living.TIMEOUT,
            )
            took = time.monotonic() - began
            print(f"killed after {moment:.1f} s, {count} workers after {took:.1f} s", flush=True)
            self.assertEqual("UPDATE_COMPLETE", status, reason)
            states = [n.status for n in docker.nodes() if f"{living.NAME}-worker-" in n.hostname]
            self.assertEqual(["Ready"] * count, states)
            self.assertEqual(count, len(cluster.workers()))
