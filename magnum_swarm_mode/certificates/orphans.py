# SPDX-License-Identifier: Apache-2.0
"""Certificates in Magnum's store that no cluster's row names, so that none is forgotten there.

Magnum makes four for a rotation, one after the other, and saves their references at the very end.
A conductor that dies between would leave them for ever: a store cannot be asked for them (Barbican
does not look for containers by name, and the conductor's own have one name in all clusters). So
each reference is written into the cluster's record as soon as the store has given it. It leaves the
record in the same write that makes it a rotation's, or else when the store has deleted it.

Whoever wants to delete one says so in the record first, and what is said to be deleted is never
taken up. One reference can still be lost: where the conductor dies, or the database is away,
between the store's answer and the write.
"""

import contextlib
import contextvars
import dataclasses
import time
from collections.abc import Callable, Collection, Iterator

from oslo_log import log as logging

from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.db.store import Conflict, State, Store

LOG = logging.getLogger(__name__)

# After which nobody takes up what was made any more, in seconds.
OLD_SECONDS = 300
# In the place of the time at which one was made.
_TO_DELETE = 0
# The cluster for which certificates are made, and then their references.
_MAKING: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("making", default=None)


@contextlib.contextmanager
def noted(cluster_uuid: str) -> Iterator[None]:
    """Have what is made for a cluster noted within this context; on an error nothing stays."""
    store = Store()
    with contextlib.suppress(Conflict):
        sweep(store, cluster_uuid)
    made = [cluster_uuid]
    token = _MAKING.set(made)
    try:
        yield
    except Exception:
        try:
            # Nobody else has heard of them.
            _delete(store, cluster_uuid, made[1:])
        except Exception as error:
            # The next look at the cluster's health tries it again.
            LOG.warning("Certificates of cluster %s: %s", cluster_uuid, error)
        raise
    finally:
        _MAKING.reset(token)


def note(reference: str) -> None:
    """Write down what the store has just given, where that is to be noted."""
    making = _MAKING.get()
    if making is None:
        return
    making.append(reference)
    now = int(time.time())
    _change(Store(), making[0], lambda loose: {**loose, reference: now})


def are_kept(state: State, references: Collection[str]) -> bool:
    """Tell whether nobody has begun to delete what is to be taken up."""
    return all(state.loose.get(one) for one in references)


def without(state: State, references: Collection[str]) -> dict[str, int]:
    """Return what is loose when some are taken up."""
    return {name: made for name, made in state.loose.items() if name not in references}


def discard(store: Store, cluster_uuid: str, references: Collection[str]) -> None:
    """Delete some; what the store does not delete now stays noted, and is tried again later."""
    if store.get(cluster_uuid) is None:
        certificate_store.delete(cluster_uuid, references)
        return
    marked = _change(
        store,
        cluster_uuid,
        # What is not loose any more was taken up.
        lambda loose: loose | dict.fromkeys(loose.keys() & set(references), _TO_DELETE),
    )
    _delete(store, cluster_uuid, [one for one in references if marked.get(one) == _TO_DELETE])


def sweep(store: Store, cluster_uuid: str) -> None:
    """Delete what was made and forgotten, because a conductor died, or could not be deleted."""
    record = store.get(cluster_uuid)
    latest = time.time() - OLD_SECONDS
    loose = record.state.loose if record else {}
    if forgotten := [one for one, made in loose.items() if made <= latest]:
        discard(store, cluster_uuid, forgotten)


def _delete(store: Store, cluster_uuid: str, doomed: Collection[str]) -> None:
    left = dict.fromkeys(certificate_store.delete(cluster_uuid, doomed), _TO_DELETE)
    _change(
        store,
        cluster_uuid,
        lambda loose: {one: made for one, made in loose.items() if one not in doomed} | left,
    )


def _change(
    store: Store, cluster_uuid: str, change: Callable[[dict[str, int]], dict[str, int]]
) -> dict[str, int]:
    """Change and return what the record of a cluster has noted; one that is gone is left alone.

    :raises Conflict: when others change it all the time.
    """
    record = store.amend(
        cluster_uuid,
        lambda state: dataclasses.replace(state, loose=change(dict(state.loose))),
    )
    return dict(record.state.loose) if record else {}
