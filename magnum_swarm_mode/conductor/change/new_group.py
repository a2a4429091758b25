# SPDX-License-Identifier: Apache-2.0
"""Makes a further node group, and unmakes one that was made too late.

A conductor may stand still before it asks Heat, and the group is deleted meanwhile. If it goes on,
it deletes what it has made. As it may also die then, the record keeps for a day under which name
Heat may yet be asked for a stack, and each look at the cluster's health deletes what it finds.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from magnum import objects
from magnum.common import exception as magnum_exception

from magnum_swarm_mode import clocks, exceptions, log, reach
from magnum_swarm_mode.cloud import credentials
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions import steps
from magnum_swarm_mode.decisions.model import Plan, Sent
from magnum_swarm_mode.decisions.record import Kind, Owned, Phase, State
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.stack import node_group
from magnum_swarm_mode.wire import nodes as swarm_nodes

CONF = cloud_sessions.CONF
LOG = log.of(__name__)

# How long a conductor may stand still between the note and the request to Heat, in seconds.
STANDSTILL_SECONDS = 86_400


def create(store: Store, context: Any, cluster: Any, row: Any) -> None:
    """Ask Heat for a further node group, with the token of the user who wants it.

    Heat needs a trust of its own for a stack, which it cannot make of the conductor's.

    :raises SwarmModeError: with a sentence for the user.
    """
    record = store.get(cluster.uuid)
    if record is None or record.state.phase is not Phase.CREATED:
        raise exceptions.Refused("The cluster is being deleted; no node group can be added.")
    values = node_group.check_labels(row.labels, cluster.labels, CONF.swarm_mode)
    heat_api, stack = reach.find_stack(context, cluster, record.state)
    taken = [one.prefix for one in record.state.things(Kind.GROUP, Kind.LATE)]
    prefix = node_group.name_prefix(stack.node_prefix, row.name, row.uuid, taken)
    secret = node_group.new_secret()
    request = node_group.build(cluster, row, values, stack, prefix, secret)
    name = node_group.stack_name(row.uuid)
    asked = {"name": name, "prefix": prefix, "since": int(clocks.now())}
    _note_request(store, cluster, row, asked)
    if not _is_there(cluster, row):
        why = "The node group was deleted before Heat was asked for it."
        _end(store, cluster, row, record.state.plan, why)
        raise exceptions.Refused(why)
    is_asked = False
    try:
        swarm = reach.swarm_of(cluster, reach.output(stack, "manager_addresses"))
        swarm.put_config(
            node_group.config_name(row.uuid),
            {node_group.DIGEST_LABEL: node_group.digest(secret)},
        )
        if cloud_sessions.has_token(context):
            heat_api = reach.heat_of(cloud_sessions.user_session(context))
        before = _trusts(context)
        is_asked = True
        row.stack_id = reach.submit(heat_api, request, name, int(cluster.create_timeout or 0))
    except exceptions.SwarmModeError as error:
        # In either of these cases there may be a stack, which is watched then.
        unclear = isinstance(error, (exceptions.Unavailable, heat_client.AlreadyExists))
        if not (is_asked and unclear):
            _end(store, cluster, row, record.state.plan, error.user_message)
        raise
    noted = {
        "name": name,
        "prefix": prefix,
        "id": row.stack_id,
        "trust": credentials.only_new(before, _trusts(context)),
    }
    if not _note_made(store, cluster, row, noted):
        # A delete has begun meanwhile, and may already have looked for what is here; or this took
        # so long that the request was given up.
        heat_api.delete(row.stack_id)


def _end(store: Store, cluster: Any, row: Any, before: Plan, why: str) -> None:
    """End the request for a group of which Heat makes nothing.

    :param before: the plan before the request.
    """
    said = f"Node group {row.name}: {why}"

    def ended(state: State) -> State:
        plan = state.plan
        if before.is_over and plan.number == before.number + 1:
            plan = steps.abandon(plan, said)
        else:
            # What else was asked for goes on.
            plan = copy.deepcopy(plan)
            steps.note(plan, said, lasting=True)
        plan.pending = [uuid for uuid in plan.pending if uuid != row.uuid]
        plan.desired.pop(row.uuid, None)
        plan.projected.pop(row.uuid, None)
        plan.sent.pop(row.uuid, None)
        return dataclasses.replace(state.without(Kind.GROUP, row.uuid), plan=plan)

    store.amend(cluster.uuid, ended)


def _trusts(context: Any) -> set[str] | None:
    return (
        credentials.trusts_given(cloud_sessions.user_session(context))
        if cloud_sessions.has_token(context)
        else None
    )


def _note_request(store: Store, cluster: Any, row: Any, asked: Mapping[str, Any]) -> None:
    """Write down that Heat is going to be asked for a group."""

    def noted(state: State) -> State:
        if state.phase is not Phase.CREATED:
            return state
        plan = state.plan.requested(row.uuid, resized=False)
        plan.desired[row.uuid] = plan.projected[row.uuid] = int(row.node_count)
        plan.making = [*plan.making, row.uuid]
        # All that Heat says of the stack, it says because of this request.
        plan.sent[row.uuid] = Sent(plan.number, "not made")
        state = state.owning(Kind.GROUP, row.uuid, **asked)
        ca = state.ca.resumed if state.ca else None
        return dataclasses.replace(state, plan=plan, ca=ca)

    store.amend(cluster.uuid, noted)


def _note_made(store: Store, cluster: Any, row: Any, made: Mapping[str, Any]) -> bool:
    """Write down what Heat makes for a group; whether the group is still wanted."""

    def noted(state: State) -> State:
        if state.phase is Phase.CREATED and state.thing(Kind.LATE, row.uuid):
            return state.owning(Kind.LATE, row.uuid, id=made["id"])
        if state.phase is not Phase.CREATED or state.thing(Kind.GROUP, row.uuid) is None:
            return state
        # Also of one that is not wanted any more: its deletion looks for it here.
        return state.owning(Kind.GROUP, row.uuid, **made)

    record = store.amend(cluster.uuid, noted)
    if record is None or record.state.phase is not Phase.CREATED:
        return False
    is_known = record.state.thing(Kind.GROUP, row.uuid) is not None
    return is_known and row.uuid in record.state.plan.sent


def _is_there(cluster: Any, row: Any) -> bool:
    """Return whether Magnum has a group, which may be deleted while its conductor stands still."""
    try:
        objects.NodeGroup.get_by_uuid(cloud_sessions.admin_context(), cluster.uuid, row.uuid)
    except magnum_exception.NodeGroupNotFound:
        return False
    return True


def dropped(state: State, uuid: str) -> State:
    """Return a state without a group whose stack is gone; a stack that may yet come is noted."""
    made = state.thing(Kind.GROUP, uuid)
    state = state.without(Kind.GROUP, uuid)
    if made is None or made.id or not made.since:
        return state
    until = made.since + STANDSTILL_SECONDS
    kept = {"name": made.name, "prefix": made.prefix, "since": made.since, "until": until}
    return state.owning(Kind.LATE, uuid, **kept)


def sweep(store: Store, cluster: Any, record: Record) -> bool:
    """Delete the stacks of groups that are gone, which a conductor made that had stood still.

    :returns: whether there may be one; the record may be another one then.
    """
    late = record.state.things(Kind.LATE)
    if not late:
        return False
    context = cloud_sessions.admin_context()
    try:
        heat_api, stack = reach.find_stack(context, cluster, record.state, at_rest=True)
        for one in late:
            _sweep(store, cluster, heat_api, reach.output(stack, "manager_addresses"), one)
    except exceptions.SwarmModeError as error:
        LOG.info("Cluster %s: %s", cluster.uuid, error.operator_message)
    return True


def _sweep(
    store: Store, cluster: Any, heat_api: heat_client.Heat, managers: list[str], late: Owned
) -> None:
    found = heat_api.get(late.handle, at_rest=True)
    if found is not None and found.status != "DELETE_COMPLETE":
        # Its nodes are removed from the swarm when it is gone.
        store.amend(cluster.uuid, lambda state: _known(state, late, found.id))
        if found.status != "DELETE_IN_PROGRESS":
            LOG.warning("Cluster %s: stack %s was made too late", cluster.uuid, late.name)
            heat_api.delete(found.id)
        return
    now = clocks.now()
    if late.id:
        swarm = reach.swarm_of(cluster, managers)
        swarm.remove_config(node_group.config_name(late.key))
        own = node_group.node_names(late.prefix)
        for node in swarm.nodes():
            down = swarm_nodes.state(node) == swarm_nodes.DOWN
            if down and own.fullmatch(swarm_nodes.hostname(node)):
                swarm.remove_node(str(node["ID"]))
    elif late.until > now and not clocks.is_ahead(late.until, now, STANDSTILL_SECONDS):
        return
    store.amend(cluster.uuid, lambda state: state.without(Kind.LATE, late.key))


def _known(state: State, late: Owned, stack_id: str) -> State:
    is_kept = state.thing(Kind.LATE, late.key) is not None
    return state.owning(Kind.LATE, late.key, id=stack_id) if is_kept else state
