# SPDX-License-Identifier: Apache-2.0
"""Looks at a cluster that tools/acceptance made, and brings it the image of its services.

    python -m tests.endtoend.prepared FILE

That program calls this one as soon as the cluster is complete; what was seen goes to FILE.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

from devcloud import settings
from tests.endtoend import clusters, images, users
from tests.endtoend.docker import Docker

REGISTRY = "registry.example"  # there is no such place (RFC 2606)
LEFT = """
test -e /usr/sbin/policy-rc.d && echo guard
systemctl is-enabled haproxy.service
apt-mark showhold
"""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What there was on the cluster."""

    version: str  # of the engine
    left: str  # by the installation on the manager
    pulls: tuple[str, str]  # what an engine says of a registry behind the proxy, and of one beside


def look(cluster: clusters.Cluster, docker: Docker) -> Seen:
    """Look at a cluster of one manager."""
    return Seen(
        version=docker.run("version", "--format", "{{.Server.Version}}").strip(),
        left=cluster.machine(cluster.managers()[0]).text(LEFT),
        pulls=(
            docker.refused("pull", f"{REGISTRY}/nothing"),
            docker.refused("pull", f"{settings.HOST_ADDRESS}:1/nothing"),
        ),
    )


def main() -> None:
    """Look, write down, and bring the image."""
    cluster = clusters.Cluster(users.demo(), "prepared", os.environ["CLUSTER"])
    variables = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    seen = look(cluster, Docker(variables))
    Path(sys.argv[1]).write_text(json.dumps(dataclasses.asdict(seen)), encoding="utf-8")
    images.bring(cluster, everywhere=True)


if __name__ == "__main__":
    main()
