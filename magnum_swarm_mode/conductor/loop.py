# SPDX-License-Identifier: Apache-2.0
"""Looks at every cluster that is due, also at those that Magnum's own tasks pass by.

Magnum polls clusters whose status is in progress, and asks for the health of some others. A status
that something else was saved over would hide a deletion or a request from it for ever. The record
says when a cluster is due; whichever conductor comes first gives it a status that Magnum polls.
"""

from collections.abc import Callable
from typing import Any

from magnum import objects
from magnum.common import exception as magnum_exception
from oslo_log import log as logging

from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions.record import Phase

LOG = logging.getLogger(__name__)

# How long a cluster that was looked at is left to others, in seconds.
_AGAIN_SECONDS = 60
# How many clusters one conductor takes up at a time.
_MOST_AT_ONCE = 200


def after_sync(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Do what Magnum's periodic task does, and then look at what it passes by."""
    try:
        return original(*args, **kwargs)
    finally:
        run(Store())


def run(store: Store) -> None:
    """Look at the clusters that are due; whatever goes wrong goes to the log."""
    try:
        uuids = [uuid for uuid in store.due(_MOST_AT_ONCE) if store.postpone(uuid, _AGAIN_SECONDS)]
        for uuid in uuids:
            _look(store, uuid)
    except Exception:
        LOG.exception("Looking for clusters of swarm-mode that are due failed")


def _look(store: Store, uuid: str) -> None:
    try:
        record = store.get(uuid)
        cluster = objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), uuid)
        if record is not None:
            _take_up(cluster, record)
    except magnum_exception.ClusterNotFound:
        LOG.debug("Cluster %s is gone", uuid)
    except Exception:
        LOG.exception("Looking at cluster %s, which is due, failed", uuid)


def _take_up(cluster: Any, record: Record) -> None:
    if cluster.status.endswith("_IN_PROGRESS") or cluster.status.startswith("DELETE"):
        # Magnum looks itself, or the deletion failed and waits for a user.
        return
    if record.state.phase in (Phase.DELETING, Phase.CLEANING):
        status = "DELETE_IN_PROGRESS"
    elif record.state.phase is Phase.CREATED and cluster.status != "CREATE_FAILED":
        status = "UPDATE_IN_PROGRESS"
    else:
        return
    # From now on Magnum's own task looks at it, and sends its notifications.
    LOG.warning("Cluster %s has work to be done in status %s", cluster.uuid, cluster.status)
    rows.write(cluster, {"status": status, "status_reason": None})
