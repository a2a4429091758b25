# SPDX-License-Identifier: Apache-2.0
"""What Heat knows of the nodes of a group: which there are, and what they reported."""

import contextlib
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from heatclient import exc

from magnum_swarm_mode import text
from magnum_swarm_mode.decisions.model import GREEN, Member
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.heat import failures

# Of ids and indices, in characters.
_LONGEST_NAME = 255


@heat_client.translated()
def members_of(
    heat_api: heat_client.Heat, stack: heat_client.Stack, *, is_default: bool, is_manager: bool
) -> tuple[Member, ...]:
    """Return the servers of a group of Magnum's, which is in ``stack``.

    :raises Unavailable: when the stack is none of this driver's any more: its owner can change it.
    """
    if not is_default:
        prefix = stack.group_prefix
        return (
            *members(heat_api, stack, "servers", ("workers",), prefix),
            *members(heat_api, stack, "green_servers", ("green_workers",), prefix, GREEN),
        )
    kind = "manager" if is_manager else "worker"
    prefix = f"{stack.node_prefix}-{kind}"
    if is_manager:
        found = members(heat_api, stack, "manager_servers", ("managers",), prefix)
        absent = {index for index, one in machines(stack).items() if one.get("absent")}
        return tuple(
            dataclasses.replace(one, server_id="") if one.index in absent else one for one in found
        )
    green = ("workers", "green_workers")
    return (
        *members(heat_api, stack, "worker_servers", ("workers", "workers"), prefix),
        *members(heat_api, stack, "worker_green_servers", green, prefix, GREEN),
    )


@heat_client.translated()
def machines(stack: heat_client.Stack) -> dict[str, dict[str, Any]]:
    """Return which managers are not as the others: index to what they are, or that they are gone.

    Heat gives a parameter that is JSON as text.

    :raises Unavailable: as :func:`members_of`.
    """
    value = stack.parameters.get("manager_machines") or {}
    found = text.parsed(value) if isinstance(value, str) else value
    return {str(index): dict(one) for index, one in found.items()}


@heat_client.translated()
def addresses(stack: heat_client.Stack, *, is_default: bool) -> dict[str, str]:
    """Return the addresses of servers in the cluster's network by their host names.

    Those are left out that Heat does not show now.

    :param is_default: whether it is the cluster's own stack, and not a further group's.
    :raises Unavailable: as :func:`members_of`.
    """
    outputs = stack.outputs
    if not is_default:
        names = _names(stack, stack.group_prefix, "servers")
        return _paired(names, outputs.get("addresses"))
    prefix = stack.node_prefix
    names = _names(stack, f"{prefix}-worker", "worker_servers", "worker_green_servers")
    found = _paired(names, outputs.get("worker_addresses"))
    told = outputs.get("node_configuration")
    managers = told.get("managers") if isinstance(told, Mapping) else None
    for index, one in managers.items() if isinstance(managers, Mapping) else ():
        if isinstance(one, Mapping) and one.get("address"):
            found[f"{prefix}-manager-{index}"] = str(one["address"])
    return found


def _names(
    stack: heat_client.Stack, prefix: str, blue: str, green: str = "green_servers"
) -> list[str]:
    """Return the host names of workers in the order in which Heat lists their addresses."""
    return [
        f"{prefix}-{colour}{index}"
        for output, colour in ((blue, ""), (green, GREEN))
        for index in sorted(stack.outputs.get(output) or (), key=lambda one: (len(one), one))
    ]


def _paired(names: Sequence[str], found: object) -> dict[str, str]:
    """Return addresses by names, none where some are missing: which belongs to whom is unknown."""
    if not isinstance(found, list) or len(found) != len(names):
        return {}
    return {name: str(one) for name, one in zip(names, found, strict=True) if one}


def members(
    heat_api: heat_client.Heat,
    stack: heat_client.Stack,
    output: str,
    path: tuple[str, ...],
    prefix: str,
    colour: str = "",
) -> tuple[Member, ...]:
    """Return the servers of a group.

    :param output: the stack's output that maps indices to ids of servers.
    :param path: names of the nested resources that lead to the group's ResourceGroup.
    :param prefix: what the host names begin with.
    :param colour: what indices begin with in host names, where a group has two ResourceGroups.
    """
    servers: dict[str, str] = {
        text.line(index, _LONGEST_NAME): text.line(server, _LONGEST_NAME)
        for index, server in (stack.outputs.get(output) or {}).items()
    }
    if stack.status.endswith("_FAILED"):
        # What could not be made has no place in the output, but is a member all the same.
        servers = {**_listed(heat_api, stack.id, path), **servers}
    ordered = sorted(servers, key=lambda index: (len(index), index))
    return tuple(
        Member(f"{colour}{index}", f"{prefix}-{colour}{index}", servers[index]) for index in ordered
    )


def _listed(heat_api: heat_client.Heat, stack_id: str, path: tuple[str, ...]) -> dict[str, str]:
    where = stack_id
    client = heat_api.client
    with heat_client.translated():
        try:
            for name in path:
                where = client.resources.get(where, name).physical_resource_id
                if not where:
                    return {}
            return {
                one.resource_name: one.physical_resource_id or ""
                for one in client.resources.list(where)
                if text.number(one.resource_name) is not None
            }
        except exc.HTTPNotFound:
            return {}


def reports(
    heat_api: heat_client.Heat,
    stack_id: str,
    members: Collection[Member],
    *,
    is_default: bool,
    is_manager: bool,
) -> dict[str, str]:
    """Return why servers of a group could not join, as reports to Heat say, by their ids.

    Each node of the group can report in the name of another one of it, and none in the name of a
    node of another group.
    """
    handle = "manager_signal" if is_manager else "worker_signal"
    found: dict[str, str] = {}
    client = heat_api.client
    with heat_client.translated(), contextlib.suppress(exc.HTTPNotFound):
        where: Any = stack_id
        if is_default and not is_manager:
            where = client.resources.get(stack_id, "workers").physical_resource_id
        data = client.resources.metadata(where, handle) if where else {}
        for member in members:
            signal = data.get(member.server_id) if member.server_id else None
            if isinstance(signal, dict) and signal.get("status") == "FAILURE":
                words = failures.reported(member.hostname, signal.get("reason") or "")
                found[member.server_id] = words
    return found


def failure(heat_api: heat_client.Heat, stack: heat_client.Stack) -> str:
    """Return why a stack failed, in sentences that a user can act on."""
    return heat_api.failure_reason(stack) or stack.reason
