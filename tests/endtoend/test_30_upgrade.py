# SPDX-License-Identifier: Apache-2.0
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from devcloud import settings
from devcloud.demo import rest
from devcloud.demo.shell import CommandError
from tests import cases, lasting
from tests.endtoend import base, clusters, conductors, images, living, services, shared
from tests.endtoend.clusters import Cluster
from tests.endtoend.docker import Docker, Node
from tests.endtoend.machines import Machine
from tests.endtoend.users import User
from tests.endtoend.waiting import wait_for

NAME = "upgraded"
OLD, NEW, BAD = "upgrade-20.10", "upgrade-26.1", "upgrade-bad"
OLD_IMAGE, NEW_IMAGE = "ubuntu_xenial", "debian-docker-26.1"
# UPGRADE_WORKERS=6 UPGRADE_KILLS=10 is where the documentation's larger upgrade is from.
MANAGERS, WORKERS = 3, int(os.environ.get("UPGRADE_WORKERS", "2"))
BATCH = 2
REPLICAS = 2 * WORKERS
# How often a conductor is killed while the cluster is upgraded.
KILLS = int(os.environ.get("UPGRADE_KILLS", "1"))
# UPGRADE_RESUME=1 has what was wrong with the bad image mended, and the upgrade go on, before that
# is taken back.
RESUME = os.environ.get("UPGRADE_RESUME") == "1"
SEED = int(os.environ.get("UPGRADE_SEED", "30"))
# Seconds between which it is killed.
MOMENTS = (2.0, 40.0)
TIMEOUT = 900.0  # seconds that one operation may take where others are under way


@dataclass
class Watch:
    """Looks at a service and brings the tests' image to new nodes, until it is stopped."""

    cluster: Cluster
    docker: Docker
    service: str
    fewest: int = REPLICAS
    unseen: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._known = {node.ident for node in self.docker.nodes()}
        # Managers keep their addresses.
        self._doors = [one.floating for one in self.cluster.managers() if one.floating]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self.stopped.set()
        self._thread.join(60)

    def _run(self) -> None:
        with ThreadPoolExecutor(3) as pool:
            while not self.stopped.wait(0.5):
                for node in self._nodes():
                    if node.status == "Ready" and node.ident not in self._known:
                        self._known.add(node.ident)
                        if "-worker-" in node.hostname:
                            pool.submit(self._bring, node.hostname)
                seen = self._running()
                if seen is None:
                    self.unseen += 1
                else:
                    self.fewest = min(self.fewest, seen)

    def _nodes(self) -> list[Node]:
        for door in self._doors:
            if found := self.docker.at(door).try_nodes():
                return found
        return []

    def _running(self) -> int | None:
        for door in self._doors:
            found = services.tasks(self.docker.at(door), self.service)
            if found:
                return sum(one.state == "Running" for one in found)
        return None

    def _bring(self, hostname: str) -> None:
        for _ in range(20):
            try:
                for one in self.cluster.servers():
                    if one.name == hostname:
                        self.cluster.machine(one).run(images.IMPORT)
                        return
            except (CommandError, OSError, StopIteration):
                pass
            time.sleep(1)


def bad_image(user: User) -> str:
    """Make an image that no server can be made of; its id."""
    body = {
        "name": BAD,
        "disk_format": "raw",
        "container_format": "bare",
        "os_distro": "debian",
    }
    ident: str = user.cloud.call("POST", "image", "/v2/images", body)["id"]
    rest.request(
        "PUT",
        f"{user.cloud.endpoint('image')}/v2/images/{ident}/file",
        "no system",
        {"X-Auth-Token": user.cloud.token, "Content-Type": "application/octet-stream"},
    )
    return ident


