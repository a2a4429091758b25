# SPDX-License-Identifier: Apache-2.0
"""Choice of the swarm's address pool: the range that overlay networks are cut from.

It can be set only when the swarm is founded, and a pool that overlaps a network which the nodes
need (their own subnet, DNS, the OpenStack endpoints, the engine's bridges) breaks that network on
every node. So the choice is made, and an overlap refused, before anything is created.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from magnum_swarm_mode import exceptions, fixed_network

# Networks of the engine itself: docker0 and docker_gwbridge take the first free ranges of Docker's
# built-in list, which starts with these two.
DOCKER_BRIDGES: tuple[str, ...] = ("172.17.0.0/16", "172.18.0.0/16")


# Ranges in which no container could have an address: the kernel forwards nothing to or from the
# first four, and the last holds the address of the metadata service (RFC 6890).
SPECIAL_RANGES: Mapping[str, str] = {
    "0.0.0.0/8": "means this host",
    "127.0.0.0/8": "is for the loopback interface",
    "224.0.0.0/4": "is for multicast",
    "240.0.0.0/4": "is reserved",
    "169.254.0.0/16": "is link-local and holds the metadata service's address",
}


class Subnet(Protocol):
    """What of an existing subnet matters here."""

    @property
    def cidr(self) -> str:
        """Its range."""


def pool_for(
    asked: str,
    pools: Sequence[str],
    mask: int | None,
    *,
    subnet: Subnet | None,
    dns: str | None,
    endpoints: Iterable[str],
) -> str:
    """Return the address pool of a cluster: the one that was asked for, or the first that is free.

    :param asked: label ``swarm_address_pool``, empty where the choice is left to the driver.
    :param pools: ``[swarm_mode] address_pools``.
    :param mask: label ``swarm_address_pool_mask``.
    :param subnet: the existing subnet of the nodes, None where one is made.
    :param dns: field ``dns_nameserver``: addresses with commas or spaces between them.
    :param endpoints: addresses of OpenStack's endpoints that nodes must be able to reach.
    :raises Refused: when what was asked for overlaps what the nodes need, or nothing is free.
    """
    taken = [
        subnet.cidr if subnet else fixed_network.MADE_SUBNET_CIDR,
        *(dns or "").replace(",", " ").split(),
        *endpoints,
        *DOCKER_BRIDGES,
    ]
    if asked:
        refuse_special(asked)
        refuse_overlap(asked, taken)
        return asked
    return choose_address_pool(pools, taken, mask)


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


def why_special(pool: str) -> str | None:
    """Return why a network cannot carry the traffic of containers; None where it can.

    :param pool: a CIDR, of which no part may be special.
    """
    for special in overlapping(pool, SPECIAL_RANGES):
        return f"{special} {SPECIAL_RANGES[special]}"
    return None


def refuse_special(pool: str) -> None:
    """Refuse a pool that was asked for and in which no container could have an address.

    :raises Refused: naming the range that is special.
    """
    if reason := why_special(pool):
        raise exceptions.Refused(
            f"Label swarm_address_pool={pool} cannot carry traffic: {reason}; choose a private "
            "range such as 10.200.0.0/16, or leave the label out."
        )


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


def choose_address_pool(
    pools: Sequence[str], taken_networks: Iterable[str], mask: int | None = None
) -> str:
    """Return the first of ``pools`` that overlaps none of ``taken_networks``.

    :param pools: CIDRs in order of preference (``[swarm_mode] address_pools``).
    :param taken_networks: CIDRs or single addresses that the nodes must be able to reach.
    :param mask: prefix length, in bits, of the networks that are cut from the pool; pools that
        cannot hold several of them are passed over. None passes over none.
    :raises Refused: when none is left.
    """
    taken = list(taken_networks)
    large_enough = [pool for pool in pools if mask is None or holds_several(pool, mask)]
    for pool in large_enough:
        if not overlapping(pool, taken):
            return pool
    if not large_enough:
        raise exceptions.Refused(
            "No address pool that the operator configured for overlay networks holds several "
            f"networks of /{mask} (label swarm_address_pool_mask); choose a larger mask, or set "
            "the label swarm_address_pool to a larger range.",
            f"[swarm_mode] address_pools ({', '.join(pools)}) are all too small for /{mask}.",
        )
    raise exceptions.Refused(
        "Every address pool that the operator configured for overlay networks overlaps a network "
        f"that the nodes need ({', '.join(taken)}); set the label swarm_address_pool to a free "
        "IPv4 range.",
        f"None of [swarm_mode] address_pools ({', '.join(large_enough)}) is free of "
        f"{', '.join(taken)}; add a range.",
    )


def holds_several(pool: str, mask: int) -> bool:
    """Return whether a pool holds more than one network of a prefix length (in bits)."""
    return _network(pool).prefixlen < mask
