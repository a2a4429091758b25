# SPDX-License-Identifier: Apache-2.0
"""A cluster of a node image without an engine, behind a proxy, as tools/acceptance judges it.

That takes minutes of mostly waiting, so other tests run meanwhile.
"""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devcloud import proxy, settings
from tests.endtoend import images, users
from tests.endtoend.prepared import Seen

NAME = "acceptance"
VERSION = "20.10"
TIMEOUT = 600.0  # seconds


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


def _carry_out() -> Outcome:
    """Run the program for a cluster of one manager and one worker."""
    before = len(log())
    # Not the temporary directory of the test that happens to run.
    place = tempfile.TemporaryDirectory(prefix="swarm-mode-tests-", dir="/tmp")
    with place as directory, syslog() as (address, logged):
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


_pool = ThreadPoolExecutor(1)
_begun: list[Future[Outcome]] = []


def begin() -> None:
    """Let the run begin that all tests are about, if it has not begun yet."""
    if not _begun:
        _begun.append(_pool.submit(_carry_out))


def outcome() -> Outcome:
    """What became of it; waits for it."""
    begin()
    return _begun[0].result()
