# SPDX-License-Identifier: Apache-2.0
"""Deletes the stacks of a cluster's further node groups."""

from typing import Any

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import reach
from magnum_swarm_mode.db.store import State
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.heat import members as heat_members


def are_gone(context: Any, cluster: Any, state: State) -> bool:
    """Have the stacks of further groups deleted; whether none is there any more.

    Magnum's own user sees another project's stacks only by their ids and only where Heat lets it,
    and Heat's answer is the same for what is not there and for what is not shown. So a stack is
    gone when somebody of the project does not see it, or when it is seen to be deleted.

    :raises Unavailable: when Heat does not answer.
    :raises SwarmModeError: when Heat cannot delete a stack, or nobody may.
    """
    if not state.groups:
        return True
    problems = []
    for who, session in reach.heat_sessions(context, cluster, state):
        try:
            heat_api = reach.heat_of(session)
            found = [_find(heat_api, one, who) for one in state.groups.values()]
            if any(stack is None for stack in found) and who == reach.SERVICE:
                problems.append(f"{who}: sees not all stacks")
                continue
            left = [s for s in found if s is not None and s.status != "DELETE_COMPLETE"]
            for stack in left:
                if stack.status == "DELETE_FAILED" and not cloud_sessions.has_token(context):
                    raise exceptions.SwarmModeError(heat_members.failure(heat_api, stack))
                if stack.status != "DELETE_IN_PROGRESS":
                    heat_api.delete(stack.id)
        except heat_client.NotAllowed as error:
            problems.append(f"{who}: {error.operator_message}")
            continue
        return not left
    raise exceptions.SwarmModeError(
        "The stacks of the cluster's node groups cannot be deleted with the rights of the "
        "cluster's creator, nor with Magnum's. A member of the project must delete the "
        "cluster.",
        "; ".join(problems),
    )


def _find(heat_api: heat_client.Heat, made: Any, who: str) -> heat_client.Stack | None:
    name = made.get("stack_id") or ("" if who == reach.SERVICE else made.get("stack_name"))
    return heat_api.get(name) if name else None
