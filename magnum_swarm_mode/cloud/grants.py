# SPDX-License-Identifier: Apache-2.0
"""The rights that users have given a cluster, as its record knows them, and how they are revoked.

There is one pair of rights that is in use. A rotation makes another one beside it, so that a record
may know several: each is written down before it is made, and forgotten when it is known to be gone.
"""

import functools
import urllib.parse
from collections.abc import Callable, Collection, Iterable
from typing import Any

from keystoneauth1 import exceptions as keystone_exceptions
from magnum.drivers.common import driver

from magnum_swarm_mode import exceptions, log
from magnum_swarm_mode.cloud import credentials
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.cloud.credentials import Grant
from magnum_swarm_mode.db.store import Store
from magnum_swarm_mode.decisions.record import Kind, State

LOG = log.of(__name__)

_RIGHTS = (Kind.CREDENTIAL, Kind.TRUST)

Sessions = Iterable[Callable[[], Any]]

_LOST = (
    "The cluster cannot be changed: the user with whose rights Magnum works on it was deleted, "
    "disabled, or lost his role in the project."
)
_TAKE_OVER = "Another member of the project can take it over: openstack coe credential rotate."
# Whoever is given back what he had is still without the managers' credential, which Keystone
# deleted.
_NO_TAKE_OVER = (
    "Nobody can take it over on Magnum 20. Its services run on. Ask the operator for Magnum 21, on "
    "which another member of the project can (openstack coe credential rotate), or for a backup "
    "(magnum swarm-backup) to restore into a new cluster (magnum swarm-restore)."
)


class Lost(exceptions.SwarmModeError):
    """Nothing can be done for the cluster's owner any more.

    :param problems: why not, for the operator.
    """

    def __init__(self, problems: str) -> None:
        super().__init__(
            f"{_LOST} {_TAKE_OVER if may_change() else _NO_TAKE_OVER}", problems or None
        )


def may_change() -> bool:
    """Return whether Magnum lets a cluster have other rights: since its release 21."""
    return hasattr(driver.Driver, "rotate_credential")


def present(state: State) -> Grant:
    """Return the rights that the conductor works with."""
    return Grant(state.owner_id, state.grant, state.trust_id)


def others(state: State) -> list[Grant]:
    """Return the rights that are to be revoked."""
    keys = {one.key for one in state.things(*_RIGHTS)} - {str(state.grant)}
    return [numbered(state, int(key)) for key in sorted(keys, key=int)]


def numbered(state: State, number: int) -> Grant:
    """Return what is known of the rights with a number."""
    known = [one for kind in _RIGHTS if (one := state.thing(kind, str(number)))]
    owner = next((one.owner_id for one in known), "")
    trust = next((one.id for one in known if one.kind == Kind.TRUST), "")
    return Grant(owner, number, trust)


def has_credential(state: State, grant: Grant) -> bool:
    """Return whether the managers' credential of some rights may still be there."""
    return state.thing(Kind.CREDENTIAL, str(grant.number)) is not None


def adding(state: State, grant: Grant) -> State:
    """Return a state that knows of rights beside those in use."""
    key = str(grant.number)
    state = state.owning(Kind.CREDENTIAL, key, owner_id=grant.owner_id)
    return state.owning(Kind.TRUST, key, owner_id=grant.owner_id, id=grant.trust_id)


def without(state: State, grant: Grant) -> State:
    """Return a state that knows of rights no more."""
    key = str(grant.number)
    return state.without(Kind.CREDENTIAL, key).without(Kind.TRUST, key)


def next_number(state: State) -> int:
    """Return the number of the rights that are made next."""
    return 1 + max(grant.number for grant in (present(state), *others(state)))


def trustee_id() -> str:
    """Return Keystone's id of Magnum's own user."""
    with cloud_sessions.keystone_errors("Keystone"):
        return str(cloud_sessions.service_session().get_user_id())


def revoke_node(store: Store, cluster_uuid: str, grant: Grant, sessions: Sessions) -> None:
    """Revoke the managers' credential, with the first of the sessions that may.

    :raises NotPermitted: when none may.
    :raises Unavailable: when Keystone does not answer.
    """
    makers = list(sessions)
    credentials.revoke_node_credential(makers, grant.owner_id, cluster_uuid, grant.number)

    def living(uuids: list[str]) -> set[str]:
        # A rule that the cluster's present credential has is in use, and Keystone keeps it.
        return store.known([uuid for uuid in uuids if uuid != cluster_uuid])

    makers.append(cloud_sessions.system_session)
    credentials.remove_access_rules(makers, grant.owner_id, _magnum_prefix(), living)


def revoke(
    store: Store, cluster_uuid: str, grant: Grant, sessions: Sessions, *, node: bool = True
) -> None:
    """Revoke both rights, with the given sessions before those of Magnum's own.

    :param node: whether the managers' credential may still be there.
    :raises NotPermitted: when no session may.
    :raises Unavailable: when Keystone does not answer.
    """
    if not grant.owner_id:
        return
    makers = [*sessions, cloud_sessions.service_session]
    if grant.trust_id:
        makers.append(functools.partial(cloud_sessions.trust_session, grant.trust_id))
    refusal = None
    if node:
        try:
            revoke_node(store, cluster_uuid, grant, makers)
        except credentials.NotPermitted as error:
            refusal = error
    credentials.revoke_trust(makers, grant.owner_id, cluster_uuid, trustee_id(), grant.number)
    if refusal is not None:
        raise refusal


def make_way(state: State, living: Collection[str] | None = None) -> None:
    """Remove a trust with which Heat cannot work any more, and which it could not replace.

    Heat replaces its trust of a stack's owner when somebody else updates the stack, and removes the
    former one with that trust itself. Where Keystone forbids that, because the owner has lost his
    role or is disabled, the update fails, and so does every other one. A trust that is gone, with
    its owner or by itself, is no hindrance.

    :param living: uuids of the further groups that have stacks; None where nobody has looked.
    :raises Refused: where Magnum does not know the trust, or may not remove it.
    """
    if not state.trust_id:
        return
    try:
        with cloud_sessions.keystone_errors("Keystone"):
            cloud_sessions.trust_session(state.trust_id).get_token()
    except keystone_exceptions.NotFound:
        return
    except keystone_exceptions.ClientException as error:
        LOG.info("The trust of user %s is of no use any more: %s", state.owner_id, error)
    else:
        return
    # A group that was never made has no stack for which Heat could have a trust.
    made = [
        one
        for one in state.things(Kind.GROUP)
        if (bool(one.id or one.trust) if living is None else one.key in living)
    ]
    known = [state.stack.trust, *(one.trust for one in made)]
    by_hand = exceptions.Refused(
        f"Heat cannot let the cluster's stack change hands while the trust of its owner, user "
        f"{state.owner_id}, exists that is of no use any more. An administrator must delete it "
        "(openstack trust list --trustor, openstack trust delete) or give the user his role in "
        "the project again; then rotate the credential again."
    )
    if not all(known):
        raise by_hand
    for trust_id in known:
        try:
            credentials.remove_trust(cloud_sessions.service_session(), trust_id)
        except credentials.NotPermitted as error:
            raise by_hand from error


def _magnum_prefix() -> str:
    url = cloud_sessions.node_endpoints(cloud_sessions.service_session()).magnum_url
    return urllib.parse.urlsplit(url).path.removesuffix("/v1").rstrip("/")
