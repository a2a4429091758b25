# SPDX-License-Identifier: Apache-2.0
"""A cluster of a node image without an engine, behind a proxy, as tools/acceptance judges it."""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from devcloud import proxy, settings
from tests.endtoend import base, images, users
from tests.endtoend.prepared import REGISTRY, Seen

NAME = "acceptance"
VERSION = "20.10"
TIMEOUT = 600.0  # seconds
# What a kernel without IPVS and ESP cannot do.
BROKEN = {
    "virtual-address": "nothing answers at ",
    "routing-mesh": "answers nobody",
    "encrypted": "(are ESP packets allowed?)",
}


@dataclass(frozen=True)
class Outcome:
    """What the program printed, what was seen on the cluster, and what its nodes asked for."""

    status: int
    table: str
    progress: str
    seen: Seen | None
    requests: list[tuple[str, str, str]]  # result, method, URL
    logged: list[str]  # what containers sent to the server of syslog


def log() -> list[str]:
    """The lines that the servers' proxy has written so far."""
    return proxy.PLACE.requests.read_text(encoding="utf-8").splitlines()


@contextlib.contextmanager
def syslog() -> Iterator[tuple[str, list[str]]]:
    """A server of syslog; its address, and the messages that it gets."""
    messages: list[str] = []
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((settings.HOST_ADDRESS, 0))
    server.settimeout(1)
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                messages.append(server.recv(1 << 16).decode(errors="replace"))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield f"udp://{settings.HOST_ADDRESS}:{server.getsockname()[1]}", messages
    finally:
        over.set()
        thread.join()
        server.close()


@cache
def outcome() -> Outcome:
    """What became of the one run that all tests are about: one manager and one worker."""
    before = len(log())
    with tempfile.TemporaryDirectory() as directory, syslog() as (address, logged):
        file = Path(directory) / "seen.json"
        options = {
            "name": NAME,
            "node-image": "debian-12",
            "flavor": "m1.small",
            "external-network": settings.EXTERNAL_NETWORK,
            "fixed-network": settings.PRIVATE_NETWORK,
            "keypair": settings.KEYPAIR,
            "http-proxy": proxy.URL,
            "https-proxy": proxy.URL,
            "no-proxy": f"{settings.HOST_ADDRESS},{settings.PRIVATE_CIDR}",
            "managers": "1",
            "workers": "1",
            "service-image": images.NAME,
            "patience": "30",
            "create-timeout": "420",
            "prepare": f"cd {settings.CHECKOUT} && "
            f"{sys.executable} -m tests.endtoend.prepared {file}",
        }
        labels = {
            "docker_version": VERSION,
            "ssh_allowed_cidrs": "0.0.0.0/0",
            "log_driver": "syslog",
            "log_address": address,
        }
        done = subprocess.run(
            [
                str(settings.CHECKOUT / "tools" / "acceptance"),
                *(f"--{name}={value}" for name, value in options.items()),
                *(f"--label={name}={value}" for name, value in labels.items()),
            ],
            env=users.demo().environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        seen = Seen(**json.loads(file.read_text())) if file.exists() else None
    rows = (line.split() for line in log()[before:])
    requests = [(row[2], row[4], row[5]) for row in rows if len(row) == 6]
    return Outcome(done.returncode, done.stdout, done.stderr, seen, requests, logged)


class TestEngineInstallation(base.EndToEndTestCase):
    """Nodes without an engine get one of the wanted version through the proxy they are given."""

    def setUp(self) -> None:
        super().setUp()
        self.run_ = outcome()
        self.assertIsNotNone(self.run_.seen, self.run_.progress + self.run_.table)

    def test_packages(self) -> None:
        """Packages come from the mirror and, for one of the nodes, out of the cache."""
        got = [
            result
            for result, method, url in self.run_.requests
            if method == "GET" and "/docker.io_" in url
        ]
        self.assertEqual(2, len(got), "each node fetches the engine once")
        self.assertTrue(all(result.endswith("/200") for result in got), got)
        hits = [one for one in self.run_.requests if "HIT" in one[0] and one[2].endswith(".deb")]
        self.assertNotEqual([], hits, "no package came out of the cache")

    def test_logs(self) -> None:
        """What containers say arrives at the server of syslog that a label names."""
        found = [one for one in self.run_.logged if "probe " in one]
        self.assertNotEqual([], found, str(self.run_.logged[:3]))

    def test_engine(self) -> None:
        """The engine has the version and stays at it; nothing of the installation is left."""
        assert self.run_.seen
        self.assertEqual(VERSION, ".".join(self.run_.seen.version.split(".")[:2]))
        self.assertEqual("disabled\ndocker.io", self.run_.seen.left)

    def test_proxy(self) -> None:
        """The engine asks the proxy for a registry, and nothing asks it for what is excepted."""
        self.assertIn(("TCP_DENIED/403", "CONNECT", f"{REGISTRY}:443"), self.run_.requests)
        direct = [one for one in self.run_.requests if settings.HOST_ADDRESS in one[2]]
        self.assertEqual([], direct, "no_proxy is not honoured")


class TestAcceptance(base.EndToEndTestCase):
    """What tools/acceptance says of this cloud."""

    def test_table(self) -> None:
        """What this kernel cannot do is shown as failed, with the reason; all else passes."""
        run = outcome()
        rows = [line.split(maxsplit=3) for line in run.table.splitlines()[1:-1]]
        failed = {row[0]: row[3] for row in rows if row[1] == "FAILED"}
        self.assertEqual(set(BROKEN), set(failed), run.progress + run.table)
        for name, reason in BROKEN.items():
            self.assertIn(reason, failed[name])
        self.assertEqual("11 passed, 3 failed, 0 not tried", run.table.splitlines()[-1])
        self.assertEqual(1, run.status)

    def test_nothing_is_left(self) -> None:
        """Neither its cluster nor its template stays."""
        outcome()
        for path in (f"/clusters/{NAME}", f"/clustertemplates/{NAME}"):
            self.assertIsNone(self.demo.cloud.find("container-infra", path))
