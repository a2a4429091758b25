# SPDX-License-Identifier: Apache-2.0
"""A cluster of managers that come and go, one of which is lost."""

import contextlib
import os
import time
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.endtoend import harm, living, shared
from tests.endtoend.docker import Docker, roles, whole
from tests.endtoend.machines import Machine
from tests.endtoend.waiting import wait_for

GROUP = "default-master"
# The cloud has the health looked at every few seconds; a node is given up after some more.
SEEN = 90.0
# So many one after the other, once one of three was lost; 5,3,1 takes longer.
COUNTS = [int(count) for count in os.environ.get("LIVING_MANAGERS", "3,1").split(",")]


CHECK = unittest.TestCase()


class Managers:
    """1 and 3 of them, some more if that is wished, and 1, with what happens between."""

    def __init__(self) -> None:
        self.cluster = living.cluster(living.RULING)
        self.workers = len(self.cluster.workers())

    def run(self) -> None:
        """Change their number, the leader being among those that go."""
        self._resize(3)
        lost = self._harm()

        refused = living.resize(self.cluster, 1, GROUP)
        CHECK.assertEqual("UPDATE_FAILED", refused.status)
        CHECK.assertIn("2 of 3 managers are reachable", refused.reason)
        record = self.cluster.record()
        assert record is not None
        CHECK.assertEqual(3, record["master_count"])

        repaired = self._resize(COUNTS[0])
        CHECK.assertEqual(f"Replaced {lost}.", repaired.reason)
        for count in COUNTS[1:]:
            leader = self._leader()
            change = self._resize(count, leader)
            demotions = [one for one in change.reasons if one.startswith("Demoting")]
            CHECK.assertTrue(demotions, change)
            CHECK.assertNotIn(leader, {node.hostname for node in self._docker().nodes()})
        ports = [one for one in self.cluster.resources() if one["resource_name"] == "port"]
        CHECK.assertEqual(1, len(ports), str(ports))

    def _docker(self) -> Docker:
        return living.client(self.cluster)

    def _leader(self) -> str:
        return next(one.hostname for one in self._docker().nodes() if one.manager == "Leader")

    def _resize(self, count: int, *remove: str) -> living.Change:
        change = living.resize(self.cluster, count, GROUP, remove)
        print(f"{count} managers after {change.seconds:.1f} s", flush=True)
        CHECK.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        shared.wait_until_whole(self._docker(), count, self.workers)
        CHECK.assertEqual(whole(count, self.workers), roles(self._docker().nodes()))
        return change

    def _harm(self) -> str:
        """Harm nodes in different ways at once, and see what Magnum says of the cluster's health.

        :returns: the host name of a manager that is lost for good.
        """
        docker = self._docker()
        managers = {one.name: one for one in self.cluster.managers()}
        named = next(one for one in managers.values() if one.floating == docker.address)
        lost = next(
            managers[node.hostname]
            for node in docker.nodes()
            if node.manager == "Reachable" and node.hostname != named.name
        )
        (left,) = (one for one in managers.values() if one not in (named, lost))
        stopped, cut = self.cluster.workers()[:2]
        machine = Machine(stopped.fixed, left.floating)
        with contextlib.ExitStack() as ends:
            began = time.monotonic()
            faults: list[Callable[[], object]] = [
                lambda: self.cluster.user.act(lost.ident, "os-stop"),
                lambda: ends.enter_context(harm.engine_stopped(machine)),
                lambda: ends.enter_context(harm.cut_off(self.cluster, cut)),
                lambda: ends.enter_context(harm.api_blocked(named.floating)),
            ]
            with ThreadPoolExecutor(len(faults)) as pool:
                for future in [pool.submit(fault) for fault in faults]:
                    future.result()
            record = self._see(
                began,
                {
                    "a manager killed": lambda seen, why: (
                        why.get("managers") == "2 of 3 reachable; quorum holds, 0 more may fail"
                    ),
                    "an engine stopped": lambda seen, why: _is_down(why.get(stopped.name)),
                    "a network cut": lambda seen, why: _is_down(why.get(cut.name)),
                    "the API's address blocked": lambda seen, why: (
                        seen["api_address"] == f"tcp://{left.floating}:2376"
                    ),
                },
            )
            CHECK.assertEqual("UNHEALTHY", record["health_status"])
            print(record["health_status_reason"], flush=True)
            began = time.monotonic()
            ends.enter_context(harm.api_blocked(left.floating))
            record = self._see(
                began,
                {"every API blocked": lambda seen, why: seen["health_status"] == "UNKNOWN"},
            )
            why = record["health_status_reason"]["api"]
            print(why, flush=True)
            CHECK.assertIn("The Docker API answers on no manager", why)
            CHECK.assertIn(f"{left.floating}: does not", why)
        expected = {**whole(2, self.workers), "Down node": 1}
        wait_for(
            "the workers to be back",
            lambda: roles(docker.at(left.floating).try_nodes()),
            lambda seen: seen == expected,
            timeout=60,
        )
        return lost.name

    def _see(
        self,
        began: float,
        wanted: dict[str, Callable[[dict[str, Any], dict[str, str]], bool]],
    ) -> dict[str, Any]:
        """Wait until all is seen in the cluster's record, and say after how many seconds each."""
        after: dict[str, float] = {}

        def look() -> dict[str, Any]:
            record = self.cluster.record() or {}
            why = record.get("health_status_reason") or {}
            for name, is_seen in wanted.items():
                if is_seen(record, why):
                    after.setdefault(name, time.monotonic() - began)
            return record

        record = wait_for(
            f"Magnum to see {', '.join(wanted)}",
            look,
            lambda _: len(after) == len(wanted),
            timeout=SEEN,
            interval=1,
        )
        for name, seconds in after.items():
            print(f"{name}: {record['health_status']} after {seconds:.1f} s", flush=True)
        return record


def _is_down(line: str | None) -> bool:
    return bool(line) and str(line).startswith("down")
