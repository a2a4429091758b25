# SPDX-License-Identifier: Apache-2.0
"""Watches clusters that are being created or deleted."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode import clocks, exceptions, log, reach, sentences
from magnum_swarm_mode.conductor import delete, rows
from magnum_swarm_mode.conductor.change import observe
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions import status
from magnum_swarm_mode.decisions.record import TRANSITIONS, Kind, Phase, State
from magnum_swarm_mode.decisions.status import Action, Decision, Seen
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.heat import members as heat_members
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import identity

LOG = log.of(__name__)


def step(store: Store, context: Any, cluster: Any, record: Record) -> None:
    """Look at a cluster once, and write what follows.

    :raises Conflict: when somebody else changed the record meanwhile.
    """
    seen, stack, heat_api = _look(context, cluster, record)
    state = record.state
    if stack is not None and not state.stack.id:
        state = state.owning(Kind.STACK, id=stack.id)
    if stack is not None and state.phase in (Phase.PREPARING, Phase.SUBMITTING):
        # Its creation may have ended before it wrote so.
        state = state.entering(Phase.CREATED)
    blind_since = (state.blind_since or seen.now) if seen.blind else 0
    state = dataclasses.replace(state, blind_since=blind_since)
    seen = dataclasses.replace(seen, state=state)
    found: dict[str, Any] = {}
    if stack is not None and status.is_made(seen):
        state = dataclasses.replace(state, complete_since=state.complete_since or seen.now)
        problem, by_kind, found, state = _ask_docker(cluster, stack, state)
        seen = dataclasses.replace(seen, docker_problem=problem, by_kind=by_kind, state=state)
    decision = status.decide(seen)
    if decision.action is Action.DELETE_STACK and heat_api is not None and stack is not None:
        try:
            heat_api.delete(stack.id)
        except exceptions.SwarmModeError as error:
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
            _blind(store, cluster, record, error.user_message)
            return
    if decision.action is Action.CLEAN_UP:
        _clean_up(store, context, cluster, record)
        return
    if decision.status != cluster.status or state != record.state:
        if decision.action is Action.COMPLETE:
            counts = observe.counts(cluster.nodegroups, state.plan)
            state = dataclasses.replace(
                state, plan=dataclasses.replace(state.plan, projected=counts)
            )
        # Whoever marked the cluster for deletion meanwhile wins here.
        record = store.write(record, state)
    change(cluster, decision, stack, found)


def _look(
    context: Any, cluster: Any, record: Record
) -> tuple[Seen, heat_client.Stack | None, heat_client.Heat | None]:
    state = record.state
    seen = Seen(cluster_status=cluster.status, state=state, now=int(clocks.now()))
    if state.phase in (Phase.CLEANING, Phase.ABANDONED):
        return seen, None, None
    if not (state.stack.id or state.stack.since):
        # There is nothing to be seen.
        return seen, None, None
    try:
        found = _first_sight(context, cluster, seen)
    except exceptions.Unavailable as error:
        LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
        return dataclasses.replace(seen, blind=error.user_message), None, None
    if found is not None:
        return found
    blind = (
        "Heat does not show the cluster's stack to Magnum any more: the rights of the "
        "cluster's creator are gone. A member of the project can delete the cluster."
    )
    return dataclasses.replace(seen, blind=blind), None, None


def _first_sight(
    context: Any, cluster: Any, seen: Seen
) -> tuple[Seen, heat_client.Stack | None, heat_client.Heat] | None:
    """Look with each session until one may; None when none may."""
    state = seen.state
    problems = []
    for who, session in reach.heat_sessions(context, cluster, state):
        foreign = who == reach.SERVICE
        if foreign and not state.stack.id:
            continue
        try:
            heat_api = reach.heat_of(session)
            stack = heat_api.get(state.stack.handle, at_rest=True)
            if stack is None and foreign:
                # Heat answers so as well where it does not let this user see the stack.
                problems.append(f"{who}: sees no stack {state.stack.id}")
                continue
            return _described(seen, cluster, stack, heat_api), stack, heat_api
        except heat_client.NotAllowed as error:
            problems.append(f"{who}: {error.operator_message}")
    LOG.warning("Cluster %s cannot be watched: %s", cluster.uuid, "; ".join(problems))
    return None


def _described(
    seen: Seen, cluster: Any, stack: heat_client.Stack | None, heat_api: heat_client.Heat
) -> Seen:
    if stack is None:
        return seen
    seen = dataclasses.replace(seen, stack_status=stack.status)
    if stack.status.endswith("_FAILED"):
        failed = heat_api.failure(stack)
        return dataclasses.replace(seen, failure=failed.reason, by_kind=failed.by_kind)
    if stack.status == "CREATE_IN_PROGRESS" and seen.cluster_status == "CREATE_IN_PROGRESS":
        with contextlib.suppress(exceptions.SwarmModeError):
            signals = heat_api.signals(stack.id)
            wanted = {"managers": cluster.master_count, "workers": cluster.node_count}
            own = {kind: status.progress({kind: wanted[kind]}, signals) for kind in wanted}
            return dataclasses.replace(
                seen,
                progress=status.progress(wanted, signals),
                by_kind={kind.removesuffix("s"): said for kind, said in own.items() if said},
            )
    return seen


def _ask_docker(
    cluster: Any, stack: heat_client.Stack, state: State
) -> tuple[str, dict[str, str], dict[str, Any], State]:
    """Return what the swarm lacks, which kind of node does, and what the cluster's row shall say.

    The third is empty until the swarm is whole. The state knows then which node is which server.
    """
    addresses = reach.output(stack, "manager_addresses")
    try:
        swarm = reach.swarm_of(cluster, addresses)
        engine, nodes = swarm.engine(), swarm.nodes()
    except exceptions.SwarmModeError as error:
        return error.user_message, {"manager": error.user_message}, {}, state
    prefix = stack_request.node_name_prefix(cluster.name or "", cluster.uuid)
    places = heat_members.addresses(stack, is_default=True)
    ids = identity.learned(nodes, state.plan.ids, places)
    plan = dataclasses.replace(state.plan, ids=ids, addresses=places)
    state = dataclasses.replace(state, plan=plan)
    names = identity.certain(identity.identify(nodes, ids, places))
    numbers = (cluster.master_count, cluster.node_count)
    if lacks := status.lacks(prefix, nodes, *numbers, names):
        by_kind = {kind: status.lacking({kind: parts}) for kind, parts in lacks.items()}
        return status.lacking(lacks), by_kind, {}, state
    host = stack.outputs.get("api_address") or addresses[0]
    return (
        "",
        {},
        {
            "api_address": swarm_client.url(str(host)),
            # Swarm mode is a part of the engine and has no version of its own.
            "coe_version": engine.version,
            "container_version": engine.version,
        },
        state,
    )


def _clean_up(store: Store, context: Any, cluster: Any, record: Record) -> None:
    for phase in (Phase.DELETING, Phase.CLEANING):
        if phase in TRANSITIONS[record.state.phase] and record.state.phase is not phase:
            record = store.write(record, record.state.entering(phase))
    try:
        delete.clean_up(store, context, cluster, record)
    except Conflict:
        raise
    except exceptions.Unavailable as error:
        _blind(store, cluster, record, error.user_message)
        return
    except exceptions.SwarmModeError as error:
        LOG.error("Cluster %s: %s", cluster.uuid, error.operator_message)
        why = f"{error.user_message} Then delete the cluster again."
        change(cluster, Decision("DELETE_FAILED", sentences.failed(sentences.DELETION, why)))
        return
    # Magnum removes its own row when it sees this; it need not be saved.
    rows.remember(cluster, {"status": "DELETE_COMPLETE", "status_reason": None})


def delete_groups(store: Store, context: Any, cluster: Any, record: Record) -> None:
    """Have the stacks of further groups deleted, and then the cluster's own."""
    try:
        gone = delete.groups_are_gone(context, cluster, record.state)
    except exceptions.Unavailable as error:
        _blind(store, cluster, record, error.user_message)
        return
    except exceptions.SwarmModeError as error:
        LOG.error("Cluster %s: %s", cluster.uuid, error.operator_message)
        own = {error.group: error.user_message} if isinstance(error, delete.GroupStays) else {}
        reason = sentences.failed(sentences.DELETION, error.user_message)
        change(cluster, Decision("DELETE_FAILED", reason, by_group=own))
        return
    if not gone:
        reason = "Heat deletes the further node groups."
        if record.state.blind_since:
            store.write(record, dataclasses.replace(record.state, blind_since=0))
        change(cluster, Decision("DELETE_IN_PROGRESS", reason))
        return
    state = dataclasses.replace(record.state, blind_since=0)
    state = state.without(Kind.GROUP, *state.groups)
    state = state.without(Kind.LATE, *(one.key for one in state.things(Kind.LATE)))
    record = store.write(record, state)
    step(store, context, cluster, record)


