# SPDX-License-Identifier: Apache-2.0
"""Deletes clusters: whoever asks, and however far they had come."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from magnum_swarm_mode import clocks, exceptions, log, reach
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.cloud import grants, leftover_ports
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.cloud.credentials import Grant
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions import status
from magnum_swarm_mode.decisions.record import Kind, Owned, Phase, State, new
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.heat import members as heat_members
from magnum_swarm_mode.stack import request as stack_request

LOG = log.of(__name__)

# What is deleted before the cluster's own stack.
GROUPS = (Kind.GROUP, Kind.LATE)


class GroupStays(exceptions.SwarmModeError):
    """Heat cannot delete the stack of a further node group.

    :ivar group: the group's uuid.
    """

    def __init__(self, reason: str, group: str) -> None:
        super().__init__(reason)
        self.group = group


def delete(store: Store, context: Any, cluster: Any) -> None:
    """Start to delete a cluster, whoever asks and however far it had come.

    :raises SwarmModeError: with a sentence for the user; it may be asked again.
    """
    record = _mark_deleting(store, cluster)
    reach.SWARMS.forget(cluster.uuid)
    if record.state.phase is not Phase.CLEANING:
        try:
            grants.make_way(record.state)
        except exceptions.SwarmModeError as error:
            # Then Heat may fail, and says so.
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
        try:
            # What is on the cluster's network goes before the network.
            if groups_are_gone(context, cluster, record.state):
                _delete_stack(store, context, cluster, record)
        except exceptions.Unavailable as error:
            if not record.state.trust_id:
                raise
            # The trust lets the next poll ask again, which no user needs to do then.
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
    if cloud_sessions.has_token(context):
        # The owner's own token may do what Magnum's user perhaps may not.
        _revoke_own(store, context, cluster, record.state)


def _revoke_own(store: Store, context: Any, cluster: Any, state: State) -> None:
    """Revoke the managers' credentials that the user has given who asks."""
    for grant in (grants.present(state), *grants.others(state)):
        if grant.owner_id != context.user_id:
            continue
        try:
            grants.revoke_node(
                store, cluster.uuid, grant, [lambda: cloud_sessions.user_session(context)]
            )
        except exceptions.SwarmModeError as error:
            LOG.info("Cluster %s: %s", cluster.uuid, error.operator_message)
            continue
        if grant == grants.present(state):
            store.amend(cluster.uuid, functools.partial(_without_credential, grant=grant))


def _without_credential(state: State, grant: Grant) -> State:
    return state.without(Kind.CREDENTIAL, str(grant.number))


def _mark_deleting(store: Store, cluster: Any) -> Record:
    def mark(state: State) -> State:
        if state.phase is Phase.CLEANING:
            return dataclasses.replace(state, blind_since=0, errors=0)
        state = state.owning(Kind.STACK, id=state.stack.id or cluster.stack_id or "")
        return state.entering(Phase.DELETING, blind_since=0, errors=0)

    marked = store.amend(cluster.uuid, mark)
    if marked is not None:
        return marked
    name = stack_request.stack_name(cluster)
    state = new(Phase.DELETING, cluster.user_id or "", name, cluster.stack_id or "")
    with contextlib.suppress(Conflict):
        return store.insert(cluster.uuid, cluster.project_id, state)
    # Its creation has begun meanwhile.
    marked = store.amend(cluster.uuid, mark)
    if marked is None:
        raise Conflict(cluster.uuid)
    return marked


def _delete_stack(store: Store, context: Any, cluster: Any, record: Record) -> None:
    state = record.state
    problems = []
    for who, session in reach.heat_sessions(context, cluster, state):
        foreign = who == reach.SERVICE
        target = state.stack.id if foreign else state.stack.name
        if not target:
            continue
        try:
            heat_api = reach.heat_of(session)
            stack = heat_api.get(target)
            if stack is None and foreign:
                problems.append(f"{who}: sees no stack {target}")
                continue
            if stack is not None and stack.status != "DELETE_COMPLETE":
                group = stack.outputs.get("node_security_group")
                if group and not stack.status.endswith("_IN_PROGRESS"):
                    leftover_ports.sweep(session, str(group))
                heat_api.delete(target)
            elif not _may_still_appear(state.stack):
                # Nobody has to look again, which perhaps nobody may.
                store.amend(cluster.uuid, lambda state: state.owning(Kind.STACK, id="", since=0))
                return
            return
        except heat_client.NotAllowed as error:
            problems.append(f"{who}: {error.operator_message}")
    if not state.stack.id and not state.stack.since:
        return
    raise exceptions.SwarmModeError(
        "The cluster's Heat stack cannot be deleted with the rights of the cluster's creator "
        "(deleted, disabled or no longer in the project?), nor with Magnum's. A member of the "
        "project must delete the cluster.",
        f"stack {state.stack.name} of project {cluster.project_id}: {'; '.join(problems)}",
    )


