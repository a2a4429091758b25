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
taken up. A conductor that stood still between the write and the making finds that out as soon as it
has made the certificate, and deletes it. As it may also die then, the reference of what may not
have been made yet stays in the record for a day, and is deleted again and again meanwhile. With
Barbican, one can still be lost: where the conductor dies, or the database is away, between the
store's answer and the write.

Where that day is not over, or the store is away, at the end of a cluster's deletion, the deletion
ends, and the record stays as the list of what is to be deleted; the loop over all that is due looks
at it every ten minutes.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

from magnum import objects
from magnum.common import exception as magnum_exception

from magnum_swarm_mode import clocks, exceptions, log
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions.model import Plan
from magnum_swarm_mode.decisions.record import Kind, Owned, Phase, State, new
from magnum_swarm_mode.stack import request

LOG = log.of(__name__)

# After which nobody takes up what was made any more, in seconds.
OLD_SECONDS = 300
# In the place of the time at which one was made.
_TO_DELETE = 0
# How long a conductor may stand still between the note and the making, in seconds.
STANDSTILL_SECONDS = 86_400
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
        sweep(store, store.get(cluster_uuid))
    # Gives the session a time-out with which Magnum asks Barbican for what is made here.
    certificate_store.backend()
    made = [cluster_uuid]
    token = _MAKING.set(made)
    try:
        yield
    except Exception:
        try:
            # Nobody else has heard of them, and none of them will be made any more.
            store.amend(cluster_uuid, lambda state: _with(state, made[1:], until=0))
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
    times = {"since": now, "until": now + STANDSTILL_SECONDS}
    if not Store().amend(
        making[0], lambda state: state.owning(Kind.CERTIFICATE, reference, **times)
    ):
        raise _deleted_meanwhile()


def made(reference: str) -> None:
    """Write down that the store has what was noted before.

    :raises Refused: when it is not to be used any more.
    """
    making = _MAKING.get()
    if making is None:
        return
    record = Store().amend(making[0], lambda state: _with(state, [reference], until=0))
    if record is None or not are_kept(record.state, [reference]):
        raise _deleted_meanwhile()


def _deleted_meanwhile() -> exceptions.Refused:
    return exceptions.Refused("The cluster was deleted while its certificates were made.")


def are_kept(state: State, references: Collection[str]) -> bool:
    """Return whether nobody has begun to delete what is to be taken up."""
    known = {one.key for one in _loose(state) if one.since}
    return known.issuperset(references)


def used(state: State, references: Collection[str]) -> State:
    """Return a state in which certificates are named by something else as well."""
    return _with(state, references, used=True, until=0)


def deleted(state: State, references: Collection[str], left: Collection[str]) -> State:
    """Return a state after the store was asked to delete certificates.

    :param left: those that may still be there.
    """
    left = {*left, *_unmade(state)} & {*references}
    state = state.without(Kind.CERTIFICATE, *(one for one in references if one not in left))
    for reference in sorted(left):
        state = state.owning(Kind.CERTIFICATE, reference, since=_TO_DELETE, used=False)
    return state


def discard(store: Store, cluster_uuid: str, references: Collection[str]) -> None:
    """Delete some; what may still be there then stays noted, and is tried again later."""

    def mark(state: State) -> State:
        # What is not loose any more was taken up.
        loose = [one.key for one in _loose(state) if one.key in references]
        return _with(state, loose, since=_TO_DELETE)

    record = store.amend(cluster_uuid, mark)
    if record is None:
        _delete(store, cluster_uuid, references)
        return
    doomed = [one.key for one in _loose(record.state) if one.since == _TO_DELETE]
    _delete(store, cluster_uuid, [one for one in references if one in doomed])


def sweep(store: Store, record: Record | None) -> bool:
    """Delete what was made and forgotten, because a conductor died, or could not be deleted.

    :returns: whether there was something; the record was changed then.
    """
    if record is None:
        return False
    latest = clocks.now() - OLD_SECONDS
    forgotten = [one.key for one in _loose(record.state) if one.since <= latest]
    if forgotten:
        discard(store, record.cluster_uuid, forgotten)
    return bool(forgotten)


