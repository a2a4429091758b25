# SPDX-License-Identifier: Apache-2.0
"""A cluster with further groups of workers beside the first."""

import contextlib
import time
import unittest
from typing import Any

from devcloud.demo.shell import CommandError
from tests.endtoend import images, living, services
from tests.endtoend.machines import Machine
from tests.endtoend.waiting import wait_for

CHECK = unittest.TestCase()


class Groups:
    """What becomes of a group."""

    def __init__(self) -> None:
        self.cluster = living.cluster(living.GROUPED)
        self.docker = living.client(self.cluster)

    def groups(self) -> dict[str, Any]:
        listed = self.cluster.user.json("coe", "nodegroup", "list", living.GROUPED)
        return {one["name"]: one for one in listed}

    def labels(self, hostname: str) -> str:
        return self.docker.run("node", "inspect", "--format", "{{.Spec.Labels}}", hostname).strip()

    def change(self, *words: str) -> living.Change:
        """Type a command about node groups, and wait for what comes of it."""
        began = time.monotonic()
        self.cluster.user.run("openstack", "coe", "nodegroup", *words)
        change = living.follow(self.cluster, began)
        CHECK.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        return change

    def run(self) -> None:
        """Create, label, use, resize and delete it."""
        with contextlib.ExitStack() as ends:
            self._run(ends)

    def _run(self, ends: contextlib.ExitStack) -> None:
        before = {node.hostname for node in self.docker.nodes()}
        made = self.change(
            *("create", living.GROUPED, "fast", "--node-count", "1", "--flavor", "m1.medium"),
            *("--labels", "availability_zone=nova", "--merge-labels"),
            *("--node-labels", "disk=ssd"),
        )
        print(f"a group of 1 after {made.seconds:.1f} s", flush=True)
        group = self.groups()["fast"]
        CHECK.assertEqual(("CREATE_COMPLETE", 1), (group["status"], group["node_count"]))
        CHECK.assertEqual("map[disk:ssd magnum.node_group:fast]", self.labels("grouped-fast-0"))

        made = self.change(
            *("create", living.GROUPED, "old", "--node-count", "1", "--image", "ubuntu_xenial"),
            *("--min-nodes", "1", "--max-nodes", "2"),
        )
        print(f"another group of 1 after {made.seconds:.1f} s", flush=True)
        self._check_old()
        self._check_room()

        images.bring(self.cluster)
        self.bring_image_to_group()
        self.docker.run(
            *("service", "create", "--detach", "--no-resolve-image", "--name", "picky"),
            *("--constraint", "node.labels.disk==ssd", images.NAME, "sleep", "100000"),
        )
        ends.callback(services.remove, self.docker, "picky")
        (task,) = services.wait_running(self.docker, "picky", 1)
        CHECK.assertEqual("grouped-fast-0", task.node)

        self.change("update", living.GROUPED, "fast", "--node-labels", "disk=nvme")
        CHECK.assertEqual("map[disk:nvme magnum.node_group:fast]", self.labels("grouped-fast-0"))

        change = living.resize(self.cluster, 2, "fast")
        CHECK.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        CHECK.assertEqual("map[disk:nvme magnum.node_group:fast]", self.labels("grouped-fast-1"))
        detail = living.call(self.cluster, "GET", "/nodegroups/fast")
        CHECK.assertEqual(2, len(detail["node_addresses"]))

        gone = self.change("delete", living.GROUPED, "fast")
        print(f"the group deleted after {gone.seconds:.1f} s", flush=True)
        CHECK.assertNotIn("fast", self.groups())
        left = before | {"grouped-old-0"}
        CHECK.assertEqual(left, {node.hostname for node in self.docker.nodes()})
        self._wait_gone("grouped-fast-")

        # The other one goes with the cluster.
        ends.close()
        uuid = self.groups()["old"]["uuid"]
        self.cluster.remove()
        self._wait_gone("grouped-")
        stacks = self.cluster.user.cloud.get("orchestration", "/stacks")["stacks"]
        CHECK.assertFalse([one for one in stacks if uuid in one["stack_name"]], str(stacks))

    def _check_old(self) -> None:
        """The group's image and bounds are its own."""
        words = ("node", "inspect", "--format", "{{.Description.Engine.EngineVersion}}")
        own, others = (
            self.docker.run(*words, f"grouped-{kind}-0").strip() for kind in ("old", "worker")
        )
        CHECK.assertEqual(("20.10", "26.1."), (own[:5], others[:5]))
        CHECK.assertEqual("map[magnum.node_group:old]", self.labels("grouped-old-0"))
        with CHECK.assertRaises(CommandError) as refused:
            living.ask_resize(self.cluster, 3, "old")
        CHECK.assertIn("min_node_count = 1, max_node_count = 2", refused.exception.output)

    def _check_room(self) -> None:
        """More nodes than the project's quota has room for are refused, and nothing is made.

        The subnet has addresses for them.
        """
        for words, sentence in (
            (("cluster", "resize", living.GROUPED, "150"), "The resize needs 149 servers"),
            (
                ("cluster", "resize", living.GROUPED, "150", "--nodegroup", "fast"),
                "The resize needs 149 servers",
            ),
            (
                ("nodegroup", "create", living.GROUPED, "vast", "--node-count", "150"),
                "Node group vast needs 150 servers",
            ),
        ):
            with CHECK.assertRaises(CommandError) as refused:
                self.cluster.user.run("openstack", "coe", *words)
            CHECK.assertIn(f"{sentence}, quota leaves", refused.exception.output)
        CHECK.assertEqual("UPDATE_COMPLETE", self.cluster.status()[0])
        CHECK.assertNotIn("vast", self.groups())

    def _wait_gone(self, prefix: str) -> None:
        """Wait until no server's name begins so."""
        wait_for(
            f"servers of {prefix} to be gone",
            lambda: [
                one["name"]
                for one in self.cluster.user.cloud.get("compute", "/servers/detail")["servers"]
                if one["name"].startswith(prefix)
            ],
            lambda names: not names,
            timeout=30,
        )

    def bring_image_to_group(self) -> None:
        """Import the image on the group's nodes, which are in a stack of their own."""
        jump = next(one.floating for one in self.cluster.managers() if one.floating)
        for address in living.call(self.cluster, "GET", "/nodegroups/fast")["node_addresses"]:
            Machine(address, jump).run(images.IMPORT)
