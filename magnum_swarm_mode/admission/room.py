# SPDX-License-Identifier: Apache-2.0
"""Whether a cloud has what a cluster needs, decided on what the services say of themselves.

Everything here is a function of plain values; :mod:`magnum_swarm_mode.api.preflight` asks the
services, and :mod:`magnum_swarm_mode.admission.quota` compares what is limited.
What passes can still fail later, because others use the same cloud at the same time.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.sentences import shown

_GIB = 2**30
# Labels that name the types of volumes.
VOLUME_TYPES = ("docker_volume_type", "boot_volume_type")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a cluster asks of the cloud; texts are empty where nothing is asked for.

    Volumes are in GiB. ``managers`` and ``workers`` are 0 for a template, of which no cluster is
    made yet. ``rules`` are the rules of the cluster's security groups.
    """

    image: str
    manager_flavor: str
    worker_flavor: str
    external_network: str = ""
    fixed_network: str = ""
    fixed_subnet: str = ""
    keypair: str = ""
    managers: int = 0
    workers: int = 0
    floating_ip_enabled: bool = True
    worker_floating_ip_enabled: bool = False
    docker_volume_size: int = 0
    boot_volume_size: int = 0
    volume_types: Mapping[str, str] = dataclasses.field(default_factory=dict)
    availability_zones: Mapping[str, str] = dataclasses.field(default_factory=dict)
    manager_server_group: bool = True
    worker_server_group: bool = False
    rules: int = 0

    @property
    def network_is_made(self) -> bool:
        """Whether the cluster makes a network of its own."""
        return not (self.fixed_network or self.fixed_subnet)

    @property
    def nodes(self) -> int:
        """How many nodes it has."""
        return self.managers + self.workers

    @property
    def floating_ips(self) -> int:
        """How many floating IPs it needs."""
        managers = self.managers if self.floating_ip_enabled else 0
        return managers + (self.workers if self.worker_floating_ip_enabled else 0)

    def volume_type(self, label: str) -> str:
        """Return the type that a label asks for, by name or id; empty where it asks for none."""
        return self.volume_types.get(f"label {label}", "")

    @property
    def needs_volumes(self) -> bool:
        """Whether Cinder has anything to do."""
        return bool(self.docker_volume_size or self.boot_volume_size or self.volume_types)


@dataclasses.dataclass(frozen=True)
class Image:
    """An image as Glance shows it; ``min_disk`` in GiB, ``min_ram`` in MiB, ``size`` in bytes."""

    id: str
    name: str
    status: str
    min_disk: int
    min_ram: int
    size: int


@dataclasses.dataclass(frozen=True)
class Flavor:
    """A flavor as Nova shows it; ``ram`` in MiB, ``disk`` in GiB, 0 for none."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {shown(near[0])}?" if near else "."


# Images and flavors


def choose_image(name_or_id: str, found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the only image of a name.

    :param found: what Glance shows for it.
    :raises Refused: when there is none, or several.
    """
    if not found:
        # Glance, whom Heat asks as well, takes what is before a colon for an operator.
        advice = (
            "give its id, as its name has a colon"
            if ":" in name_or_id
            else ("name an image that you may use")
        )
        raise exceptions.Refused(f"Image {shown(name_or_id)} (image_id) was not found; {advice}.")
    if len(found) > 1:
        raise exceptions.Refused(
            f"{len(found)} images are named {shown(name_or_id)} (image_id); give the id."
        )
    return found[0]


def check_image_status(image: Image) -> None:
    """Refuse an image that no server can be made of yet (or any more).

    :raises Refused: naming the image and its status.
    """
    if image.status != "active":
        raise exceptions.Refused(
            f"Image {shown(image.name)} (image_id) is {shown(image.status)}, not active; wait "
            "for it or name another."
        )


def choose_flavor(field: str, name_or_id: str, flavors: Collection[Flavor]) -> Flavor:
    """Return the flavor of an id or, failing that, of a name.

    :param field: who asks, for the sentence: ``flavor_id`` or ``master_flavor_id``.
    :raises Refused: naming it, and the nearest name.
    """
    for attribute in ("id", "name"):
        for flavor in flavors:
            if getattr(flavor, attribute) == name_or_id:
                return flavor
    raise exceptions.Refused(
        f"Flavor {shown(name_or_id)} ({field}) was not found"
        + _nearest(name_or_id, [flavor.name for flavor in flavors])
    )


