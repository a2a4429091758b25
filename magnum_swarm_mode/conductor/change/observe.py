# SPDX-License-Identifier: Apache-2.0
"""Looks at a cluster that shall change: at its stacks in Heat, and at its swarm."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from magnum_swarm_mode import clocks, exceptions, log, reach
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.db.store import Record
from magnum_swarm_mode.decisions import upgrade as decisions_upgrade
from magnum_swarm_mode.decisions import upgrade_plan
from magnum_swarm_mode.decisions.model import Group, Member, Node, Plan, Seen
from magnum_swarm_mode.decisions.record import Kind
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.heat import members as heat_members
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.stack import node_group
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import identity

CONF = cloud_sessions.CONF
LOG = log.of(__name__)

# What the names of the parameters of a group's two colours begin with.
COLOURS = ("", "green_")
# States of tasks that are on a node and have not ended.
_LIVING = ("assigned", "accepted", "preparing", "ready", "starting", "running")
_STARTING = _LIVING[:-1]
# The time-out of Heat's updates where the cluster's row has none, in minutes.
_HEAT_MINUTES = 60

Json = Mapping[str, Any]


@dataclasses.dataclass
class View:
    """What one look brought to light, and how to act on it."""

    cluster: Any
    heat_api: heat_client.Heat
    stacks: dict[str, heat_client.Stack]
    groups: dict[str, Group]
    rows: dict[str, Any]
    swarm: swarm_client.Swarm | None
    raw: dict[str, Json]


def look(context: Any, cluster: Any, record: Record) -> tuple[Seen, View]:
    """Look at a cluster.

    :raises Lost: when nobody but Magnum's own user sees its stack.
    :raises Unavailable: when Heat does not show all of it now.
    """
    state = record.state
    rows = list(cluster.nodegroups)
    plan = state.plan.adopted(counts(rows, state.plan), deleted(rows))
    plan = dataclasses.replace(plan, blind=0)
    now = int(clocks.now())
    # While Heat is at work, which nodes there are matters only to the end of an operation that
    # takes too long.
    at_rest = not 0 < plan.deadline < now
    heat_api, stack = reach.find_stack(context, cluster, state, at_rest=at_rest)
    stacks = {"cluster": stack}
    groups: dict[str, Group] = {}
    by_uuid = {row.uuid: row for row in rows}
    for row in by_uuid.values():
        if row.is_default:
            groups[row.uuid] = _default_group(heat_api, stack, row, plan)
            continue
        made = state.thing(Kind.GROUP, row.uuid)
        name = (made.id if made else "") or node_group.stack_name(row.uuid)
        own = heat_api.get(name, at_rest=at_rest)
        if own is not None and own.status != "DELETE_COMPLETE":
            stacks[row.uuid] = own
        elif row.uuid not in plan.pending and not str(row.status).endswith("_IN_PROGRESS"):
            # It was never made, and waits for its deletion: its row shall have no nodes, and a
            # conductor that stood still before it asked Heat makes it no more.
            plan.desired = {**plan.desired, row.uuid: 0}
            plan.sent = {stack: sent for stack, sent in plan.sent.items() if stack != row.uuid}
            continue
        groups[row.uuid] = _further_group(heat_api, stacks.get(row.uuid), row, plan)
    for group in groups.values():
        _check_members(group)
    plan = dataclasses.replace(plan, addresses=_addresses(stacks, groups.values(), plan))
    values = labels(cluster)
    view = View(cluster, heat_api, stacks, groups, by_uuid, None, {})
    seen = Seen(
        groups=tuple(sorted(groups.values(), key=lambda one: not one.is_manager)),
        nodes=None,
        plan=plan,
        now=now,
        drain_timeout=values.drain_timeout,
        # What nodes were told, whatever labels and operators say by now.
        join_timeout=int(stack.parameters.get("join_timeout") or values.join_timeout),
        heat_timeout=60 * int(cluster.create_timeout or _HEAT_MINUTES),
    )
    if any((one.stack_status or "").endswith("_IN_PROGRESS") for one in seen.groups):
        return seen, view
    try:
        view.swarm = reach.swarm_of(cluster, reach.output(stack, "manager_addresses"))
        seen = _with_swarm(seen, view)
    except exceptions.SwarmModeError as error:
        return dataclasses.replace(seen, silence=error.user_message), view
    return _with_reports(seen, view), view


def _addresses(
    stacks: Mapping[str, heat_client.Stack], groups: Iterable[Group], plan: Plan
) -> dict[str, str]:
    """Return the addresses of all members by their host names, as far as they are known."""
    shown: dict[str, str] = {}
    for name, stack in stacks.items():
        shown |= heat_members.addresses(stack, is_default=name == "cluster")
    members = [member.hostname for group in groups for member in group.members]
    return identity.known(shown, plan.addresses, members)


def labels(cluster: Any) -> label_table.Labels:
    """Return the values of a cluster's labels."""
    try:
        return label_parsing.parse(cluster.labels or {}, CONF.swarm_mode)
    except exceptions.Refused as error:
        # An operator's default may have become wrong since; the cluster lives on.
        LOG.warning("Labels of cluster %s: %s", cluster.uuid, error.operator_message)
        return label_table.Labels()


