# SPDX-License-Identifier: Apache-2.0
"""Which tracked connections the security groups do not allow any more. Pure.

A packet of a connection that was once allowed passes without a look at the rules. When a rule or
a member of a group goes away, its connections must go too (as Neutron's own agents have it), so
each connection is judged anew, like a first packet: by the groups of the sender's port going out
and by those of the receiver's port coming in.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devcloud.dataplane import filter_rules
from devcloud.dataplane.filter_rules import Filter
from devcloud.dataplane.network_model import Port, Rule


@dataclass(frozen=True)
class Connection:
    """A tracked connection as its first packet was."""

    zone: int
    protocol: int
    source: str
    destination: str
    source_port: int | None = None
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    icmp_id: int | None = None


def narrower(before: Filter, after: Filter) -> bool:
    """Return whether something that was allowed before may be forbidden now.

    Only then is it worth while to look at all connections.
    """
    groups_after = {port.id: set(port.groups) for port in after.ports}
    secured_after = {port.id for port in after.ports if port.port_security}
    for port in before.ports:
        if port.id not in groups_after:
            continue  # with the port went its connections
        if not set(port.groups) <= groups_after[port.id]:
            return True
        if not port.port_security and port.id in secured_after:
            return True
    for group, rules in before.rules.items():
        if group in after.rules and not set(rules) <= set(after.rules[group]):
            return True
    members_after = filter_rules.members(after.ports)
    return any(
        not addresses <= members_after.get(group, set())
        for group, addresses in filter_rules.members(before.ports).items()
        if group in after.rules
    )


def forbidden(connections: Iterable[Connection], wanted: Filter) -> list[Connection]:
    """Return the connections that would not be let through if they began now."""
    zone_of = filter_rules.zones(wanted.bridges)
    ports: dict[tuple[int, str], Port] = {}
    for port in wanted.ports:
        zone = zone_of.get(wanted.bridges.get(port.network, ""))
        if zone is None or not port.port_security:
            continue
        for address in (*port.addresses, *(address for _, address in port.allowed_pairs)):
            ports[zone, address] = port
    members = filter_rules.members(wanted.ports)

    def allowed(connection: Connection, direction: str) -> bool:
        address = connection.destination if direction == "ingress" else connection.source
        port = ports.get((connection.zone, address))
        return port is None or any(
            matches(rule, connection, members)
            for group in port.groups
            for rule in wanted.rules.get(group, ())
            if rule.direction == direction
        )

    return [
        connection
        for connection in connections
        if not (allowed(connection, "egress") and allowed(connection, "ingress"))
    ]


def matches(rule: Rule, connection: Connection, members: Mapping[str, set[str]]) -> bool:
    """Return whether a rule lets a connection through.

    :param members: the addresses of each group's ports, see :func:`.filter_rules.members`.
    """
    far = connection.source if rule.direction == "ingress" else connection.destination
    address = ipaddress.ip_address(far)
    if rule.remote_unknown or address.version != (6 if rule.ethertype == "IPv6" else 4):
        return False
    if rule.remote_group:
        remotes = members.get(rule.remote_group, set())
        if not any(address in ipaddress.ip_network(remote) for remote in remotes):
            return False
    elif rule.remote_cidr and address not in ipaddress.ip_network(rule.remote_cidr, strict=False):
        return False
    protocol = filter_rules.protocol_number(rule)
    if protocol is None:
        return True
    return protocol == connection.protocol and _ports_match(rule, connection, protocol)


def _ports_match(rule: Rule, connection: Connection, protocol: int) -> bool:
    if protocol in (1, 58):
        return rule.port_min in (None, connection.icmp_type) and rule.port_max in (
            None,
            connection.icmp_code,
        )
    if protocol not in filter_rules.WITH_PORTS or connection.destination_port is None:
        return True
    low = 0 if rule.port_min is None else rule.port_min
    high = 65535 if rule.port_max is None else rule.port_max
    return low <= connection.destination_port <= high
