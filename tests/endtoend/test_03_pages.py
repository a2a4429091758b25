# SPDX-License-Identifier: Apache-2.0
"""The pages for users, followed word by word on the cluster of the demonstration, which is theirs.

The commands are taken from the pages themselves. Those that make this cluster and fetch its files
are the demonstration's, and those that delete it come when no test needs it any more.
"""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devcloud.demo import shell, steps
from tests import documented
from tests.endtoend import base, clusters, images, services, shared
from tests.endtoend.clusters import Server
from tests.endtoend.waiting import wait_for

DEVCLOUD = "doc/source/contributor/devcloud.rst"
FAILURES = "doc/source/reference/failures.rst"
FIRST_CLUSTER = "doc/source/user/first-cluster.rst"
LABELS = "doc/source/reference/labels.rst"
MIGRATION = "doc/source/install/migration.rst"
PREVIEW = "doc/source/user/preview.rst"
NARROW = "swarm"  # the cluster of the page about labels
IMAGE = "nginx"
# What the pages take from Docker Hub, which nobody reaches here: a name that every node has, and a
# refused connection at once in place of name servers that are waited for.
HUB = "127.0.0.1 registry-1.docker.io auth.docker.io"
BRING = images.IMPORT.replace(images.NAME, IMAGE).replace(
    "docker import ", """docker import --change 'CMD ["sleep", "86400"]' """
)
BRING += f"grep -q '{HUB}' /etc/hosts || echo '{HUB}' >> /etc/hosts\n"
TAKE_AWAY = f"sed -i '/{HUB}/d' /etc/hosts"


def commands(page: str, *beginnings: str) -> list[str]:
    """Those commands of a page that begin with one of these, in their order; all for none."""
    return [one for one in documented.commands(page) if one.startswith(beginnings or ("",))]


class PagesTestCase(base.EndToEndTestCase):
    """Somebody with a shell, the swarm's client files and a directory to work in."""

    def setUp(self) -> None:
        super().setUp()
        swarm = shared.demonstration()
        self.cluster, self.docker = swarm.cluster, swarm.docker
        self.work: Path = self.temporary_directory()

    def follow(self, lines: Iterable[str], **variables: str) -> str:
        """What commands print that are typed one after the other in one shell.

        :raises shell.CommandError: one failed
        """
        return shell.capture(
            ["bash", "-c", "\n".join(["set -e", f"cd {self.work}", *lines])],
            {**self.demo.environment, **self.docker.variables, **variables},
            timeout=300,
        )


class TestLook(PagesTestCase):
    """Pages that look at a cluster, and ask for another one."""

    def test_look(self) -> None:
        """The cluster, its stack, servers and console are there under the names that the pages
        say; a template is read and rendered; labels of the command line arrive."""
        self.assertEqual(steps.CLUSTER, self.cluster.name)
        with ThreadPoolExecutor(3) as pool:
            for case in [
                pool.submit(self._where_to_look),
                pool.submit(self._preview),
                pool.submit(self._labels),
            ]:
                case.result()

    def _where_to_look(self) -> None:
        [worker, *_] = self.cluster.workers()
        variables = {"UUID": self.cluster.uuid, "SERVER": worker.ident}
        *before, console = commands(FAILURES)
        seen = self.follow(before, **variables)
        for expected in ("CREATE_COMPLETE", "SIGNAL_COMPLETE", worker.name):
            self.assertIn(expected, seen)
        self.assertIn("magnum-swarm-mode", self.follow([console], **variables))
        listed = self.follow(commands(DEVCLOUD, "openstack server list"))
        self.assertEqual(steps.NODES, listed.count(f"{steps.CLUSTER}-"), listed)

    def _preview(self) -> None:
        show, *_ = commands(PREVIEW, "openstack ")
        [render] = commands(PREVIEW, "magnum-swarm-mode render --template-file")
        self.follow([show, render])
        found = (self.work / "preview/parameters.yaml").read_text()
        self.assertRegex(found, r"(?m)^\s*manager_count: ['\"]?3\b")

    def _labels(self) -> None:
        self.follow(commands(LABELS))
        narrow = clusters.find(self.demo, NARROW)
        assert narrow is not None
        self.addCleanup(narrow.remove)
        wait_for(
            "the two networks to be let in", lambda: self._let_in(narrow),
            lambda seen: seen >= {"192.0.2.0/24", "198.51.100.0/24"}, timeout=90,
        )  # fmt: skip
        narrow.delete()

    def _let_in(self, cluster: clusters.Cluster) -> set[str]:
        made = {one["physical_resource_id"] for one in cluster.resources()}
        rules = self.demo.cloud.get("network", "/v2.0/security-group-rules")["security_group_rules"]
        return {
            str(one["remote_ip_prefix"])
            for one in rules
            if one["security_group_id"] in made and one["port_range_min"] == 2376
        }


class TestUse(PagesTestCase):
    """Pages that run services on the swarm."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.allow_ssh()
        self.addCleanup(self._everywhere, TAKE_AWAY)
        self._everywhere(BRING)

    def _everywhere(self, script: str) -> None:
        def one(server: Server) -> None:
            self.cluster.machine(server).run(script)

        with ThreadPoolExecutor(images.WIDTH) as pool:
            list(pool.map(one, self.cluster.servers()))

    def test_use(self) -> None:
        """A service of the first cluster's page spreads over all nodes and its port is let in; a
        stack of the page about old clusters runs beside what was there."""
        self._first_cluster()
        self._migration()

    def _first_cluster(self) -> None:
        create, ps = commands(FIRST_CLUSTER, "docker service")
        self.addCleanup(self.follow, ["docker service rm web || :"])
        # A service that never settles is not waited for for ever.
        seen = self.follow([f"timeout 120 {create}", ps])
        self.assertEqual(8, len(re.findall(r"Running\s+Running", seen)), seen)

        ask, allow = commands(FIRST_CLUSTER, "openstack security group")
        groups = [line for line in self.follow([ask]).splitlines() if self.cluster.uuid in line]
        [group] = [line.split("|")[1].strip() for line in groups if " nodes " in line.lower()]
        ruled = self.follow([allow.replace("GROUP", group)])
        [rule] = re.findall(r"\|\s*id\s*\|\s*(\S+)", ruled)
        self.addCleanup(
            self.demo.cloud.call, "DELETE", "network", f"/v2.0/security-group-rules/{rule}"
        )
        self.assertIn("8080", ruled)

    def _migration(self) -> None:
        [stack] = [one for one in documented.blocks(MIGRATION) if one.language == "yaml"]
        (self.work / "stack.yaml").write_text(stack.text)
        *look, deploy = commands(MIGRATION, "docker ")
        self.addCleanup(self.follow, ["docker stack rm web || :"])
        self.follow([deploy])
        services.wait_running(self.docker, "web_web", 2)
        seen = self.follow(look)
        for name in ("web_web", "web_default", "ingress"):
            self.assertIn(name, seen)
