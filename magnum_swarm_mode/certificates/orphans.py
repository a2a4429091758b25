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
between the store's answer and the write. With ``x509keypair``, one can be lost where the conductor
stands still for more than five minutes between the write and the making, and then dies.

Where the store is away at the end of a cluster's deletion, the deletion ends, and the record stays
as the list of what is to be deleted; the loop over all that is due looks at it every ten minutes.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

from magnum_swarm_mode import clocks, exceptions, log
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions.model import Plan
from magnum_swarm_mode.decisions.record import Kind, Owned, Phase, State, new
from magnum_swarm_mode.stack import request

LOG = log.of(__name__)

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
    # Gives the session a time-out with which Magnum asks Barbican for what is made here.
    certificate_store.backend()
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
    """Return whether what is made now is to be noted."""
    return _MAKING.get() is not None


def note(reference: str) -> None:
    """Write down what the store has just given, or will be given, where that is to be noted.

    :raises Refused: when the cluster was deleted meanwhile, so that nobody would delete it.
    """
    making = _MAKING.get()
    if making is None or reference in making:
        return
    making.append(reference)
    now = int(clocks.now())
    uuid = making[0]
    if not Store().amend(uuid, lambda state: state.owning(Kind.CERTIFICATE, reference, since=now)):
        raise exceptions.Refused("The cluster was deleted while its certificates were made.")


def are_kept(state: State, references: Collection[str]) -> bool:
    """Return whether nobody has begun to delete what is to be taken up."""
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
    latest = clocks.now() - OLD_SECONDS
    loose = _loose(record.state) if record else []
    if forgotten := [one.key for one in loose if one.since <= latest]:
        discard(store, cluster_uuid, forgotten)


def delete_all(store: Store, cluster: Any, record: Record) -> None:
    """Delete all certificates of a cluster that goes, and its record, which is the last of it.

    While the store is away the delete ends all the same. The record stays then, with what is left,
    and :func:`sweep_gone` tries it again.
    """
    references = certificate_store.references(cluster)
    # Magnum deletes these two itself with its row, and forgets the others.
    magnums = {references["ca_cert_ref"], references["magnum_cert_ref"]}
    doomed = {one.key for one in record.state.things(Kind.CERTIFICATE)} | {*references.values()}
    left = certificate_store.delete(cluster.uuid, sorted(doomed - magnums))
    if not left:
        store.delete(record)
        return
    LOG.warning("Certificates of cluster %s stay in their store until it is back", cluster.uuid)
    # Of Magnum's own attempt nobody hears whether it worked.
    _keep_only(store, record, [*left, *filter(None, sorted(magnums))])


def sweep_gone(store: Store, record: Record) -> bool:
    """Delete what the store kept of a cluster that is gone; whether nothing is left of it."""
    doomed = [one.key for one in record.state.things(Kind.CERTIFICATE)]
    left = certificate_store.delete(record.cluster_uuid, doomed)
    with contextlib.suppress(Conflict):
        if left:
            _keep_only(store, record, left)
        else:
            store.delete(record)
    return not left


def _keep_only(store: Store, record: Record, references: Collection[str]) -> None:
    """Let a record be the list of certificates that are to be deleted."""
    state = dataclasses.replace(
        record.state.entering(Phase.CLEANING), owned=(), plan=Plan(), ca=None, credential=None
    )
    store.write(record, deleted(state, references, references))


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
