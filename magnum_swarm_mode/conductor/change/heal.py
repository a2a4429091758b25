# SPDX-License-Identifier: Apache-2.0
"""Begins to replace nodes that have been down for long."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from magnum_swarm_mode import clocks, log
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import notifications, rows
from magnum_swarm_mode.conductor.change import observe
from magnum_swarm_mode.conductor.change.observe import Json
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions import healing
from magnum_swarm_mode.decisions.record import Phase

CONF = cloud_sessions.CONF
LOG = log.of(__name__)


def heal(
    store: Store,
    context: Any,
    cluster: Any,
    record: Record | None,
    raw: Sequence[Json] | None,
    own: re.Pattern[str],
) -> str:
    """Begin to replace nodes that have been down for long, where the cluster's labels say so.

    Called with clusters that are in no operation, at each poll of their health. Whoever else
    changes the record or the status meanwhile goes first.

    :param record: as it was before the managers were asked.
    :param raw: the swarm's nodes; None when the managers could not be asked.
    :param own: matches the host names of the cluster's servers.
    :returns: what the cluster's health shall say of it; empty for nothing.
    """
    if record is None or record.state.phase is not Phase.CREATED:
        return ""
    values = observe.labels(cluster)
    plan = record.state.plan
    memory = record.state.healing
    if not values.auto_healing_enabled or not plan.is_over:
        return ""
    nodes = observe.to_nodes(raw or (), plan, own)
    if not cluster.status.endswith("_COMPLETE"):
        failed = cluster.status == "UPDATE_FAILED"
        return healing.paused(nodes, cluster.status) if failed else ""
    if raw is None:
        verdict = healing.Verdict(memory.blind())
    else:
        rule = healing.Rule(
            delay=values.auto_healing_delay,
            most=CONF.swarm_mode.most_healings_per_hour,
            blind=3 * int(max(60, CONF.kubernetes.health_polling_interval)),
        )
        verdict = healing.decide(nodes, memory, rule, int(clocks.now()))
    if memory.is_at_rest and verdict.memory.is_at_rest and not verdict.replace:
        return verdict.line
    state = dataclasses.replace(record.state, healing=verdict.memory)
    if verdict.replace:
        state = dataclasses.replace(state, plan=plan.healing(verdict.replace, verdict.cause))
    try:
        store.write(record, state)
    except Conflict:
        return ""
    if verdict.memory.limited and not memory.limited:
        LOG.warning("Healing of cluster %s: %s", cluster.uuid, verdict.line)
        notifications.healing_stopped(context, cluster, verdict.line)
    if verdict.replace:
        # A conductor that dies here has it recalled by the next poll.
        changes = {"status": "UPDATE_IN_PROGRESS", "status_reason": verdict.cause}
        rows.change(cluster.uuid, cluster.status, changes)
        LOG.info("Cluster %s: %s", cluster.uuid, verdict.cause)
        notifications.healing_begun(context, cluster, verdict.replace, verdict.cause)
    return verdict.line
