# SPDX-License-Identifier: Apache-2.0
"""The network namespace that holds every bridge, and the one link between it and the host.

::

    host                 namespace dc-net                         namespaces of machines, routers
    dc-ext 172.24.4.1 -- dc-host | bridge dc-ext | dcr… --------- router's external port
                                   bridge dcb…   | dcr… --------- router's internal port
                                                 | dct… --------- eth0 of a machine

The bridges are not on the host because security groups need its connection tracking: a bridge
whose packets the kernel shows to the IP filter (``bridge-nf-call-iptables``) would show them to
every firewall rule of the host as well. In a namespace of their own they meet our rules only.
"""

import os
import re
from pathlib import Path

from devcloud import settings
from devcloud.dataplane import commands, filter_rules, host_limits

NAMESPACE = "dc-net"
HOST_LINK = settings.EXTERNAL_BRIDGE  # the host's end, which carries the host's address
HOST_PORT = "dc-host"  # the other end, a port of the external bridge
NETNS_DIRECTORY = Path("/run/netns")
CHANGES = settings.RUN / "dataplane-changes"  # a FIFO: what Neutron changed, one kind per line
STATUS_SOCKET = settings.RUN / "neutron-status.sock"  # the daemon's reports to Neutron


class FabricError(RuntimeError):
    """The host cannot carry the cloud's networks; the text says what is missing."""


def up(host_address: str = settings.HOST_ADDRESS, prefix_length: int = 24) -> None:
    """Make namespace, external bridge and the host's link; what is there stays as it is.

    Limits of the kernel that many machines would meet are raised, see :mod:`.host_limits`.

    :param host_address: the host's own address on the external network.
    :param prefix_length: of the external network.
    :raises FabricError: the kernel lacks what filtering on bridges needs.
    :raises commands.CommandError: anything else that the kernel refused.
    """
    host_limits.raise_limits()
    if not namespace_exists(NAMESPACE):
        remove_namespace(NAMESPACE)
        commands.run("ip", "netns", "add", NAMESPACE)
    _filter_bridged_packets()
    commands.run("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
    ensure_bridge(settings.EXTERNAL_BRIDGE)
    if not link_exists(HOST_PORT):
        commands.run(
            *("ip", "-n", NAMESPACE, "link", "add", HOST_PORT, "type", "veth"),
            *("peer", "name", HOST_LINK, "netns", str(os.getpid())),
        )
    bridge = settings.EXTERNAL_BRIDGE
    commands.run("ip", "-n", NAMESPACE, "link", "set", HOST_PORT, "master", bridge, "up")
    commands.run("ip", "address", "replace", f"{host_address}/{prefix_length}", "dev", HOST_LINK)
    commands.run("ip", "link", "set", HOST_LINK, "up")
    if not has_filter():
        apply_filter(filter_rules.compile_filter(filter_rules.Filter()))


def in_namespace(*command: str, standard_input: str | None = None) -> str:
    """Run a command in the bridges' namespace.

    ``ip netns exec`` would give the command a /sys of its own; only the network is wanted.

    :raises commands.CommandError: the command failed.
    """
    return commands.run(
        "nsenter", f"--net={NETNS_DIRECTORY / NAMESPACE}", *command, standard_input=standard_input
    )


def apply_filter(text: str) -> None:
    """Replace the filter of all ports at once.

    :raises commands.CommandError: nft refused the text; the old filter is still in force.
    """
    in_namespace("nft", "-f", "-", standard_input=text)


def has_filter() -> bool:
    """Return whether a filter is in force, be it the one that lets nothing through."""
    return f"inet {filter_rules.TABLE}" in in_namespace("nft", "list", "tables")


def namespace_exists(name: str) -> bool:
    """Return whether a named network namespace exists; a stale file of that name does not count."""
    try:
        return (NETNS_DIRECTORY / name).stat().st_dev != NETNS_DIRECTORY.stat().st_dev
    except FileNotFoundError:
        return False


def remove_namespace(name: str) -> bool:
    """Remove a named network namespace, or the stale file of one; tell whether there was one."""
    path = NETNS_DIRECTORY / name
    if not path.exists():
        return False
    if not commands.succeeds("ip", "netns", "delete", name):
        path.unlink(missing_ok=True)
    return True


def links() -> set[str]:
    """Return the names of all interfaces in the bridges' namespace."""
    return _link_names(commands.run("ip", "-n", NAMESPACE, "-oneline", "link"))


def ports_of(bridge: str) -> set[str]:
    """Return the names of a bridge's ports; none for a bridge that is not there."""
    try:
        text = commands.run("ip", "-n", NAMESPACE, "-oneline", "link", "show", "master", bridge)
    except commands.CommandError:
        return set()
    return _link_names(text)


def link_exists(name: str) -> bool:
    """Return whether the bridges' namespace has an interface of that name."""
    return commands.succeeds("ip", "-n", NAMESPACE, "link", "show", "dev", name)


def ensure_bridge(name: str) -> None:
    """Make a bridge that forwards at once; one that exists stays.

    :raises commands.CommandError: it could not be made.
    """
    if not link_exists(name):
        # Two machines of one network may start together: the loser finds the bridge there.
        add = ("ip", "-n", NAMESPACE, "link", "add", name, "type", "bridge", "forward_delay", "0")
        if not commands.succeeds(*add) and not link_exists(name):
            commands.run(*add)
    commands.run("ip", "-n", NAMESPACE, "link", "set", name, "up")


def remove_link(name: str) -> None:
    """Remove an interface of the bridges' namespace, if it is there."""
    commands.succeeds("ip", "-n", NAMESPACE, "link", "delete", name)


def _link_names(text: str) -> set[str]:
    return set(re.findall(r"^\d+: ([^:@]+)[:@]", text, re.MULTILINE))


def _filter_bridged_packets() -> None:
    """Show bridged packets to the namespace's own IP filter, and keep it out of IPv6 itself."""
    needed = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not needed.exists():
        commands.succeeds("modprobe", "br_netfilter")
    if not needed.exists():
        raise FabricError(
            "this kernel cannot filter bridged packets (it has no br_netfilter), "
            "so security groups could not be enforced"
        )
    values = {
        "bridge/bridge-nf-call-iptables": 1,
        "bridge/bridge-nf-call-ip6tables": 1,
        "bridge/bridge-nf-call-arptables": 0,
        "ipv4/ip_forward": 0,
        "ipv6/conf/default/disable_ipv6": 1,
    }
    script = "\n".join(
        f"[ ! -e /proc/sys/net/{name} ] || echo {value} >/proc/sys/net/{name}"
        for name, value in values.items()
    )
    in_namespace("sh", "-ec", script)
