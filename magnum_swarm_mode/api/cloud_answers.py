# SPDX-License-Identifier: Apache-2.0
"""Reads what the cloud's services answer, for :mod:`magnum_swarm_mode.api.preflight`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from oslo_utils import uuidutils

from magnum_swarm_mode.admission import quota
from magnum_swarm_mode.admission import room as rules
from magnum_swarm_mode.cloud import networks, rest
from magnum_swarm_mode.cloud.rest import NotAllowed, NotThere, Service, Services
from magnum_swarm_mode.stack import size as stack_size

_PAGE = 1000
_PAGES = 10
_ROUTER_PORTS = "network:router_"
_HA_PORTS = "network:ha_router_"


class Answers:
    """What services answer; each method is one question.

    :param ask: the services, with the user's rights.
    :param project_id: the user's project.
    """

    def __init__(self, ask: Services, project_id: str) -> None:
        self.ask = ask
        self._project_id = project_id

    # Glance

    def image(self, name_or_id: str) -> dict[str, Any]:
        """Return the image of a name or id, as Glance shows it.

        :raises Refused: when there is none, or several.
        """
        found: list[dict[str, Any]] = []
        if uuidutils.is_uuid_like(name_or_id):
            with contextlib.suppress(NotThere):
                found = [self.ask.get(Service.GLANCE, f"/images/{rest.quoted(name_or_id)}")]
        if not found:
            listed = self.listed(Service.GLANCE, "images", name=name_or_id)
            # Glance gives operators such as "in:" a meaning of their own.
            found = [image for image in listed if image.get("name") == name_or_id]
        image = dict(rules.choose_image(name_or_id, found))
        with rest.believed(Service.GLANCE):
            parsed_image(image)
        return image

    # Keystone and Heat

    def keystone(self) -> None:
        """Raise unless Keystone answers."""
        answer = self.ask.require(Service.KEYSTONE, "")
        with rest.believed(Service.KEYSTONE):
            answer["version"]["id"]

    def stacks(self) -> None:
        """Raise unless Heat answers."""
        self.listed(Service.HEAT, "stacks", limit=1)

    def refused_by_heat(self, resources: int) -> str:
        """Return why Heat takes no further stack of so many resources; empty where it does."""
        answer = self.ask.try_post(Service.HEAT, "/stacks/preview", stack_size.preview(resources))
        with rest.believed(Service.HEAT):
            error = answer.get("error") or {}
            return rest.one_line(error.get("message", ""))

    # Nova

    def flavors(self) -> list[rules.Flavor]:
        """Return the flavors that the user may use."""
        found: list[rules.Flavor] = []
        marker: dict[str, str] = {}
        for _ in range(_PAGES):
            page = self.listed(
                Service.NOVA, "flavors/detail", "flavors", is_public="None", limit=_PAGE, **marker
            )
            with rest.believed(Service.NOVA):
                found += [parsed_flavor(one) for one in page]
            if len(page) < _PAGE:
                break
            marker = {"marker": found[-1].id}
        return found

    def keypair(self, name: str) -> bool:
        """Return whether the user has a key pair."""
        try:
            answer = self.ask.get(Service.NOVA, f"/os-keypairs/{rest.quoted(name)}")
        except NotThere:
            return False
        with rest.believed(Service.NOVA):
            return bool(answer["keypair"]["name"])

    def zones(self) -> set[str]:
        """Return the availability zones of servers."""
        listed = self.listed(Service.NOVA, "os-availability-zone", "availabilityZoneInfo")
        with rest.believed(Service.NOVA):
            return {
                str(zone["zoneName"])
                for zone in listed
                if zone.get("zoneState", {}).get("available", True)
            }

    def nova_quota(self) -> dict[str, int]:
        """Return what Nova's quotas leave."""
        answer = self.ask.require(Service.NOVA, "/limits")
        with rest.believed(Service.NOVA):
            return quota.left_by_nova(answer["limits"]["absolute"])

    # Cinder

    def cinder_quota(self) -> dict[str, int]:
        """Return what Cinder's quotas leave."""
        answer = self.ask.require(Service.CINDER, "/limits")
        with rest.believed(Service.CINDER):
            return quota.left_by_cinder(answer["limits"]["absolute"])

    def cinder_quota_by_type(self) -> dict[str, int]:
        """Return what Cinder's quotas leave of each type of volumes."""
        path = f"/os-quota-sets/{rest.quoted(self._project_id)}"
        answer = self.ask.get(Service.CINDER, path, usage="True")
        with rest.believed(Service.CINDER):
            return quota.left_by_type(answer["quota_set"])

    def default_volume_type(self) -> str:
        """Return the type of volumes for which none is asked."""
        answer = self.ask.get(Service.CINDER, "/types/default")
        with rest.believed(Service.CINDER):
            return str(answer["volume_type"]["name"])

    def volume_types(self) -> dict[str, str]:
        """Return the names of the types, by name and by id."""
        listed = self.listed(Service.CINDER, "types", "volume_types")
        with rest.believed(Service.CINDER):
            return {str(one[key]): str(one["name"]) for one in listed for key in ("id", "name")}

    # Neutron

    def network(
        self, wants: rules.Wanted
    ) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]] | None:
        """Return the nodes' network, subnet and ports; None where the network is made."""
        if wants.network_is_made:
            # Neutron is needed all the same.
            self.listed(Service.NEUTRON, "networks", limit=1, fields="id")
            return None
        with rest.believed(Service.NEUTRON):
            network, subnet = networks.find(
                _Neutron(self.listed), wants.fixed_network, wants.fixed_subnet
            )
            fields = ["fixed_ips", "device_owner", "device_id"]
            ports = self.listed(Service.NEUTRON, "ports", network_id=network["id"], fields=fields)
        return network, subnet, ports

    def external(self, name_or_id: str) -> dict[str, Any]:
        """Return the external network of a name or id."""
        found: list[dict[str, Any]] = []
        if uuidutils.is_uuid_like(name_or_id):
            found = self.listed(Service.NEUTRON, "networks", id=name_or_id)
        found = found or self.listed(Service.NEUTRON, "networks", name=name_or_id)
        network = dict(rules.choose_external(name_or_id, found))
        with rest.believed(Service.NEUTRON):
            network["id"] = str(network["id"])
        return network

    def router(self, ident: str) -> Callable[[], dict[str, Any] | None]:
        """Return what asks for a router; that answers None for one that the user may not see."""

        def ask() -> dict[str, Any] | None:
            try:
                answer = self.ask.get(Service.NEUTRON, f"/routers/{rest.quoted(ident)}")
            except (NotThere, NotAllowed):
                return None
            with rest.believed(Service.NEUTRON):
                return dict(answer["router"])

        return ask

    def neutron_quota(self) -> dict[str, int]:
        """Return what Neutron's quotas leave, where it shows that."""
        path = f"/quotas/{rest.quoted(self._project_id)}/details.json"
        try:
            answer = self.ask.get(Service.NEUTRON, path)
        except (NotThere, NotAllowed):
            # An extension that not every Neutron has, nor shows to everybody.
            return {}
        with rest.believed(Service.NEUTRON):
            return quota.left_by_neutron(answer["quota"])

    def listed(
        self, service: Service, path: str, key: str = "", **query: Any
    ) -> list[dict[str, Any]]:
        """Return a list that a service answers; empty where it takes a name for no name."""
        try:
            answer = self.ask.get(service, f"/{path}", **query)
        except NotThere as error:
            if "name" in query or "id" in query:
                return []
            raise rest.answers_rubbish(service, error) from error
        with rest.believed(service):
            found = answer[key or path]
            if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
                raise TypeError(f"{path} is no list of objects")
            return found


