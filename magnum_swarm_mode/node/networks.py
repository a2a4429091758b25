# SPDX-License-Identifier: Apache-2.0
"""MTU of the networks that Swarm makes by itself: docker_gwbridge and ingress.

Neither obeys daemon.json's "mtu", and the engine of a Debian 12 knows no default-network-opts.
"""

from typing import Any, Dict

from . import wait
from .docker import Docker
from .errors import Temporary

MTU_OPTION = "com.docker.network.driver.mtu"
GATEWAY = "docker_gwbridge"
INGRESS = "ingress"
DEFAULT_MTU = 1500
TIMEOUT = 90  # seconds


def mtu_of(network: Dict[str, Any]) -> int:
    """Return the MTU that a network was made for: that of the network below it, in bytes."""
    return int((network.get("Options") or {}).get(MTU_OPTION) or DEFAULT_MTU)


def ensure_gateway(docker: Docker, mtu: int) -> None:
    """Make docker_gwbridge before the engine joins a swarm and makes it its own way.

    :raises NodeError: the engine refuses
    """
    found = docker.find("/networks", GATEWAY)
    if found and mtu_of(found) == mtu:
        return
    if found:
        docker.delete(f"/networks/{GATEWAY}")
    docker.call(
        "POST",
        "/networks/create",
        {
            "Name": GATEWAY,
            "Driver": "bridge",
            "Options": {
                "com.docker.network.bridge.name": GATEWAY,
                "com.docker.network.bridge.enable_icc": "false",
                "com.docker.network.bridge.enable_ip_masquerade": "true",
                MTU_OPTION: str(mtu),
            },
        },
    )


def ensure_ingress(docker: Docker, mtu: int) -> None:
    """Make the ingress network anew when its MTU is not right; for who founds the swarm.

    :raises NodeError: the engine refuses, for example because services use the network
    """

    def gone() -> None:
        docker.delete(f"/networks/{INGRESS}")
        if docker.find("/networks", INGRESS):
            raise Temporary("the old one is still there")

    def made() -> None:
        docker.call(
            "POST",
            "/networks/create",
            {
                "Name": INGRESS,
                "Driver": "overlay",
                "Ingress": True,
                "Options": {MTU_OPTION: str(mtu)},
            },
        )

    found = docker.find("/networks", INGRESS)
    if found and mtu_of(found) == mtu:
        return
    if found:
        wait.until("removal of the ingress network", gone, TIMEOUT)
    wait.until("ingress network", made, TIMEOUT)
