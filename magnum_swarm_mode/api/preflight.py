# SPDX-License-Identifier: Apache-2.0
"""Asks the cloud's services whether a template or cluster can be made, before anything is.

The services are asked all at once and with the user's own rights, within the seconds of
``[swarm_mode] preflight_timeout``. What must be known and cannot be asked ends as
``exceptions.Unavailable``; what only some clouds let users see (quotas, other projects' routers) is
looked at where it is shown.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import quota
from magnum_swarm_mode.admission import room as rules
from magnum_swarm_mode.api.cloud_answers import Answers, addresses_in, parsed_image, routers_of
from magnum_swarm_mode.cloud import rest
from magnum_swarm_mode.cloud.rest import Service, Services
from magnum_swarm_mode.fixed_network import MADE_SUBNET_CIDR
from magnum_swarm_mode.labels.table import Labels
from magnum_swarm_mode.stack import size as stack_size

# Rules of the cluster's security groups beside those for the networks that labels name.
_FIXED_RULES = 7
# Takes nothing of a quota.
_UNKNOWN_FLAVOR = rules.Flavor("", "", vcpus=0, ram=0, disk=0)
# By name, which service each asks, and what to call.
_Asks = dict[str, tuple[Service, Callable[[], Any]]]


@dataclasses.dataclass(frozen=True)
class Network:
    """An existing network of the nodes; ``cidr`` is its subnet's, IPv4."""

    id: str
    subnet_id: str
    cidr: str


def wanted(effective: Mapping[str, Any], values: Labels | None, cluster: bool) -> rules.Wanted:
    """Return what a template or cluster asks of the cloud.

    :param effective: fields of the cluster over those of its template.
    :param values: its labels; None leaves out what they ask for.
    :param cluster: whether it is a cluster, with nodes.
    """

    def text(name: str) -> str:
        value = effective.get(name)
        return "" if value is None else str(value)

    def label(name: str, default: Any) -> Any:
        return getattr(values, name, default) if values is not None else default

    floating = effective.get("floating_ip_enabled")
    return rules.Wanted(
        image=text("image_id"),
        manager_flavor=text("master_flavor_id") or text("flavor_id"),
        worker_flavor=text("flavor_id"),
        external_network=text("external_network_id"),
        fixed_network=text("fixed_network"),
        fixed_subnet=text("fixed_subnet"),
        # A template may be for others, who have key pairs of their own.
        keypair=(text("keypair") or text("keypair_id")) if cluster else "",
        managers=int(effective.get("master_count") or 0) if cluster else 0,
        workers=int(effective.get("node_count") or 0) if cluster else 0,
        floating_ip_enabled=floating is None or bool(floating),
        worker_floating_ip_enabled=label("worker_floating_ip_enabled", False),
        docker_volume_size=int(effective.get("docker_volume_size") or 0),
        boot_volume_size=int(label("boot_volume_size", 0) or 0),
        volume_types={
            f"label {name}": label(name, "") for name in rules.VOLUME_TYPES if label(name, "")
        },
        availability_zones={
            f"label {name}": label(name, "") for name in ("availability_zone",) if label(name, "")
        },
        manager_server_group=label("server_group_policy", "") != "none",
        worker_server_group=label("worker_server_group_policy", "none") != "none",
        rules=rules_of(values),
    )


def rules_of(values: Labels | None) -> int:
    """Return how many rules the security groups of a cluster with these labels have."""
    if values is None:
        return _FIXED_RULES
    published = len(values.published_ports) * len(values.published_ports_allowed_cidrs)
    return _FIXED_RULES + len(values.api_allowed_cidrs) + len(values.ssh_allowed_cidrs) + published


@dataclasses.dataclass(frozen=True)
class Seen:
    """What was found.

    :ivar image: the nodes' image as Glance shows it.
    :ivar network: the existing network of the nodes, None where one is made.
    """

    image: Mapping[str, Any]
    network: Network | None


@dataclasses.dataclass(frozen=True)
class Change:
    """What adds nodes to a living cluster.

    :ivar what: what it is, as a sentence begins with it.
    :ivar before: what the nodes of one stack need now.
    :ivar after: what they will need.
    :ivar nodes: how many nodes the cluster will have in all its stacks.
    :ivar resources: how many resources there will be in the stack.
    :ivar image: of nodes whose stack is a new one, as Glance shows it; else None.
    """

    what: str
    before: rules.Wanted
    after: rules.Wanted
    nodes: int
    resources: int
    image: Mapping[str, Any] | None = None