def delete_all(cluster: Any, record: Record) -> list[str]:
    """Delete all certificates of a cluster that goes; return those that may still be there.

    While the store is away the delete ends all the same. With :func:`forget` the record becomes the
    list of what is left, and :func:`sweep_gone` tries it again.
    """
    references = certificate_store.references(cluster)
    # Magnum deletes these two itself with its row, and forgets the others.
    magnums = {references["ca_cert_ref"], references["magnum_cert_ref"]}
    doomed = {one.key for one in record.state.things(Kind.CERTIFICATE)} | {*references.values()}
    left = certificate_store.delete(cluster.uuid, sorted(doomed - magnums))
    if left:
        LOG.warning("Certificates of cluster %s stay in their store until it is back", cluster.uuid)
        # Of Magnum's own attempt nobody hears whether it worked.
        left += filter(None, sorted(magnums))
    return left


def sweep_gone(store: Store, record: Record) -> bool:
    """Delete what the store kept of a cluster that is gone; whether nothing is left of it."""
    doomed = [one.key for one in record.state.things(Kind.CERTIFICATE)]
    left = certificate_store.delete(record.cluster_uuid, doomed)
    with contextlib.suppress(Conflict):
        forget(store, record, left)
    return not left


def is_list(record: Record) -> bool:
    """Return whether a record is nothing but the list of what is to be deleted."""
    things = record.state.owned
    only = all(one.kind == Kind.CERTIFICATE for one in things)
    return record.state.phase is Phase.CLEANING and only


def is_left(record: Record) -> bool:
    """Return whether certificates are all that there can be of a cluster whose row is gone."""
    if record.state.phase is Phase.CLEANING:
        return True
    # Its conductor stood still, and wrote the record after the deletion had ended.
    return record.state.phase is Phase.PREPARING and not record.state.has_begun


def forget(store: Store, record: Record, left: Collection[str] = ()) -> None:
    """Delete the record of a cluster that is gone, unless certificates are, or may yet be, left.

    The record is then the list of them.

    :param left: certificates that may still be there.
    :raises Conflict: when somebody changed the record.
    """
    unmade = _unmade(record.state)
    if not left and not unmade:
        store.delete(record)
        return
    listed = tuple(
        dataclasses.replace(
            record.state.thing(Kind.CERTIFICATE, one) or Owned(Kind.CERTIFICATE, one),
            since=_TO_DELETE,
            used=False,
        )
        for one in sorted({*left, *unmade})
    )
    state = dataclasses.replace(
        record.state,
        phase=Phase.CLEANING,
        phase_since=int(clocks.now()),
        owned=listed,
        plan=Plan(),
        ca=None,
        credential=None,
    )
    store.write(record, state)


def _unmade(state: State) -> list[str]:
    """Return the certificates that a conductor that stands still may yet make."""
    now = clocks.now()
    return [
        one.key
        for one in state.things(Kind.CERTIFICATE)
        if one.until > now and not clocks.is_ahead(one.until, now, STANDSTILL_SECONDS)
    ]


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
    if not doomed:
        return
    left = certificate_store.delete(cluster_uuid, doomed)
    record = store.amend(cluster_uuid, lambda state: deleted(state, doomed, left))
    if record is not None and record.state.phase is Phase.CLEANING and not record.state.owned:
        # It was nothing but the list.
        with contextlib.suppress(Conflict):
            store.delete(record)
    if record is None and left and not _is_there(cluster_uuid):
        # The cluster is gone, and its record with it: one that is nothing but the list.
        state = State(Phase.CLEANING, "", int(clocks.now()))
        with contextlib.suppress(Conflict):
            store.insert(cluster_uuid, "", deleted(state, doomed, left))


def _is_there(cluster_uuid: str) -> bool:
    """Return whether Magnum has the cluster."""
    try:
        objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), cluster_uuid)
    except magnum_exception.ClusterNotFound:
        return False
    return True
