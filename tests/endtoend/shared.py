# SPDX-License-Identifier: Apache-2.0
"""Clusters that several tests use, each made when it is first asked for.

``demonstration``
    3 managers and 8 workers with Docker volumes and Docker 20.10, made by ``tools/demo`` itself.
``plain``
    3 managers and 2 workers without Docker volumes, with Docker 26.1, reachable by ssh.
"""

import atexit
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from devcloud import settings
from devcloud.demo import shell, steps
from tests.endtoend import clusters, snapshots, users
from tests.endtoend.clusters import Cluster
from tests.endtoend.docker import Docker, roles, whole
from tests.endtoend.waiting import wait_for

DEMO_TIMEOUT = 900.0  # seconds
MANAGERS, WORKERS = 3, 8
PLAIN = "plain"
PLAIN_MANAGERS, PLAIN_WORKERS = 3, 2
LOST = ("lost-with-quorum", "lost-silent", "lost-quorum")  # other clusters of the plain template
READY_TIMEOUT = 60.0  # seconds until every node must be Ready after the cluster is complete


@dataclass(frozen=True)
class Shared:
    """A cluster, and a docker client for it."""

    cluster: Cluster
    docker: Docker


@cache
def _directory() -> Path:
    """Where client files are, until this process ends."""
    # Not the temporary directory of the test that happens to run.
    directory = tempfile.TemporaryDirectory(prefix="swarm-mode-tests-", dir="/tmp")
    atexit.register(directory.cleanup)
    return Path(directory.name)


def client(cluster: Cluster) -> Docker:
    """A docker client for ``cluster`` whose files stay until this process ends."""
    directory = _directory() / cluster.uuid
    directory.mkdir(exist_ok=True)
    return cluster.client(directory)


def run_demo(*options: str) -> str:
    """Run ``tools/demo`` as from a fresh login shell; what it printed.

    :raises AssertionError: it failed
    """
    done = subprocess.run(
        [str(settings.CHECKOUT / "tools" / "demo"), *options],
        env=shell.login_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEMO_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"tools/demo ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def find(name: str) -> Cluster | None:
    """The demo user's cluster of that name."""
    return clusters.find(users.demo(), name)


_demonstrated: dict[str, str] = {}


def demonstration_output() -> str:
    """What ``tools/demo`` printed when it made the cluster of the demonstration."""
    demonstration()
    return _demonstrated["output"]


def demonstration() -> Shared:
    """The cluster of the demonstration, made if it is not there."""
    if not _demonstrated or find(steps.CLUSTER) is None:
        _demonstrated["output"] = run_demo()
    cluster = find(steps.CLUSTER)
    assert cluster is not None
    return Shared(cluster, client(cluster))


_before: list[snapshots.Snapshot] = []


def before_everything() -> snapshots.Snapshot:
    """What there is without the shared clusters; they are removed for it if need be."""
    if not _before:
        for name in (steps.CLUSTER, PLAIN, *LOST):
            cluster = find(name)
            if cluster is not None:
                cluster.remove()
        for template in (steps.TEMPLATE, PLAIN):
            if users.demo().cloud.find("container-infra", f"/clustertemplates/{template}"):
                clusters.remove_template(users.demo(), template)
        forget()
        _before.append(snapshots.settled())
    return _before[0]


_plain: list[Shared] = []


def plain() -> Shared:
    """The plain cluster, made if it is not there."""
    if _plain:
        return _plain[0]
    user = users.demo()
    cluster = find(PLAIN)
    if cluster is not None and cluster.status()[0] != "CREATE_COMPLETE":
        cluster.remove()
        cluster = None
    if cluster is None:
        if user.cloud.find("container-infra", f"/clustertemplates/{PLAIN}") is None:
            user.run(
                *("openstack", "coe", "cluster", "template", "create", PLAIN),
                *("--coe", "swarm-mode", "--image", "debian-docker-26.1"),
                *("--flavor", "m1.small", "--keypair", settings.KEYPAIR),
                *("--external-network", settings.EXTERNAL_NETWORK),
                *("--fixed-network", settings.PRIVATE_NETWORK),
                *("--labels", "ssh_allowed_cidrs=0.0.0.0/0"),
            )
        user.run(
            *("openstack", "coe", "cluster", "create", PLAIN, "--cluster-template", PLAIN),
            *("--master-count", str(PLAIN_MANAGERS), "--node-count", str(PLAIN_WORKERS)),
        )
        cluster = find(PLAIN)
        assert cluster is not None
    cluster.wait("CREATE_COMPLETE")
    made = Shared(cluster, client(cluster))
    wait_until_whole(made.docker, PLAIN_MANAGERS, PLAIN_WORKERS)
    _plain.append(made)
    return made


def forget() -> None:
    """The shared clusters are gone: make them again when they are next asked for."""
    _plain.clear()
    _demonstrated.clear()


def wait_until_whole(
    docker: Docker, managers: int, workers: int, timeout: float = READY_TIMEOUT
) -> float:
    """Wait until so many nodes, and no others, are in the swarm and Ready; after how many seconds.

    :raises AssertionError: not in time
    """
    began = time.monotonic()
    wait_for(
        f"a swarm of {managers} managers and {workers} workers",
        lambda: roles(docker.try_nodes()),
        lambda seen: seen == whole(managers, workers),
        timeout=timeout,
    )
    return time.monotonic() - began
