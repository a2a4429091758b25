# SPDX-License-Identifier: Apache-2.0
"""Replaces a cluster's authority, and with it whatever lets anybody into the cluster.

Magnum's conductor makes a new authority and a new certificate of its own, calls the driver, and
then saves where they are, so that from then on users fetch, and Magnum signs with, what is new. So
managers must believe in the new authority before the driver returns, and present something that
those believe who know only it. The steps:

``trust``    managers let in clients of either authority, and present the old authority signed by
             the new one: files that users have, and files that they fetch, both serve;
``swarm``    meanwhile Swarm's own root and both join tokens are replaced, and Heat is told what
             later workers shall trust; then for a while nothing, so that users can fetch;
``sign``     managers get certificates of the new authority: old files stop to serve here, for they
             do not know who signed these;
``only``     managers let in clients of the new authority alone, which the conductor tries with its
             own old certificate;
``clean``    the old certificates are removed from Magnum's store.

Each step looks whether it is done and does what is missing; it may be done any number of times.
The record says which one it is. Managers that are down are not waited for: they take everything
over when they are back. Neither the swarm's managers nor its quorum are touched.
"""

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from magnum import objects

from magnum_swarm_mode import clocks, exceptions, reach, sentences
from magnum_swarm_mode.certificates import authority as certificates_authority
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import lease
from magnum_swarm_mode.conductor.rotation import ca_steps
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions.record import Phase, State
from magnum_swarm_mode.decisions.rotation import CA_STEPS, CaRotation
from magnum_swarm_mode.swarm import manager_settings

_ATTEMPTS = 10
# How long the handler waits for managers, of the 60 seconds that Magnum's API waits for it.
_HANDLER_SECONDS = 20.0
# How long it waits before that while another conductor is at work on the cluster.
_LEASE_PATIENCE = 25.0
# After which a conductor that was asked and has not come to an end is taken for dead.
INTERRUPTED_SECONDS = 120


def begin(store: Store, context: Any, cluster: Any) -> None:
    """Take up what Magnum's handler has made, as far as goes while its caller waits.

    :param cluster: with new references, which Magnum saves when this returns, and also when it
        raises: unless they are taken up they are put back here.
    :raises SwarmModeError: with a sentence for the user; nothing was changed.
    """
    row = objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), cluster.uuid)
    purpose = "replacement of certificates"
    with lease.held(store, cluster.uuid, purpose, _LEASE_PATIENCE) as leased:
        _begin(store, context, cluster, row, is_leased=leased is not None)


def _begin(store: Store, context: Any, cluster: Any, row: Any, *, is_leased: bool) -> None:
    old, new = certificate_store.references(row), certificate_store.references(cluster)
    try:
        record = _recorded(store, context, cluster, row, old, new, is_leased=is_leased)
    except Exception:
        ca_steps.put(cluster, old)
        orphans.discard(store, cluster.uuid, list(new.values()))
        raise
    rotation = record.state.ca if record.state.replaces_ca else None
    if rotation is None or rotation.new != new:
        # Somebody else was quicker; what they do goes on, and nothing is failed for it.
        ca_steps.put(cluster, rotation.new if rotation else old)
        orphans.discard(store, cluster.uuid, list(new.values()))
        return
    end = time.monotonic() + _HANDLER_SECONDS
    while time.monotonic() < end:
        # Whatever goes wrong from here on is tried again by the next poll.
        with contextlib.suppress(exceptions.SwarmModeError):
            if ca_steps.Look(store, context, cluster, record).advance(only=CA_STEPS[0]):
                return
        time.sleep(1)
        # A look at the cluster's health may have written something else into it.
        record = store.get(cluster.uuid) or record
        if not record.state.replaces_ca:
            return


def _recorded(
    store: Store,
    context: Any,
    cluster: Any,
    row: Any,
    old: Mapping[str, str],
    new: Mapping[str, str],
    *,
    is_leased: bool,
) -> Record:
    """Write down that a rotation has begun, unless something is written down already.

    :raises Unavailable: when somebody else is at work on the cluster all the time.
    """
    checked = False
    for _ in range(_ATTEMPTS):
        record = store.get(cluster.uuid)
        if record is None or record.state.phase is not Phase.CREATED:
            raise exceptions.Refused("The cluster is being deleted.")
        if record.state.is_rotating:
            ca = record.state.ca
            if ca is None or not ca.failed:
                return record
            # Who asks again has one go on that stopped.
            with contextlib.suppress(Conflict):
                return store.write(record, dataclasses.replace(record.state, ca=ca.resumed))
            continue
        if not is_leased:
            raise exceptions.Unavailable(
                f"Another conductor is at work on the cluster. {sentences.UNCHANGED}",
                f"The lease of cluster {cluster.uuid} is taken by {record.lease_owner}.",
            )
        if not checked:
            try:
                _check(record, context, row, old, new)
            except exceptions.SwarmModeError as error:
                error.user_message = f"{error.user_message} {sentences.UNCHANGED}"
                raise
            checked = True
        elif not orphans.are_kept(record.state, new.values()):
            raise _too_slow()
        rotation = CaRotation(old=old, new=new, began=int(clocks.now()))
        with contextlib.suppress(Conflict):
            state = orphans.used(record.state, new.values())
            return store.write(record, dataclasses.replace(state, ca=rotation))
    raise Conflict(cluster.uuid)


def _too_slow() -> exceptions.SwarmModeError:
    return exceptions.Unavailable(
        "It took too long to make new certificates.",
        f"New certificates are not used {orphans.OLD_SECONDS} seconds after they were "
        "made, or were not noted: magnum_swarm_mode.registration.register was not in effect.",
    )


def _check(
    record: Record,
    context: Any,
    row: Any,
    old: Mapping[str, str],
    new: Mapping[str, str],
) -> None:
    """Refuse what could not be carried through.

    :raises SwarmModeError: with a sentence for the user.
    """
    uuid = record.cluster_uuid
    if not orphans.are_kept(record.state, new.values()):
        raise _too_slow()
    before, after = (certificate_store.certificate(uuid, one["ca_cert_ref"]) for one in (old, new))
    if not certificates_authority.may_follow(before, after):
        raise exceptions.Inconsistent(
            "The new certificate authority cannot be in use together with the old one; ask the "
            "operator.",
            "Magnum made an authority with the old one's name, or one that may not stand above "
            "another: magnum_swarm_mode.registration.register was not in effect.",
        )
    _, stack = reach.find_stack(context, row, record.state)
    try:
        nodes = reach.swarm_of(row, reach.output(stack, "manager_addresses")).nodes()
    except exceptions.Unavailable as error:
        raise exceptions.Unavailable(
            f"{error.user_message} Certificates can be replaced while more than half of the "
            "managers work: start those that are switched off.",
            error.operator_message,
        ) from error
    if deaf := manager_settings.deaf(nodes):
        raise exceptions.Refused(
            f"The certificates of {', '.join(deaf)} cannot be replaced: an earlier release made "
            "those managers, or they have just joined. Replace them by a resize to the present "
            "number that names them, or try again in a minute."
        )


def is_forgotten(state: State) -> bool:
    """Return whether the conductor of a rotation has died before Magnum knew of it."""
    rotation = state.ca
    if rotation is None or not state.replaces_ca or rotation.failed:
        return False
    return clocks.now() - rotation.began > INTERRUPTED_SECONDS
