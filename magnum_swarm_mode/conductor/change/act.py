# SPDX-License-Identifier: Apache-2.0
"""Takes the steps that were decided on: asks the swarm and Heat. Every step may be done twice."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from magnum_swarm_mode.conductor.change import new_group
from magnum_swarm_mode.conductor.change.observe import COLOURS, Json, View, listed
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions import model
from magnum_swarm_mode.decisions.model import GREEN, Group, Outcome, Plan, Step
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.stack import node_group, removals
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.swarm import client as swarm_client


def act(store: Store, view: View, step: Step, record: Record) -> Record:
    """Take a step; return the record as it is then.

    :raises SwarmModeError: when Heat or the swarm does not take it.
    """
    for action in step.actions:
        if isinstance(action, model.SetNode) and view.swarm is not None:
            set_node(view.swarm, view.raw, action)
        elif isinstance(action, model.Forget) and view.swarm is not None:
            view.swarm.remove_node(action.node_id)
        elif isinstance(action, model.Resize):
            _resize(view, action)
        elif isinstance(action, model.Recolour):
            _recolour(view, action, step.plan)
        elif isinstance(action, model.Remake):
            _remake(view, action, step.plan)
        elif isinstance(action, model.FreePorts):
            _free_ports(view)
        elif isinstance(action, model.DeleteStack):
            view.heat_api.delete(view.stacks[action.group].id)
        elif isinstance(action, model.DropGroup):
            record = _drop_group(store, view, action.group, record)
    if step.outcome is Outcome.FAILED and step.plan.debts != step.owed:
        return keep(store, record, dataclasses.replace(step.plan, debts=dict(step.owed)))
    return record


def _drop_group(store: Store, view: View, uuid: str, record: Record) -> Record:
    """Forget a group whose stack is gone."""
    if view.swarm is not None:
        view.swarm.remove_config(node_group.config_name(uuid))
    # Whoever finds a row without a stack and without an entry drops it again.
    record = store.write(record, new_group.dropped(record.state, uuid))
    view.rows.pop(uuid).destroy()
    return record


def _resize(view: View, action: model.Resize) -> None:
    group = view.groups[action.group]
    prefix = ""
    if view.rows[action.group].is_default:
        prefix = "manager_" if group.is_manager else "worker_"
    stack = view.stacks[group.stack]
    if group.is_manager:
        parameters = {"manager_count": action.count}
        parameters |= _removals(stack, "manager_", group, action.removals, action.count)
    else:
        parameters = _worker_counts(stack, prefix, group, action)
    if group.is_manager and not group.has_spare_ports:
        # The ports of those that go stay for now, and those that come need theirs at once.
        parameters["manager_port_count"] = action.count + len(action.removals)
    view.heat_api.update(stack.id, parameters, int(view.cluster.create_timeout or 0))


def _recolour(view: View, action: model.Recolour, plan: Plan) -> None:
    group = view.groups[action.group]
    prefix = "worker_" if view.rows[action.group].is_default else ""
    parameters: dict[str, Any] = {
        f"{prefix}count": action.blue,
        f"{prefix}green_count": action.green,
    }
    stack = view.stacks[group.stack]
    for colour, name, count in (("", "", action.blue), (GREEN, "green_", action.green)):
        parameters |= _removals(stack, f"{prefix}{name}", group, action.removals, count)
        if colour in action.looks:
            image, flavor = action.looks[colour]
            parameters |= {f"{prefix}{name}image": image, f"{prefix}{name}flavor": flavor}
    if action.machines is not None:
        parameters["manager_machines"] = dict(action.machines)
    _ask(view, group, parameters, plan if action.renew else None)


def _remake(view: View, action: model.Remake, plan: Plan) -> None:
    group = view.groups[action.group]
    parameters = {
        "manager_image": action.image,
        "manager_flavor": action.flavor,
        "manager_machines": dict(action.machines),
    }
    _ask(view, group, parameters, plan if action.renew else None)


def _free_ports(view: View) -> None:
    stack = view.stacks["cluster"]
    parameters = {
        "manager_port_count": int(stack.parameters["manager_count"]),
        "manager_port_removals": listed(stack, "manager_removals"),
    }
    view.heat_api.update(stack.id, parameters, int(view.cluster.create_timeout or 0))


def _ask(view: View, group: Group, parameters: Mapping[str, Any], upgrade: Plan | None) -> None:
    """Ask Heat to change parameters, and templates and settings where an upgrade is given."""
    stack = view.stacks[group.stack]
    minutes = int(view.cluster.create_timeout or 0)
    target = upgrade.upgrade.groups.get(group.uuid) if upgrade and upgrade.upgrade else None
    if target is None:
        view.heat_api.update(stack.id, parameters, minutes)
        return
    whole = group.stack == "cluster"
    template, files = stack_request.renewal("cluster.yaml" if whole else "node_group.yaml")
    values = dict(parameters)
    if whole:
        values |= target.settings
    else:
        # Its managers and engine are those of the cluster, which was upgraded before.
        told = view.stacks["cluster"].outputs.get("node_configuration")
        values |= {"node_configuration": told} if told else {}
    prefix = "worker_" if whole else ""
    for name in ("image", "flavor"):
        # Templates of an older release knew no second colour.
        green = f"{prefix}green_{name}"
        if green not in values and green not in stack.parameters:
            values[green] = values.get(f"{prefix}{name}") or stack.parameters[f"{prefix}{name}"]
    view.heat_api.renew(stack.id, template, files, values, minutes)


def _removals(
    stack: heat_client.Stack, prefix: str, group: Group, leaving: Sequence[str], count: int
) -> dict[str, Any]:
    """Return the parameter that says which indices of one colour Heat leaves out, if it changes.

    :param prefix: what the names of the colour's parameters begin with.
    :param leaving: indices of members that leave, of whatever colour.
    :param count: how many members of the colour there shall be.
    """
    green = prefix.endswith("green_")
    present = [one.index.removeprefix(GREEN) for one in group.members if one.is_green == green]
    gone = [one.removeprefix(GREEN) for one in leaving if one.startswith(GREEN) == green]
    removed = listed(stack, f"{prefix}removals")
    new = max(0, count - len(present) + len(gone))
    after = removals.after(removed, present, gone, new)
    return {f"{prefix}removals": after} if after != removed else {}


def _worker_counts(
    stack: heat_client.Stack, prefix: str, group: Group, action: model.Resize
) -> dict[str, Any]:
    """Return the parameters for a number of workers, whatever their colours are.

    Nodes that leave are taken off their own colour; the colour with more nodes takes the rest.
    """
    counts = {c: int(stack.parameters.get(f"{prefix}{c}count") or 0) for c in COLOURS}
    for colour, mark in zip(COLOURS, (False, True), strict=True):
        leaving = sum(index.startswith(GREEN) == mark for index in action.removals)
        counts[colour] = max(0, counts[colour] - leaving)
    larger = max(COLOURS, key=lambda colour: (counts[colour], colour == ""))
    other = next(colour for colour in COLOURS if colour != larger)
    counts[larger] = max(0, action.count - counts[other])
    parameters: dict[str, Any] = {}
    for colour, count in counts.items():
        parameters |= _removals(stack, f"{prefix}{colour}", group, action.removals, count)
        if count != int(stack.parameters.get(f"{prefix}{colour}count") or 0) or colour == larger:
            parameters[f"{prefix}{colour}count"] = count
    return parameters


def set_node(swarm: swarm_client.Swarm, nodes: Mapping[str, Json], action: model.SetNode) -> None:
    """Change what the swarm wants of a node.

    :param nodes: id to node as the swarm gave it.
    """
    node = nodes[action.node_id]
    spec = dict(node.get("Spec") or {})
    if action.role is not None:
        spec["Role"] = action.role
    if action.availability is not None:
        spec["Availability"] = action.availability
    if action.labels is not None:
        kept = {k: v for k, v in (spec.get("Labels") or {}).items() if k not in action.without}
        spec["Labels"] = {**kept, **action.labels}
    swarm.update_node(node, spec)


def keep(store: Store, record: Record, plan: Plan) -> Record:
    """Write down a plan.

    :raises Conflict: when somebody else changed the record since it was read.
    """
    return store.write(record, dataclasses.replace(record.state, plan=plan))
