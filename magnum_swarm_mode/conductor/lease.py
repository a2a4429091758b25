# SPDX-License-Identifier: Apache-2.0
"""The one way to have a cluster to oneself for a while.

A lease is short, so that the cluster of a conductor that died is soon taken over, and is renewed
while its holder is at work, however long Heat takes to answer.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

from magnum_swarm_mode import log
from magnum_swarm_mode.db.store import Record, Store

LOG = log.of(__name__)

# For how long one renewal holds.
LEASE_SECONDS = 60
# How often it is renewed.
_INTERVAL = LEASE_SECONDS / 3
# How often a lease is tried again that somebody else has.
_AGAIN_SECONDS = 0.5
# After so long a thread that still holds a lease counts as hung.
MOST_SECONDS = 900


def take(store: Store, cluster_uuid: str, patience: float = 0.0) -> Record | None:
    """Take a cluster's lease, without renewing it.

    :param patience: for how many seconds it is tried again while somebody else has the lease.
    :returns: the record under the lease; None when there is none or somebody else has the lease.
    """
    end = time.monotonic() + patience
    record = store.lease(cluster_uuid, LEASE_SECONDS)
    while record is None and time.monotonic() < end and store.get(cluster_uuid) is not None:
        time.sleep(_AGAIN_SECONDS)
        record = store.lease(cluster_uuid, LEASE_SECONDS)
    return record


@contextlib.contextmanager
def held(
    store: Store, cluster_uuid: str, purpose: str, patience: float = 0.0
) -> Iterator[Record | None]:
    """Take a cluster's lease, renew it while the block runs, and release it.

    :param purpose: for the log, as "poll".
    :param patience: as :func:`take` has it.
    :returns: as :func:`take` does.
    """
    record = take(store, cluster_uuid, patience)
    if record is None:
        yield None
        return
    with kept(store, record, purpose):
        yield record


@contextlib.contextmanager
def kept(store: Store, record: Record, purpose: str) -> Iterator[None]:
    """Renew a lease that was taken with a record while the block runs, and release it."""
    done = threading.Event()
    name = f"swarm-mode lease of {record.cluster_uuid}"
    thread = threading.Thread(
        target=_renew, args=(store, record, purpose, done), name=name, daemon=True
    )
    try:
        thread.start()
        yield
    finally:
        done.set()
        release(store, record)


def release(store: Store, record: Record) -> None:
    """Release a lease; one that cannot be released now ends by itself.

    Nothing is raised: what was done under the lease is done, and the caller must not take it for
    failed.
    """
    try:
        store.release(record)
    except Exception as error:
        LOG.warning(
            "The lease of cluster %s is left to end by itself: %s: %s",
            record.cluster_uuid,
            type(error).__name__,
            error,
        )


def _renew(store: Store, record: Record, purpose: str, done: threading.Event) -> None:
    end = time.monotonic() + MOST_SECONDS
    while not done.wait(_INTERVAL):
        if time.monotonic() > end:
            LOG.error(
                "The %s of cluster %s takes longer than %d seconds; another conductor may take "
                "it over",
                purpose,
                record.cluster_uuid,
                MOST_SECONDS,
            )
            return
        try:
            if not store.renew(record, LEASE_SECONDS):
                return
        except Exception as error:
            # The next attempt comes before the lease ends.
            LOG.warning(
                "The lease of cluster %s is not renewed: %s: %s",
                record.cluster_uuid,
                type(error).__name__,
                error,
            )
