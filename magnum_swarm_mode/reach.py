# SPDX-License-Identifier: Apache-2.0
"""How the conductor reaches what belongs to a cluster: its stacks, and its managers."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from keystoneauth1 import exceptions as keystone_exceptions

from magnum_swarm_mode import exceptions, log
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions.record import State
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import pool as swarm_pool
from magnum_swarm_mode.swarm import transport

CONF = cloud_sessions.CONF
LOG = log.of(__name__)

TRUST, CALLER, SERVICE = "the creator's trust", "the caller", "Magnum's user"

SWARMS = swarm_pool.Pool(lambda: int(CONF.swarm_mode.kept_connections))
# How often, and after how many seconds each, a stack is looked for whose creation had no answer.
_LOOKS = 3
_LOOK_SECONDS = 1.0


def heat_of(session: Any) -> heat_client.Heat:
    """Return Heat as the owner of a session sees it."""
    return heat_client.Heat(
        session, region_name=cloud_sessions.region_name(), interface=cloud_sessions.interface()
    )


def submit(
    heat_api: heat_client.Heat,
    request: stack_request.StackRequest,
    name: str,
    timeout_minutes: int,
) -> str:
    """Ask Heat for a stack and return its id, also where Heat's answer is lost on its way.

    :raises Unavailable: when it is not known whether Heat makes the stack.
    :raises SwarmModeError: when Heat does not.
    """
    try:
        return heat_api.create(request, name, timeout_minutes)
    except exceptions.Unavailable:
        # Heat may still be at work on a request whose answer was not waited for.
        for _ in range(_LOOKS):
            stack = heat_api.get(name)
            if stack is not None:
                return stack.id
            time.sleep(_LOOK_SECONDS)
        raise


def heat_sessions(context: Any, cluster: Any, state: State) -> Iterator[tuple[str, Any]]:
    """Yield sessions that may reach the cluster's stacks, the best first.

    Magnum's own user sees them in another project, if at all, and there only by their ids.
    """
    is_owners = brings_owners_token(context, cluster, state)
    if is_owners:
        yield CALLER, cloud_sessions.user_session(context)
    if state.trust_id:
        session = cloud_sessions.trust_session(state.trust_id)
        try:
            with cloud_sessions.keystone_errors("Keystone"):
                session.get_token()
            yield TRUST, session
        except keystone_exceptions.ClientException as error:
            LOG.info("Trust of cluster %s is of no use any more: %s", cluster.uuid, error)
    if (
        not is_owners
        and cloud_sessions.has_token(context)
        and context.project_id == cluster.project_id
    ):
        yield CALLER, cloud_sessions.user_session(context)
    yield SERVICE, cloud_sessions.service_session()


def find_stack(
    context: Any, cluster: Any, state: State, *, at_rest: bool = False
) -> tuple[heat_client.Heat, heat_client.Stack]:
    """Return the cluster's stack, and Heat as it was seen through.

    :param at_rest: as for :meth:`.heat.client.Heat.get`.
    :raises Lost: when it is shown to nobody but Magnum's own user: with the first change
        Heat would put the stack into his hands.
    :raises Unavailable: when Heat does not show it now.
    """
    problems = []
    for who, session in heat_sessions(context, cluster, state):
        try:
            heat_api = heat_of(session)
            stack = heat_api.get(state.stack.handle, at_rest=at_rest)
        except heat_client.NotAllowed as error:
            problems.append(f"{who}: {error.operator_message}")
            continue
        if stack is not None and who == SERVICE:
            raise grants.Lost("; ".join(problems))
        if stack is not None:
            return heat_api, stack
        problems.append(f"{who}: sees no stack")
    raise exceptions.Unavailable(
        "Heat does not show the cluster's stack to Magnum: it was deleted from outside Magnum, or "
        "the rights of the cluster's creator are gone.",
        "; ".join(problems),
    )


def brings_owners_token(context: Any, cluster: Any, state: State) -> bool:
    """Return whether a request of the owner's came for a cluster in which Heat needs his token.

    In a token of another project, which an administrator may come with, Heat sees no stack of his.

    Where a stack changed hands, the stacks in it are left without a trust, and for each further one
    in them Heat makes another. That it cannot do with a token that came from a trust.
    """
    return bool(
        state.handed_over
        and cloud_sessions.has_token(context)
        and context.user_id == state.owner_id
        and context.project_id == cluster.project_id
    )


def swarm_of(cluster: Any, addresses: list[str]) -> swarm_client.Swarm:
    """Return kept connections to a cluster's managers at ``addresses``.

    While the cluster's authority is being replaced, managers are believed that have a certificate
    of either, and the conductor's own is the one that all of them accept by then.
    """
    return swarm_known(cluster, addresses, Store().get(cluster.uuid), cluster.nodegroups)


def swarm_known(
    cluster: Any, addresses: list[str], record: Record | None, groups: Iterable[Any]
) -> swarm_client.Swarm:
    """Return what :func:`swarm_of` does, without reading the database again.

    :param groups: rows of the cluster's node groups.
    """
    rotation = record.state.ca if record else None
    if rotation and rotation.old and rotation.new:
        own = (rotation.new if rotation.trusted else rotation.old)["magnum_cert_ref"]
        authorities = [which["ca_cert_ref"] for which in (rotation.old, rotation.new)]
    else:
        own, authorities = cluster.magnum_cert_ref, [cluster.ca_cert_ref]

    def make() -> swarm_client.Swarm:
        pair = certificate_store.read(cluster.uuid, own)
        found = [certificate_store.certificate(cluster.uuid, one) for one in authorities]
        return swarm_with("\n".join(found), pair, addresses, cluster.uuid)

    swarm = SWARMS.get((cluster.uuid, *authorities, own, tuple(addresses)), make)
    swarm.expect(_nodes(groups, record.state if record else None))
    return swarm


def _nodes(groups: Iterable[Any], state: State | None) -> int:
    """Return how many nodes a cluster can have: those of its rows, and those that it shall have."""
    rows = sum(int(group.node_count or 0) for group in groups)
    desired = state.plan.desired.values() if state else ()
    return rows + sum(int(count or 0) for count in desired)


def swarm_with(
    ca: str, own: certificate_store.Pair, addresses: list[str], cluster_uuid: str
) -> swarm_client.Swarm:
    """Return new connections to managers that have a certificate of ``ca``, with one's own."""
    identity = transport.Identity(ca=ca, certificate=own.certificate, key=own.key)
    seconds = CONF.swarm_mode.docker_api_timeout
    return swarm_client.Swarm(addresses, identity, seconds, cluster=cluster_uuid)


def output(stack: heat_client.Stack, name: str) -> list[str]:
    """Return an output that is a list, without what Heat does not know."""
    return [str(value) for value in stack.outputs.get(name) or () if value]
