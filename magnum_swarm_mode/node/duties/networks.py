# SPDX-License-Identifier: Apache-2.0
"""MTU of the networks that Swarm makes by itself: docker_gwbridge and ingress.

Neither obeys daemon.json's "mtu", and the engine of a Debian 12 knows no default-network-opts.
"""

from typing import Any, Dict

from ..base import wait
from ..base.docker import Docker
from ..base.errors import Temporary

_MTU = "com.docker.network.driver.mtu"
_BRIDGE = "com.docker.network.bridge."
GATEWAY = "docker_gwbridge"
INGRESS = "ingress"
TIMEOUT = 90  # seconds


def mtu_of(network: Dict[str, Any]) -> int:
    """Return the MTU that a network was made for: that of the network below it, in bytes."""
    return int((network.get("Options") or {}).get(_MTU) or 1500)


def ensure_gateway(docker: Docker, mtu: int) -> None:
    """Make docker_gwbridge before the engine joins a swarm and makes it its own way.

    :raises NodeError: the engine refuses
    """
    found = docker.find(f"/networks/{GATEWAY}")
    if found and mtu_of(found) == mtu:
        return
    if found:
        docker.delete(f"/networks/{GATEWAY}")
    options = {
        _BRIDGE + "name": GATEWAY,
        _BRIDGE + "enable_icc": "false",
        _BRIDGE + "enable_ip_masquerade": "true",
        _MTU: str(mtu),
    }
    body = {"Name": GATEWAY, "Driver": "bridge", "Options": options}
    docker.call("POST", "/networks/create", body)


def ensure_ingress(docker: Docker, mtu: int) -> None:
    """Make the ingress network anew when its MTU is not right; for who founds the swarm.

    :raises NodeError: the engine refuses, for example because services use the network
    """
    body = {"Name": INGRESS, "Driver": "overlay", "Ingress": True, "Options": {_MTU: str(mtu)}}

    def attempt() -> None:
        found = docker.find(f"/networks/{INGRESS}")
        if not found:
            docker.call("POST", "/networks/create", body)
        elif mtu_of(found) != mtu:
            docker.delete(f"/networks/{INGRESS}")
            raise Temporary("the old one is being removed")

    wait.until("ingress network", attempt, TIMEOUT)
