# SPDX-License-Identifier: Apache-2.0
"""Which existing network a cluster uses, seen through Neutron's API (version 2.0)."""

from typing import Any

from keystoneauth1 import exceptions as auth_exceptions
from oslo_utils import uuidutils

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.fixed_network import FixedNetwork

# Seconds that one answer of Neutron's may take.
_TIMEOUT = 30
# What Ethernet carries, and what Neutron assumes where it states no MTU.
_DEFAULT_MTU = 1500


def resolve(
    session: Any,
    region: str | None,
    interface: str,
    cluster_fixed_network: str | None,
    cluster_fixed_subnet: str | None,
) -> FixedNetwork | None:
    """Find the network and subnet that a user named, each by name or id.

    :param session: a keystoneauth session of the user.
    :param interface: which endpoint of Neutron to use, such as ``public``.
    :returns: None where neither was named: then the cluster makes its own.
    :raises Refused: when what was named does not exist, is ambiguous or has no IPv4 subnet.
    :raises Unavailable: when Neutron does not answer.
    """
    if not cluster_fixed_network and not cluster_fixed_subnet:
        return None
    network, subnet = find(
        _Neutron(session, region, interface), cluster_fixed_network, cluster_fixed_subnet
    )
    return FixedNetwork(
        network_id=network["id"],
        subnet_id=subnet["id"],
        cidr=subnet["cidr"],
        mtu=int(network.get("mtu") or _DEFAULT_MTU),
    )


def find(
    neutron: Any, cluster_fixed_network: str | None, cluster_fixed_subnet: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Find the network and subnet that a user named, of which at least one is not empty.

    :param neutron: its method ``list(collection, **filters)`` returns what Neutron shows.
    :returns: network and subnet as Neutron shows them.
    :raises Refused: when what was named does not exist, is ambiguous or has no IPv4 subnet.
    """
    if not cluster_fixed_network:
        subnet = _one(neutron, "subnet", str(cluster_fixed_subnet))
        network = _one(neutron, "network", subnet["network_id"])
    else:
        network = _one(neutron, "network", cluster_fixed_network)
        if cluster_fixed_subnet:
            subnet = _one(neutron, "subnet", cluster_fixed_subnet, network_id=network["id"])
        else:
            subnet = _only_subnet(
                cluster_fixed_network,
                neutron.list("subnets", network_id=network["id"], ip_version=4),
            )
    if subnet["ip_version"] != 4:
        raise exceptions.Refused(
            f"Subnet {subnet['name'] or subnet['id']} is not an IPv4 subnet; "
            "nodes of a swarm-mode cluster need one (fixed_subnet)."
        )
    return network, subnet


def _only_subnet(network: str, subnets: list[dict[str, Any]]) -> dict[str, Any]:
    if not subnets:
        raise exceptions.Refused(
            f"Network {network} (fixed_network) has no IPv4 subnet; nodes need one."
        )
    if len(subnets) > 1:
        raise exceptions.Refused(
            f"Network {network} (fixed_network) has {len(subnets)} IPv4 subnets; "
            "say which one to use with fixed_subnet."
        )
    return subnets[0]


def _one(neutron: Any, kind: str, name_or_id: str, **filters: Any) -> dict[str, Any]:
    """Return the only network or subnet of an id or, failing that, of a name."""
    found: list[dict[str, Any]] = []
    if uuidutils.is_uuid_like(name_or_id):
        found = neutron.list(f"{kind}s", id=name_or_id, **filters)
    if not found:
        found = neutron.list(f"{kind}s", name=name_or_id, **filters)
    where = " on the network given as fixed_network" if filters else ""
    if not found:
        raise exceptions.Refused(
            f"{kind.capitalize()} {name_or_id} (fixed_{kind}) was not found{where}."
        )
    if len(found) > 1:
        raise exceptions.Refused(
            f"{len(found)} {kind}s are named {name_or_id} (fixed_{kind}){where}; give the id."
        )
    return found[0]


class _Neutron:
    """The one call that is needed of Neutron."""

    def __init__(self, session: Any, region: str | None, interface: str) -> None:
        self._session = session
        self._filter = {
            "service_type": "network",
            "interface": interface,
            "region_name": region or None,
        }

    def list(self, collection: str, **filters: Any) -> list[dict[str, Any]]:
        """Return what of a collection, as ``networks``, matches all filters."""
        try:
            endpoint = self._session.get_endpoint(**self._filter)
            if not endpoint:
                raise exceptions.Inconsistent(
                    "The cloud's catalogue has no network service.",
                    f"No endpoint in the catalogue for {self._filter}.",
                )
            # Catalogues name Neutron with or without the version.
            base = endpoint.rstrip("/").removesuffix("/v2.0")
            response = self._session.get(
                f"{base}/v2.0/{collection}", params=filters, timeout=_TIMEOUT
            )
            found: list[dict[str, Any]] = response.json()[collection]
        except auth_exceptions.HttpError as error:
            if error.http_status >= 500:
                raise _unavailable(error) from error
            raise exceptions.SwarmModeError(
                f"The network service refused to list {collection}: {error.message}."
            ) from error
        except (auth_exceptions.ClientException, ValueError, KeyError) as error:
            raise _unavailable(error) from error
        return found


def _unavailable(error: Exception) -> exceptions.Unavailable:
    return exceptions.Unavailable(
        "The network service (Neutron) does not answer; try again later.", f"Neutron: {error}"
    )
