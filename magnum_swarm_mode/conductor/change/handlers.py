# SPDX-License-Identifier: Apache-2.0
"""What stands before the methods of Magnum's conductor that take requests about node groups.

Magnum's handlers save the cluster's row, or the number of nodes of a group's row, before they call
the driver. A conductor that dies in between would leave a cluster in progress that nobody knows a
request of, or forget which nodes were named. So what is requested is written down before.
"""

from collections.abc import Callable, Sequence
from typing import Any

from magnum.conductor.handlers import nodegroup_conductor

from magnum_swarm_mode import constants
from magnum_swarm_mode.admission import operations as operation_rules
from magnum_swarm_mode.conductor.change import requests
from magnum_swarm_mode.db.store import Store


def resize(
    original: Callable[..., Any],
    self: Any,
    context: Any,
    cluster: Any,
    node_count: int,
    nodes_to_remove: Sequence[str] | None,
    nodegroup: Any,
) -> Any:
    """Stand before ``cluster_resize``: the record has the request before the group's row."""
    arguments = (self, context, cluster, node_count, nodes_to_remove, nodegroup)
    if not _is_ours(cluster) or cluster.status not in operation_rules.RESIZABLE:
        return original(*arguments)
    named = [str(name) for name in nodes_to_remove or ()]
    with requests.foretold(Store(), cluster, nodegroup, int(node_count), named):
        return original(*arguments)


def update(
    original: Callable[..., Any], self: Any, context: Any, cluster: Any, nodegroup: Any
) -> Any:
    """Stand before ``nodegroup_update``: the group's row has the request before the cluster's."""
    if nodegroup.status in nodegroup_conductor.ALLOWED_NODEGROUP_STATES:
        _save(cluster, nodegroup, "UPDATE_IN_PROGRESS")
    return original(self, context, cluster, nodegroup)


def delete(
    original: Callable[..., Any], self: Any, context: Any, cluster: Any, nodegroup: Any
) -> Any:
    """Stand before ``nodegroup_delete``, as :func:`update`."""
    _save(cluster, nodegroup, requests.DELETING)
    return original(self, context, cluster, nodegroup)


def _save(cluster: Any, nodegroup: Any, status: str) -> None:
    if _is_ours(cluster):
        nodegroup.status = status
        nodegroup.save()


def _is_ours(cluster: Any) -> bool:
    return bool(cluster.cluster_template.coe == constants.COE)
