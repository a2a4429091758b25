# SPDX-License-Identifier: Apache-2.0
"""Carries out what ``decisions.change`` decides about a cluster that shall change.

Each look is one step, under the cluster's lease: the plan is written down before anything is done,
so that whichever conductor looks next goes on from there, and every step may be done twice.
"""

import contextlib
import dataclasses
from typing import Any

from magnum_swarm_mode import clocks, exceptions, log, sentences
from magnum_swarm_mode.admission import manager_keys
from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.conductor.change import act, observe
from magnum_swarm_mode.conductor.change import rows as change_rows
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions import change, steps
from magnum_swarm_mode.decisions.model import Outcome, Plan, Seen, Step
from magnum_swarm_mode.decisions.record import State

LOG = log.of(__name__)

# How long a step is tried again that cannot be taken now.
_TROUBLED_SECONDS = 600
# How long an operation waits for Heat to show the cluster's stack.
_BLIND_SECONDS = 1800
# How many steps one look may lead to that need no waiting between them.
_STEPS_AT_ONCE = 6


def step(store: Store, context: Any, cluster: Any, record: Record) -> None:
    """Look, decide and act, some times over while nothing has to be waited for.

    :raises Conflict: when somebody else changed the record meanwhile.
    """
    for _ in range(_STEPS_AT_ONCE):
        try:
            seen, view = observe.look(context, cluster, record)
        except grants.Lost as error:
            LOG.error("Cluster %s: %s", cluster.uuid, error.operator_message)
            if told(cluster, record.state.plan):
                return
            _abandon(store, cluster, record, error.user_message)
            return
        except exceptions.SwarmModeError as error:
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
            _unseen(store, cluster, record, error)
            return
        step = change.decide(seen)
        # Whoever changed the record meanwhile wins here, before anything is done.
        record = act.keep(store, record, step.plan)
        try:
            record = act.act(store, view, step, record)
        except exceptions.SwarmModeError as error:
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
            _stumble(store, seen, view, step, record, error)
            return
        if step.plan.troubled:
            record = act.keep(store, record, dataclasses.replace(step.plan, troubled=0))
        change_rows.write(store, view, step)
        _forget_keys(store, cluster.uuid, seen, step.plan)
        if not step.soon:
            return


def _forget_keys(store: Store, cluster_uuid: str, seen: Seen, plan: Plan) -> None:
    """Have nothing signed any more for managers that an operation has removed."""
    if plan.ended is None or plan.ended.outcome != Outcome.COMPLETE.value:
        return
    present = {m.index for group in seen.groups if group.is_manager for m in group.members}

    def change(state: State) -> State:
        if state.plan.number != plan.number or not state.plan.is_over:
            # The next operation may have added managers that were not seen.
            return state
        keys = manager_keys.without_removed(state.manager_keys, present)
        return dataclasses.replace(state, manager_keys=keys)

    store.amend(cluster_uuid, change)


def _unseen(store: Store, cluster: Any, record: Record, error: exceptions.SwarmModeError) -> None:
    """Wait for Heat to show the cluster, for a time that is the same for all conductors."""
    plan = record.state.plan
    if told(cluster, plan):
        return
    now = int(clocks.now())
    if plan.blind and now - plan.blind > _BLIND_SECONDS:
        minutes = _BLIND_SECONDS // 60
        _abandon(store, cluster, record, f"Given up after {minutes} minutes: {error.user_message}")
        return
    if not plan.blind:
        act.keep(store, record, dataclasses.replace(plan, blind=now))
    rows.tell(cluster, cluster.status, error.user_message)


def _abandon(store: Store, cluster: Any, record: Record, reason: str) -> None:
    """End an operation that nobody has the rights for; nothing of it was seen to be done."""
    names = {row.uuid: row.name for row in cluster.nodegroups}
    request = steps.request_of(record.state.plan, names)
    plan = steps.abandon(record.state.plan, sentences.failed(request, reason))
    act.keep(store, record, plan)
    told(cluster, plan)


def told(cluster: Any, plan: Plan) -> bool:
    """Write into rows that an operation has failed, where the record says so; whether it does."""
    if plan.ended is None or not plan.is_over or plan.ended.outcome != Outcome.FAILED.value:
        return False
    change_rows.fail(cluster, plan, plan.ended.reason, plan.ended.group)
    return True


def _stumble(
    store: Store,
    seen: Seen,
    view: observe.View,
    step: Step,
    record: Record,
    error: exceptions.SwarmModeError,
) -> None:
    """Deal with a step that could not be taken: try again for a while, or give up."""
    since = step.plan.troubled or seen.now
    lasting = not isinstance(error, exceptions.Unavailable)
    if lasting or seen.now - since > _TROUBLED_SECONDS:
        failed = steps.give_up(seen, step.plan, error.user_message)
        failed = change.with_progress(seen, failed)
        record = act.keep(store, record, failed.plan)
        with contextlib.suppress(exceptions.Unavailable):
            act.act(store, view, failed, record)
        change_rows.write(store, view, failed)
        return
    act.keep(store, record, dataclasses.replace(step.plan, troubled=since))
    rows.tell(view.cluster, view.cluster.status, f"{step.reason} {error.user_message}")
