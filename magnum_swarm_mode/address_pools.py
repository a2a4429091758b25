# SPDX-License-Identifier: Apache-2.0
"""Choice of the swarm's address pool: the range that overlay networks are cut from.

It can be set only when the swarm is founded, and a pool that overlaps a network which the nodes
need (their own subnet, DNS, the OpenStack endpoints, the engine's bridges) breaks that network on
every node. So the choice is made, and an overlap refused, before anything is created.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from magnum_swarm_mode import exceptions

# Networks of the engine itself: docker0 and docker_gwbridge take the first free ranges of Docker's
# built-in list, which starts with these two.
DOCKER_BRIDGES: tuple[str, ...] = ("172.17.0.0/16", "172.18.0.0/16")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text.strip(), strict=False)


def overlapping(pool: str, taken_networks: Iterable[str]) -> list[str]:
    """Return those of ``taken_networks`` that share an address with ``pool``.

    :param pool: a CIDR.
    :param taken_networks: CIDRs or single addresses, of either IP version.
    :raises ValueError: when one of them is not an address or network.
    """
    wanted = _network(pool)
    return [
        text
        for text in taken_networks
        if (other := _network(text)).version == wanted.version and wanted.overlaps(other)
    ]


def refuse_overlap(pool: str, taken_networks: Iterable[str]) -> None:
    """Refuse a pool that was asked for explicitly and overlaps a network in use.

    :raises Refused: naming the pool and everything it overlaps.
    """
    overlaps = overlapping(pool, taken_networks)
    if overlaps:
        raise exceptions.Refused(
            f"Label swarm_address_pool={pool} overlaps {', '.join(overlaps)}, which the nodes need "
            "to reach; choose another range or leave the label out."
        )


def choose_address_pool(pools: Sequence[str], taken_networks: Iterable[str]) -> str:
    """Return the first of ``pools`` that overlaps none of ``taken_networks``.

    :param pools: CIDRs in order of preference (``[swarm_mode] address_pools``).
    :param taken_networks: CIDRs or single addresses that the nodes must be able to reach.
    :raises Refused: when none is free.
    """
    taken = list(taken_networks)
    for pool in pools:
        if not overlapping(pool, taken):
            return pool
    raise exceptions.Refused(
        "Every address pool that the operator configured for overlay networks overlaps a network "
        f"that the nodes need ({', '.join(taken)}); set the label swarm_address_pool to a free "
        "IPv4 range.",
        f"None of [swarm_mode] address_pools ({', '.join(pools)}) is free of {', '.join(taken)}; "
        "add a range.",
    )
