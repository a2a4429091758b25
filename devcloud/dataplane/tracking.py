# SPDX-License-Identifier: Apache-2.0
"""The kernel's table of tracked connections in the bridges' namespace."""

import re
import socket
from collections.abc import Iterable

from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

from devcloud.dataplane import fabric
from devcloud.dataplane.connections import Connection

NO_SUCH_ENTRY = 2  # ENOENT: a connection that ended by itself
_FIELD = re.compile(r"(\w+)=(\S+)")


def parse(line: str) -> Connection | None:
    """Return the connection of one line of ``/proc/net/nf_conntrack``, None for an odd line.

    A line has family, protocol and state, then the original packet's fields, then the reply's:
    ``ipv4 2 tcp 6 117 TIME_WAIT src=… dst=… sport=… dport=… src=… … zone=1 use=2``.
    """
    words = line.split()
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(line):
        fields.setdefault(name, value)  # the original packet's come first
    if len(words) < 4 or not words[3].isdigit() or "src" not in fields:
        return None

    def number(name: str) -> int | None:
        return int(fields[name]) if name in fields else None

    return Connection(
        zone=number("zone") or 0,
        protocol=int(words[3]),
        source=fields["src"],
        destination=fields["dst"],
        source_port=number("sport"),
        destination_port=number("dport"),
        icmp_type=number("type"),
        icmp_code=number("code"),
        icmp_id=number("id"),
    )


def read() -> list[Connection]:
    """Return all tracked connections.

    From the file: netlink's answers take pyroute2 milliseconds per connection to read.

    :raises commands.CommandError: this kernel shows no connections there.
    """
    text = fabric.in_namespace("cat", "/proc/net/nf_conntrack")
    found = (parse(line) for line in text.splitlines())
    return [connection for connection in found if connection is not None]


def forget(connections: Iterable[Connection]) -> int:
    """Remove connections from the table; return how many were still there.

    :raises OSError: the kernel did not answer.
    """
    count = 0
    tables: dict[int, NFCTSocket] = {}
    try:
        for connection in connections:
            family = socket.AF_INET6 if ":" in connection.source else socket.AF_INET
            if family not in tables:
                tables[family] = NFCTSocket(nfgen_family=family, netns=fabric.NAMESPACE)
            count += _forget(tables[family], family, connection)
    finally:
        for table in tables.values():
            table.close()
    return count


def _forget(table: NFCTSocket, family: int, connection: Connection) -> bool:
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
    try:
        table.entry("del", tuple_orig=original, zone=connection.zone)
    except Exception as error:
        if getattr(error, "code", None) == NO_SUCH_ENTRY:
            return False
        raise OSError(f"{connection} not forgotten: {error}") from error
    return True
