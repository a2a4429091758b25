# SPDX-License-Identifier: Apache-2.0
"""Which existing network a cluster uses, seen through Neutron."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class FixedNetwork:
    """An existing network and its subnet that a cluster's nodes are put on.

    ``mtu`` is in bytes; ``cidr`` is the subnet's, IPv4.
    """

    network_id: str
    subnet_id: str
    cidr: str
    mtu: int


def resolve(
    session: Any,
    region: str | None,
    interface: str,
    cluster_fixed_network: str | None,
    cluster_fixed_subnet: str | None,
) -> FixedNetwork | None:
    """Find the network and subnet a user named, by name or id; None where a network is to be made."""
    raise NotImplementedError
