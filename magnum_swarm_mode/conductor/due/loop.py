# SPDX-License-Identifier: Apache-2.0
"""Looks at clusters: at those that are due, each in one conductor, and so many at a time.

Magnum polls clusters whose status is in progress, and asks for the health of others: every
conductor for every cluster, with a thread for each. Here each cluster has its conductor (see
``shares``), and the looks are taken by a bounded number of threads, so that a cluster whose cloud
answers slowly keeps no other from its turn. Clusters whose looks are slow, as those of managers
that lie are, have threads of their own: fifty of them would otherwise take all threads.

A status that something else was saved over would hide a deletion or a request from Magnum for ever.
The record says when a cluster is due, and its conductor gives it a status that Magnum polls.
"""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from magnum import objects
from magnum.common import exception as magnum_exception

from magnum_swarm_mode import clocks, constants, log
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import lease, rows
from magnum_swarm_mode.conductor.due import pace, shares
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions.record import Phase

CONF = cloud_sessions.CONF
LOG = log.of(__name__)

# How long a cluster that was looked at is left to others, in seconds.
_AGAIN_SECONDS = 60
# How many clusters one conductor takes up at a time.
_MOST_AT_ONCE = 200
# A look that takes longer is slow, in seconds, and so long its cluster's next looks are kept apart.
_SLOW_SECONDS = 3.0
_APART_SECONDS = 3600.0
# The methods of Magnum's jobs that look at a cluster in progress, and ask for a cluster's health.
_STATUS, _HEALTH = "update_status", "update_health_status"


@dataclasses.dataclass(eq=False)
class _Look:
    """A look that waits for a thread, or is being taken.

    :ivar key: the name of the method that takes it, and the cluster's uuid.
    :ivar began: when a thread began, on the monotonic clock; 0 before.
    """

    take: Callable[[], Any]
    key: tuple[str, str]
    began: float = 0.0

    @property
    def job(self) -> Any:
        """Magnum's job whose method it is."""
        return getattr(self.take, "__self__", None)

    @property
    def hangs(self) -> bool:
        """Whether it has taken so long that its lease is left to others."""
        return bool(self.began) and time.monotonic() - self.began > lease.MOST_SECONDS


class _Pool:
    """Threads that take looks. They keep no process from its end.

    A thread that hangs, in a call to a service that has no time-out, is replaced.

    :param most: how many there are at most beside those that hang; they are started when they are
        needed.
    :param take: takes a look, and raises nothing.
    """

    def __init__(self, most: int, take: Callable[[_Look], None]) -> None:
        self._free, self._take, self._started = most, take, 0
        self._busy: set[_Look] = set()
        self._lock = threading.Lock()
        # Eventlet, on which conductors of some releases run, knows this one, and no SimpleQueue.
        self._queue: queue.Queue[_Look] = queue.Queue()

    def submit(self, look: _Look) -> None:
        """Have a look taken. Only one thread submits at a time.

        :raises RuntimeError: when no thread can be started now, and none was before.
        """
        with self._lock:
            hung = {one for one in self._busy if one.hangs}
            self._busy -= hung
            self._free += len(hung)
        for one in hung:
            LOG.error("%s of cluster %s hangs; another thread works in its place", *one.key)
        if self._free:
            self._start()
        self._queue.put(look)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name="swarm-mode look", daemon=True).start()
        except RuntimeError as error:
            if not self._started:
                raise
            LOG.warning("No further thread looks at clusters: %s", error)
            return
        self._free -= 1
        self._started += 1

    def _work(self) -> None:
        while True:
            look = self._queue.get()
            with self._lock:
                look.began = time.monotonic()
                self._busy.add(look)
            self._take(look)
            with self._lock:
                if look not in self._busy:
                    return
                self._busy.discard(look)


