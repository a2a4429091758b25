# SPDX-License-Identifier: Apache-2.0
"""What Neutron wants, as typed values made from its API's answers. Pure.

The field names of the answers are those of the Networking API v2.0 reference.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devcloud import settings

SHORT_ID = 11  # characters of an id in an interface's name, which may have 15

Answer = Mapping[str, Any]  # one object of an answer of the Networking API


def tap_name(port_id: str) -> str:
    """Return the name of a machine's port on its bridge."""
    return settings.TAP_PREFIX + port_id[:SHORT_ID]


def router_tap_name(port_id: str) -> str:
    """Return the name of a router's port on its bridge."""
    return settings.ROUTER_TAP_PREFIX + port_id[:SHORT_ID]


def bridge_name(network_id: str) -> str:
    """Return the name of the bridge of a network that is not the external one."""
    return settings.NETWORK_BRIDGE_PREFIX + network_id[:SHORT_ID]


@dataclass(frozen=True)
class Rule:
    """A rule of a security group."""

    direction: str  # ingress | egress
    ethertype: str  # IPv4 | IPv6
    protocol: str | None = None  # name, number as text, or any
    port_min: int | None = None  # for ICMP the type
    port_max: int | None = None  # for ICMP the code
    remote_group: str | None = None
    remote_cidr: str | None = None
    remote_unknown: bool = False  # a remote that we cannot follow: the rule allows nothing


@dataclass(frozen=True)
class Port:
    """A port of a machine."""

    id: str
    network: str
    mac: str
    addresses: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    port_security: bool = True
    allowed_pairs: tuple[tuple[str, str], ...] = ()  # (MAC address, address or CIDR)


@dataclass(frozen=True)
class RouterPort:
    """A router's port in one network."""

    id: str
    bridge: str
    mac: str
    addresses: tuple[str, ...]  # with prefix length: "10.0.0.1/24"
    mtu: int  # bytes
    external: bool


@dataclass(frozen=True)
class Router:
    """A router with its ports and the floating IPs that lead through it."""

    id: str
    ports: tuple[RouterPort, ...] = ()
    source_nat: bool = True
    floating: tuple[tuple[str, str], ...] = ()  # (floating address, fixed address)
    routes: tuple[tuple[str, str], ...] = ()  # (destination, next hop)


