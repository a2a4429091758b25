# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

from tests.endtoend import base, clusters, conductors, living
from tests.endtoend.clusters import Cluster
from tests.endtoend.docker import Docker, roles, whole
from tests.endtoend.waiting import wait_for

# How often a conductor is killed, and in how many clusters that are resized at once: 20 and 5 in
# `tools/test --long`. Without it, tests.functional.conductor.test_kills and test_30_upgrade kill
# some.
KILLS = int(os.environ.get("LIVING_KILLS", "1"))
CLUSTERS = int(os.environ.get("LIVING_CLUSTERS", "1"))
SEED = int(os.environ.get("LIVING_SEED", "7"))
LATEST = 25.0  # seconds after the request at which one is killed
PATIENCE = 3.0  # seconds for which a conductor that is at work is waited for


@dataclasses.dataclass
class Resized:
    """A cluster that is resized while conductors die."""

    cluster: Cluster
    docker: Docker
    count: int
    updates: int


class TestConductors(base.EndToEndTestCase):
    """Three conductors, of which some die."""

    beside = "conductors"
    long = True

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.addClassCleanup(living.remove)

    def setUp(self) -> None:
        super().setUp()
        self.cluster = living.cluster()

    def test_killed(self) -> None:
        """Conductors die at random moments of resizes; the others go on, and the end is right every
        time, with one update of Heat for each resize."""
        dice = random.Random(SEED)
        resized = self._clusters()
        killed = 0
        while killed < KILLS:
            self._round(dice, resized[: KILLS - killed])
            killed += len(resized)

    def _clusters(self) -> list[Resized]:
        made = [self.cluster]
        for number in range(1, CLUSTERS):
            name = f"{living.NAME}-{number}"
            made.append(clusters.ask_for(self.demo, name, living.NAME, living.MANAGERS, 1))
            self.addCleanup(made[-1].remove)
        for one in made[1:]:
            one.wait("CREATE_COMPLETE")
        return [
            Resized(one, living.client(one), len(one.workers()), len(living.updates(one)))
            for one in made
        ]

    def _round(self, dice: random.Random, resized: list[Resized]) -> None:
        """Resize clusters at once, killing a conductor for each at a random moment."""
        for one in resized:
            one.count = 1 if one.count == 2 else 2
            one.updates += 2
        moments = [dice.uniform(0.5, LATEST) for _ in resized]
        names = list(conductors.ALL)
        dice.shuffle(names)
        began = time.monotonic()
        for one in resized:
            living.call(one.cluster, "POST", "/actions/resize", {"node_count": one.count})
        for one in resized:
            wait_for(
                "a conductor to have taken the request",
                one.cluster.status,
                lambda seen: seen[0] == "UPDATE_IN_PROGRESS",
                timeout=30,
                interval=0.2,
            )
        for moment, one in sorted(zip(moments, resized, strict=True), key=lambda pair: pair[0]):
            time.sleep(max(0.0, moment - (time.monotonic() - began)))
            self._kill(one, began, names)
        with ThreadPoolExecutor(len(resized)) as pool:
            list(pool.map(lambda one: self._check(one, began), resized))

    def _kill(self, one: Resized, began: float, names: list[str]) -> None:
        """Kill the conductor that is at work on the cluster, or any if soon none is."""
        until = time.monotonic() + PATIENCE
        while (found := conductors.at_work(one.cluster.uuid)) is None:
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        moment = time.monotonic() - began
        victim = found or names[0]
        # Whoever has just died is at work again last.
        names.remove(victim)
        names.append(victim)
        conductors.kill(victim)
        status, reason = one.cluster.status()
        print(
            f"{one.cluster.name}: {victim} {'at work' if found else 'at rest'} killed "
            f"after {moment:.1f} s; {status}: {reason}",
            flush=True,
        )

    def _check(self, one: Resized, began: float) -> None:
        """Wait for the end, and compare what there is with what there should be."""
        status, reason = wait_for(
            f"another conductor to finish {one.cluster.name}",
            one.cluster.status,
            lambda seen: not seen[0].endswith("_IN_PROGRESS"),
            timeout=living.TIMEOUT,
        )
        took = time.monotonic() - began
        self.assertEqual("UPDATE_COMPLETE", status, reason)
        self.assertEqual(whole(living.MANAGERS, one.count), roles(one.docker.nodes()))
        self.assertEqual(one.count, len(one.cluster.workers()))
        updates = living.updates(one.cluster)
        self.assertEqual(living.ONE_UPDATE * (len(updates) // 2), updates)
        self.assertEqual(one.updates, len(updates))
        print(f"{one.cluster.name}: {one.count} workers after {took:.1f} s", flush=True)
