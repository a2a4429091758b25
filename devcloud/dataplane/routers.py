# SPDX-License-Identifier: Apache-2.0
"""Routers and floating IPs as commands and nftables text. Pure.

A router is a network namespace with one veth per port. What a namespace lacks or has too much is
the difference between what was observed in it and what Neutron wants, so that it does not matter
whether the daemon was restarted in between.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from devcloud import settings
from devcloud.dataplane.network_model import SHORT_ID, Router, RouterPort

NAT_TABLE = "dc-router"
DEFAULT_ROUTE = "default"  # ip(8)'s name of 0.0.0.0/0
Command = tuple[str, ...]  # arguments of ip(8) inside the router's namespace


@dataclass(frozen=True)
class Device:
    """An interface seen in a router's namespace."""

    name: str
    mac: str
    mtu: int
    addresses: frozenset[str] = frozenset()  # with prefix length


@dataclass(frozen=True)
class Observed:
    """What a router's namespace holds."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    routes: frozenset[tuple[str, str]] = frozenset()  # (destination, next hop), static ones


@dataclass(frozen=True)
class Plan:
    """The steps from what is observed to what is wanted."""

    remove_devices: tuple[str, ...] = ()
    add_ports: tuple[RouterPort, ...] = ()
    commands: tuple[Command, ...] = ()
    new_addresses: tuple[str, ...] = ()  # neighbours may know them at another router

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.remove_devices or self.add_ports or self.commands)


def namespace_name(router_id: str) -> str:
    """Return the network namespace of a router."""
    return settings.ROUTER_NETNS_PREFIX + router_id[:SHORT_ID]


def device_name(port: RouterPort) -> str:
    """Return the name of a router's port inside its namespace."""
    return ("qg" if port.external else "qr") + port.id[:SHORT_ID]


def wanted_addresses(router: Router) -> dict[str, frozenset[str]]:
    """Return the addresses of each device: the port's own, and outside the floating IPs."""
    floating = {f"{address}/32" for address, _ in router.floating}
    return {
        device_name(port): frozenset({*port.addresses, *(floating if port.external else ())})
        for port in router.ports
    }


def plan(observed: Observed, router: Router) -> Plan:
    """Return what must be done in a router's namespace.

    A device whose hardware address is not the port's is made anew.
    """
    ports = {device_name(port): port for port in router.ports}
    right = {
        name
        for name, device in observed.devices.items()
        if name in ports and device.mac == ports[name].mac
    }
    commands: list[Command] = []
    new: list[str] = []
    for name, addresses in sorted(wanted_addresses(router).items()):
        have = observed.devices[name].addresses if name in right else frozenset()
        for address in sorted(have - addresses):
            commands.append(("address", "delete", address, "dev", name))
        for address in sorted(addresses - have):
            commands.append(("address", "add", address, "dev", name))
            new.append(address.split("/")[0])
        if name not in right or observed.devices[name].mtu != ports[name].mtu:
            commands.append(("link", "set", name, "mtu", str(ports[name].mtu)))
        if name not in right:
            commands.append(("link", "set", name, "up"))
    routes = frozenset(router.routes)
    for destination, _ in sorted(observed.routes - routes):
        commands.append(("route", "delete", destination))
    for destination, next_hop in sorted(routes - observed.routes):
        commands.append(("route", "replace", destination, "via", next_hop, "protocol", "static"))
    return Plan(
        remove_devices=tuple(sorted(set(observed.devices) - right)),
        add_ports=tuple(port for name, port in sorted(ports.items()) if name not in right),
        commands=tuple(commands),
        new_addresses=tuple(new),
    )


def nat_rules(router: Router) -> str:
    """Return the nft text that replaces the router's address translation in one transaction.

    Nothing beyond the external network can be reached, as the host does not forward. The router
    says so at once, so that a look-up at a public name server fails in milliseconds: the kernel's
    own ``unreachable`` routes answer a few times per second only.

    As in Neutron's own agent, traffic between a router's networks is not translated, traffic to
    the outside comes from the machine's floating IP or the router's own address, and so does
    traffic from inside to a floating IP, whose answers must come back through the router.
    """
    lines = [f"table ip {NAT_TABLE} {{}}", f"delete table ip {NAT_TABLE}"]
    outside = next((port for port in router.ports if port.external), None)
    if outside is None or not outside.addresses:
        return "\n".join(lines) + "\n"
    device = device_name(outside)
    own = outside.addresses[0].split("/")[0]
    inside = _inside_networks(router.ports)
    to_fixed = ", ".join(f"{floating} : {fixed}" for floating, fixed in router.floating)
    to_floating = ", ".join(f"{fixed} : {floating}" for floating, fixed in router.floating)
    reachable = ", ".join(_reachable_outside(router, outside))
    lines += [
        f"table ip {NAT_TABLE} {{",
        "chain forwarding {",
        "type filter hook forward priority filter; policy accept;",
        f'oifname "{device}" ip daddr != {{ {reachable} }} reject with icmp type net-unreachable',
        "}",
    ]
    if router.floating:
        lines += [
            "chain arriving {",
            "type nat hook prerouting priority dstnat; policy accept;",
            f"dnat to ip daddr map {{ {to_fixed} }}",
            "}",
        ]
    lines += ["chain leaving {", "type nat hook postrouting priority srcnat; policy accept;"]
    if router.floating:
        lines.append(f'oifname "{device}" snat to ip saddr map {{ {to_floating} }}')
        if inside:
            hairpin = f'oifname != "{device}" ct status dnat ip saddr {{ {inside} }}'
            lines += [
                f"{hairpin} snat to ip saddr map {{ {to_floating} }}",
                f"{hairpin} snat to {own}",
            ]
    if router.source_nat:
        lines.append(f'oifname "{device}" ip saddr != {own} snat to {own}')
    lines += ["}", "}"]
    return "\n".join(lines) + "\n"


def _reachable_outside(router: Router, outside: RouterPort) -> list[str]:
    """Return the external network and what static routes lead to."""
    own = {ipaddress.ip_interface(address).network for address in outside.addresses}
    routed = {
        ipaddress.ip_network(destination)
        for destination, _ in router.routes
        if destination != DEFAULT_ROUTE
    }
    networks = [net for net in own | routed if isinstance(net, ipaddress.IPv4Network)]
    return [str(network) for network in ipaddress.collapse_addresses(networks)]


def _inside_networks(ports: Iterable[RouterPort]) -> str:
    networks = {
        str(ipaddress.ip_interface(address).network)
        for port in ports
        if not port.external
        for address in port.addresses
    }
    return ", ".join(sorted(networks))