def _blind(store: Store, cluster: Any, record: Record, why: str) -> None:
    """Note that nothing can be seen now; end the operation when that lasts."""
    now = int(clocks.now())
    since = record.state.blind_since or now
    if since != record.state.blind_since:
        store.write(record, dataclasses.replace(record.state, blind_since=since))
    change(cluster, status.blind(cluster.status, since, now, why))


def change(
    cluster: Any,
    decision: Decision,
    stack: heat_client.Stack | None = None,
    found: Mapping[str, Any] | None = None,
) -> None:
    """Write a decision to Magnum's rows, unless its status was changed since it was read."""
    values = {"status": decision.status, "status_reason": decision.reason, **(found or {})}
    own: dict[str, Any] = {"status": decision.status}
    if stack is not None:
        values["stack_id"] = own["stack_id"] = stack.id
    if not rows.write(cluster, values):
        LOG.debug("Cluster %s has another status than was polled", cluster.uuid)
        return
    for group in cluster.nodegroups:
        kind = ("manager" if group.role == "master" else "worker",) if group.is_default else ()
        more: dict[str, Any] = {"status_reason": decision.reason_of(group.uuid, *kind)}
        if decision.action is Action.COMPLETE and stack is not None:
            more["node_addresses"] = _addresses(group, stack)
        rows.write_group(group, {**own, **more})


def _addresses(group: Any, stack: heat_client.Stack) -> list[str]:
    return reach.output(
        stack, "manager_addresses" if group.role == "master" else "worker_addresses"
    )
