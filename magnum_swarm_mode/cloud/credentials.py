# SPDX-License-Identifier: Apache-2.0
"""The two rights that a cluster is given by its owner, and how they are taken back.

*The managers' application credential* lets them have certificates signed and read their cluster,
by access rules, and nothing else. Its secret goes to Heat, as a hidden parameter, and is kept
nowhere on this side: a conductor that lost it makes another credential.

*The conductor's trust* lets Magnum's own user act as the owner when there is no token any more.
It is a trust rather than an application credential because Keystone (since 2026.1, bug 2150089)
forbids whoever comes with an application credential all work on trusts; Heat deletes its own trust
of a stack with the rights of whoever deletes the stack, so that trust would stay behind. A trust
also needs no secret to be stored.

Both are found again after a conductor died: the credential by its name, which Keystone keeps
unique per user, and the trust, which has no name, by an expiry date that derives from the
cluster's uuid. Whoever rotates them makes another pair beside the first, so each pair has a number,
which is part of the name and of the date.
"""

import contextlib
import dataclasses
import datetime
import random
import re
import time
import urllib.parse
import uuid as uuid_module
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from keystoneauth1 import exceptions as keystone_exceptions
from keystoneclient.v3 import client as keystone_client

from magnum_swarm_mode import constants, exceptions, log
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.stack.request import NodeCredential

LOG = log.of(__name__)

SERVICE_TYPE = "container-infra"
# The role that OpenStack's services ask of whoever changes something in a project.
_MEMBER = "member"
# Roles that give rights beyond the project's resources; left out where others remain.
_POWERFUL = frozenset({"admin", "manager", "service"})
# How often a credential is asked for anew when Keystone says that something is there already.
_CREATE_ATTEMPTS = 6
_CREATE_INTERVAL = 0.3  # seconds, with jitter around it
_EXPIRY_BASE = datetime.datetime(2150, 1, 1)
_CLUSTER_RULE = re.compile(r"/v1/clusters/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$")

_DELEGATED = (
    "Creating a swarm-mode cluster, and rotating its credential, needs a login with a password or "
    "single sign-on; Keystone does not let an application credential hand on the rights that the "
    "cluster needs."
)


class NotPermitted(exceptions.SwarmModeError):
    """Keystone refused; somebody with other rights may succeed."""


@dataclasses.dataclass(frozen=True)
class Grant:
    """A pair of the two rights.

    :ivar owner_id: Keystone's id of the user who gave them.
    :ivar number: 0 for those of the cluster's creation, then one more for each rotation.
    :ivar trust_id: empty while it is not known.
    """

    owner_id: str
    number: int = 0
    trust_id: str = ""


def node_credential_name(cluster_uuid: str, number: int = 0) -> str:
    """Return the name of the managers' application credential, unique per user."""
    suffix = f"-{number}" if number else ""
    return f"{constants.NODE_CREDENTIAL_PREFIX}{cluster_uuid}{suffix}"


def trust_expiry(cluster_uuid: str, number: int = 0) -> datetime.datetime:
    """Return the date that marks a cluster's trust: a whole second in the 136 years from 2150."""
    seconds = uuid_module.UUID(cluster_uuid).int % 2**32
    return _EXPIRY_BASE + datetime.timedelta(seconds=seconds + number)


def access_rules(cluster_uuid: str, magnum_url: str) -> list[dict[str, str]]:
    """Return what the managers' credential may call, in the form of Keystone's API.

    Where Magnum is served below a prefix, its middleware compares the path with or without it,
    depending on what strips the prefix.

    :param magnum_url: the public endpoint, ending in ``/v1``.
    """
    prefix = urllib.parse.urlsplit(magnum_url).path.removesuffix("/v1").rstrip("/")
    calls = (
        ("POST", "/v1/certificates"),
        ("GET", "/v1/certificates/*"),
        ("GET", f"/v1/clusters/{cluster_uuid}"),
    )
    return [
        {"service": SERVICE_TYPE, "method": method, "path": start + path}
        for start in dict.fromkeys(("", prefix))
        for method, path in calls
    ]


def node_roles(roles: Collection[str]) -> list[str]:
    """Return the fewest of a user's roles with which certificates can be signed."""
    if _MEMBER in roles:
        return [_MEMBER]
    return sorted(set(roles) - _POWERFUL) or sorted(roles)


def conductor_roles(roles: Collection[str]) -> list[str]:
    """Return those of a user's roles with which his stack can be changed and deleted."""
    return sorted(set(roles) - _POWERFUL) or sorted(roles)