def counts(rows: Iterable[Any], plan: Plan) -> dict[str, int]:
    """Return how many nodes the row of each group asks for, as far as that can be served.

    Magnum's handler saves a row before it calls the driver, which brings the names of the nodes
    that are to go. Until it does, or where its conductor died, others are not taken in their place.
    """
    found = {}
    for row in rows:
        found[row.uuid] = int(row.node_count)
        known = plan.desired.get(row.uuid, plan.projected.get(row.uuid))
        if row.status == "UPDATE_IN_PROGRESS" and known is not None:
            found[row.uuid] = max(known, found[row.uuid])
    return found


def is_unnamed(row: Any, plan: Plan) -> bool:
    """Return whether a row alone asks for fewer nodes: nobody knows yet which of them shall go."""
    known = plan.desired.get(row.uuid, plan.projected.get(row.uuid))
    count = int(row.node_count)
    lowers = known is not None and count < known and count != plan.projected.get(row.uuid)
    return lowers and row.status == "UPDATE_IN_PROGRESS"


def has_unheard_request(row: Any, plan: Plan) -> bool:
    """Return whether a row has a request that the record has not heard of.

    Its handler is about to write the record, or has died: which nodes it named, nobody knows then,
    also where the number of nodes stays.
    """
    if row.status != "UPDATE_IN_PROGRESS":
        return False
    return is_unnamed(row, plan) or row.uuid not in (*plan.pending, *plan.served)


def _wanted(row: Any, plan: Plan) -> int | None:
    count = plan.projected.get(row.uuid, 0) if is_unnamed(row, plan) else int(row.node_count)
    return plan.desired.get(row.uuid, count)


def deleted(rows: Iterable[Any]) -> list[str]:
    """Return the further groups whose rows say that they are to be deleted."""
    return [row.uuid for row in rows if row.status == "DELETE_IN_PROGRESS" and not row.is_default]


def _default_group(
    heat_api: heat_client.Heat, stack: heat_client.Stack, row: Any, plan: Plan
) -> Group:
    is_manager = row.role == "master"
    kind = "manager" if is_manager else "worker"
    members = heat_members.members_of(heat_api, stack, is_default=True, is_manager=is_manager)
    return Group(
        uuid=row.uuid,
        name=row.name,
        is_manager=is_manager,
        wanted=_wanted(row, plan),
        asked=_asked(stack, f"{kind}_"),
        members=members,
        stack_status=stack.status,
        stack_updated=stack.updated,
        failure=_failure(heat_api, stack),
        labels=None if is_manager else node_group.swarm_labels(row),
        has_spare_ports=is_manager and _has_spare_ports(stack),
        machines=heat_members.machines(stack) if is_manager else {},
        **_made_of(stack, f"{kind}_", _engine_of(stack, is_manager=is_manager)),
    )


