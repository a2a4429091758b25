# SPDX-License-Identifier: Apache-2.0
"""Security groups as one nftables ruleset for the namespace of the bridges. Pure.

Two tables work together, because connection tracking belongs to the IP layer and the ports of a
bridge are known to the bridge layer only (nft(8), "ADDRESS FAMILIES"):

* the ``bridge`` table checks who a packet claims to be from, and marks it with a number of the
  machine's port: on arrival the port it came from, on forwarding the port it goes to;
* the ``inet`` table, which bridged packets pass because of ``bridge-nf-call-iptables``, tracks
  connections (one zone per bridge, as tenants' addresses may be the same) and judges new ones by
  the marked port's groups: egress before, ingress after the bridge's decision.

A port that the rules do not know passes nothing at all: a machine that starts before its port's
rules are there is closed, not open.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from devcloud import settings
from devcloud.dataplane.network_model import Port, Rule, tap_name

TABLE = settings.FIREWALL_TABLE
HOST_PORT = "dc-host"  # the host's port on the external bridge
ANY = ("0.0.0.0/0", "::/0")

# Protocol numbers of the names that the Networking API takes (IANA, "Protocol Numbers").
PROTOCOLS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ip": 0,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
WITH_PORTS = frozenset((6, 17, 33, 132, 136))


@dataclass(frozen=True)
class Filter:
    """What the filter is made of."""

    ports: tuple[Port, ...] = ()
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    bridges: Mapping[str, str] = field(default_factory=dict)


def protocol_number(rule: Rule) -> int | None:
    """Return the number of a rule's protocol, None for any protocol.

    :raises ValueError: a name that is not in the table.
    """
    if rule.protocol in (None, "any"):
        return None
    protocol = str(rule.protocol)
    number = int(protocol) if protocol.isdigit() else PROTOCOLS.get(protocol)
    if number is None:
        raise ValueError(f"unknown protocol {protocol}")
    if number == 1 and rule.ethertype == "IPv6":
        return 58  # Neutron lets "icmp" stand for ICMPv6 in a rule for IPv6
    return number


def marks(ports: Iterable[Port]) -> dict[str, int]:
    """Return a number for each port that stays the same while the port exists.

    Numbers that moved between two rulesets would let a packet on its way be judged by the rules
    of another port.
    """
    taken: dict[int, str] = {}
    for port in sorted(ports, key=lambda item: item.id):
        number = int(port.id.replace("-", "")[:7], 16) + 1
        while number in taken:
            number += 1
        taken[number] = port.id
    return {port_id: number for number, port_id in taken.items()}


def zones(bridges: Mapping[str, str]) -> dict[str, int]:
    """Return the connection tracking zone of each bridge, by the bridge's name."""
    taken: dict[int, str] = {1: settings.EXTERNAL_BRIDGE}
    for network_id, bridge in sorted(bridges.items()):
        if bridge in taken.values():
            continue
        number = int(network_id.replace("-", "")[:4], 16) or 2
        while number in taken:
            number = number % 0xFFFF + 1
        taken[number] = bridge
    return {bridge: number for number, bridge in taken.items()}


def members(ports: Iterable[Port]) -> dict[str, set[str]]:
    """Return the addresses that each group's ports may send from, by the group's id."""
    found: dict[str, set[str]] = {}
    for port in ports:
        for group in port.groups:
            own = found.setdefault(group, set())
            own.update(port.addresses)
            own.update(address for _, address in port.allowed_pairs)
    return found


def compile_filter(wanted: Filter) -> str:
    """Return the nft text that replaces the whole filter in one transaction."""
    ports = sorted(wanted.ports, key=lambda port: port.id)
    filtered = [port for port in ports if port.port_security]
    number = marks(ports)
    lines: list[str] = []
    for family in ("bridge", "inet"):
        lines += [f"table {family} {TABLE} {{}}", f"delete table {family} {TABLE}"]
    lines += _bridge_table(ports, filtered, number)
    lines += _inet_table(filtered, number, wanted)
    return "\n".join(lines) + "\n"


def _bridge_table(ports: list[Port], filtered: list[Port], number: Mapping[str, int]) -> list[str]:
    mark = [f'"{tap_name(port.id)}" : {number[port.id]}' for port in filtered]
    check = [
        f'"{tap_name(port.id)}" : '
        + (f"goto from-{tap_name(port.id)}" if port.port_security else "accept")
        for port in ports
    ]
    known = ", ".join(f'"{tap_name(port.id)}"' for port in ports)
    lines = [f"table bridge {TABLE} {{"]
    for port in filtered:
        lines += _bound_addresses(port)
    lines += [
        "chain arriving {",
        "type filter hook prerouting priority -310; policy accept;",
        *([f"meta mark set iifname map {{ {', '.join(mark)} }}"] if mark else []),
        *([f"iifname vmap {{ {', '.join(check)} }}"] if check else []),
        f'iifname "{settings.TAP_PREFIX}*" drop',
        "}",
        "chain forwarding {",
        "type filter hook forward priority -310; policy accept;",
        "meta mark set 0",
        *([f"meta mark set oifname map {{ {', '.join(mark)} }}"] if mark else []),
        *([f"oifname {{ {known} }} accept"] if known else []),
        f'oifname "{settings.TAP_PREFIX}*" drop',
        # Machines reach the host at its address on the external network, and no other of its own.
        f'oifname "{HOST_PORT}" ether type ip ip daddr != {settings.HOST_ADDRESS} drop',
        f'oifname "{HOST_PORT}" ether type ip6 drop',
        "}",
        "}",
    ]
    return lines


