# SPDX-License-Identifier: Apache-2.0
"""A cluster that is changed while it works: 1 manager and 3 workers, made when first asked for."""

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcloud import processes
from tests.endtoend import clusters, images, services, shared, users
from tests.endtoend.clusters import Cluster
from tests.endtoend.docker import Docker
from tests.endtoend.waiting import wait_for

NAME = "living"
MANAGERS, WORKERS = 1, 3
LABELS = {"ssh_allowed_cidrs": "0.0.0.0/0", "drain_timeout": "60"}
TIMEOUT = 420.0  # seconds that one change may take
CONDUCTOR = "magnum-conductor"
# Asks one task after the other, and says how many answered and how many did not.
_ASK = r"""
find() {{ nslookup tasks.{web} | awk '/^Name:/ {{n=1}} n && /^Address/ {{print $NF}}'; }}
while true; do
  for address in $(find); do
    answer=$(printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 3 $address 8080 | tail -n 1)
    if [ -n "$answer" ]; then echo "answered $answer"; else echo "silent $address"; fi
  done
  sleep 0.3
done
"""


@dataclass(frozen=True)
class Change:
    """How a change of the cluster went."""

    seconds: float
    status: str
    reason: str
    reasons: tuple[str, ...]  # those that were seen meanwhile


def cluster() -> Cluster:
    """The cluster, made if it is not there."""
    user = users.demo()
    found = clusters.find(user, NAME)
    if found is None:
        if user.cloud.find("container-infra", f"/clustertemplates/{NAME}") is None:
            clusters.make_template(user, NAME, image_id="debian-docker-26.1", labels=LABELS)
        found = clusters.ask_for(user, NAME, NAME, MANAGERS, WORKERS)
        found.wait("CREATE_COMPLETE")
    return found


def remove() -> None:
    """Remove the cluster and its template, if they are there."""
    user = users.demo()
    found = clusters.find(user, NAME)
    if found is not None:
        found.remove()
    if user.cloud.find("container-infra", f"/clustertemplates/{NAME}") is not None:
        clusters.remove_template(user, NAME)


def client(of: Cluster) -> Docker:
    """A docker client that talks to the manager that Magnum names."""
    record = of.record()
    assert record is not None
    address = record["api_address"].removeprefix("tcp://").rpartition(":")[0]
    return shared.client(of).at(address)


def call(of: Cluster, method: str, path: str, body: object = None) -> Any:
    """Call Magnum's newest API about the cluster."""
    return of.user.cloud.call(
        method,
        "container-infra",
        f"/clusters/{of.uuid}{path}",
        body,
        headers={"OpenStack-API-Version": "container-infra latest"},
    )


def ask_resize(of: Cluster, count: int, group: str = "", remove: tuple[str, ...] = ()) -> None:
    """Ask for another number of nodes, and do not wait."""
    words = ["openstack", "coe", "cluster", "resize", of.name, str(count)]
    for name in remove:
        words += ["--nodes-to-remove", name]
    if group:
        words += ["--nodegroup", group]
    of.user.run(*words)


def resize(of: Cluster, count: int, group: str = "", remove: tuple[str, ...] = ()) -> Change:
    """Have another number of nodes, and say how that went."""
    began = time.monotonic()
    ask_resize(of, count, group, remove)
    return follow(of, began)


def follow(of: Cluster, began: float) -> Change:
    """Wait until an operation that was just asked for has ended."""
    reasons: list[str] = []

    def look() -> tuple[str, str]:
        seen = of.status()
        if seen[1] and seen[1] not in reasons:
            reasons.append(seen[1])
        return seen

    wait_for(
        "the operation to begin",
        look,
        lambda seen: seen[0].endswith("_IN_PROGRESS"),
        timeout=30,
        interval=0.3,
    )
    status, reason = wait_for(
        f"{of.name} to be changed",
        look,
        lambda seen: not seen[0].endswith("_IN_PROGRESS"),
        timeout=TIMEOUT,
        interval=1,
    )
    return Change(time.monotonic() - began, status, reason, tuple(reasons))


def asker(docker: Docker, name: str, network: str, web: str) -> str:
    """Ask every task of ``web`` from a manager, again and again."""
    docker.run(
        *("service", "create", "--detach", "--no-resolve-image", "--name", name),
        *("--network", network, "--endpoint-mode", "dnsrr", "--constraint", "node.role==manager"),
        *(images.NAME, "sh", "-c", _ASK.format(web=web)),
    )
    services.wait_running(docker, name, 1)
    return name


def answers(docker: Docker, name: str) -> tuple[int, int]:
    """How many requests of an asker were answered, and how many were not."""
    said = docker.run("service", "logs", "--raw", name)
    return len(re.findall(r"^answered", said, re.M)), len(re.findall(r"^silent", said, re.M))


def kill_conductor(python_path: str | None = None) -> None:
    """Kill the conductor at once with all its workers, and start another.

    :param python_path: where the other one finds modules beside those of its environment; empty for
        nowhere, None for where the former one did.
    """
    record = processes.running(CONDUCTOR)
    assert record is not None, "no conductor runs"
    place = Path(f"/proc/{record.pid}")
    environment = dict(
        line.split("=", 1) for line in (place / "environ").read_text().split("\0") if "=" in line
    )
    if python_path is not None:
        environment["PYTHONPATH"] = python_path
    title = (place / "cmdline").read_text()
    found = re.search(r"\[(.*)\]", title)  # what setproctitle makes of it
    assert found, title
    os.killpg(record.pid, signal.SIGKILL)
    processes.start(
        processes.Service(name=CONDUCTOR, command=tuple(found[1].split()), environment=environment)
    )