def _may_still_appear(stack: Owned) -> bool:
    """Return whether Heat may yet make a stack that it was asked for a moment ago."""
    return not stack.id and clocks.now() - stack.since < status.SUBMIT_SECONDS


def groups_are_gone(context: Any, cluster: Any, state: State) -> bool:
    """Have the stacks of further groups deleted; whether none is there any more, or may appear.

    Magnum's own user sees another project's stacks only by their ids and only where Heat lets it,
    and Heat's answer is the same for what is not there and for what is not shown. So a stack is
    gone when somebody of the project does not see it, or when it is seen to be deleted.

    :raises Unavailable: when Heat does not answer.
    :raises GroupStays: when Heat cannot delete a stack.
    :raises SwarmModeError: when nobody may.
    """
    if not state.things(*GROUPS):
        return True
    problems = []
    for who, session in reach.heat_sessions(context, cluster, state):
        try:
            heat_api = reach.heat_of(session)
            # One that may yet be made has no id by which Magnum's own user could see it.
            kinds = [Kind.GROUP] if who == reach.SERVICE else GROUPS
            made = state.things(*kinds)
            found = [_find(heat_api, one, who) for one in made]
            if any(stack is None for stack in found) and who == reach.SERVICE:
                problems.append(f"{who}: sees not all stacks")
                continue
            left = [
                (one.key, stack)
                for one, stack in zip(made, found, strict=True)
                if stack is not None and stack.status != "DELETE_COMPLETE"
            ]
            for group, stack in left:
                if stack.status == "DELETE_FAILED" and not cloud_sessions.has_token(context):
                    raise GroupStays(heat_members.failure(heat_api, stack), group)
                if stack.status != "DELETE_IN_PROGRESS":
                    heat_api.delete(stack.id)
        except heat_client.NotAllowed as error:
            problems.append(f"{who}: {error.operator_message}")
            continue
        late = any(s is None and _may_still_appear(m) for s, m in zip(found, made, strict=True))
        return not (left or late)
    raise exceptions.SwarmModeError(
        "The stacks of the cluster's node groups cannot be deleted with the rights of the "
        "cluster's creator, nor with Magnum's. A member of the project must delete the "
        "cluster.",
        "; ".join(problems),
    )


def _find(heat_api: heat_client.Heat, made: Owned, who: str) -> heat_client.Stack | None:
    name = made.id if who == reach.SERVICE else made.handle
    return heat_api.get(name) if name else None


def clean_up(store: Store, context: Any, cluster: Any, record: Record) -> None:
    """Revoke and remove what was made beside the stack, which is gone.

    :raises Unavailable: when that does not work now.
    :raises SwarmModeError: when nobody may.
    """
    sessions: list[Callable[[], Any]] = []
    if cloud_sessions.has_token(context):
        sessions.append(functools.partial(cloud_sessions.user_session, context))
    revoke(store, cluster, record.state, sessions)
    left = orphans.delete_all(cluster, record)
    # Before the record goes, so that nobody who finds none takes the end for forgotten.
    rows.mark_end(cluster.uuid)
    orphans.forget(store, record, left)


def revoke(
    store: Store, cluster: Any, state: State | None, sessions: list[Callable[[], Any]]
) -> None:
    """Revoke all rights, with the given sessions before those of Magnum's own."""
    if state is None:
        grants.revoke(store, cluster.uuid, Grant(cluster.user_id or ""), sessions)
        return
    for grant in grants.others(state):
        grants.revoke(store, cluster.uuid, grant, sessions)
    grants.revoke(
        store,
        cluster.uuid,
        grants.present(state),
        sessions,
        node=grants.has_credential(state, grants.present(state)),
    )