class Calls:
    """Stands for ``oslo_service.loopingcall`` in Magnum's periodic tasks.

    They start a loop for every cluster, which ends after its first turn. For clusters of ours that
    turn is put into a queue instead.

    :param original: the module.
    """

    def __init__(self, original: Any) -> None:
        self._original = original
        self._pools: dict[tuple[str, bool], _Pool] = {}
        # Until when clusters' looks are kept apart from others.
        self._apart: dict[tuple[str, str], float] = {}
        self._queued: dict[tuple[str, str], _Look] = {}
        self._lock = threading.Lock()
        self._pace = pace.Pace(lambda job: self.submit(job.update_status, job.cluster.uuid))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def FixedIntervalLoopingCall(self, f: Callable[[], Any]) -> Any:  # noqa: N802 - the module's
        """Return what :meth:`start` is called of."""
        cluster = getattr(getattr(f, "__self__", None), "cluster", None)
        template = getattr(cluster, "cluster_template", None)
        if getattr(template, "coe", None) != constants.COE:
            return self._original.FixedIntervalLoopingCall(f=f)
        return _Call(self, f, cluster)

    def submit(self, look: Callable[[], Any], uuid: str) -> None:
        """Have a look taken when a thread is free, unless the last one still waits for one."""
        key = (look.__name__, uuid)
        with self._lock:
            known = self._queued.get(key)
            if known is not None and not known.hangs:
                return
            queued = _Look(look, key)
            is_slow = self._apart.get(key, 0.0) > time.monotonic()
            # Slow operations keep nobody from looking at the health of others.
            lane = (look.__name__, is_slow)
            pool = self._pools.get(lane)
            if pool is None:
                pool = self._pools[lane] = _Pool(CONF.swarm_mode.clusters_at_once, self._take)
            self._queued[key] = queued
            try:
                pool.submit(queued)
            except RuntimeError:
                del self._queued[key]
                raise

    def _take(self, look: _Look) -> None:
        try:
            if _is_current(look):
                look.take()
        except self._original.LoopingCallDone:
            pass
        except Exception:
            LOG.exception("%s of cluster %s failed", *look.key)
        finally:
            now = time.monotonic()
            with self._lock:
                # One that hung may have been followed by another.
                if self._queued.get(look.key) is look:
                    del self._queued[look.key]
                if now - look.began > _SLOW_SECONDS:
                    # Also of clusters that are gone, which nobody looks at any more.
                    self._apart = {key: end for key, end in self._apart.items() if end > now}
                    self._apart[look.key] = now + _APART_SECONDS
            if look.key[0] == _STATUS:
                self._pace.seen(look.job, now - look.began)


def _is_current(look: _Look) -> bool:
    """Return whether a look is still to be taken; it gets the cluster's row as it is now.

    The look waited for a thread, and an earlier one, which was at work when the rows were listed,
    may have ended the operation, or the cluster.
    """
    job = look.job
    try:
        job.cluster = objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), look.key[1])
    except magnum_exception.ClusterNotFound:
        LOG.debug("Cluster %s is gone", look.key[1])
        return False
    return look.key[0] != _STATUS or pace.is_busy(job.cluster)


class _Call:
    """A look at one cluster.

    :param calls: what has it taken.
    :param look: takes it.
    """

    def __init__(self, calls: Calls, look: Callable[[], Any], cluster: Any) -> None:
        self._calls, self._look, self._cluster = calls, look, cluster

    def start(self, *_: Any, **__: Any) -> None:
        """Take the look soon, if it is this conductor's turn."""
        if is_turn(Store(), self._cluster.uuid, health=self._look.__name__ == _HEALTH):
            self._calls.submit(self._look, self._cluster.uuid)


def is_turn(store: Store, uuid: str, *, health: bool) -> bool:
    """Return whether this conductor is to look at a cluster now.

    :param health: whether at its health, rather than at an operation.
    """
    if shares.SHARES.is_mine(uuid):
        return True
    interval = int(CONF.kubernetes.health_polling_interval)
    last = store.last_look(uuid, health=health, seconds=interval)
    return last is None or clocks.now() - last > shares.GRACE_SECONDS


def after_sync(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Do what Magnum's periodic task does, and then look at what it passes by."""
    try:
        return original(*args, **kwargs)
    finally:
        run(Store())


def run(store: Store) -> None:
    """Look at the clusters that are due; whatever goes wrong goes to the log."""
    try:
        gone = []
        for uuid, since in store.due(_MOST_AT_ONCE).items():
            late = clocks.now() - since > shares.GRACE_SECONDS
            if (late or shares.SHARES.is_mine(uuid)) and store.postpone(uuid, _AGAIN_SECONDS):
                gone += _look(store, uuid)
        for record in gone:
            # A store that is away is asked once, however many clusters wait for it.
            if not orphans.sweep_gone(store, record):
                break
    except Exception:
        LOG.exception("Looking for clusters of swarm-mode that are due failed")


def _look(store: Store, uuid: str) -> list[Record]:
    """Look at a cluster; return its record if nothing else of it is left."""
    record = None
    try:
        record = store.get(uuid)
        cluster = objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), uuid)
        if record is not None:
            _take_up(cluster, record)
    except magnum_exception.ClusterNotFound:
        LOG.debug("Cluster %s is gone", uuid)
        return [record] if record is not None and orphans.is_left(record) else []
    except Exception:
        LOG.exception("Looking at cluster %s, which is due, failed", uuid)
    return []


def _take_up(cluster: Any, record: Record) -> None:
    if pace.is_busy(cluster) or cluster.status.startswith("DELETE"):
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
