# SPDX-License-Identifier: Apache-2.0
import time

from devcloud.demo.shell import CommandError
from tests.endtoend import base, images, living, services, shared
from tests.endtoend.docker import roles, whole
from tests.endtoend.waiting import wait_for

REPLICAS = 4


class TestWorkers(base.EndToEndTestCase):
    """Workers come and go while a service answers."""

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

        grown = self.resize(5)
        self.assertTrue(any(one.startswith("Heat makes it") for one in grown.reasons))
        images.bring(self.cluster)
        shrunk = self.resize(2, (f"{living.NAME}-worker-0", "4"))
        self.assertTrue(any(one.startswith("Draining") for one in shrunk.reasons), shrunk)
        left = {node.hostname for node in self.docker.nodes() if not node.manager}
        self.assertFalse(left & {f"{living.NAME}-worker-0", f"{living.NAME}-worker-4"}, left)
        answered, silent = living.answers(self.docker, asker)
        print(f"{answered} requests answered, {silent} not", flush=True)
        self.assertGreater(answered, 20)
        self.assertEqual(0, silent)
        self.resize(0)
        self.resize(2)

    def test_second_request(self) -> None:
        """What is asked for while Heat is at work is served after it; both updates run to their
        end."""
        count = len(self.cluster.workers())
        before = self._updates()
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
        self.assertEqual(
            ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"] * 2, self._updates()[len(before) :]
        )

    def _updates(self) -> list[str]:
        """What became of the cluster's stack, in Heat's words, the oldest first."""
        stack = self.cluster.stack()
        path = f"/stacks/{stack['stack_name']}/{stack['id']}/events?resource_name="
        events = self.demo.cloud.get("orchestration", path + stack["stack_name"])["events"]
        ordered = sorted(events, key=lambda one: str(one["event_time"]))
        return [one["resource_status"] for one in ordered if "UPDATE" in one["resource_status"]]

    def test_unknown_node(self) -> None:
        """A node to remove that is not there is a 400 that names those that are."""
        error = self.assertRaises(
            CommandError, living.ask_resize, self.cluster, 1, remove=("nobody",)
        )
        self.assertIn("Node nobody is not in node group default-worker", error.output)
