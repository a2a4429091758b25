# SPDX-License-Identifier: Apache-2.0
import os
import time

from devcloud.demo.shell import CommandError
from tests.endtoend import base, images, living, parts, services, shared
from tests.endtoend.docker import roles, whole
from tests.endtoend.waiting import wait_for

REPLICAS = 4
# So many workers one after the other.
COUNTS = [int(count) for count in os.environ.get("LIVING_WORKERS", "5,2,0,2").split(",")]


class TestWorkers(base.EndToEndTestCase):
    """Workers come and go while a service answers."""

    beside = "conductors"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        parts.begin()

    def setUp(self) -> None:
        super().setUp()
        self.cluster = living.cluster()
        self.docker = living.client(self.cluster)

    def resize(self, count: int, remove: tuple[str, ...] = ()) -> living.Change:
        """Resize, and compare what Magnum, the swarm, Heat and Nova have then."""
        change = living.resize(self.cluster, count, remove=remove)
        print(f"{count} workers after {change.seconds:.1f} s", flush=True)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        self.assertEqual(whole(living.MANAGERS, count), roles(self.docker.nodes()))
        self.assertEqual(count, len(self.cluster.workers()))
        everyone = self.demo.cloud.get("compute", "/servers/detail")["servers"]
        names = {one["name"] for one in everyone if one["name"].startswith(f"{living.NAME}-")}
        self.assertEqual({node.hostname for node in self.docker.nodes()}, names)
        record = self.cluster.record()
        assert record is not None
        self.assertEqual(count, record["node_count"])
        self.assertEqual(count, len(record["node_addresses"]))
        return change

    def test_up_and_down(self) -> None:
        """3, 5, 2, 0 and 2 workers: no request is lost where there are nodes, and no node is left
        behind."""
        images.bring(self.cluster, everywhere=True)
        network = services.overlay(self.docker, "net")
        self.addCleanup(services.remove_network, self.docker, network)
        web = services.web(self.docker, "web", network, REPLICAS)
        self.addCleanup(services.remove, self.docker, web)
        services.wait_running(self.docker, web, REPLICAS)
        asker = living.asker(self.docker, "asker", network, web)
        self.addCleanup(services.remove, self.docker, asker)

        before = len(self.cluster.workers())
        for count in COUNTS:
            if not count:
                answered, silent = living.answers(self.docker, asker)
                print(f"{answered} requests answered, {silent} not", flush=True)
                self.assertGreater(answered, 20)
                self.assertEqual(0, silent)
            if count > before:
                self._grow(count)
            else:
                self._shrink(before, count)
            before = count
        # Nodes came back, and so does the service.
        services.wait_running(self.docker, web, REPLICAS)

    def _grow(self, count: int) -> None:
        grown = self.resize(count)
        self.assertTrue(any(one.startswith("Heat makes it") for one in grown.reasons), grown)
        images.bring(self.cluster)

    def _shrink(self, before: int, count: int) -> None:
        """Shrink; where several go, the first and the last are named."""
        numbers = sorted(int(one.name.rpartition("-")[2]) for one in self.cluster.workers())
        named: tuple[str, ...] = ()
        if before - count > 1:
            named = (f"{living.NAME}-worker-{numbers[0]}", str(numbers[-1]))
        shrunk = self.resize(count, named)
        self.assertTrue(any(one.startswith("Draining") for one in shrunk.reasons), shrunk)
        left = {
            node.hostname.rpartition("-")[2] for node in self.docker.nodes() if not node.manager
        }
        self.assertFalse(left & {name.rpartition("-")[2] for name in named}, left)

    def test_second_request(self) -> None:
        """What is asked for while Heat is at work is served after it, though three conductors look
        at the cluster; both updates run to their end, one after the other."""
        count = len(self.cluster.workers())
        before = living.updates(self.cluster)
        began = time.monotonic()
        living.ask_resize(self.cluster, count + 1)
        wait_for(
            "Heat to be at work",
            lambda: self.cluster.stack()["stack_status"],
            lambda seen: seen == "UPDATE_IN_PROGRESS",
            timeout=60,
            interval=0.5,
        )
        living.ask_resize(self.cluster, count)
        change = living.follow(self.cluster, began)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        shared.wait_until_whole(self.docker, living.MANAGERS, count)
        self.assertEqual(living.ONE_UPDATE * 2, living.updates(self.cluster)[len(before) :])
        print(f"two resizes after {change.seconds:.1f} s", flush=True)

    def test_unknown_node(self) -> None:
        """A node to remove that is not there is a 400 that names those that are."""
        error = self.assertRaises(
            CommandError, living.ask_resize, self.cluster, 1, remove=("nobody",)
        )
        self.assertIn("Node nobody is not in node group default-worker", error.output)