def check_flavor(field: str, flavor: Flavor, image: Image, boot_volume_size: int) -> None:
    """Refuse a flavor that the image does not fit on, which Nova would refuse later.

    :param boot_volume_size: in GiB; 0 boots from the flavor's own disk.
    :raises Refused: naming both, with the sizes.
    """
    name, disk = shown(flavor.name), boot_volume_size or flavor.disk
    if not disk:
        raise exceptions.Refused(
            f"Flavor {name} ({field}) has no disk, and nodes boot from no volume; use a flavor "
            "with a disk."
        )
    where = f"a boot volume of {disk} GiB" if boot_volume_size else f"flavor {name} has {disk}"
    needed = max(image.min_disk, -(-image.size // _GIB))
    if needed > disk:
        raise exceptions.Refused(
            f"Image {shown(image.name)} needs a disk of {needed} GiB, {where} ({field}); use a "
            "larger one."
        )
    if image.min_ram > flavor.ram:
        raise exceptions.Refused(
            f"Image {shown(image.name)} needs {image.min_ram} MiB of memory, flavor {name} has "
            f"{flavor.ram} ({field}); use a larger one."
        )


# Names that other services know


def refuse_keypair(name: str) -> None:
    """Refuse a key pair that the user does not have.

    :raises Refused: always.
    """
    raise exceptions.Refused(
        f"Key pair {shown(name)} was not found; key pairs belong to one user: name one of yours, "
        "or none."
    )


def check_named(what: str, wanted: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse names that a service does not know.

    :param what: what they are, as "Availability zone".
    :param wanted: where each was asked for, to the name.
    :raises Refused: naming the first, where it was asked for, and the nearest.
    """
    for where, name in wanted.items():
        if name and name not in known:
            raise exceptions.Refused(
                f"{what} {shown(name)} ({where}) was not found" + _nearest(name, known)
            )


# Networks


def choose_external(name_or_id: str, found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the only external network of a name or id.

    :param found: the networks of that name or id, external or not.
    :raises Refused: when there is none, when it is not external, or when there are several.
    """
    external = [network for network in found if network.get("router:external") is True]
    if not found:
        raise exceptions.Refused(
            f"Network {shown(name_or_id)} (external_network_id) was not found; name the network "
            "that floating IPs come from."
        )
    if not external:
        raise exceptions.Refused(
            f"Network {shown(name_or_id)} (external_network_id) is not external, so that neither "
            "routers nor floating IPs lead there; name the network that floating IPs come from."
        )
    if len(external) > 1:
        raise exceptions.Refused(
            f"{len(external)} external networks are named {shown(name_or_id)} "
            "(external_network_id); give the id."
        )
    return external[0]


def check_network(network: Mapping[str, Any]) -> None:
    """Refuse a network whose ports can have no security groups.

    :raises Refused: naming the network.
    """
    if network.get("port_security_enabled") is False:
        raise exceptions.Refused(
            f"Network {_label(network)} (fixed_network) has no port security, so that Neutron "
            "would refuse the nodes' security groups; use another network."
        )


def check_gateway(subnet: Mapping[str, Any]) -> None:
    """Refuse a subnet that nodes could not leave.

    :raises Refused: naming the subnet.
    """
    if not subnet.get("gateway_ip") and not subnet.get("host_routes"):
        raise exceptions.Refused(
            f"Subnet {_label(subnet)} (fixed_subnet) has no gateway, so that nodes could not reach "
            "OpenStack; give it one or use another subnet."
        )


def check_router(
    subnet: Mapping[str, Any],
    external: Mapping[str, Any],
    routers: Sequence[Mapping[str, Any] | None],
) -> None:
    """Refuse a subnet that no router connects to the network that floating IPs come from.

    :param routers: those that have a port in the subnet; None for one that the user may not see.
    :raises Refused: naming subnet and external network.
    """
    if not routers:
        raise exceptions.Refused(
            f"Subnet {_label(subnet)} (fixed_subnet) is connected to no router, so that floating "
            f"IPs of {_label(external)} would not lead to its nodes; connect it to a router with a "
            "gateway there."
        )
    gateways = [
        (router.get("external_gateway_info") or {}).get("network_id") if router else external["id"]
        for router in routers
    ]
    if external["id"] not in gateways:
        raise exceptions.Refused(
            f"No router of subnet {_label(subnet)} (fixed_subnet) has its gateway in "
            f"{_label(external)} (external_network_id), so that floating IPs would not lead to its "
            "nodes; set the router's gateway or name the network that it leads to."
        )


def check_free_addresses(
    subnet: Mapping[str, Any], used: Collection[str], nodes: int, what: str = "The cluster"
) -> None:
    """Refuse a subnet that certainly has too few addresses left.

    :param used: addresses of ports that the user may see; there may be others.
    :param what: what needs them, for the sentence.
    :raises Refused: with the arithmetic.
    """
    pools = [
        (int(ipaddress.ip_address(pool["start"])), int(ipaddress.ip_address(pool["end"])))
        for pool in subnet.get("allocation_pools") or ()
    ]
    if not pools:
        return
    size = sum(end - start + 1 for start, end in pools)
    taken = {int(ipaddress.ip_address(address)) for address in used}
    left = size - sum(any(start <= one <= end for start, end in pools) for one in taken)
    if nodes > left:
        raise exceptions.Refused(
            f"{what} needs {nodes} addresses in subnet {_label(subnet)} (fixed_subnet), which "
            f"has {max(0, left)} left of {size}; use a larger subnet or fewer nodes."
        )


def check_made_network(nodes: int, cidr: str) -> None:
    """Refuse more nodes than the network can have that is made for a cluster.

    :param nodes: all of the cluster.
    :raises Refused: with the arithmetic.
    """
    # Without the network itself, broadcast and the router.
    room = ipaddress.ip_network(cidr).num_addresses - 3
    if nodes > room:
        raise exceptions.Refused(
            f"The cluster needs {nodes} addresses, and the network that is made for it ({cidr}) "
            f"has {room}; use fewer nodes, or a cluster in a larger network of yours "
            "(fixed_network)."
        )


def _label(thing: Mapping[str, Any]) -> str:
    return shown(thing.get("name") or thing.get("id"))
