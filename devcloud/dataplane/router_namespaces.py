# SPDX-License-Identifier: Apache-2.0
"""Applies routers to network namespaces: observe, ask :mod:`.routers` what to do, do it."""

import json
from collections.abc import Callable

from devcloud import settings
from devcloud.dataplane import commands, fabric, routers
from devcloud.dataplane.network_model import Router, RouterPort, router_tap_name
from devcloud.dataplane.routers import Device, Observed

Log = Callable[[str], None]


def existing() -> set[str]:
    """Return the namespaces of routers that exist, whoever made them."""
    if not fabric.NETNS_DIRECTORY.is_dir():
        return set()
    return {
        path.name
        for path in fabric.NETNS_DIRECTORY.iterdir()
        if path.name.startswith(settings.ROUTER_NETNS_PREFIX)
    }


def observe(namespace: str) -> Observed:
    """Return what a router's namespace holds.

    :raises commands.CommandError: the namespace could not be read.
    """
    devices = {}
    for item in json.loads(commands.run("ip", "-json", "-n", namespace, "address") or "[]"):
        if item.get("ifname", "lo") == "lo":
            continue
        devices[item["ifname"]] = Device(
            name=item["ifname"],
            mac=item["address"],
            mtu=item["mtu"],
            addresses=frozenset(
                f"{address['local']}/{address['prefixlen']}"
                for address in item["addr_info"]
                if address["family"] == "inet"
            ),
        )
    answer = commands.run("ip", "-json", "-n", namespace, "route", "show", "protocol", "static")
    routes = frozenset(
        (item["dst"], item["gateway"]) for item in json.loads(answer or "[]") if "gateway" in item
    )
    return Observed(devices, routes)


def apply(router: Router, log: Log) -> bool:
    """Bring one router's namespace to what Neutron wants; do nothing where it is so already.

    :return: whether the namespace is a new one, which has no address translation yet.
    :raises commands.CommandError: the kernel refused a step; a later call goes on from there.
    """
    namespace = routers.namespace_name(router.id)
    made = not fabric.namespace_exists(namespace)
    if made:
        fabric.remove_namespace(namespace)
        _make(namespace)
        log(f"router {router.id}: namespace {namespace} made")
    plan = routers.plan(observe(namespace), router)
    for name in plan.remove_devices:
        commands.succeeds("ip", "-n", namespace, "link", "delete", name)
        log(f"router {router.id}: {name} removed")
    for port in plan.add_ports:
        _add_port(namespace, port)
        log(f"router {router.id}: {', '.join(port.addresses)} on {port.bridge}")
    for command in plan.commands:
        commands.run("ip", "-n", namespace, *command)
    changes = [
        f"{action} {address}" for kind, action, address, *_ in plan.commands if kind == "address"
    ]
    if changes:
        log(f"router {router.id}: {', '.join(changes)}")
    if plan.new_addresses:
        _forget_neighbours(plan.new_addresses)
    return made


def apply_nat(router: Router) -> None:
    """Replace the address translation of a router.

    :raises commands.CommandError: nft refused the text.
    """
    namespace = fabric.NETNS_DIRECTORY / routers.namespace_name(router.id)
    commands.run(
        "nsenter", f"--net={namespace}", "nft", "-f", "-", standard_input=routers.nat_rules(router)
    )


def remove(namespace: str) -> None:
    """Remove a router's namespace with all that is in it."""
    for item in json.loads(commands.run("ip", "-json", "-n", namespace, "link") or "[]"):
        if item.get("ifname", "lo") != "lo":
            # At once: the kernel takes down the devices of a removed namespace some time later.
            commands.succeeds("ip", "-n", namespace, "link", "delete", item["ifname"])
    fabric.remove_namespace(namespace)


def _make(namespace: str) -> None:
    commands.run("ip", "netns", "add", namespace)
    commands.run("ip", "-n", namespace, "link", "set", "lo", "up")
    commands.run(
        *("nsenter", f"--net={fabric.NETNS_DIRECTORY / namespace}", "sh", "-ec"),
        "echo 1 >/proc/sys/net/ipv4/ip_forward; "
        "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; "  # each refusal is told, see nat_rules
        "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6",
    )
    # A router without a way out says so at once.
    commands.run("ip", "-n", namespace, "route", "add", "unreachable", "default", "metric", "4096")


def _add_port(namespace: str, port: RouterPort) -> None:
    fabric.ensure_bridge(port.bridge)
    tap, device = router_tap_name(port.id), routers.device_name(port)
    fabric.remove_link(tap)
    commands.run(
        *("ip", "-n", fabric.NAMESPACE, "link", "add", tap, "mtu", str(port.mtu), "type", "veth"),
        *("peer", "name", device, "netns", namespace, "address", port.mac),
    )
    commands.run("ip", "-n", fabric.NAMESPACE, "link", "set", tap, "master", port.bridge, "up")


def _forget_neighbours(addresses: tuple[str, ...]) -> None:
    """A floating IP may have moved from another router: nobody shall ask at the old place."""
    for address in addresses:
        commands.succeeds("ip", "neighbour", "flush", "to", address, "dev", fabric.HOST_LINK)
        for namespace in existing():
            commands.succeeds("ip", "-n", namespace, "neighbour", "flush", "to", address)
