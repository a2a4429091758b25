# SPDX-License-Identifier: Apache-2.0
"""Certificates that were made for a cluster, so that none is forgotten in Magnum's store.

Magnum makes four for a cluster, and for a replacement four more, one after the other, and saves
their references at the very end. A conductor that dies between would leave them for ever: a store
cannot be asked for them (Barbican does not look for containers by name, and the conductor's own
have one name in all clusters). So each reference is written into the cluster's record: before the
certificate is made where the store takes a reference that we choose (``x509keypair``), and else as
soon as the store has given it. It counts as used as soon as a row of Magnum's, or a replacement,
names it, and leaves the record when the store has deleted it.

Whoever wants to delete one says so in the record first, and what is said to be deleted is never
taken up. With Barbican, one can still be lost: where the conductor dies, or the database is away,
between the store's answer and the write.
"""

import contextlib
import contextvars
import dataclasses
import time
from collections.abc import Collection, Iterator
from typing import Any

from oslo_log import log as logging

from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.db.store import Conflict, Store
from magnum_swarm_mode.decisions.record import Kind, Owned, Phase, State, new
from magnum_swarm_mode.stack import request

LOG = logging.getLogger(__name__)

# After which nobody takes up what was made any more, in seconds.
OLD_SECONDS = 300
# In the place of the time at which one was made.
_TO_DELETE = 0
# The cluster for which certificates are made, and then their references.
_MAKING: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("making", default=None)


def begin(cluster: Any) -> None:
    """Write the record of a cluster that is about to be created, unless there is one.

    Of rights nothing is said: none are asked for before the request was checked.
    """
    state = new(Phase.PREPARING, "", request.stack_name(cluster))
    with contextlib.suppress(Conflict):
        Store().insert(cluster.uuid, cluster.project_id, state)


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


def is_noting() -> bool:
    """Tell whether what is made now is to be noted."""
    return _MAKING.get() is not None


def note(reference: str) -> None:
    """Write down what the store has just given, or will be given, where that is to be noted."""
    making = _MAKING.get()
    if making is None or reference in making:
        return
    making.append(reference)
    now = int(time.time())
    Store().amend(making[0], lambda state: state.owning(Kind.CERTIFICATE, reference, since=now))


def are_kept(state: State, references: Collection[str]) -> bool:
    """Tell whether nobody has begun to delete what is to be taken up."""
    known = {one.key for one in _loose(state) if one.since}
    return known.issuperset(references)


def used(state: State, references: Collection[str]) -> State:
    """Return a state in which certificates are named by something else as well."""
    return _with(state, references, used=True)


def deleted(state: State, references: Collection[str], left: Collection[str]) -> State:
    """Return a state after the store was asked to delete certificates.

    :param left: those that may still be there.
    """
    state = state.without(Kind.CERTIFICATE, *(one for one in references if one not in left))
    for reference in left:
        state = state.owning(Kind.CERTIFICATE, reference, since=_TO_DELETE, used=False)
    return state


def discard(store: Store, cluster_uuid: str, references: Collection[str]) -> None:
    """Delete some; what the store does not delete now stays noted, and is tried again later."""

    def mark(state: State) -> State:
        # What is not loose any more was taken up.
        loose = [one.key for one in _loose(state) if one.key in references]
        return _with(state, loose, since=_TO_DELETE)

    record = store.amend(cluster_uuid, mark)
    if record is None:
        certificate_store.delete(cluster_uuid, references)
        return
    doomed = [one.key for one in _loose(record.state) if one.since == _TO_DELETE]
    _delete(store, cluster_uuid, [one for one in references if one in doomed])


def sweep(store: Store, cluster_uuid: str) -> None:
    """Delete what was made and forgotten, because a conductor died, or could not be deleted."""
    record = store.get(cluster_uuid)
    latest = time.time() - OLD_SECONDS
    loose = _loose(record.state) if record else []
    if forgotten := [one.key for one in loose if one.since <= latest]:
        discard(store, cluster_uuid, forgotten)


def delete_all(cluster_uuid: str, state: State, kept: Collection[str | None]) -> None:
    """Delete all certificates of a cluster that goes.

    :param kept: references of those that Magnum deletes.
    """
    doomed = [one.key for one in state.things(Kind.CERTIFICATE) if one.key not in kept]
    certificate_store.delete(cluster_uuid, doomed)


def _loose(state: State) -> list[Owned]:
    """Return the certificates that nothing else names yet, or any more."""
    return [one for one in state.things(Kind.CERTIFICATE) if not one.used]


def _with(state: State, references: Collection[str], **changes: object) -> State:
    owned = tuple(
        dataclasses.replace(one, **changes)  # type: ignore[arg-type]
        if one.kind == Kind.CERTIFICATE and one.key in references
        else one
        for one in state.owned
    )
    return dataclasses.replace(state, owned=owned)


def _delete(store: Store, cluster_uuid: str, doomed: Collection[str]) -> None:
    if doomed:
        left = certificate_store.delete(cluster_uuid, doomed)
        store.amend(cluster_uuid, lambda state: deleted(state, doomed, left))
