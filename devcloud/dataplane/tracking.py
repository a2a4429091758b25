# SPDX-License-Identifier: Apache-2.0
"""The kernel's table of tracked connections in the bridges' namespace, through netlink."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2 import netns
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

from devcloud.dataplane import fabric
from devcloud.dataplane.connections import Connection

FAMILIES = (socket.AF_INET, socket.AF_INET6)


def read() -> list[Connection]:
    """Return all tracked connections.

    :raises OSError: the kernel did not answer.
    """
    found = []
    for family in FAMILIES:
        with _table(family) as table:
            for message in table.dump():
                connection = _connection(message)
                if connection is not None:
                    found.append(connection)
    return found


def forget(connections: Iterable[Connection]) -> int:
    """Remove connections from the table; return how many were still there.

    :raises OSError: the kernel did not answer.
    """
    count = 0
    for connection in connections:
        family = socket.AF_INET6 if ":" in connection.source else socket.AF_INET
        original = NFCTAttrTuple(
            family=family,
            saddr=connection.source,
            daddr=connection.destination,
            proto=connection.protocol,
            sport=connection.source_port,
            dport=connection.destination_port,
            icmp_id=connection.icmp_id,
            icmp_type=connection.icmp_type,
            icmp_code=connection.icmp_code,
        )
        with _table(family) as table:
            try:
                table.entry("del", tuple_orig=original, zone=connection.zone)
            except Exception as error:
                if getattr(error, "code", None) != 2:  # ENOENT: it ended by itself
                    raise OSError(f"connection {connection} not forgotten: {error}") from error
            else:
                count += 1
    return count


@contextmanager
def _table(family: int) -> Iterator[Any]:
    """Open a netlink socket in the bridges' namespace."""
    netns.pushns(fabric.NAMESPACE)
    try:
        table = NFCTSocket(nfgen_family=family)
    finally:
        netns.popns()
    try:
        yield table
    finally:
        table.close()


def _connection(message: Any) -> Connection | None:
    original = message.get_attr("CTA_TUPLE_ORIG")
    if original is None:
        return None
    address, protocol = original.get_attr("CTA_TUPLE_IP"), original.get_attr("CTA_TUPLE_PROTO")
    six = address.get_attr("CTA_IP_V6_SRC") is not None
    version, icmp = ("V6", "ICMPV6") if six else ("V4", "ICMP")
    return Connection(
        zone=message.get_attr("CTA_ZONE") or 0,
        protocol=protocol.get_attr("CTA_PROTO_NUM"),
        source=address.get_attr(f"CTA_IP_{version}_SRC"),
        destination=address.get_attr(f"CTA_IP_{version}_DST"),
        source_port=protocol.get_attr("CTA_PROTO_SRC_PORT"),
        destination_port=protocol.get_attr("CTA_PROTO_DST_PORT"),
        icmp_type=protocol.get_attr(f"CTA_PROTO_{icmp}_TYPE"),
        icmp_code=protocol.get_attr(f"CTA_PROTO_{icmp}_CODE"),
        icmp_id=protocol.get_attr(f"CTA_PROTO_{icmp}_ID"),
    )