def _made_of(stack: heat_client.Stack, prefix: str, settings: Json) -> dict[str, Any]:
    """Return what the nodes of a group would be made of if Heat made them now."""
    values = stack.parameters
    looks = [
        (values.get(f"{prefix}{colour}image"), values.get(f"{prefix}{colour}flavor"))
        for colour in COLOURS
    ]
    seals = [
        upgrade_plan.seal(str(image), str(flavor), settings) if image else ""
        for image, flavor in looks
    ]
    if prefix == "manager_":
        # Those that are made of what was last asked for say so.
        own = heat_members.machines(stack).get(decisions_upgrade.DEFAULT, {}).get("seal")
        seals[0] = str(own or seals[0])
    return {
        "green": int(values.get(f"{prefix}green_count") or 0),
        "seals": tuple(seals),
        "image": str(looks[0][0] or ""),
        "flavor": str(looks[0][1] or ""),
    }


def _engine_of(stack: heat_client.Stack, *, is_manager: bool) -> dict[str, Any]:
    """Return what new nodes of the cluster's stack are told of their engine."""
    settings = {"engine": _json(stack.parameters.get("engine"))}
    if is_manager:
        settings["availability"] = stack.parameters.get("manager_availability")
    return settings


def _engine_of_group(stack: heat_client.Stack) -> dict[str, Any]:
    told = _json(stack.parameters.get("node_configuration")) or {}
    # The network says that one, not the template.
    engine = {key: value for key, value in (told.get("engine") or {}).items() if key != "mtu"}
    return {"engine": engine}


def _json(value: Any) -> Any:
    """Return a parameter of Heat's that is JSON, which its API gives as text."""
    return json.loads(value) if isinstance(value, str) and value else value


def _asked(stack: heat_client.Stack, prefix: str) -> int:
    """Return how many nodes Heat was last asked for, of both colours where a group has two."""
    return sum(int(stack.parameters.get(f"{prefix}{colour}count") or 0) for colour in COLOURS)


def _check_members(group: Group) -> None:
    """Make sure that Heat shows all nodes of a group, before any is taken for surplus or gone.

    :raises Unavailable: when it does not show all now.
    """
    action, _, outcome = (group.stack_status or "").rpartition("_")
    if outcome == "COMPLETE" and action != "DELETE" and len(group.members) != group.asked:
        raise exceptions.Unavailable(
            f"Heat shows {len(group.members)} of the {group.asked} nodes of {group.name} now; "
            "waiting until it shows all."
        )


def _has_spare_ports(stack: heat_client.Stack) -> bool:
    counts = (stack.parameters[name] for name in ("manager_count", "manager_port_count"))
    return len({int(count) for count in counts}) > 1 or (
        listed(stack, "manager_removals") != listed(stack, "manager_port_removals")
    )


def listed(stack: heat_client.Stack, name: str) -> list[str]:
    """Return a parameter of Heat's that is a list, which its API gives as text."""
    text = str(stack.parameters.get(name) or "").strip()
    if text.startswith("["):
        return [str(value) for value in json.loads(text.replace("'", '"').replace('u"', '"'))]
    return [value.strip() for value in text.split(",") if value.strip()]


def _further_group(
    heat_api: heat_client.Heat, stack: heat_client.Stack | None, row: Any, plan: Plan
) -> Group:
    members: tuple[Member, ...] = ()
    if stack is not None:
        members = heat_members.members_of(heat_api, stack, is_default=False, is_manager=False)
    return Group(
        uuid=row.uuid,
        name=row.name,
        is_manager=False,
        wanted=_wanted(row, plan),
        asked=_asked(stack, "") if stack else 0,
        members=members,
        stack=row.uuid,
        stack_status=stack.status if stack else None,
        stack_updated=stack.updated if stack else "",
        failure=_failure(heat_api, stack) if stack else "",
        labels=node_group.swarm_labels(row),
        **(_made_of(stack, "", _engine_of_group(stack)) if stack else {}),
        is_new=row.uuid in plan.making or row.status == "CREATE_IN_PROGRESS",
        at_rest=row.uuid not in plan.pending,
    )


