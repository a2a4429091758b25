# SPDX-License-Identifier: Apache-2.0
"""Decides on a request as magnum-api does, and makes of it what magnum-conductor gives to Heat."""

from __future__ import annotations

import dataclasses
import ipaddress
import pathlib
import types
import urllib.parse
from collections.abc import Iterable
from typing import Any

from magnum_swarm_mode import constants, exceptions
from magnum_swarm_mode.admission import cluster_request
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.conf import CONF
from magnum_swarm_mode.fixed_network import FixedNetwork
from magnum_swarm_mode.labels import address_pools
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.preview.request import Request
from magnum_swarm_mode.stack import request as stack_request

# Stands for what only a cloud gives.
PLACEHOLDER_UUID = "00000000-0000-4000-8000-000000000000"
CA_PLACEHOLDER = (
    "-----BEGIN CERTIFICATE-----\n(of the cluster's authority)\n-----END CERTIFICATE-----\n"
)
CREDENTIAL_PLACEHOLDER = stack_request.NodeCredential(
    id="(id of the managers' application credential)",
    secret="(secret of the managers' application credential)",
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the driver would ask a cloud for.

    :ivar os_distro: property of the image; empty takes what the template says.
    :ivar fixed_subnet_cidr: range of an existing subnet.
    :ivar fixed_network_mtu: bytes that an existing network carries.
    """

    os_distro: str = ""
    fixed_subnet_cidr: str = "10.0.0.0/24"
    fixed_network_mtu: int = 1500
    auth_url: str = "https://keystone.example.com:5000/v3"
    magnum_url: str = "https://magnum.example.com:9511/v1"
    region_name: str = "RegionOne"


class _Record(types.SimpleNamespace):
    """A row of Magnum's database, whose columns are empty where nothing was said."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def decide(request: Request, facts: Facts) -> label_table.Labels:
    """Refuse what Magnum's API would refuse, with the same sentence.

    :returns: the cluster's labels.
    :raises Refused: with what the API's answer of status 400 says.
    """
    template, cluster = request.template, request.cluster
    if template["coe"] != constants.COE:
        raise exceptions.Refused(
            f"coe={template['coe']} is another driver's; only coe={constants.COE} can be rendered."
        )
    cloud = cluster_request.Cloud(CONF.swarm_mode.tenant_networks_reachable, CONF.swarm_mode)
    cluster_request.check_driver(template["coe"], template.get("driver"))
    cluster_request.check_cluster_template(template, cloud)
    image = template.get("image_id")
    if request_fields.is_unset(image):
        raise exceptions.Refused("image_id is missing: name the image of the nodes.")
    distro = template.get("cluster_distro")
    cluster_request.check_image(
        {"os_distro": facts.os_distro or distro or constants.OS_DISTROS[-1]},
        str(image),
        distro,
    )
    request_fields.check_given(request_fields.CLUSTER_FIELDS, request.given)
    asked = {name: value for name, value in cluster.items() if name != "uuid"}
    return cluster_request.check_cluster(template, asked, cloud)


def inputs(request: Request, facts: Facts) -> stack_request.StackInputs:
    """Return what decides the cluster's stack, secrets as placeholders.

    :raises Refused: as :func:`decide`.
    """
    parsed = decide(request, facts)
    cluster, template = _Record(**request.cluster), _Record(**request.template)
    cluster.uuid = cluster.uuid or PLACEHOLDER_UUID
    cluster.default_ng_master = _Record(node_count=cluster.master_count)
    cluster.default_ng_worker = _Record(node_count=cluster.node_count)
    cluster.cluster_template = template
    fixed = _fixed_network(request, facts)
    return stack_request.from_magnum(
        cluster,
        template,
        parsed,
        ca_certificate=CA_PLACEHOLDER,
        magnum_url=facts.magnum_url,
        auth_url=facts.auth_url,
        region_name=facts.region_name,
        node_credential=CREDENTIAL_PLACEHOLDER,
        fixed_network=fixed,
        openstack_ca=_openstack_ca(),
        address_pool=address_pools.pool_for(
            parsed.swarm_address_pool,
            CONF.swarm_mode.address_pools,
            parsed.swarm_address_pool_mask,
            subnet=fixed,
            dns=template.dns_nameserver,
            endpoints=_addresses((facts.auth_url, facts.magnum_url)),
        ),
        timeout_minutes=int(cluster.create_timeout or 0),
    )


def _fixed_network(request: Request, facts: Facts) -> FixedNetwork | None:
    wanted = cluster_request.effective(request.template, request.cluster)
    network, subnet = wanted.get("fixed_network"), wanted.get("fixed_subnet")
    if not network and not subnet:
        return None
    return FixedNetwork(
        network_id=network or f"(network of {subnet})",
        subnet_id=subnet or f"(subnet of {network})",
        cidr=facts.fixed_subnet_cidr,
        mtu=facts.fixed_network_mtu,
    )


def _addresses(urls: Iterable[str]) -> list[str]:
    """Return the hosts of URLs that are addresses; names are not asked for, as DNS is a cloud's."""
    found = []
    for url in urls:
        host = urllib.parse.urlsplit(url).hostname or ""
        try:
            found.append(str(ipaddress.IPv4Address(host)))
        except ValueError:
            continue
    return found


def _openstack_ca() -> str:
    path = CONF.drivers.openstack_ca_file
    if not path:
        return ""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise exceptions.Refused(
            "The operator's CA file for OpenStack's endpoints cannot be read "
            f"([drivers] openstack_ca_file: {error})."
        ) from error