def create_node_credential(
    session: Any, cluster_uuid: str, magnum_url: str, number: int = 0
) -> NodeCredential:
    """Make the managers' application credential with the owner's session.

    One that an earlier attempt left is replaced, for its secret is not known any more.

    :raises NotPermitted: when the user may not make one.
    :raises Unavailable: when Keystone does not answer.
    """
    name = node_credential_name(cluster_uuid, number)
    with _refusals(session, "the managers' application credential"):
        keystone = _client(session)
        user = session.get_user_id()
        for _ in range(_CREATE_ATTEMPTS):
            for old in keystone.application_credentials.list(user=user, name=name):
                keystone.application_credentials.delete(old.id, user=user)
            try:
                made = keystone.application_credentials.create(
                    name,
                    user=user,
                    description=f"Signs certificates of Magnum cluster {cluster_uuid}",
                    roles=[{"name": role} for role in node_roles(_roles(session))],
                    access_rules=access_rules(cluster_uuid, magnum_url),
                )
            except keystone_exceptions.Conflict as error:
                # A user's access rules are shared: two creations at once that both need a new
                # rule collide in Keystone 30, which then calls the credential's name a duplicate.
                LOG.info("Keystone: %s; trying again", error)
                time.sleep(_CREATE_INTERVAL * random.uniform(0.5, 1.5))
            else:
                return NodeCredential(id=made.id, secret=made.secret)
    raise exceptions.Unavailable(
        "Keystone could not make the managers' application credential beside other requests; try "
        "again (a cluster that could not be created so has to be deleted first).",
        f"Keystone refused {name} as a duplicate {_CREATE_ATTEMPTS} times",
    )


def create_trust(session: Any, cluster_uuid: str, trustee_id: str, number: int = 0) -> str:
    """Make the conductor's trust with the owner's session, or find it; return its id.

    :raises NotPermitted: when the user may not make one.
    :raises Unavailable: when Keystone does not answer.
    """
    with _refusals(session, "the trust through which Magnum works on the cluster"):
        keystone = _client(session)
        user, project = session.get_user_id(), session.get_project_id()
        found = _trusts(keystone, user, trust_expiry(cluster_uuid, number), trustee_id)
        if found:
            return found[0]
        made = keystone.trusts.create(
            trustee_user=trustee_id,
            trustor_user=user,
            project=project,
            role_names=conductor_roles(_roles(session)),
            impersonation=True,
            expires_at=trust_expiry(cluster_uuid, number),
        )
        return str(made.id)


def trusts_given(session: Any) -> set[str] | None:
    """Return the ids of the trusts that a user has given; None where Keystone does not tell."""
    try:
        with cloud_sessions.keystone_errors("Keystone"):
            return {
                str(trust.id)
                for trust in _client(session).trusts.list(trustor_user=session.get_user_id())
            }
    except (keystone_exceptions.ClientException, exceptions.Unavailable) as error:
        LOG.info("Trusts cannot be listed: %s", error)
        return None


def only_new(before: set[str] | None, after: set[str] | None) -> str:
    """Return the trust that was made between two looks; empty where it is not known for sure."""
    if before is None or after is None or len(after - before) != 1:
        return ""
    return (after - before).pop()


def remove_trust(session: Any, trust_id: str) -> None:
    """Delete a trust; one that is gone is fine.

    :raises NotPermitted: when the session may not.
    :raises Unavailable: when Keystone does not answer.
    """
    _first_allowed(
        [lambda: session],
        lambda allowed: _client(allowed).trusts.delete(trust_id),
        f"The trust {trust_id} cannot be removed: Magnum's service user is not allowed to.",
    )


def _trusts(
    keystone: Any, trustor_id: str, expiry: datetime.datetime, trustee_id: str
) -> list[str]:
    """Return the ids of a cluster's trusts, seen by their trustor or an administrator."""
    mark = expiry.strftime("%Y-%m-%dT%H:%M:%S")
    return [
        str(trust.id)
        for trust in keystone.trusts.list(trustor_user=trustor_id)
        if trust.trustee_user_id == trustee_id and (trust.expires_at or "").startswith(mark)
    ]


def _client(session: Any) -> Any:
    return keystone_client.Client(
        session=session,
        interface=cloud_sessions.interface(),
        region_name=cloud_sessions.region_name(),
    )


def _roles(session: Any) -> list[str]:
    return list(session.auth.get_access(session).role_names)


def _is_delegated(session: Any) -> bool:
    return bool(session.auth.get_access(session).application_credential_id)


@contextlib.contextmanager
def _refusals(session: Any, what: str) -> Iterator[None]:
    """Turn Keystone's refusals into sentences for the user who gives the rights."""
    try:
        with cloud_sessions.keystone_errors("Keystone"):
            yield
    except (keystone_exceptions.Forbidden, keystone_exceptions.BadRequest) as error:
        if _is_delegated(session):
            raise exceptions.Refused(_DELEGATED, str(error)) from error
        raise NotPermitted(f"Keystone does not let you make {what}: {_said(error)}") from error
    except keystone_exceptions.Unauthorized as error:
        raise exceptions.Refused(
            "Keystone does not accept your token any more; log in and try it again."
        ) from error