def _failure(heat_api: heat_client.Heat, stack: heat_client.Stack) -> str:
    if not stack.status.endswith("_FAILED"):
        return ""
    return heat_members.failure(heat_api, stack)


def _with_swarm(seen: Seen, view: View) -> Seen:
    """Add the swarm's nodes, and how many tasks are on each where that matters."""
    assert view.swarm is not None
    nodes = view.swarm.nodes()
    view.raw = {str(node["ID"]): node for node in nodes}
    own = node_group.host_names(view.stacks["cluster"].node_prefix, view.rows.values())
    plan = seen.plan
    who = identity.identify(nodes, plan.ids, plan.addresses, own)
    on_node: Counter[str] = Counter()
    starting = 0
    if _concerns_tasks(seen):
        known: set[str] = set()
        leaving = [str(node["ID"]) for node in nodes if who[str(node["ID"])].name in plan.leaving]
        for task in _tasks(view.swarm, leaving):
            state = (task.get("Status") or {}).get("State")
            if task.get("ID") in known or state not in _LIVING or not task.get("NodeID"):
                continue
            known.add(str(task.get("ID")))
            on_node[str(task["NodeID"])] += 1
            starting += state in _STARTING and task.get("DesiredState") == "running"
    found = tuple(to_node(node, on_node, who[str(node["ID"])]) for node in nodes)
    ids = identity.learned(nodes, plan.ids, plan.addresses)
    plan = dataclasses.replace(plan, ids=ids)
    return dataclasses.replace(seen, nodes=found, starting=starting, plan=plan)


def _concerns_tasks(seen: Seen) -> bool:
    return (
        bool(seen.plan.leaving)
        or seen.plan.begun != seen.plan.number
        or any(group.wanted is None or group.wanted < len(group.members) for group in seen.groups)
    )


def _tasks(swarm: swarm_client.Swarm, leaving: Sequence[str]) -> Iterator[Json]:
    yield from swarm.tasks()
    if leaving:
        yield from swarm.tasks_on(leaving)


def to_node(node: Json, tasks: Mapping[str, int], who: identity.Identity) -> Node:
    """Return a node as decisions see it.

    :param tasks: id of a node to the number of tasks on it that have not ended.
    :param who: which server it is; what it says of that itself does not count.
    """
    spec, manager = node.get("Spec") or {}, node.get("ManagerStatus")
    return Node(
        id=str(node["ID"]),
        # Sentences name it.
        hostname=who.name or f"node {node['ID']}",
        is_ours=who.is_ours,
        state=str((node.get("Status") or {}).get("State") or "unknown"),
        availability=str(spec.get("Availability") or "active"),
        role=str(spec.get("Role") or "worker"),
        in_raft=bool(manager),
        reachable=(manager or {}).get("Reachability") == "reachable",
        leader=bool((manager or {}).get("Leader")),
        tasks=tasks.get(str(node["ID"]), 0),
        labels=dict(spec.get("Labels") or {}),
    )


def to_nodes(
    raw: Sequence[Json], plan: Plan, own: re.Pattern[str] | None = None
) -> tuple[Node, ...]:
    """Return nodes as decisions see them, each as the server that it is, without tasks.

    :param plan: with what is known of the servers.
    :param own: what the host names of the cluster's own nodes look like; None for any.
    """
    who = identity.identify(raw, plan.ids, plan.addresses, own)
    return tuple(to_node(node, {}, who[str(node["ID"])]) for node in raw)


def _with_reports(seen: Seen, view: View) -> Seen:
    """Add why nodes could not join, of those that the swarm does not list."""
    reports: dict[str, str] = {}
    for group in seen.groups:
        missing = [member for member in group.members if not seen.entries(member)]
        if missing and (group.wanted == group.asked or seen.plan.target(group)):
            reports |= heat_members.reports(
                view.heat_api,
                view.stacks[group.stack].id,
                missing,
                is_default=group.stack == "cluster",
                is_manager=group.is_manager,
            )
    return dataclasses.replace(seen, reports=reports)