class Preflight:
    """One look at the cloud.

    :param ask: the services, with the user's rights.
    :param project_id: the user's project.
    :param with_quota: whether quotas are compared (``[swarm_mode] preflight_quota``).
    """

    def __init__(self, ask: Services, project_id: str, with_quota: bool = True) -> None:
        self.ask = ask
        self._project_id = project_id
        self._cloud = Answers(ask, project_id)
        self._with_quota = with_quota

    def image(self, name_or_id: str) -> dict[str, Any]:
        """Return the image of a name or id, as Glance shows it.

        :raises Refused: when there is none, or several.
        """
        return self._cloud.image(name_or_id)

    def check(
        self, wants: rules.Wanted, *, cluster: bool, image: Mapping[str, Any] | None = None
    ) -> Seen:
        """Refuse a template that names what is not there, or a cluster that the cloud cannot hold.

        :param cluster: whether nodes are about to be made: then key pair, quotas and free addresses
            are looked at as well.
        :param image: what :meth:`image` returned, where it was asked for before.
        :raises Refused: with a sentence that names what is missing.
        :raises Unavailable: when a service cannot be asked.
        """
        known = image
        asks: _Asks = {
            "image": (Service.GLANCE, lambda: known or self.image(wants.image)),
            "flavors": (Service.NOVA, self._cloud.flavors),
            "network": (Service.NEUTRON, lambda: self._cloud.network(wants)),
        }
        if wants.external_network:
            asks["external"] = (
                Service.NEUTRON,
                lambda: self._cloud.external(wants.external_network),
            )
        asks |= self._asks_for_names(wants)
        if cluster:
            asks["keystone"] = (Service.KEYSTONE, self._cloud.keystone)
            asks["heat"] = (
                Service.HEAT,
                lambda: self._cloud.listed(Service.HEAT, "stacks", limit=1),
            )
            if wants.keypair:
                asks["keypair"] = (Service.NOVA, lambda: self._cloud.keypair(wants.keypair))
            if wants.needs_volumes:
                # Needed all the same where quotas are not compared.
                asks["cinder"] = (Service.CINDER, self._cloud.cinder_quota)
        compares = cluster and self._with_quota
        resources = stack_size.of_cluster(wants) if compares else 0
        if compares:
            asks |= self._asks_for_quota(wants)
        limits = self._asks_for_limits(wants, resources, is_new=True) if compares else {}
        more = self.ask.begin(limits)
        found = dict(zip(asks, self.ask.together(*asks.values()), strict=True))

        image = found["image"]
        parsed = parsed_image(image)
        rules.check_image_status(parsed)
        manager = rules.choose_flavor("master_flavor_id", wants.manager_flavor, found["flavors"])
        worker = rules.choose_flavor("flavor_id", wants.worker_flavor, found["flavors"])
        rules.check_flavor("master_flavor_id", manager, parsed, wants.boot_volume_size)
        rules.check_flavor("flavor_id", worker, parsed, wants.boot_volume_size)
        if found.get("keypair") is False:
            rules.refuse_keypair(wants.keypair)
        _check_names(wants, found)
        if cluster and wants.network_is_made:
            rules.check_made_network(wants.nodes, MADE_SUBNET_CIDR)
        network = self._check_network(
            wants, found["network"], found.get("external"), cluster=cluster
        )
        if compares:
            # Last, as there may be no time left after it.
            found |= more()
            needed = quota.needs(wants, manager, worker, *_kinds(found))
            quota.check_quota(needed, _left(found))
            quota.check_stack(resources, found.get("stack", ""))
        return Seen(image, network)

    def check_change(self, change: Change) -> None:
        """Refuse to add to a living cluster what there is certainly no room for.

        Nothing must be known for that: what a service does not tell, or not in time, is left to the
        change itself.

        :raises Refused: with the arithmetic, or naming what is missing.
        """
        after, is_new = change.after, change.image is not None
        grows = after.nodes > change.before.nodes
        compares = grows and self._with_quota
        asks: _Asks = {}
        if compares or is_new:
            asks["flavors"] = (Service.NOVA, self._cloud.flavors)
            asks |= self._asks_for_names(after)
        if compares:
            asks |= self._asks_for_quota(after)
            asks |= self._asks_for_limits(after, change.resources, is_new=is_new)
        if grows and not after.network_is_made:
            asks["network"] = (Service.NEUTRON, lambda: self._cloud.network(after))
        found = self.ask.begin(asks)()

        flavor = _UNKNOWN_FLAVOR
        if "flavors" in found:
            flavor = rules.choose_flavor("flavor_id", after.worker_flavor, found["flavors"])
        if change.image is not None:
            parsed = parsed_image(change.image)
            rules.check_image_status(parsed)
            if flavor is not _UNKNOWN_FLAVOR:
                rules.check_flavor("flavor_id", flavor, parsed, after.boot_volume_size)
            _check_names(after, found)
        if grows:
            _check_addresses(change, found)
        if compares:
            kinds = _kinds(found)
            needed = (quota.needs(one, flavor, flavor, *kinds) for one in (change.before, after))
            quota.check_quota(quota.growth(*needed), _left(found), change.what)
            quota.check_stack(
                change.resources,
                found.get("stack", ""),
                change.what[0].lower() + change.what[1:],
                is_new=is_new,
            )

    def _asks_for_names(self, wants: rules.Wanted) -> _Asks:
        """Return what to ask because of what labels name."""
        asks: _Asks = {}
        if wants.availability_zones:
            asks["zones"] = (Service.NOVA, self._cloud.zones)
        if wants.volume_types:
            # The quotas of types go by their names, which a label need not.
            asks["types"] = (Service.CINDER, self._cloud.volume_types)
        return asks

    def _asks_for_quota(self, wants: rules.Wanted) -> _Asks:
        """Return what to ask because of quotas that services show."""
        asks: _Asks = {
            "nova": (Service.NOVA, self._cloud.nova_quota),
            "neutron": (Service.NEUTRON, self._cloud.neutron_quota),
        }
        if wants.needs_volumes:
            asks["cinder"] = (Service.CINDER, self._cloud.cinder_quota)
        return asks

    def _asks_for_limits(self, wants: rules.Wanted, resources: int, *, is_new: bool) -> _Asks:
        """Return what to ask because of limits that not every cloud tells everybody.

        :param resources: how many there are to be in the stack.
        :param is_new: whether there is no such stack yet.
        """
        asks: _Asks = {"stack": (Service.HEAT, lambda: self._cloud.refused_by_heat(resources))}
        if wants.needs_volumes:
            asks["by type"] = (Service.CINDER, self._cloud.cinder_quota_by_type)
        untyped = wants.docker_volume_size and not wants.volume_type("docker_volume_type")
        if untyped and is_new:
            # A stack that there is may have a type by a default that the operator had then.
            asks["default type"] = (Service.CINDER, self._cloud.default_volume_type)
        return asks

    def _check_network(
        self,
        wants: rules.Wanted,
        found: tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]] | None,
        external: Mapping[str, Any] | None,
        *,
        cluster: bool,
    ) -> Network | None:
        if found is None:
            return None
        network, subnet, ports = found
        with rest.believed(Service.NEUTRON):
            existing = Network(str(network["id"]), str(subnet["id"]), str(subnet["cidr"]))
        if not cluster:
            return existing
        rules.check_network(network)
        rules.check_gateway(subnet)
        with rest.believed(Service.NEUTRON):
            addresses = addresses_in(ports, existing.subnet_id)
            routers = routers_of(ports, existing.subnet_id)
            rules.check_free_addresses(subnet, addresses, wants.managers + wants.workers)
        # Neutron shows all ports of a network to its owner only.
        own = network.get("project_id") == self._project_id
        if external is not None and own and wants.floating_ips:
            asks = ((Service.NEUTRON, self._cloud.router(router)) for router in routers)
            seen = self.ask.together(*asks)
            with rest.believed(Service.NEUTRON):
                rules.check_router(subnet, external, seen)
        return existing


