# SPDX-License-Identifier: Apache-2.0
import json
import time
from concurrent.futures import ThreadPoolExecutor

from tests import lasting
from tests.endtoend import base, clusters, images, living, services, shared
from tests.endtoend.clusters import Cluster
from tests.endtoend.docker import Docker
from tests.endtoend.waiting import wait_for

TEMPLATE = "backup"
FROM, TO = "backup-from", "backup-to"
MANAGERS, WORKERS = 3, 1
LABELS = {"ssh_allowed_cidrs": "0.0.0.0/0"}
SECRET = "what-nobody-may-read"
READ = "cat /run/secrets/word /etc/greeting; exec sleep 100000"
TIMEOUT = 400.0  # seconds that one command may take


def digests(docker: Docker) -> dict[str, str]:
    """What is in a swarm: kind and name to what describes it."""
    found = {}
    for kind, listed in (
        ("service", docker.rows("service", "ls")),
        ("config", docker.rows("config", "ls")),
        ("secret", docker.rows("secret", "ls")),
        ("network", docker.rows("network", "ls", "--filter", "scope=swarm")),
    ):
        for one in listed:
            if one["Name"].startswith("magnum-swarm-mode."):
                continue  # the cluster's own
            (seen,) = json.loads(docker.run(kind, "inspect", one["Name"]))
            names = ("ID", "Spec") if kind != "network" else ("Id", "Driver", "IPAM", "Options")
            kept = {name: seen[name] for name in names}
            found[f"{kind} {one['Name']}"] = json.dumps(kept, sort_keys=True)
    return found


class TestBackup(base.EndToEndTestCase):
    """The swarm of one cluster comes back in another."""

    beside = "lasting"

    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temporary_directory()
        clusters.make_template(self.demo, TEMPLATE, image_id="debian-docker-26.1", labels=LABELS)
        self.addCleanup(clusters.remove_template, self.demo, TEMPLATE)

    def cluster(self, name: str) -> Cluster:
        """A cluster that is being made."""
        made = clusters.ask_for(self.demo, name, TEMPLATE, MANAGERS, WORKERS)
        self.addCleanup(made.remove)
        return made

    def magnum(self, *words: str) -> tuple[str, float]:
        """What a command prints, and after how many seconds it has ended."""
        began = time.monotonic()
        said = self.demo.run("magnum", *words, timeout=TIMEOUT)
        print(f"magnum {' '.join(words)}\n{said}", flush=True)
        return said, time.monotonic() - began

    def fill(self, docker: Docker) -> None:
        """Have something of every kind in the swarm."""
        network = services.overlay(docker, "inside")
        for kind, name, content in (("secret", "word", SECRET), ("config", "greeting", "hello\n")):
            file = self.directory / name
            file.write_text(content)
            docker.run(kind, "create", name, str(file))
        services.web(docker, "web", network, 2)
        docker.run(
            *("service", "create", "--detach", "--no-resolve-image", "--name", "reader"),
            *("--secret", "word", "--config", "source=greeting,target=/etc/greeting"),
            *("--constraint", "node.role==worker", images.NAME, "sh", "-c", READ),
        )
        services.wait_running(docker, "web", 2)
        living.asker(docker, "asker", network, "web", role="worker")

    def test_comes_back(self) -> None:
        """A copy is taken while services answer every request; the cluster is deleted; in another
        one the same services, networks, configs and secrets are there, and a task reads its
        secret; its root CA and join tokens are replaced."""
        source, target = self.cluster(FROM), self.cluster(TO)
        source.wait("CREATE_COMPLETE")
        docker = shared.client(source)
        images.bring(source)
        self.fill(docker)
        before = digests(docker)
        wait_for(
            "requests", lambda: living.answers(docker, "asker"), lambda n: n[0] > 3, timeout=60
        )

        file = self.directory / "copy"
        said, seconds = self.magnum("swarm-backup", FROM, "--file", str(file))
        self.assertEqual(0o600, file.stat().st_mode & 0o777)
        self.assertNotIn(SECRET, said)
        answered, silent = living.answers(docker, "asker")
        self.assertEqual(0, silent, f"{answered} requests were answered")
        lasting.shown(self, "backup", seconds=seconds, refusals=silent)
        self.assertEqual(before, digests(docker))
        self.assertEqual({"Active"}, {node.availability for node in docker.nodes()})

        with ThreadPoolExecutor(1) as pool:
            source.delete()
            gone = pool.submit(source.wait_gone)
            target.wait("CREATE_COMPLETE")
            _, seconds = self.magnum("swarm-restore", TO, "--file", str(file))
            gone.result()
        lasting.shown(self, "restore", seconds=seconds)
        restored = shared.client(target)
        self.assertEqual(before, digests(restored))
        shared.wait_until_whole(restored, MANAGERS, WORKERS)
        self.assertEqual({"Active"}, {node.availability for node in restored.nodes()})
        images.bring(target)
        services.wait_running(restored, "web", 2)
        # Not those of the service: former tasks were on nodes that are no more.
        (reader,) = services.wait_running(restored, "reader", 1)
        wait_for(
            "a task that reads its secret",
            lambda: restored.run("service", "logs", "--raw", reader.ident),
            lambda text: SECRET in text and "hello" in text,
            timeout=60,
        )
        self.rotate(restored)
        self.assertEqual("UPDATE_COMPLETE", target.status()[0])

    def rotate(self, docker: Docker) -> None:
        """The swarm's root CA and join tokens are replaced."""

        def tokens() -> list[str]:
            return [docker.run("swarm", "join-token", "-q", one) for one in ("worker", "manager")]

        root = docker.run("swarm", "ca")
        first = tokens()
        _, seconds = self.magnum("swarm-ca-rotate", TO)
        lasting.shown(self, "swarm-ca", seconds=seconds)
        self.assertNotEqual(root, docker.run("swarm", "ca"))
        second = tokens()
        _, seconds = self.magnum("swarm-token-rotate", TO, "--role", "worker")
        lasting.shown(self, "swarm-tokens", seconds=seconds)
        third = tokens()
        self.assertNotEqual(first[0], second[0])
        self.assertNotEqual(second[0], third[0])
        self.assertEqual(second[1], third[1])
        shared.wait_until_whole(docker, MANAGERS, WORKERS)
