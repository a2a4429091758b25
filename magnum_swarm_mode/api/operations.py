# SPDX-License-Identifier: Apache-2.0
"""What stands before the methods of Magnum's RPC client that change a living cluster.

As :mod:`.requests`, for the operations that are offered: it decides by
:mod:`magnum_swarm_mode.admission.operations`, in the API process, whether the cluster can be
changed so now.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pecan
from magnum.api import attr_validator
from magnum.common import clients

from magnum_swarm_mode import constants, exceptions, reach
from magnum_swarm_mode.admission import cluster_request, room
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.admission import operations as operation_rules
from magnum_swarm_mode.api import preflight
from magnum_swarm_mode.api import requests as api_requests
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conf import CONF
from magnum_swarm_mode.decisions import model
from magnum_swarm_mode.heat import members as heat_members
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.sentences import shown
from magnum_swarm_mode.stack import node_group
from magnum_swarm_mode.stack import size as stack_size
from magnum_swarm_mode.stack import upgrade as stack_upgrade

# Fields of a template, a cluster and a node group by which nodes differ in what they need.
_OF_NODES = (
    "docker_volume_size",
    "external_network_id",
    "fixed_network",
    "fixed_subnet",
    "flavor_id",
    "floating_ip_enabled",
    "image_id",
)


def _update(cluster: Any, node_count: int, **_: Any) -> None:
    group = cluster.default_ng_worker
    if int(node_count) == group.node_count:
        # Only health or a name; Magnum serves that by itself.
        return
    operation_rules.check_update(cluster.status, cluster.status_reason)
    operation_rules.check_count(_row(group), int(node_count))
    _check_room(cluster, group, int(node_count))


def _resize(
    cluster: Any, node_count: int, nodes_to_remove: Sequence[str], nodegroup: Any, **_: Any
) -> None:
    operation_rules.check_resize(cluster.status, cluster.status_reason)
    operation_rules.check_group_stays(nodegroup.name, nodegroup.status)
    operation_rules.check_count(_row(nodegroup), int(node_count))
    if nodes_to_remove:
        names = [str(name) for name in nodes_to_remove]
        operation_rules.check_named(names, _members(nodegroup), nodegroup.name)
    _check_room(cluster, nodegroup, int(node_count))


def _upgrade(
    cluster: Any, cluster_template: Any, max_batch_size: Any, nodegroup: Any, **_: Any
) -> dict[str, Any]:
    """Refuse what cannot be upgraded; else return what the conductor is sent instead."""
    operation_rules.check_upgrade(cluster.status, cluster.status_reason)
    operation_rules.check_group_stays(nodegroup.name, nodegroup.status)
    size = 1 if request_fields.is_unset(max_batch_size) else int(max_batch_size)
    if size < 1:
        raise exceptions.Refused(
            f"max_batch_size={size} is refused: at least 1 node at a time is upgraded."
        )
    stack_upgrade.check(cluster, cluster_template)
    client = clients.OpenStackClients(pecan.request.context)
    for flavor in {cluster_template.flavor_id, cluster_template.master_flavor_id} - {None, ""}:
        attr_validator.validate_flavor(client, flavor)
    image = attr_validator.validate_image(client, cluster_template.image_id)
    properties = {name: image.get(name) for name in ("os_distro", "magnum_driver")}
    cluster_request.check_image(properties, cluster_template.image_id, None)
    groups = [nodegroup.uuid]
    if not api_requests.given_fields() & {"nodegroup"}:
        # Magnum takes the first group of workers where none is named.
        groups = [cluster.default_ng_master.uuid, cluster.default_ng_worker.uuid]
    if cluster.status == "UPDATE_FAILED":
        # Magnum's conductor goes by what it is sent, and would not let anybody go back otherwise.
        cluster.status = "UPDATE_COMPLETE"
    return {"max_batch_size": stack_upgrade.message(size, groups)}


def _create_group(cluster: Any, nodegroup: Any, **_: Any) -> None:
    operation_rules.check_group_change(cluster.status, cluster.status_reason, creates=True)
    operation_rules.check_group_owner(cluster.user_id, pecan.request.context.user_id)
    request_fields.check_given(request_fields.NODE_GROUP_FIELDS, api_requests.given_fields())
    _check_fields(nodegroup)
    values = node_group.check_labels(nodegroup.labels, cluster.labels, CONF.swarm_mode)
    client = clients.OpenStackClients(pecan.request.context)
    attr_validator.validate_flavor(client, nodegroup.flavor_id)
    image = attr_validator.validate_image(client, nodegroup.image_id)
    properties = {name: image.get(name) for name in ("os_distro", "magnum_driver")}
    cluster_request.check_image(properties, nodegroup.image_id, None)
    count = int(nodegroup.node_count)
    after = before = _wanted(cluster, nodegroup, values, count)
    if _is_comparable(cluster):
        # Of a group that does not exist, all nodes are new, and so is what Nova places them by.
        before = dataclasses.replace(after, workers=0, worker_server_group=False)
    api_requests.look(pecan.request.context).check_change(
        preflight.Change(
            what=f"Node group {shown(nodegroup.name)}",
            before=before,
            after=after,
            nodes=_nodes(cluster) + count,
            resources=stack_size.of_node_group(after),
            image=image,
        )
    )


def _check_room(cluster: Any, group: Any, count: int) -> None:
    """Refuse more nodes of a group than there is room for.

    :raises Refused: with the arithmetic.
    """
    added = count - group.node_count
    if added <= 0 or not _is_comparable(cluster):
        return
    try:
        values = _labels(cluster, group)
    except exceptions.Refused:
        # Another version took them; the nodes that there are have them.
        return
    before, after = (_wanted(cluster, group, values, n) for n in (group.node_count, count))
    size = stack_size.of_cluster if group.is_default else stack_size.of_node_group
    api_requests.look(pecan.request.context).check_change(
        preflight.Change("The resize", before, after, _nodes(cluster) + added, size(after))
    )


def _is_comparable(cluster: Any) -> bool:
    """Return whether a cluster's needs can be compared with what the user's project has left.

    While something is under way, or after it failed, there can be more nodes than are wanted, which
    go before others come. An operator who changes a cluster has quotas of his own.
    """
    own = cluster.project_id == pecan.request.context.project_id
    return own and operation_rules.is_settled(cluster.status)


def _nodes(cluster: Any) -> int:
    return sum(int(one.node_count) for one in cluster.nodegroups)


def _labels(cluster: Any, group: Any) -> label_table.Labels:
    """Return the labels by which the nodes of a group were made, as far as that is certain.

    The operator's defaults may have been others then, so that what only they ask for is left out.
    So is the zone, which needs no second look.

    :raises Refused: for labels that are not valid any more.
    """
    own = {**(cluster.labels or {}), **(group.labels or {})}
    values = label_parsing.parse(own)
    # The only default that asks for something where no operator has one of his own.
    policy = values.server_group_policy if "server_group_policy" in own else "none"
    return dataclasses.replace(values, server_group_policy=policy, availability_zone="")


def _wanted(cluster: Any, group: Any, values: label_table.Labels, count: int) -> room.Wanted:
    """Return what the nodes ask of the cloud that are in the stack of a group, if it has ``count``.

    All are taken to be of the group's flavor, as no others change.
    """
    fields: dict[str, Any] = {}
    for thing in (cluster.cluster_template, cluster, group):
        # A group that is about to be made lacks some.
        own = {name: getattr(thing, name) for name in _OF_NODES if _has(thing, name)}
        fields = cluster_request.effective(fields, own)
    whole = _has(group, "is_default") and group.is_default
    fields |= {
        "master_flavor_id": fields["flavor_id"],
        "master_count": cluster.default_ng_master.node_count if whole else 0,
        "node_count": cluster.default_ng_worker.node_count,
        "master_count" if group.role == "master" else "node_count": count,
    }
    wanted = preflight.wanted(fields, values, cluster=True)
    # A stack of its own has no managers to place.
    return wanted if whole else dataclasses.replace(wanted, manager_server_group=False)


def _update_group(cluster: Any, nodegroup: Any, **_: Any) -> None:
    operation_rules.check_group_change(cluster.status, cluster.status_reason, creates=False)
    operation_rules.check_group_stays(nodegroup.name, nodegroup.status)
    _check_fields(nodegroup)


def _delete_group(cluster: Any, nodegroup: Any, **_: Any) -> None:
    operation_rules.check_group_change(cluster.status, cluster.status_reason, creates=False)
    if nodegroup.status in ("CREATE_FAILED", "DELETE_FAILED"):
        # Magnum's conductor would drop the request without a word, as for no other group.
        nodegroup.status = "UPDATE_FAILED"
        nodegroup.save()


def _rotate_ca(cluster: Any) -> None:
    operation_rules.check_rotation(cluster.status, cluster.status_reason)


def _check_fields(group: Any) -> None:
    names = ("node_count", "node_taints", "docker_volume_size")
    given = {name: getattr(group, name) for name in names if _has(group, name)}
    request_fields.check_fields(request_fields.NODE_GROUP_FIELDS, given)


def _has(group: Any, name: str) -> bool:
    """Return whether an object has a field, which not all releases have, and a value for it."""
    return name in group.fields and bool(group.obj_attr_is_set(name))


def _row(group: Any) -> Mapping[str, Any]:
    names = ("role", "name", "min_node_count", "max_node_count")
    return {name: getattr(group, name, None) for name in names}


def _members(group: Any) -> tuple[model.Member, ...]:
    """Return the nodes of a group as the user who asks sees them in Heat.

    :raises Unavailable: when Heat does not show them now.
    """
    heat_api = reach.heat_of(cloud_sessions.user_session(pecan.request.context))
    stack = heat_api.get(group.stack_id) if group.stack_id else None
    if stack is None:
        raise exceptions.Unavailable(
            "Heat does not show the nodes of the cluster now, so that none can be named to be "
            "removed; try again later."
        )
    return heat_members.members_of(
        heat_api, stack, is_default=bool(group.is_default), is_manager=group.role == "master"
    )


def _rotate_credential(cluster: Any, **_: Any) -> None:
    operation_rules.check_credential_rotation(cluster.status, cluster.status_reason)
    # The conductor asks Keystone; what the token itself says is refused before anything begins.
    cluster_request.check_credential(pecan.request.context.auth_token_info)


_CHECKS: Mapping[str, tuple[tuple[str, ...], Callable[..., dict[str, Any] | None]]] = {
    "cluster_update_async": (
        ("node_count", "health_status", "health_status_reason", "rollback"),
        _update,
    ),
    "cluster_resize_async": (("node_count", "nodes_to_remove", "nodegroup", "rollback"), _resize),
    "cluster_upgrade": (("cluster_template", "max_batch_size", "nodegroup"), _upgrade),
    "rotate_ca_certificate": ((), _rotate_ca),
    "nodegroup_create_async": (("nodegroup",), _create_group),
    "nodegroup_update_async": (("nodegroup",), _update_group),
    "nodegroup_delete_async": (("nodegroup",), _delete_group),
    "credential_rotate": ((), _rotate_credential),
}
OFFERED = tuple(_CHECKS)


def gate(operation: str) -> Callable[..., Any]:
    """Return what stands before a method of Magnum's RPC client: the last place before the cast.

    :param operation: one of ``OFFERED``.
    """
    names, check = _CHECKS[operation]

    def gated(
        original: Callable[..., Any], self: Any, cluster: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if cluster.cluster_template.coe == constants.COE:
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            with api_requests.answering():
                changed = check(cluster, **given)
            # What the conductor refuses at once is read by the user, too.
            api_requests.show_in_full()
            if changed:
                return original(self, cluster, **{**given, **changed})
        return original(self, cluster, *args, **kwargs)

    return gated
