# SPDX-License-Identifier: Apache-2.0
import time

from tests.endtoend import base, living, shared
from tests.endtoend.docker import roles
from tests.endtoend.waiting import wait_for

GROUP = "default-master"
# The health is looked at once a minute; a manager is given up after some seconds.
SEEN = 100.0


class TestManagers(base.EndToEndTestCase):
    """Managers come and go, and one is lost."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster = living.cluster()
        self.workers = len(self.cluster.workers())

    def test_up_and_down(self) -> None:
        """1, 3, 1 managers, the leader among those that go; a lost one is seen, keeps the others
        from being removed, and is replaced."""
        change = living.resize(self.cluster, 3, GROUP)
        print(f"3 managers after {change.seconds:.1f} s", flush=True)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        docker = living.client(self.cluster)
        shared.wait_until_whole(docker, 3, self.workers)
        leader = next(node.hostname for node in docker.nodes() if node.manager == "Leader")
        lost = self._lose(next(n.hostname for n in docker.nodes() if n.manager == "Reachable"))

        refused = living.resize(self.cluster, 1, GROUP)
        self.assertEqual("UPDATE_FAILED", refused.status)
        self.assertIn("2 of 3 managers are reachable", refused.reason)
        record = self.cluster.record()
        assert record is not None
        self.assertEqual(3, record["master_count"])

        repaired = living.resize(self.cluster, 3, GROUP)
        print(f"a lost manager replaced after {repaired.seconds:.1f} s", flush=True)
        self.assertEqual("UPDATE_COMPLETE", repaired.status, repaired.reason)
        self.assertEqual(f"Replaced {lost}.", repaired.reason)
        shared.wait_until_whole(docker, 3, self.workers)

        change = living.resize(self.cluster, 1, GROUP, (leader,))
        print(f"1 manager after {change.seconds:.1f} s", flush=True)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        demotions = [one for one in change.reasons if one.startswith("Demoting")]
        self.assertTrue(demotions, change)
        docker = living.client(self.cluster)
        self.assertEqual({"Leader": 1, "worker": self.workers}, roles(docker.nodes()))
        self.assertNotIn(leader, {node.hostname for node in docker.nodes()})
        names = [one for one in self.cluster.resources() if one["resource_name"] == "port"]
        self.assertEqual(1, len(names), str(names))

    def _lose(self, hostname: str) -> str:
        """Switch a manager off, and wait until Magnum says so of the cluster's health."""
        server = next(one for one in self.cluster.managers() if one.name == hostname)
        began = time.monotonic()
        self.demo.act(server.ident, "os-stop")

        def health() -> tuple[str, str]:
            record = self.cluster.record() or {}
            reason = record.get("health_status_reason") or {}
            return str(record.get("health_status")), str(reason.get("managers"))

        _, managers = wait_for(
            "Magnum to see the loss",
            health,
            lambda seen: seen[0] == "UNHEALTHY" and seen[1].startswith("2 of 3 reachable"),
            timeout=SEEN,
        )
        print(f"the loss seen after {time.monotonic() - began:.1f} s", flush=True)
        self.assertEqual("2 of 3 reachable; quorum holds, 0 more may fail", managers)
        return hostname
