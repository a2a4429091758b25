# SPDX-License-Identifier: Apache-2.0
"""Changes roles of nodes back that a user changed with ``docker node promote`` or ``demote``."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from magnum_swarm_mode import exceptions, log
from magnum_swarm_mode.conductor import lease
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions import roles
from magnum_swarm_mode.decisions.record import Kind, Phase
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import identity
from magnum_swarm_mode.wire import nodes as swarm_nodes

LOG = log.of(__name__)


def mend(
    store: Store,
    cluster: Any,
    record: Record | None,
    swarm: swarm_client.Swarm,
    nodes: Sequence[roles.Json],
    managers_at: Callable[[Record], Collection[str]],
) -> dict[str, str]:
    """Give nodes of a cluster in no operation their roles back, one at each look.

    A node chooses its host name. So none becomes a manager of which neither its id nor its address
    says that it is one of the cluster's managers.

    :param record: as it was before the managers were asked.
    :param managers_at: returns the managers' addresses in the cluster's network, of the record.
    :returns: what the cluster's health shall say, by the ids of nodes.
    """
    if record is None or not _is_at_rest(record):
        return {}
    prefix = stack_request.node_name_prefix(cluster.name or "", cluster.uuid)
    groups = [one.prefix for one in record.state.things(Kind.GROUP) if one.prefix]
    plan = record.state.plan
    known = identity.identify(nodes, plan.ids, plan.addresses)
    found = roles.find(nodes, prefix, groups, identity.certain(known))
    sure = [one for one in found if known[swarm_nodes.node_id(one.node)].is_sure]
    others = [one for one in found if one not in sure]
    if any(roles.promotes(one) for one in others):
        # Heat may know an address that the record does not.
        others = roles.at_their_addresses(others, managers_at(record))
    found = [one for one in found if one in sure or one in others]
    if not found:
        return {}
    name, count = cluster.name or cluster.uuid, int(cluster.node_count)
    said = {swarm_nodes.node_id(one.node): one.text(name, count) for one in found}
    ready = next((one for one in found if one.now), None)
    if ready is None:
        return said
    with lease.held(store, cluster.uuid, "mending of roles") as leased:
        # Whatever began since then may be changing roles itself.
        if not leased or not _is_at_rest(leased) or _requests(leased) != _requests(record):
            return said
        try:
            spec = {**swarm_nodes.part(ready.node, "Spec"), "Role": ready.role}
            swarm.update_node(ready.node, spec)
            LOG.info("Cluster %s: %s", cluster.uuid, said[swarm_nodes.node_id(ready.node)])
        except exceptions.SwarmModeError as error:
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
            said[swarm_nodes.node_id(ready.node)] = ready.text(name, count, refused=True)
    return said


def _requests(record: Record) -> int:
    return record.state.plan.number


def _is_at_rest(record: Record) -> bool:
    state = record.state
    return state.phase is Phase.CREATED and state.plan.is_over and not state.is_rotating
