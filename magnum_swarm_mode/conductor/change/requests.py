# SPDX-License-Identifier: Apache-2.0
"""Takes requests for changes of a cluster, and recalls those that were forgotten."""

import contextlib
import contextvars
import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from magnum import objects

from magnum_swarm_mode import clocks, exceptions, log, reach
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import lease, rows
from magnum_swarm_mode.conductor.change import act, new_group, observe
from magnum_swarm_mode.conductor.change import step as change_step
from magnum_swarm_mode.conductor.rotation import ca
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions import status as decisions_status
from magnum_swarm_mode.decisions import steps, upgrade_plan
from magnum_swarm_mode.decisions.model import Plan
from magnum_swarm_mode.decisions.record import Phase, State

LOG = log.of(__name__)

# The status of a group that is to go.
DELETING = "DELETE_IN_PROGRESS"
# How long a conductor may take from a group's row to the record.
_REQUEST_SECONDS = 120
# The group whose request was written down before its row.
_FORETOLD: contextvars.ContextVar[str] = contextvars.ContextVar("foretold", default="")
_INTERRUPTED = "The request was interrupted before it began; resize the group again."


def request(
    store: Store,
    cluster: Any,
    group: Any,
    named: Sequence[str] = (),
    *,
    rollback: bool = False,
    resized: bool = True,
    status: str = "UPDATE_IN_PROGRESS",
    upgrade: upgrade_plan.Upgrade | None = None,
) -> None:
    """Write down that a group shall be as its row says; the next polls see to it.

    Whatever is under way goes on; this is served after what cannot be interrupted. Nothing is
    raised for a cluster that is being deleted, for Magnum would then stop the deletion. Of a group
    whose deletion was requested before, any other request asks for its deletion again.

    :param named: nodes to remove, by server id, host name or index.
    :param rollback: whether a failure shall lead back to the number of nodes before.
    :param status: of the group from now on.
    :param upgrade: what groups shall be made of, the others of which go with this one.
    """
    # The row goes first: whoever finds it different from the record takes it for a request.
    group.save()
    at_rest = _at_rest(cluster)
    is_foretold = _FORETOLD.get() == group.uuid

    def asked(state: State) -> State:
        if state.phase is not Phase.CREATED:
            return state
        if state.plan.is_to_go(group.uuid):
            return dataclasses.replace(state, plan=state.plan.requested(group.uuid, resized=False))
        if is_foretold and group.uuid in state.plan.pending:
            plan = copy.deepcopy(state.plan)
        else:
            # What was foretold and served already takes no further nodes.
            plan = state.plan.requested(
                group.uuid,
                () if is_foretold else named,
                rollback=rollback,
                resized=resized,
                upgrade=upgrade,
            )
        if status == DELETING:
            plan.desired[group.uuid] = None
        elif resized:
            plan.desired[group.uuid] = int(group.node_count)
            plan.projected[group.uuid] = int(group.node_count)
        return _after(state, plan, at_rest)

    record = store.amend(cluster.uuid, asked)
    if record is None or record.state.phase is not Phase.CREATED:
        LOG.info("Cluster %s is not there to be changed", cluster.uuid)
        return
    others = [
        row
        for row in cluster.nodegroups
        if upgrade is not None and row.uuid in upgrade.groups and row.uuid != group.uuid
    ]
    if record.state.plan.is_to_go(group.uuid):
        others, status = [], DELETING
    for row in (group, *others):
        row.status, row.status_reason = status, None
        row.save()
    # The handler does so as well, if its conductor lives long enough.
    rows.change(cluster.uuid, cluster.status, {"status": "UPDATE_IN_PROGRESS"})


@contextlib.contextmanager
def foretold(
    store: Store, cluster: Any, group: Any, count: int, named: Sequence[str]
) -> Iterator[None]:
    """Write a request down before anything of it is saved; :func:`request` follows in the block.

    A conductor that dies in the block leaves a request that the polls serve.

    :param count: how many nodes the group shall have, which its row does not say yet.
    """
    at_rest = _at_rest(cluster)

    def asked(state: State) -> State:
        if state.phase is not Phase.CREATED or state.plan.is_to_go(group.uuid):
            return state
        plan = state.plan.requested(group.uuid, named)
        plan.desired[group.uuid] = count
        return _after(state, plan, at_rest)

    store.amend(cluster.uuid, asked)
    token = _FORETOLD.set(group.uuid)
    try:
        yield
    finally:
        _FORETOLD.reset(token)


def _at_rest(cluster: Any) -> dict[str, int]:
    """Return how many nodes the rows say of groups of which nothing is under way."""
    return {
        row.uuid: int(row.node_count)
        for row in cluster.nodegroups
        if not str(row.status).endswith("_IN_PROGRESS")
    }


