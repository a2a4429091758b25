# SPDX-License-Identifier: Apache-2.0
import time
from typing import Any

from tests.endtoend import base, images, living, services
from tests.endtoend.machines import Machine
from tests.endtoend.waiting import wait_for


class TestNodeGroups(base.EndToEndTestCase):
    """A further group of workers beside the first."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster = living.cluster()
        self.docker = living.client(self.cluster)

    def groups(self) -> dict[str, Any]:
        listed = self.demo.json("coe", "nodegroup", "list", living.NAME)
        return {one["name"]: one for one in listed}

    def labels(self, hostname: str) -> str:
        return self.docker.run("node", "inspect", "--format", "{{.Spec.Labels}}", hostname).strip()

    def change(self, *words: str) -> living.Change:
        """Type a command about node groups, and wait for what comes of it."""
        began = time.monotonic()
        self.demo.run("openstack", "coe", "nodegroup", *words)
        change = living.follow(self.cluster, began)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        return change

    def test_life(self) -> None:
        """A group is created, labelled, used by a constraint, resized, and deleted without a
        trace."""
        before = {node.hostname for node in self.docker.nodes()}
        made = self.change(
            *("create", living.NAME, "fast", "--node-count", "1", "--flavor", "m1.medium"),
            *("--labels", "availability_zone=nova", "--merge-labels"),
            *("--node-labels", "disk=ssd"),
        )
        print(f"a group of 1 after {made.seconds:.1f} s", flush=True)
        group = self.groups()["fast"]
        self.assertEqual(("CREATE_COMPLETE", 1), (group["status"], group["node_count"]))
        self.assertEqual("map[disk:ssd magnum.node_group:fast]", self.labels("living-fast-0"))

        images.bring(self.cluster)
        self.bring_image_to_group()
        self.docker.run(
            *("service", "create", "--detach", "--no-resolve-image", "--name", "picky"),
            *("--constraint", "node.labels.disk==ssd", images.NAME, "sleep", "100000"),
        )
        self.addCleanup(services.remove, self.docker, "picky")
        (task,) = services.wait_running(self.docker, "picky", 1)
        self.assertEqual("living-fast-0", task.node)

        self.change("update", living.NAME, "fast", "--node-labels", "disk=nvme")
        self.assertEqual("map[disk:nvme magnum.node_group:fast]", self.labels("living-fast-0"))

        change = living.resize(self.cluster, 2, "fast")
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        self.assertEqual("map[disk:nvme magnum.node_group:fast]", self.labels("living-fast-1"))
        detail = living.call(self.cluster, "GET", "/nodegroups/fast")
        self.assertEqual(2, len(detail["node_addresses"]))

        gone = self.change("delete", living.NAME, "fast")
        print(f"the group deleted after {gone.seconds:.1f} s", flush=True)
        self.assertNotIn("fast", self.groups())
        self.assertEqual(before, {node.hostname for node in self.docker.nodes()})
        wait_for(
            "the group's servers to be gone",
            lambda: [
                one["name"]
                for one in self.demo.cloud.get("compute", "/servers/detail")["servers"]
                if one["name"].startswith("living-fast-")
            ],
            lambda names: not names,
            timeout=30,
        )

    def bring_image_to_group(self) -> None:
        """Import the image on the group's nodes, which are in a stack of their own."""
        jump = next(one.floating for one in self.cluster.managers() if one.floating)
        for address in living.call(self.cluster, "GET", "/nodegroups/fast")["node_addresses"]:
            Machine(address, jump).run(images.IMPORT)
