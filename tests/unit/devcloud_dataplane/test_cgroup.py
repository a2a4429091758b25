# SPDX-License-Identifier: Apache-2.0
"""Cgroups on hosts of both kinds, played with directories."""

from pathlib import Path

import fixtures
from oslotest import base

from devcloud.dataplane import cgroup


class CgroupTest(base.BaseTestCase):
    """A group per machine in each hierarchy."""

    def setUp(self) -> None:
        super().setUp()
        self.root = Path(self.useFixture(fixtures.TempDir()).path)

    def file(self, path: str, content: str = "") -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def test_version_1_has_a_group_in_each_hierarchy(self) -> None:
        """Every version 1 hierarchy gets the group; names that are links do not count twice."""
        for name in ("memory", "systemd"):
            self.file(f"{name}/cgroup.procs")
        (self.root / "cpuacct").symlink_to("memory")
        groups = cgroup.prepare("one", root=self.root)
        self.assertEqual(
            [self.root / "memory/dc-nodes/one", self.root / "systemd/dc-nodes/one"], groups
        )
        self.assertEqual({"one"}, cgroup.names(self.root))

    def test_version_2_hands_controllers_down(self) -> None:
        """On a version 2 host there is one group, and its parent may limit memory."""
        self.file("cgroup.controllers", "cpu memory hugetlb")
        self.file("cgroup.procs")
        self.file("cgroup.subtree_control")
        self.file("dc-nodes/cgroup.controllers", "cpu memory")
        self.file("dc-nodes/cgroup.subtree_control")
        self.assertEqual([self.root / "dc-nodes/one"], cgroup.prepare("one", root=self.root))
        self.assertEqual("+memory", (self.root / "cgroup.subtree_control").read_text())

    def test_memory_limit(self) -> None:
        """The limit is in MiB and goes to the file that the hierarchy has."""
        self.file("memory/cgroup.procs")
        self.file("memory/dc-nodes/one/memory.limit_in_bytes", "max")
        cgroup.prepare("one", memory_mb=512, root=self.root)
        self.assertEqual(
            "536870912", (self.root / "memory/dc-nodes/one/memory.limit_in_bytes").read_text()
        )

    def test_cpuset_takes_what_is_above(self) -> None:
        """A version 1 cpuset group has processors before a process joins."""
        self.file("cpuset/cgroup.procs")
        self.file("cpuset/cpuset.cpus", "0-1\n")
        self.file("cpuset/dc-nodes/cpuset.cpus", "\n")
        self.file("cpuset/dc-nodes/one/cpuset.cpus", "\n")
        cgroup.prepare("one", root=self.root)
        self.assertEqual("0-1", (self.root / "cpuset/dc-nodes/one/cpuset.cpus").read_text())

    def test_processes_of_all_groups_below(self) -> None:
        """Processes in groups that a machine made itself are found too."""
        self.file("memory/cgroup.procs")
        self.file("memory/dc-nodes/one/cgroup.procs", "11\n12\n")
        self.file("memory/dc-nodes/one/docker/abc/cgroup.procs", "13\n")
        self.file("memory/dc-nodes/two/cgroup.procs", "14\n")
        self.assertEqual({11, 12, 13}, cgroup.processes("one", self.root))

    def test_remove(self) -> None:
        """All groups of a machine go; those of another stay."""
        self.file("memory/cgroup.procs")
        (self.root / "memory/dc-nodes/one/docker").mkdir(parents=True)
        (self.root / "memory/dc-nodes/two").mkdir()
        self.assertTrue(cgroup.remove("one", root=self.root))
        self.assertEqual({"two"}, cgroup.names(self.root))