@dataclass(frozen=True)
class Network:
    """Everything that Neutron wants at one moment."""

    bridges: Mapping[str, str] = field(default_factory=dict)  # network id -> bridge
    ports: tuple[Port, ...] = ()
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)  # group id -> rules
    routers: tuple[Router, ...] = ()
    statuses: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(kind, id) -> what Neutron says now; kind is floatingip or port (a router's)."""
    wanted_statuses: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(kind, id) -> what is true once all of this is applied."""


# The lists that the model is made of, in the order in which they are read.
LISTS = ("ports", "networks", "subnets", "security-groups", "routers", "floatingips")
# Which of them tell about a change, by the kind of resource that Neutron names.
_LISTS_OF_KIND = {
    "floatingip": ("floatingips",),
    "network": ("networks",),
    "port": ("ports",),
    "router": ("ports", "routers"),
    "router_gateway": ("ports", "routers"),
    "router_interface": ("ports", "routers"),
    "security_group": ("security-groups",),
    "security_group_rule": ("security-groups",),
    "subnet": ("subnets",),
}


def lists_of(kinds: Iterable[str]) -> frozenset[str]:
    """Return the lists that must be read after changes of these kinds; all for an unknown kind."""
    return frozenset(path for kind in kinds for path in _LISTS_OF_KIND.get(kind, LISTS))


def incomplete(lists: Mapping[str, list[dict[str, Any]]]) -> bool:
    """Return whether ports are on networks or subnets that the lists do not have."""
    networks = {item["id"] for item in lists["networks"]}
    subnets = {item["id"] for item in lists["subnets"]}
    return any(
        port["network_id"] not in networks
        or any(fixed["subnet_id"] not in subnets for fixed in port["fixed_ips"])
        for port in lists["ports"]
    )


def read(lists: Mapping[str, list[dict[str, Any]]]) -> Network:
    """Make the model of the lists that the Networking API answers an administrator with.

    :param lists: the answers by name, see :data:`LISTS`.
    """
    all_ports, floating = lists["ports"], lists["floatingips"]
    groups, routers = lists["security-groups"], lists["routers"]
    network_of = {item["id"]: item for item in lists["networks"]}
    subnet_of = {item["id"]: item for item in lists["subnets"]}
    bridges = {
        item["id"]: (
            settings.EXTERNAL_BRIDGE
            if item.get("provider:physical_network") == settings.PHYSICAL_NETWORK
            else bridge_name(item["id"])
        )
        for item in network_of.values()
    }
    statuses: dict[tuple[str, str], str] = {}
    wanted: dict[tuple[str, str], str] = {}
    made_routers = []
    for router in routers:
        made = _router(router, all_ports, network_of, subnet_of, bridges, floating)
        made_routers.append(made)
        for port in made.ports:
            wanted["port", port.id] = "ACTIVE"
    for port_answer in all_ports:
        if ("port", port_answer["id"]) in wanted:
            statuses["port", port_answer["id"]] = port_answer["status"]
    live_routers = {router.id for router in made_routers if _external(router)}
    for item in floating:
        key = ("floatingip", item["id"])
        statuses[key] = item["status"]
        works = item.get("fixed_ip_address") and item.get("router_id") in live_routers
        wanted[key] = "ACTIVE" if works else "DOWN"
    return Network(
        bridges=bridges,
        ports=tuple(
            sorted(
                (_port(item) for item in all_ports if _is_machine_port(item)),
                key=lambda port: port.id,
            )
        ),
        rules={
            # The API gives a group's rules in no order; the same rules shall be the same value.
            item["id"]: tuple(sorted(map(_rule, item["security_group_rules"]), key=repr))
            for item in groups
        },
        routers=tuple(sorted(made_routers, key=lambda router: router.id)),
        statuses=statuses,
        wanted_statuses=wanted,
    )


def _external(router: Router) -> bool:
    return any(port.external for port in router.ports)


def _is_machine_port(port: Answer) -> bool:
    return not str(port["device_owner"]).startswith("network:")


def _port(item: Answer) -> Port:
    return Port(
        id=item["id"],
        network=item["network_id"],
        mac=item["mac_address"],
        addresses=tuple(sorted(fixed["ip_address"] for fixed in item["fixed_ips"])),
        groups=tuple(sorted(item.get("security_groups") or ())),
        port_security=item.get("port_security_enabled", True),
        allowed_pairs=tuple(
            sorted(
                (pair.get("mac_address") or item["mac_address"], pair["ip_address"])
                for pair in item.get("allowed_address_pairs") or ()
            )
        ),
    )


def _rule(item: Answer) -> Rule:
    return Rule(
        direction=item["direction"],
        ethertype=item["ethertype"],
        protocol=None if item.get("protocol") is None else str(item["protocol"]).lower(),
        port_min=item.get("port_range_min"),
        port_max=item.get("port_range_max"),
        remote_group=item.get("remote_group_id"),
        remote_cidr=item.get("remote_ip_prefix"),
        remote_unknown=bool(item.get("remote_address_group_id")),
    )


def _router(
    router: Answer,
    ports: Sequence[Answer],
    networks: Mapping[str, Answer],
    subnets: Mapping[str, Answer],
    bridges: Mapping[str, str],
    floating_ips: Sequence[Answer],
) -> Router:
    made = []
    for port in ports:
        owner = str(port["device_owner"])
        if port["device_id"] != router["id"] or not owner.startswith("network:router"):
            continue
        if port["network_id"] not in networks:
            continue  # made between two reads; the next one has it
        addresses = tuple(
            f"{fixed['ip_address']}/{subnets[fixed['subnet_id']]['cidr'].split('/')[1]}"
            for fixed in port["fixed_ips"]
            # Routers are IPv4 only, as nothing outside the host could answer anything else.
            if fixed["subnet_id"] in subnets and ":" not in fixed["ip_address"]
        )
        made.append(
            RouterPort(
                id=port["id"],
                bridge=bridges[port["network_id"]],
                mac=port["mac_address"],
                addresses=addresses,
                mtu=networks[port["network_id"]].get("mtu") or settings.MTU,
                external=port["device_owner"] == "network:router_gateway",
            )
        )
    gateway = router.get("external_gateway_info") or {}
    return Router(
        id=router["id"],
        ports=tuple(sorted(made, key=lambda port: port.id)),
        source_nat=gateway.get("enable_snat", True),
        floating=tuple(
            sorted(
                (item["floating_ip_address"], item["fixed_ip_address"])
                for item in floating_ips
                if item.get("router_id") == router["id"] and item.get("fixed_ip_address")
            )
        ),
        routes=tuple(sorted(_routes(router, ports, subnets))),
    )


def _routes(
    router: Answer, ports: Sequence[Answer], subnets: Mapping[str, Answer]
) -> Iterable[tuple[str, str]]:
    """Return the static routes, and the default route that the external subnet gives."""
    for route in router.get("routes") or ():
        yield route["destination"], route["nexthop"]
    for port in ports:
        if port["device_id"] == router["id"] and port["device_owner"] == "network:router_gateway":
            for fixed in port["fixed_ips"]:
                gateway = subnets.get(fixed["subnet_id"], {}).get("gateway_ip")
                if gateway and ":" not in gateway:
                    yield "default", gateway
