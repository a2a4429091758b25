# SPDX-License-Identifier: Apache-2.0
"""Clusters that are changed while they work, made when first asked for, and what changes them.

Three conductors are there to do it.
"""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.endtoend import clusters, conductors, images, services, shared, users
from tests.endtoend.clusters import Cluster
from tests.endtoend.docker import Docker
from tests.endtoend.waiting import wait_for

NAME = "living"  # of the template too
RULING = "ruling"  # its managers come and go
GROUPED = "grouped"  # it gets further groups
MANAGERS = 1
WORKERS = {NAME: 3, RULING: 2, GROUPED: 1}
LABELS = {"ssh_allowed_cidrs": "0.0.0.0/0", "drain_timeout": "60"}
ONE_UPDATE = ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]  # of Heat
TIMEOUT = 420.0  # seconds that one change may take
# Asks one task after the other, and says how many answered and how many did not.
ASK = r"""
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


_making = threading.Lock()


def cluster(name: str = NAME) -> Cluster:
    """The cluster of that name, made if it is not there."""
    user = users.demo()
    with _making:
        conductors.start_others()
        found = clusters.find(user, name)
        if found is None:
            if user.cloud.find("container-infra", f"/clustertemplates/{NAME}") is None:
                clusters.make_template(user, NAME, image_id="debian-docker-26.1", labels=LABELS)
            found = clusters.ask_for(user, name, NAME, MANAGERS, WORKERS[name])
    if found.status()[0].startswith("CREATE"):
        found.wait("CREATE_COMPLETE")
    return found


def remove() -> None:
    """Remove the clusters, their template and the other conductors, if they are there."""
    user = users.demo()
    with ThreadPoolExecutor(len(WORKERS)) as pool:
        list(pool.map(_remove, WORKERS))
    if user.cloud.find("container-infra", f"/clustertemplates/{NAME}") is not None:
        clusters.remove_template(user, NAME)
    conductors.stop_others()


def _remove(name: str) -> None:
    found = clusters.find(users.demo(), name)
    if found is not None:
        found.remove()


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
    before = of.status()
    began = time.monotonic()
    ask_resize(of, count, group, remove)
    return follow(of, began, before=before)


def follow(
    of: Cluster, began: float, timeout: float = TIMEOUT, before: tuple[str, str] | None = None
) -> Change:
    """Wait until an operation that was just asked for has ended.

    :param before: status and reason before: what is refused may be over before the first look.
    """
    reasons: list[str] = []

    def look() -> tuple[str, str]:
        seen = of.status()
        if seen[1] and seen[1] not in reasons:
            reasons.append(seen[1])
        return seen

    wait_for(
        "the operation to begin",
        look,
        lambda seen: seen[0].endswith("_IN_PROGRESS") or before not in (None, seen),
        timeout=30,
        interval=0.3,
    )
    status, reason = wait_for(
        f"{of.name} to be changed",
        look,
        lambda seen: not seen[0].endswith("_IN_PROGRESS"),
        timeout=timeout,
        interval=1,
    )
    return Change(time.monotonic() - began, status, reason, tuple(reasons))


def updates(of: Cluster) -> list[str]:
    """What became of the cluster's stack in updates, in Heat's words, the oldest first."""
    stack = of.stack()
    path = f"/stacks/{stack['stack_name']}/{stack['id']}/events?resource_name="
    events = of.user.cloud.get("orchestration", path + stack["stack_name"])["events"]
    # Heat tells the newest of a second first, and of each only the second.
    newest_first = sorted(events, key=lambda one: str(one["event_time"]), reverse=True)
    statuses = [str(one["resource_status"]) for one in newest_first]
    return [status for status in statuses[::-1] if "UPDATE" in status]


def asker(docker: Docker, name: str, network: str, web: str, *, role: str = "manager") -> str:
    """Ask every task of ``web`` from a node of that role, again and again."""
    docker.run(
        *("service", "create", "--detach", "--no-resolve-image", "--name", name),
        *("--network", network, "--endpoint-mode", "dnsrr", "--constraint", f"node.role=={role}"),
        *(images.NAME, "sh", "-c", ASK.format(web=web)),
    )
    services.wait_running(docker, name, 1)
    return name


def answers(docker: Docker, name: str) -> tuple[int, int]:
    """How many requests of an asker were answered, and how many were not."""
    said = docker.run("service", "logs", "--raw", name)
    return len(re.findall(r"^answered", said, re.M)), len(re.findall(r"^silent", said, re.M))
