# SPDX-License-Identifier: Apache-2.0
"""Looks at clusters in progress: the one place that says what is done about which."""

import dataclasses
from typing import Any

from magnum.common import exception as magnum_exception

from magnum_swarm_mode import clocks, log
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.conductor import delete, lease, rows, watch
from magnum_swarm_mode.conductor.change import rows as change_rows
from magnum_swarm_mode.conductor.change import step as change_step
from magnum_swarm_mode.conductor.rotation.ca_steps import Look
from magnum_swarm_mode.conductor.rotation.credential import CredentialRotation
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions import status, steps
from magnum_swarm_mode.decisions.model import Plan
from magnum_swarm_mode.decisions.record import Phase, State
from magnum_swarm_mode.decisions.status import Decision

LOG = log.of(__name__)

# How long a delete may take from its record to its status.
_DELETE_MARK_SECONDS = 60
# What Magnum raises where a row is gone that is to be saved.
_GONE = (magnum_exception.ClusterNotFound, magnum_exception.NodeGroupNotFound)


def poll(store: Store, context: Any, cluster: Any) -> None:
    """Bring the status of a cluster in progress up to date.

    A conductor does this at least every ten seconds for every such cluster of its own (see
    ``due``); the record's lease lets one of them act. ``context`` has no token.
    """
    with lease.held(store, cluster.uuid, "poll") as record:
        if record is not None and orphans.is_list(record):
            _poll_without_record(cluster)
        elif record is not None:
            _pass(store, context, cluster, record)
        elif store.get(cluster.uuid) is None:
            _poll_without_record(cluster)


def _pass(store: Store, context: Any, cluster: Any, record: Record) -> None:
    """Look at a cluster once, under its lease."""
    try:
        _act(store, context, cluster, record)
    except Conflict:
        LOG.debug("Cluster %s was changed during a poll", cluster.uuid)
    except Exception as error:
        if isinstance(error, _GONE) and store.get(cluster.uuid) is None:
            LOG.debug("Cluster %s was deleted during a poll", cluster.uuid)
            return
        LOG.exception("A look at cluster %s failed", cluster.uuid)
        _count(store, cluster, type(error).__name__)
    else:
        if record.state.errors:
            store.amend(cluster.uuid, lambda state: dataclasses.replace(state, errors=0))


def _act(store: Store, context: Any, cluster: Any, record: Record) -> None:
    phase = record.state.phase
    is_deleted = cluster.status.startswith("DELETE")
    if phase in (Phase.DELETING, Phase.CLEANING) and not is_deleted:
        _mend_delete(cluster, record)
    elif cluster.status in status.BUSY and phase is Phase.CREATED:
        _go_on(store, context, cluster, record)
    elif cluster.status == "DELETE_IN_PROGRESS" and record.state.things(*delete.GROUPS):
        watch.delete_groups(store, context, cluster, record)
    else:
        watch.step(store, context, cluster, record)


def _go_on(store: Store, context: Any, cluster: Any, record: Record) -> None:
    """Go on with what is under way of a cluster that was made."""
    if record.state.credential is not None:
        CredentialRotation(store).step(context, cluster, record)
    elif record.state.ca is not None:
        more = not record.state.plan.is_over
        Look(store, context, cluster, record).go_on(more_to_do=more)
    else:
        change_step.step(store, context, cluster, record)


def _count(store: Store, cluster: Any, error: str) -> None:
    """Note a look that failed unexpectedly; end the operation after several in a row."""
    record = store.amend(
        cluster.uuid, lambda state: dataclasses.replace(state, errors=state.errors + 1)
    )
    if record is None or record.state.errors < status.MOST_ERRORS:
        return
    names = {row.uuid: row.name for row in cluster.nodegroups}
    decision = status.broken(cluster.status, error, record.state, names)
    reason = decision.reason or ""
    LOG.error("Cluster %s: %s", cluster.uuid, reason)
    ended = store.amend(cluster.uuid, lambda state: _at_rest(state, reason))
    if cluster.status in status.BUSY and ended is not None:
        change_rows.fail(cluster, ended.state.plan, reason)
    else:
        watch.change(cluster, decision)


def _mend_delete(cluster: Any, record: Record) -> None:
    """Let a delete go on whose status another request overwrote, or that has none yet."""
    if clocks.now() - record.state.phase_since > _DELETE_MARK_SECONDS:
        LOG.warning("The deletion of cluster %s is taken up again", cluster.uuid)
        watch.change(cluster, Decision("DELETE_IN_PROGRESS", None))


def _poll_without_record(cluster: Any) -> None:
    if cluster.status == "DELETE_IN_PROGRESS":
        # The record goes last, so this cluster was cleaned up by a conductor that is about to say
        # so, or has died.
        if rows.take_end(cluster.uuid):
            rows.remember(cluster, {"status": "DELETE_COMPLETE", "status_reason": None})
        return
    if cluster.status in status.BUSY:
        watch.change(
            cluster,
            status.failed(
                cluster.status,
                status.request_of(cluster.status),
                "magnum-conductor has no record of the cluster, so nothing of it can be changed.",
                "Tell the operator, or delete the cluster and create it again.",
            ),
        )
        return
    now = clocks.now()
    created = cluster.created_at.timestamp() if cluster.created_at else now
    is_old = now - created > status.PREPARE_SECONDS or clocks.is_ahead(created, now)
    if cluster.status == "CREATE_IN_PROGRESS" and is_old:
        watch.change(
            cluster,
            Decision(
                "CREATE_FAILED",
                "The making of the cluster was interrupted before it began; delete the cluster "
                "and create it again.",
            ),
        )


def _at_rest(state: State, reason: str) -> State:
    """Return a state in which nothing is under way that a look would go on with."""
    try:
        plan = steps.abandoned(state.plan, reason)
    except Exception as error:
        LOG.warning("What was under way cannot be read: %s: %s", type(error).__name__, error)
        plan = Plan()
    # It goes on when somebody has it go on.
    ca = dataclasses.replace(state.ca, failed=True, reason=reason) if state.ca else None
    return dataclasses.replace(state, plan=plan, ca=ca, credential=None, errors=0)
