# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from devcloud import infrastructure, releases, settings
from devcloud.demo import shell
from devcloud.releases import Release
from tests import plan
from tests.endtoend import base, clusters, shared, snapshots
from tests.endtoend.docker import Docker, exports
from tests.endtoend.waiting import wait_for

UP_TIMEOUT = 300.0  # seconds
T = TypeVar("T")
# What a cluster leaves in Magnum's database as long as it is there.
TABLES = ("cluster_template", "cluster", "nodegroup", "x509keypair", "swarm_mode_cluster")


def switch(release: Release) -> None:
    """Let the cloud run that release of Magnum."""
    words = (shell.DEVCLOUD, "up", "--magnum", release.version)
    shell.capture(words, dict(os.environ), UP_TIMEOUT)


def at_once(*calls: Callable[[], T]) -> list[T]:
    """What the calls return that are made at the same time."""
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def rows(release: Release) -> dict[str, int]:
    """How many rows a release has of what belongs to clusters."""
    present = infrastructure.query(
        "SELECT table_name FROM information_schema.tables "
        f"WHERE table_schema = '{release.database}';"
    ).split()
    return {
        table: int(infrastructure.query(f"SELECT COUNT(*) FROM {release.database}.{table};"))
        for table in TABLES
        if table in present
    }


class TestReleases(base.EndToEndTestCase):
    """Releases of Magnum before the newest, on which everything else is tested."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.addClassCleanup(switch, releases.DEFAULT)

    def _type(self, *commands: str) -> list[str]:
        """Type these commands at the same time; what they print."""

        def typed(words: Sequence[str]) -> Callable[[], str]:
            return lambda: self.demo.run(*words)

        return at_once(*(typed(command.split()) for command in commands))

    def _check(self, version: str) -> None:
        release = releases.find(version)
        switch(release)
        self.assertIn(
            f"release of Magnum: {version}",
            shell.capture((shell.DEVCLOUD, "status"), dict(os.environ), 60),
        )
        before, rows_before = snapshots.take(), rows(release)
        network = f"--external-network {settings.EXTERNAL_NETWORK}"
        self._type(
            f"openstack coe cluster template create by-openstack --coe swarm-mode "
            f"--image ubuntu_xenial --flavor m1.small --keypair {settings.KEYPAIR} "
            f"{network} --fixed-network {settings.PRIVATE_NETWORK}",
            "magnum cluster-template-create --name by-magnum --coe swarm-mode "
            f"--image-id ubuntu_xenial --flavor-id m1.small --keypair-id {settings.KEYPAIR} "
            f"--external-network-id public --fixed-network {settings.PRIVATE_NETWORK}",
        )
        self.addCleanup(self._remove)
        self._type(
            "openstack coe cluster create by-openstack --cluster-template by-openstack "
            "--master-count 1 --node-count 1",
            "magnum cluster-create --name by-magnum --cluster-template by-magnum "
            "--manager-count 1 --node-count 1",
        )
        made = [self._cluster(name) for name in ("by-openstack", "by-magnum")]
        for cluster in made:
            cluster.wait("CREATE_COMPLETE")
        directories = [str(self.temporary_directory()) for _ in made]
        printed = self._type(
            f"openstack coe cluster config by-openstack --output-certs --dir {directories[0]}",
            f"magnum cluster-config by-magnum --dir {directories[1]}",
        )
        for text in printed:
            shared.wait_until_whole(Docker(exports(text)), 1, 1)
        self._check_installation(release)
        self._type("openstack coe cluster delete by-openstack", "magnum cluster-delete by-magnum")
        for cluster in made:
            cluster.wait_gone()
        self._type(
            "openstack coe cluster template delete by-openstack",
            "magnum cluster-template-delete by-magnum",
        )
        left = snapshots.leftovers(before)
        self.assertEqual({}, left, snapshots.describe(left))
        counted = rows(release)
        self.assertEqual(rows_before, {table: counted.get(table, 0) for table in rows_before})
        self.assertEqual(0, counted["swarm_mode_cluster"])

    def _check_installation(self, release: Release) -> None:
        """The upgrade check finds nothing but that this cloud has no https."""
        command = str(settings.VENV / "bin/magnum-swarm-mode-status")
        words = [] if release.is_default else [str(release.python)]
        words += [command, "--config-file", str(settings.ETC / "magnum/magnum.conf")]
        words += ["upgrade", "check", "--json"]
        done = subprocess.run(words, cwd="/", capture_output=True, text=True, check=False)
        self.assertEqual(1, done.returncode, done.stdout + done.stderr)
        checks = json.loads(done.stdout)["checks"]
        self.assertEqual(
            ["Endpoints for nodes"], [one["check"] for one in checks if one["result"]], str(checks)
        )

    def test_upgrade_check(self) -> None:
        """On Magnum 23, too, the upgrade check finds nothing else."""
        switch(releases.DEFAULT)
        self._check_installation(releases.DEFAULT)

    def _cluster(self, name: str) -> clusters.Cluster:
        # The API answers before the conductor has written the cluster down.
        found = wait_for(
            f"{name} to exist",
            lambda: clusters.find(self.demo, name),
            timeout=clusters.SHOWABLE,
            interval=0.5,
        )
        assert found is not None
        return found

    def _remove(self) -> None:
        """Remove what a failed test has left."""
        for name in ("by-openstack", "by-magnum"):
            if (cluster := clusters.find(self.demo, name)) is not None:
                cluster.remove()
            if self.demo.cloud.find("container-infra", f"/clustertemplates/{name}"):
                clusters.remove_template(self.demo, name)

    @plan.long
    def test_20(self) -> None:
        """On Magnum 20 both commands create, show the way into and delete a swarm."""
        self._check("20.0.2")

    @plan.long
    def test_21(self) -> None:
        """On Magnum 21 both commands create, show the way into and delete a swarm."""
        self._check("21.0.1")

    @plan.long
    def test_22(self) -> None:
        """On Magnum 22 both commands create, show the way into and delete a swarm."""
        self._check("22.0.0")
