# SPDX-License-Identifier: Apache-2.0
"""How soon a cluster in progress is looked at again.

Magnum looks at clusters in progress every ten seconds, so that each step of an operation and its
end are seen five seconds late on average. While something happens to a cluster its conductor looks
more often; the longer nothing happened, the less often, down to Magnum's own interval. A look that
takes long, because the cloud is busy, is followed later.
"""

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

from magnum_swarm_mode import log
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor.due import shares
from magnum_swarm_mode.db.store import Store

CONF = cloud_sessions.CONF
LOG = log.of(__name__)

_LEAST_SECONDS = 2.0
# Magnum's own interval.
_MOST_SECONDS = 10.0
# So many times as long as nothing has changed, or as a look took, pass between two looks.
_OF_UNCHANGED = 0.25
_OF_LOOK = 10.0
# How often the times of the next looks are compared with the clock.
_TICK_SECONDS = 0.5
# After so long a cluster is forgotten that this conductor does not look at any more.
_FORGET_SECONDS = 3600.0


def pause(unchanged: float, took: float) -> float | None:
    """Return after how many seconds a cluster is looked at again.

    :param unchanged: for how many seconds nothing of the cluster has changed.
    :param took: how many seconds the last look took.
    :returns: None where Magnum's own interval is short enough.
    """
    seconds = max(_LEAST_SECONDS, _OF_UNCHANGED * unchanged, _OF_LOOK * took)
    return seconds if seconds < _MOST_SECONDS else None


@dataclasses.dataclass
class _Known:
    """What a cluster's row said, and since when, on the monotonic clock."""

    said: tuple[Any, ...]
    since: float
    seen: float


class Pace:
    """Has clusters looked at again, at most ``clusters_at_once`` more often than Magnum does.

    :param look: has a look taken, which it is given as Magnum's job for a cluster.
    """

    def __init__(self, look: Callable[[Any], None]) -> None:
        self._look = look
        self._known: dict[str, _Known] = {}
        # When each cluster is looked at again, and Magnum's job of the last look.
        self._next: dict[str, tuple[float, Any]] = {}
        self._lock = threading.Lock()
        self._runs = False

    def seen(self, job: Any, took: float) -> None:
        """Note a look that has ended.

        :param job: Magnum's, with the cluster as the look has left it.
        :param took: seconds.
        """
        cluster, now = job.cluster, time.monotonic()
        with self._lock:
            self._known = {
                uuid: one for uuid, one in self._known.items() if now - one.seen < _FORGET_SECONDS
            }
            self._next.pop(cluster.uuid, None)
            if not is_busy(cluster):
                self._known.pop(cluster.uuid, None)
                return
            said = (cluster.status, cluster.status_reason)
            known = self._known.get(cluster.uuid)
            since = known.since if known is not None and known.said == said else now
            self._known[cluster.uuid] = _Known(said, since, now)
            seconds = pause(now - since, took)
            if seconds is None or len(self._next) >= CONF.swarm_mode.clusters_at_once:
                return
            self._next[cluster.uuid] = (now + seconds, job)
            if not self._runs:
                self._start()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._run, name="swarm-mode pace", daemon=True).start()
        except RuntimeError as error:
            LOG.warning("Clusters are looked at no more often than by Magnum: %s", error)
            self._next.clear()
        else:
            self._runs = True

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            with self._lock:
                due = [uuid for uuid, (at, _) in self._next.items() if at <= now]
                jobs = [self._next.pop(uuid)[1] for uuid in due]
                if not (jobs or self._next):
                    self._runs = False
                    return
            for job in jobs:
                self._again(job)
            time.sleep(_TICK_SECONDS)

    def _again(self, job: Any) -> None:
        uuid = job.cluster.uuid
        try:
            if not shares.SHARES.is_mine(uuid):
                # This conductor stood in for another one, or has a new neighbour.
                return
            record = Store().get(uuid)
            # An operation ends after a number of looks that fail: these keep Magnum's interval, so
            # that what is broken for a minute ends none.
            if record is None or not record.state.errors:
                # Its row is read again when a thread is free for it.
                self._look(job)
        except Exception as error:
            # Magnum's own task looks at it in any case.
            LOG.warning("Cluster %s: %s: %s", uuid, type(error).__name__, error)


def is_busy(cluster: Any) -> bool:
    """Return whether Magnum calls a cluster in progress."""
    return str(cluster.status).endswith("_IN_PROGRESS")