def _check_names(wants: rules.Wanted, found: Mapping[str, Any]) -> None:
    """Refuse what labels name and the cloud does not have."""
    if "zones" in found:
        rules.check_named("Availability zone", wants.availability_zones, found["zones"])
    if "types" in found:
        rules.check_named("Volume type", wants.volume_types, found["types"])


def _check_addresses(change: Change, found: Mapping[str, Any]) -> None:
    """Refuse more nodes than there are addresses for."""
    if change.after.network_is_made:
        rules.check_made_network(change.nodes, MADE_SUBNET_CIDR)
    elif "network" in found:
        _, subnet, ports = found["network"]
        more = change.after.nodes - change.before.nodes
        with contextlib.suppress(exceptions.Unavailable), rest.believed(Service.NEUTRON):
            used = addresses_in(ports, str(subnet["id"]))
            rules.check_free_addresses(subnet, used, more, change.what)


def _left(found: Mapping[str, Any]) -> dict[str, int]:
    """Return what all quotas leave."""
    left: dict[str, int] = {}
    for name in ("nova", "cinder", "by type", "neutron"):
        left |= found.get(name) or {}
    return left


def _kinds(found: Mapping[str, Any]) -> tuple[Mapping[str, str], str]:
    """Return the names of volume types, and that of the default one."""
    return found.get("types") or {}, str(found.get("default type") or "")