class TestUpgrade(base.EndToEndTestCase):
    """A cluster whose nodes are replaced by others of another image while it works."""

    beside = "conductors"

    def setUp(self) -> None:
        super().setUp()
        for name, image in ((OLD, OLD_IMAGE), (NEW, NEW_IMAGE)):
            clusters.make_template(self.demo, name, image_id=image, labels=living.LABELS)
            self.addCleanup(clusters.remove_template, self.demo, name)
        ident = self.bad_image = bad_image(self.demo)
        self.addCleanup(self.demo.cloud.call, "DELETE", "image", f"/v2/images/{ident}")
        clusters.make_template(self.demo, BAD, image_id=ident, labels=living.LABELS)
        self.addCleanup(clusters.remove_template, self.demo, BAD)
        self.cluster = clusters.ask_for(self.demo, NAME, OLD, MANAGERS, WORKERS)
        self.addCleanup(self.cluster.remove)
        self.cluster.wait("CREATE_COMPLETE")
        # Any of them goes on where another one dies, and three look three times as often.
        conductors.start_others()
        self.addCleanup(conductors.stop_others)
        self.docker = shared.client(self.cluster)
        shared.wait_until_whole(self.docker, MANAGERS, WORKERS)

    def upgrade(self, template: str, *more: str) -> float:
        """Ask for an upgrade by the command; when."""
        began = time.monotonic()
        self.demo.run("openstack", "coe", "cluster", "upgrade", NAME, template, *more)
        return began

    def load(self) -> tuple[Watch, str]:
        """A service of four tasks, and one that asks it from a node that is not upgraded."""
        began = time.monotonic()
        self.demo.run(
            *("openstack", "coe", "nodegroup", "create", NAME, "asking", "--node-count", "1")
        )
        change = living.follow(self.cluster, began, TIMEOUT)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        images.bring(self.cluster)
        door = self.cluster.managers()[0].floating
        for address in living.call(self.cluster, "GET", "/nodegroups/asking")["node_addresses"]:
            Machine(address, door).run(images.IMPORT)
        network = services.overlay(self.docker, "net")
        self.docker.run(
            *("service", "create", "--detach", "--no-resolve-image", "--name", "web"),
            *("--network", network, "--endpoint-mode", "dnsrr", "--restart-delay", "1s"),
            *("--constraint", "node.role==worker", "--replicas", str(REPLICAS)),
            *("--constraint", "node.labels.magnum.node_group!=asking"),
            *("--stop-grace-period", "5s", images.NAME, "sh", "-c", services.WEB),
        )
        services.wait_running(self.docker, "web", REPLICAS)
        asker = "node.labels.magnum.node_group==asking"
        self.docker.run(
            *("service", "create", "--detach", "--no-resolve-image", "--name", "asker"),
            *("--network", network, "--endpoint-mode", "dnsrr", "--constraint", asker),
            *(images.NAME, "sh", "-c", living.ASK.format(web="web")),
        )
        services.wait_running(self.docker, "asker", 1)
        watch = Watch(self.cluster, self.docker, "web")
        self.addCleanup(watch.stop)
        return watch, "asker"

    def groups(self) -> dict[str, dict[str, str]]:
        found = living.call(self.cluster, "GET", "/nodegroups")["nodegroups"]
        return {one["name"]: one for one in found}

    def engines(self) -> dict[str, str]:
        """Version of the engine of each node."""
        idents = [node.ident for node in self.docker.nodes()]
        template = "{{.Description.Hostname}} {{.Description.Engine.EngineVersion}}"
        said = self.docker.run("node", "inspect", "--format", template, *idents)
        return dict(line.split() for line in said.splitlines())

    def test_upgrade(self) -> None:
        """A bad image stops the upgrade and is taken back; then everything is upgraded from Docker
        20.10 to 26.1 while a client asks, and conductors die."""
        watch, asker = self.load()
        self._bad_image_by_group()
        addresses = self._addresses()
        began = self.upgrade(NEW, "--max-batch-size", str(BATCH))
        self._kill(began)
        change = living.follow(self.cluster, began, TIMEOUT) if self._goes_on() else None
        took = time.monotonic() - began
        status, reason = self.cluster.status()
        self.assertEqual("UPDATE_COMPLETE", status, reason)
        watch.stop()
        answered, silent = living.answers(self.docker, asker)
        nodes = MANAGERS + WORKERS
        print(
            f"{nodes} nodes upgraded in {took:.0f} s, {took / nodes:.0f} s per node; {answered} "
            f"requests answered, {silent} not; fewest running replicas {watch.fewest} of "
            f"{REPLICAS}",
            *(change.reasons if change else ()),
            sep="\n",
            flush=True,
        )
        self._whole()
        self.assertEqual(addresses, self._addresses())
        self.assertGreater(answered, 100)
        # None where the machine is quiet; a task is asked for three seconds.
        self.assertLessEqual(silent, answered // 100)
        row = "upgrade" if KILLS == 1 else "upgrade-killed"
        lasting.shown(self, row, seconds=took, refusals=silent)
        if change:
            self.assertTrue(any("Upgrading default-" in one for one in change.reasons))

    def _addresses(self) -> dict[str, tuple[str, str]]:
        return {one.name: (one.fixed, one.floating) for one in self.cluster.managers()}

    def _goes_on(self) -> bool:
        return self.cluster.status()[0].endswith("_IN_PROGRESS")

    def _kill(self, began: float) -> None:
        dice = random.Random(SEED)
        for _ in range(KILLS):
            time.sleep(dice.uniform(*MOMENTS))
            if self._goes_on():
                name = conductors.at_work(self.cluster.uuid) or dice.choice(conductors.ALL)
                conductors.kill(name)
                print(
                    f"{name} killed {time.monotonic() - began:.0f} s after the request", flush=True
                )

    def _bad_image_by_group(self) -> None:
        """Only the workers, to an image that nothing boots from, and back."""
        began = self.upgrade(BAD, "--nodegroup", "default-worker")
        change = living.follow(self.cluster, began, TIMEOUT)
        print(f"stopped after {change.seconds:.0f} s: {change.reason}", flush=True)
        self.assertEqual("UPDATE_FAILED", change.status)
        cases.shown(
            self, "upgrade-stopped", change.reason, answer=change.status, seconds=change.seconds
        )
        services.wait_running(self.docker, "web", REPLICAS)
        stopped = change.seconds
        if RESUME:
            self._mend_and_resume()
        began = self.upgrade(OLD, "--nodegroup", "default-worker")
        change = living.follow(self.cluster, began, TIMEOUT)
        print(f"back after {change.seconds:.0f} s", flush=True)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        lasting.shown(self, "upgrade-stopped", seconds=stopped)
        self._assert_named({one.name for one in self.cluster.workers()}, "", range(WORKERS))
        self.assertEqual(OLD_IMAGE, self.groups()["default-worker"]["image_id"])

    def _mend_and_resume(self) -> None:
        """A resize to the present number goes on where the upgrade had stopped."""
        link = settings.IMAGES_BY_ID / self.bad_image
        link.symlink_to("../docker-20.10")
        self.addCleanup(link.unlink)
        before, began = self.cluster.status(), time.monotonic()
        living.ask_resize(self.cluster, WORKERS)
        # What goes on is an upgrade, which takes as long as one.
        change = living.follow(self.cluster, began, TIMEOUT, before)
        print(f"resumed for {change.seconds:.0f} s: {change.reason}", flush=True)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        self._assert_named({one.name for one in self.cluster.workers()}, "g", range(WORKERS))
        self.assertEqual(self.bad_image, self.groups()["default-worker"]["image_id"])
        services.wait_running(self.docker, "web", REPLICAS)

    def _assert_named(self, names: set[str], mark: str, numbers: range) -> None:
        """Workers are called so; after an upgrade that went on their numbers are higher ones."""
        if RESUME:
            self.assertEqual(WORKERS, len(names), str(names))
            for name in names:
                self.assertRegex(name, rf"^{NAME}-worker-{mark}\d+$")
        else:
            self.assertEqual({f"{NAME}-worker-{mark}{number}" for number in numbers}, names)

    def _whole(self) -> None:
        """What Magnum, the swarm and Nova say afterwards."""
        wait_for(
            "every node to be ready",
            lambda: [n.hostname for n in self.docker.try_nodes() if n.status != "Ready"] or None,
            lambda seen: seen is None,
            timeout=60,
        )
        engines = self.engines()
        upgraded = {name: version for name, version in engines.items() if "asking" not in name}
        self.assertEqual(MANAGERS + WORKERS, len(upgraded), str(engines))
        for name, version in upgraded.items():
            self.assertTrue(version.startswith("26.1"), f"{name}: {version}")
        workers = {name for name in upgraded if "worker" in name}
        self._assert_named(workers, "g", range(1, WORKERS + 1))
        record = self.cluster.record()
        assert record is not None
        path = f"/clustertemplates/{NEW}"
        self.assertEqual(
            self.demo.cloud.get("container-infra", path)["uuid"], record["cluster_template_id"]
        )
        self.assertEqual((MANAGERS, WORKERS), (record["master_count"], record["node_count"] - 1))
        groups = self.groups()
        for name in ("default-master", "default-worker"):
            self.assertEqual(NEW_IMAGE, groups[name]["image_id"])
            self.assertEqual("UPDATE_COMPLETE", groups[name]["status"])
        services.wait_running(self.docker, "web", REPLICAS)
