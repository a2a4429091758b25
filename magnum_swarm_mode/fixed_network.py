# SPDX-License-Identifier: Apache-2.0
"""Plain values about the networks of a cluster's nodes; pure."""

from __future__ import annotations

import dataclasses

# Range of the subnet of a cluster that makes a network of its own.
MADE_SUBNET_CIDR = "10.0.0.0/24"


@dataclasses.dataclass(frozen=True)
class FixedNetwork:
    """An existing network and its subnet that a cluster's nodes are put on.

    ``mtu`` is in bytes; ``cidr`` is the subnet's, IPv4.
    """

    network_id: str
    subnet_id: str
    cidr: str
    mtu: int
