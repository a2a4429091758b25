# SPDX-License-Identifier: Apache-2.0
"""Makes a further node group."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode import clocks, exceptions, reach
from magnum_swarm_mode.cloud import credentials
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.db.store import Store
from magnum_swarm_mode.decisions import steps
from magnum_swarm_mode.decisions.model import Plan, Sent
from magnum_swarm_mode.decisions.record import Kind, Phase, State
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.stack import node_group

CONF = cloud_sessions.CONF


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
    taken = [one.prefix for one in record.state.things(Kind.GROUP)]
    prefix = node_group.name_prefix(stack.node_prefix, row.name, row.uuid, taken)
    secret = node_group.new_secret()
    request = node_group.build(cluster, row, values, stack, prefix, secret)
    name = node_group.stack_name(row.uuid)
    asked = {"name": name, "prefix": prefix, "since": int(clocks.now())}
    _note_request(store, cluster, row, asked)
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
        if state.phase is not Phase.CREATED or state.thing(Kind.GROUP, row.uuid) is None:
            return state
        # Also of one that is not wanted any more: its deletion looks for it here.
        return state.owning(Kind.GROUP, row.uuid, **made)

    record = store.amend(cluster.uuid, noted)
    if record is None or record.state.phase is not Phase.CREATED:
        return False
    is_known = record.state.thing(Kind.GROUP, row.uuid) is not None
    return is_known and row.uuid in record.state.plan.sent
