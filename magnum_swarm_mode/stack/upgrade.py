# SPDX-License-Identifier: Apache-2.0
"""From what a user asked of Magnum to what an upgrade leads to."""

from collections.abc import Mapping, Sequence
from typing import Any

from magnum_swarm_mode.admission import template_change
from magnum_swarm_mode.conf import CONF
from magnum_swarm_mode.decisions.upgrade_plan import Target, Upgrade, seal
from magnum_swarm_mode.stack.engine import EngineSettings

_FIELDS = (
    "name",
    "coe",
    "labels",
    "server_type",
    "network_driver",
    "volume_driver",
    "external_network_id",
    "fixed_network",
    "fixed_subnet",
    "dns_nameserver",
    "floating_ip_enabled",
    "master_lb_enabled",
    "docker_volume_size",
    "keypair",
    "keypair_id",
    "tls_disabled",
    "registry_enabled",
)


def message(size: int, groups: Sequence[str]) -> dict[str, Any]:
    """Return what magnum-api sends in place of a size, of which groups are upgraded.

    Magnum's own message has one group, and no word for all.

    :param groups: their uuids.
    """
    return {"size": size, "groups": list(groups)}


def check(cluster: Any, template: Any) -> Any:
    """Refuse a template that the cluster cannot follow; return the values of its labels then.

    :raises Refused: naming what differs.
    """
    return template_change.check(
        _values(cluster), _values(cluster.cluster_template), _values(template), CONF.swarm_mode
    )


def _values(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _FIELDS if name in row.fields}


def build(cluster: Any, template: Any, row: Any, size: int | Mapping[str, Any]) -> Upgrade:
    """Return what an upgrade leads to.

    :param row: the node group that Magnum names.
    :param size: of batches, or what :func:`message` gave.
    :raises Refused: when the cluster cannot follow the template.
    """
    values = check(cluster, template)
    before = cluster.cluster_template
    asked: Mapping[str, Any] = {"size": size, "groups": [row.uuid]}
    if isinstance(size, Mapping):
        asked = size
    engine = EngineSettings.of(
        template, has_fixed_network=bool(cluster.fixed_network or template.fixed_network)
    ).told(values)
    flavor = template_change.followed(cluster.flavor_id, before.flavor_id, template.flavor_id)
    masters = template_change.followed(
        cluster.master_flavor_id,
        before.master_flavor_id or before.flavor_id,
        template.master_flavor_id or template.flavor_id,
    )
    told = {"engine": engine, "manager_availability": values.manager_availability}
    labels = template_change.labels_after(
        cluster.labels or {}, before.labels or {}, template.labels or {}
    )
    groups = {}
    for one in cluster.nodegroups:
        if one.uuid not in asked["groups"]:
            continue
        is_manager = one.role == "master"
        settings: dict[str, Any] = {"engine": engine}
        if is_manager:
            settings["availability"] = values.manager_availability
        made_of = one.flavor_id
        if one.is_default:
            made_of = masters if is_manager else flavor
        groups[one.uuid] = Target(
            name=one.name,
            image=template.image_id,
            flavor=made_of,
            seal=seal(template.image_id, made_of, settings),
            template=template.uuid,
            batch=max(1, int(asked["size"] or 1)),
            settings=dict(told),
            cluster={"labels": labels, "flavor_id": flavor, "master_flavor_id": masters},
        )
    return Upgrade(groups)