def _after(state: State, plan: Plan, at_rest: Mapping[str, int]) -> State:
    """Return a state after a request.

    :param at_rest: what rows say; from now on one with another number is a request of its own.
    """
    plan.projected = {**at_rest, **plan.projected}
    # It has a replacement of certificates that stopped go on as well.
    ca = state.ca.resumed if state.ca else None
    return dataclasses.replace(state, plan=plan, ca=ca)


def begin(store: Store, context: Any, cluster: Any) -> None:
    """Take the first step of what was requested, where that needs the token of the request.

    It is a step as the polls take it; whatever goes wrong with it, they try again.
    """
    try:
        _begin(store, context, cluster)
    except Exception as error:
        LOG.warning("Cluster %s: %s: %s", cluster.uuid, type(error).__name__, error)


def _begin(store: Store, context: Any, cluster: Any) -> None:
    record = store.get(cluster.uuid)
    if record is None or not reach.brings_owners_token(context, cluster, record.state):
        return
    if record.state.is_rotating:
        return
    with lease.held(store, cluster.uuid, "first step") as record:
        row = objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), cluster.uuid)
        if not record or record.state.is_rotating or record.state.phase is not Phase.CREATED:
            return
        if row.status in decisions_status.BUSY:
            change_step.step(store, context, row, record)


def recall(store: Store, cluster: Any, record: Record | None) -> Record | None:
    """Take up what was asked for and forgotten, because the conductor died that was asked.

    Called with clusters that are in no operation, at each poll of their health.

    :returns: the record as it is after that.
    """
    if record is None or record.state.phase is not Phase.CREATED:
        return record
    try:
        is_other = orphans.sweep(store, record)
        is_other |= new_group.sweep(store, cluster, record)
    except Conflict:
        is_other = True
    # A look at the health of a cluster of which nothing was forgotten takes no lease.
    if _forgotten(store, cluster, record) is not None:
        is_other = True
        with lease.held(store, cluster.uuid, "recall") as leased:
            if leased is not None and leased.state.phase is Phase.CREATED:
                take_up = _forgotten(store, cluster, leased)
                if take_up is not None:
                    with contextlib.suppress(Conflict):
                        take_up()
    return store.get(cluster.uuid) if is_other else record


def _forgotten(store: Store, cluster: Any, record: Record) -> Callable[[], None] | None:
    """Return what takes up what was forgotten; None where nothing was."""
    plan = record.state.plan
    if record.state.replaces_ca:
        if ca.is_forgotten(record.state):
            return functools.partial(_go_on, store, cluster, record, plan)
        # However long it has stopped, nodes have what is theirs.
        return functools.partial(_settle, store, cluster, record, plan) if plan.debts else None
    # Rows are read after the record: one that was changed meanwhile ends in a conflict.
    groups = list(cluster.nodegroups)
    counts = observe.counts(groups, plan)
    waiting = plan.adopted(counts, observe.deleted(groups))
    if record.state.is_rotating or not waiting.is_over:
        return functools.partial(_go_on, store, cluster, record, waiting)
    for row in groups:
        touched = row.updated_at or row.created_at
        if not str(row.status).endswith("_IN_PROGRESS") or touched is None:
            continue
        now, last = clocks.now(), touched.timestamp()
        if now - last > _REQUEST_SECONDS or clocks.is_ahead(last, now):
            return functools.partial(_fail, cluster, row, counts[row.uuid])
    settled = dataclasses.replace(plan, projected=counts)
    if plan.debts or settled != plan:
        return functools.partial(_settle, store, cluster, record, settled)
    return None


def _go_on(store: Store, cluster: Any, record: Record, plan: Plan) -> None:
    """Have the polls go on with what is under way, or was asked for."""
    if plan != record.state.plan:
        act.keep(store, record, plan)
    rows.change(cluster.uuid, cluster.status, {"status": "UPDATE_IN_PROGRESS"})


def _fail(cluster: Any, row: Any, count: int) -> None:
    """End a request of which only the group's row is left: which nodes were to go is unknown.

    :param count: how many nodes the group has again.
    """
    changes = {"status": "UPDATE_FAILED", "status_reason": _INTERRUPTED, "node_count": count}
    rows.write_group(row, changes)
    rows.tell(cluster, "UPDATE_FAILED", f"Node group {row.name}: {_INTERRUPTED}")


def _settle(store: Store, cluster: Any, record: Record, changed: Plan) -> None:
    """Give nodes back what an ended operation owes them, and remember what rows say."""
    plan = record.state.plan
    if plan.debts:
        try:
            swarm = reach.swarm_of(cluster, list(cluster.master_addresses or ()))
            raw = {str(node["ID"]): node for node in swarm.nodes()}
            nodes = observe.to_nodes(list(raw.values()), plan)
            for action in steps.repayment(nodes, plan.debts):
                act.set_node(swarm, raw, action)
            changed = dataclasses.replace(changed, debts=steps.unpaid(nodes, plan.debts))
        except exceptions.SwarmModeError as error:
            LOG.info("Cluster %s: %s", cluster.uuid, error.operator_message)
    if changed != plan:
        act.keep(store, record, changed)
