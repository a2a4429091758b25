# SPDX-License-Identifier: Apache-2.0
import re

from devcloud.demo import steps
from tests.endtoend import base, shared


class TestMagnum(base.EndToEndTestCase):
    """What Magnum and Heat say of clusters that are complete."""

    def test_service_list(self) -> None:
        """The administrator sees the conductor up."""
        lines = self.admin.run("magnum", "service-list").splitlines()
        conductors = [line for line in lines if "magnum-conductor" in line]
        self.assertEqual(1, len(conductors), str(lines))
        self.assertRegex(conductors[0], r"\|\s*up\s*\|")

    def test_cluster_show(self) -> None:
        """Status, addresses and versions are filled in, the same in both commands."""
        swarm = shared.demonstration()
        shown = self.demo.json("coe", "cluster", "show", steps.CLUSTER)
        managers = swarm.cluster.managers()
        self.assertEqual("CREATE_COMPLETE", shown["status"])
        self.assertEqual({one.floating for one in managers}, set(shown["master_addresses"]))
        self.assertEqual(
            {one.fixed for one in swarm.cluster.workers()}, set(shown["node_addresses"])
        )
        address = re.fullmatch(r"tcp://([0-9.]+):2376", shown["api_address"])
        assert address, shown["api_address"]
        self.assertIn(address[1], shown["master_addresses"])
        version = swarm.docker.run("version", "--format", "{{.Server.Version}}").strip()
        self.assertRegex(version, r"^20\.10\.")
        self.assertEqual(version, shown["container_version"])
        self.assertTrue(shown["coe_version"])

        printed = self.demo.run("magnum", "cluster-show", steps.CLUSTER)
        for field in ("status", "api_address", "coe_version", "container_version"):
            self.assertRegex(printed, rf"\|\s*{field}\s*\|\s*{re.escape(shown[field])}\s*\|")

    def test_list(self) -> None:
        """Both commands list the cluster with its counts."""
        rows = self.demo.json("coe", "cluster", "list")
        found = next(row for row in rows if row["name"] == steps.CLUSTER)
        self.assertEqual((3, 8), (found["master_count"], found["node_count"]))
        self.assertIn(steps.CLUSTER, self.demo.run("magnum", "cluster-list"))

    def test_one_resource_per_worker(self) -> None:
        """Without Docker volume a worker is one Heat resource: the server itself."""
        plain = shared.plain()
        stack = plain.cluster.stack()["stack_name"]
        rows = self.demo.json("stack", "resource", "list", "-n", "5", stack)
        workers = {one.ident for one in plain.cluster.workers()}
        self.assertEqual(shared.PLAIN_WORKERS, len(workers))
        members = [row for row in rows if row["physical_resource_id"] in workers]
        self.assertEqual(shared.PLAIN_WORKERS, len(members))
        groups = {row["stack_name"] for row in members}
        beside = [row for row in rows if row["stack_name"] in groups and row not in members]
        self.assertEqual([], beside, "resources beside the servers in the workers' nested stacks")
        nested = [
            row
            for row in rows
            if any(row["stack_name"].startswith(f"{group}-") for group in groups)
        ]
        self.assertEqual([], nested, "resources nested in workers")

    def test_newer_engine(self) -> None:
        """The second image gives a cluster with its own engine."""
        plain = shared.plain()
        version = plain.docker.run("version", "--format", "{{.Server.Version}}").strip()
        self.assertRegex(version, r"^26\.1\.")
        record = plain.cluster.record()
        assert record is not None
        self.assertEqual(version, record["container_version"])