def _bound_addresses(port: Port) -> list[str]:
    """Only a port's own addresses may be used as a source, in IP and in ARP."""
    macs = sorted({port.mac, *(mac for mac, _ in port.allowed_pairs)})
    every = {*port.addresses, *(address for _, address in port.allowed_pairs)}
    four = _collapse(address for address in every if ":" not in address)
    six = _collapse((*(address for address in every if ":" in address), "fe80::/10", "::/128"))
    lines = [
        f"chain from-{tap_name(port.id)} {{",
        f"ether saddr != {{ {', '.join(macs)} }} drop",
    ]
    if four:
        # 0.0.0.0 is the source of an address probe (RFC 5227).
        arp = ", ".join(_collapse((*four, "0.0.0.0/32")))
        lines.append(f"ether type arp arp saddr ip {{ {arp} }} accept")
        lines.append(f"ether type ip ip saddr {{ {', '.join(four)} }} accept")
    lines += [f"ether type ip6 ip6 saddr {{ {', '.join(six)} }} accept", "drop", "}"]
    return lines


def _inet_table(filtered: list[Port], number: Mapping[str, int], wanted: Filter) -> list[str]:
    lines = [f"table inet {TABLE} {{"]
    used = sorted({group for port in filtered for group in port.groups})
    addresses = members(wanted.ports)
    for group in _remote_groups(used, wanted.rules):
        for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
            own = _collapse(
                address
                for address in addresses.get(group, ())
                if (":" in address) == (version == 6)
            )
            lines += [
                f"set {_members_name(group, version)} {{",
                f"type {kind}; flags interval;",
                *([f"elements = {{ {', '.join(own)} }}"] if own else []),
                "}",
            ]
    for group in used:
        for direction in ("ingress", "egress"):
            lines.append(f"chain {direction}-{group} {{")
            for rule in wanted.rules.get(group, ()):
                if rule.direction == direction:
                    lines += compile_rule(rule)
            lines.append("}")
    for port in filtered:
        for direction in ("ingress", "egress"):
            lines.append(f"chain {direction}-{tap_name(port.id)} {{")
            lines += [f"jump {direction}-{group}" for group in port.groups]
            lines += ["drop", "}"]
    zone = ", ".join(f'"{bridge}" : {no}' for bridge, no in sorted(zones(wanted.bridges).items()))
    lines += [
        "chain zones {",
        "type filter hook prerouting priority -300; policy accept;",
        f"ct zone set iifname map {{ {zone} }}",
        "}",
    ]
    for direction, hook, priority in (("egress", "prerouting", -150), ("ingress", "forward", 0)):
        ports = ", ".join(
            f"{number[port.id]} : goto {direction}-{tap_name(port.id)}" for port in filtered
        )
        lines += [
            f"chain check-{direction} {{",
            f"type filter hook {hook} priority {priority}; policy accept;",
            "meta mark 0 accept",
            "ct state established,related accept",
            "ct state invalid drop",
            # Neighbour discovery and multicast listener reports (RFC 4861, RFC 3810).
            "icmpv6 type { 130, 131, 132, 133, 134, 135, 136, 143 } accept",
            *([f"meta mark vmap {{ {ports} }}"] if ports else []),
            "drop",
            "}",
        ]
    lines.append("}")
    return lines


def compile_rule(rule: Rule) -> list[str]:
    """Return the nft statement of one rule: nothing for one that can allow nothing."""
    if rule.remote_unknown:
        return []
    six = rule.ethertype == "IPv6"
    parts = [f"meta nfproto {'ipv6' if six else 'ipv4'}"]
    side = "saddr" if rule.direction == "ingress" else "daddr"
    family = "ip6" if six else "ip"
    if rule.remote_group:
        parts.append(f"{family} {side} @{_members_name(rule.remote_group, 6 if six else 4)}")
    elif rule.remote_cidr and rule.remote_cidr not in ANY:
        network = ipaddress.ip_network(rule.remote_cidr, strict=False)
        if (network.version == 6) != six:
            return []
        parts.append(f"{family} {side} {network}")
    protocol = protocol_number(rule)
    if protocol is not None:
        parts.append(f"meta l4proto {protocol}")
        parts += _ports(protocol, rule)
    return [" ".join((*parts, "accept"))]


def _ports(protocol: int, rule: Rule) -> list[str]:
    low, high = rule.port_min, rule.port_max
    if protocol in (1, 58):
        name = "icmp" if protocol == 1 else "icmpv6"
        return [
            f"{name} {what} {value}"
            for what, value in (("type", low), ("code", high))
            if value is not None
        ]
    if protocol not in WITH_PORTS or (low is None and high is None):
        return []
    first, last = (high if low is None else low), (low if high is None else high)
    if (first, last) == (0, 65535) or (first, last) == (1, 65535):
        return []
    return [f"th dport {first}" if first == last else f"th dport {first}-{last}"]


def _remote_groups(used: Iterable[str], rules: Mapping[str, tuple[Rule, ...]]) -> list[str]:
    return sorted(
        {rule.remote_group for group in used for rule in rules.get(group, ()) if rule.remote_group}
    )


def _members_name(group: str, version: int) -> str:
    return f"members{version}-{group}"


def _collapse(addresses: Iterable[str]) -> list[str]:
    """Return the addresses without overlaps, which nft refuses in a set."""
    networks = [ipaddress.ip_network(address, strict=False) for address in addresses]
    collapsed = [
        *ipaddress.collapse_addresses(net for net in networks if net.version == 4),
        *ipaddress.collapse_addresses(net for net in networks if net.version == 6),
    ]
    return [str(net) for net in collapsed]