def _said(error: BaseException) -> str:
    return str(getattr(error, "message", None) or error)


def revoke_node_credential(
    sessions: Iterable[Callable[[], Any]], owner_id: str, cluster_uuid: str, number: int = 0
) -> None:
    """Delete the managers' credential, with the first session that is allowed to.

    :param sessions: what makes each session, the likeliest first.
    :raises NotPermitted: when none is.
    :raises Unavailable: when Keystone does not answer.
    """
    name = node_credential_name(cluster_uuid, number)

    def revoke(session: Any) -> None:
        keystone = _client(session)
        for found in keystone.application_credentials.list(user=owner_id, name=name):
            keystone.application_credentials.delete(found.id, user=owner_id)

    _first_allowed(
        sessions,
        revoke,
        f"The application credential {name} of user {owner_id} cannot be revoked: neither the "
        "caller nor Magnum's service user is allowed to. Its owner or an administrator must "
        "delete it.",
    )


def revoke_trust(
    sessions: Iterable[Callable[[], Any]],
    owner_id: str,
    cluster_uuid: str,
    trustee_id: str,
    number: int = 0,
) -> None:
    """Delete the conductor's trust, with the first session that is allowed to.

    :raises NotPermitted: when none is.
    :raises Unavailable: when Keystone does not answer.
    """

    def revoke(session: Any) -> None:
        keystone = _client(session)
        expiry = trust_expiry(cluster_uuid, number)
        for trust_id in _trusts(keystone, owner_id, expiry, trustee_id):
            keystone.trusts.delete(trust_id)

    _first_allowed(
        sessions,
        revoke,
        f"The trust from user {owner_id} to Magnum's service user cannot be revoked: neither the "
        "caller nor Magnum's service user is allowed to. Its owner or an administrator must "
        "delete it.",
    )


def remove_access_rules(
    sessions: Sequence[Callable[[], Any]],
    owner_id: str,
    magnum_path: str | None,
    known: Callable[[list[str]], set[str]],
) -> None:
    """Remove the owner's access rules that no living cluster uses.

    Keystone keeps a rule when its credential is deleted, and lets only the owner, or somebody
    with the administrator's role on the whole system, remove it; not who comes with a trust. A
    rule grants nothing by itself, so one that has to stay, for any reason, is only logged:
    what the caller has done before succeeded.

    :param magnum_path: the prefix that Magnum is served below, empty for none; None keeps the rules
        that all clusters share, which another creation may be about to use.
    :param known: which of some clusters' uuids still have a record.
    """

    def remove(session: Any) -> None:
        keystone = _client(session)
        own = [
            rule
            for rule in keystone.access_rules.list(user=owner_id)
            if rule.service == SERVICE_TYPE
        ]
        clusters = [match[1] for rule in own if (match := _CLUSTER_RULE.search(rule.path))]
        living = known(clusters)
        calls = [] if magnum_path is None else access_rules("", magnum_path + "/v1")
        shared = {(call["method"], call["path"]) for call in calls}
        for rule in own:
            match = _CLUSTER_RULE.search(rule.path)
            dead = match is not None and match[1] not in living
            if dead or (rule.method, rule.path) in shared:
                _remove_unused(keystone, rule.id, owner_id)

    try:
        _first_allowed(sessions, remove, "nobody may remove access rules")
    except Exception as error:
        said = getattr(error, "operator_message", f"{type(error).__name__}: {error}")
        LOG.warning("Access rules of user %s stay behind: %s", owner_id, said)


def _remove_unused(keystone: Any, rule_id: str, owner_id: str) -> None:
    try:
        keystone.access_rules.delete(rule_id, user=owner_id)
    except (keystone_exceptions.Forbidden, keystone_exceptions.NotFound) as error:
        LOG.debug("Access rule %s stays: %s", rule_id, error)


def _first_allowed(
    sessions: Iterable[Callable[[], Any]], act: Callable[[Any], None], refusal: str
) -> None:
    """Try ``act`` with each session until one is allowed to; what is absent is done."""
    refusals = []
    for make in sessions:
        try:
            with cloud_sessions.keystone_errors("Keystone"):
                act(make())
        except keystone_exceptions.NotFound:
            return
        except (
            keystone_exceptions.Forbidden,
            keystone_exceptions.Unauthorized,
            keystone_exceptions.AuthPluginException,
        ) as error:
            refusals.append(str(error))
        else:
            return
    raise NotPermitted(refusal, f"{refusal} Keystone said: {'; '.join(refusals)}")