class _Neutron:
    """Neutron's lists, as :func:`networks.find` asks for them."""

    def __init__(self, ask: Callable[..., list[dict[str, Any]]]) -> None:
        self._ask = ask

    def list(self, collection: str, **filters: Any) -> list[dict[str, Any]]:
        """Return what of a collection matches all filters."""
        return self._ask(Service.NEUTRON, collection, **filters)


def parsed_image(image: Mapping[str, Any]) -> rules.Image:
    """Return an image of Glance's form."""
    return rules.Image(
        id=str(image["id"]),
        name=str(image.get("name") or image["id"]),
        status=str(image["status"]),
        min_disk=int(image.get("min_disk") or 0),
        min_ram=int(image.get("min_ram") or 0),
        size=int(image.get("virtual_size") or image.get("size") or 0),
    )


def parsed_flavor(flavor: Mapping[str, Any]) -> rules.Flavor:
    """Return a flavor of Nova's form."""
    return rules.Flavor(
        id=str(flavor["id"]),
        name=str(flavor["name"]),
        vcpus=int(flavor["vcpus"]),
        ram=int(flavor["ram"]),
        disk=int(flavor["disk"]),
    )


def addresses_in(ports: list[dict[str, Any]], subnet_id: str) -> set[str]:
    """Return the addresses of ports in a subnet."""
    return {
        str(fixed["ip_address"])
        for port in ports
        for fixed in port["fixed_ips"]
        if fixed["subnet_id"] == subnet_id
    }


def routers_of(ports: list[dict[str, Any]], subnet_id: str) -> list[str]:
    """Return the ids of the routers that have a port in a subnet."""
    found = [
        str(port["device_id"])
        for port in ports
        if str(port["device_owner"]).startswith((_ROUTER_PORTS, _HA_PORTS))
        and any(fixed["subnet_id"] == subnet_id for fixed in port["fixed_ips"])
    ]
    return list(dict.fromkeys(found))
