# SPDX-License-Identifier: Apache-2.0
"""Writes into Magnum's rows how far the change of a cluster has come."""

import contextlib
from typing import Any

from magnum_swarm_mode import exceptions, reach
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.conductor.change import observe
from magnum_swarm_mode.conductor.change.observe import View
from magnum_swarm_mode.db.store import Store
from magnum_swarm_mode.decisions import status
from magnum_swarm_mode.decisions.model import Group, Outcome, Plan, Step
from magnum_swarm_mode.decisions.record import Phase
from magnum_swarm_mode.swarm import client as swarm_client


def write(store: Store, view: View, step: Step) -> None:
    """Write what a step led to, and go on with what was requested meanwhile."""
    cluster = view.cluster
    _mend(view, step)
    for uuid, target in (step.plan.upgrade.groups if step.plan.upgrade else {}).items():
        made = view.rows.get(uuid)
        if target.done and made is not None:
            made.image_id, made.flavor_id = target.image, target.flavor
            made.save()
    found = _api_address(view)
    # Looks at the health ask whoever is named here, also while the operation goes on.
    for uuid, group in view.groups.items():
        addresses = _addresses(view, group)
        known: dict[str, Any] = {"node_addresses": addresses} if addresses else {}
        if uuid in view.stacks:
            # Heat's answer to the handler may have been lost.
            known["stack_id"] = view.stacks[uuid].id
        # Of a group that has just been dropped nothing is known.
        if known:
            rows.write_group(view.rows[uuid], known)
    if step.outcome is Outcome.GOES_ON:
        rows.tell(cluster, cluster.status, step.reason, found)
        return
    if step.outcome is Outcome.GOES_BACK:
        rows.tell(cluster, "ROLLBACK_IN_PROGRESS", step.reason, found)
        return
    _end_groups(view, step)
    _follow(cluster, step.plan)
    if step.outcome is Outcome.COMPLETE and view.swarm is not None:
        with contextlib.suppress(exceptions.SwarmModeError):
            engine = view.swarm.engine()
            found |= {"coe_version": engine.version, "container_version": engine.version}
    # Magnum lets nobody change a cluster that is ROLLBACK_FAILED, and does not look at the
    # health of one that is ROLLBACK_COMPLETE.
    rows.tell(cluster, f"UPDATE_{step.outcome.name}", step.reason, found)
    _reopen(store, cluster)


def _mend(view: View, step: Step) -> None:
    """Let rows say what was requested where something else was saved over it."""
    for uuid, row in view.rows.items():
        count = step.plan.desired.get(uuid, row.node_count)
        if count is None and not str(row.status).startswith("DELETE"):
            rows.write_group(row, {"status": "DELETE_IN_PROGRESS", "status_reason": None})
        elif count is not None and not observe.is_unnamed(row, step.plan):
            rows.write_group(row, {"node_count": count})


def _reopen(store: Store, cluster: Any) -> None:
    """Go on at once with a request that came while the rows of the last one were written."""
    record = store.get(cluster.uuid)
    if record is None or record.state.phase is not Phase.CREATED:
        return
    if record.state.plan.begun != record.state.plan.number:
        rows.tell(cluster, "UPDATE_IN_PROGRESS", cluster.status_reason)


def _end_groups(view: View, step: Step) -> None:
    complete = step.outcome is Outcome.COMPLETE
    for uuid, row in view.rows.items():
        group = view.groups.get(uuid)
        if group is None or observe.has_unheard_request(row, step.plan):
            continue
        done = complete or (
            uuid != step.group
            and group.wanted == len(group.members)
            and step.plan.target(group) is None
        )
        changes: dict[str, Any] = {}
        # A handler may have called a request failed that the record went on with.
        outdated = done and uuid in step.plan.served and str(row.status).endswith("_FAILED")
        if str(row.status).endswith("_IN_PROGRESS") or uuid == step.group or outdated:
            operation, _, was = str(row.status).partition("_")
            if was == "COMPLETE":
                # It is not being made any more.
                operation = "UPDATE"
            changes["status"] = f"{operation}_{'COMPLETE' if done else 'FAILED'}"
            changes["status_reason"] = None if done else _reason_of(uuid, step.reason, step.group)
        addresses = _addresses(view, group)
        if addresses is not None:
            changes["node_addresses"] = addresses
        rows.write_group(row, changes)


def fail(cluster: Any, plan: Plan, reason: str | None, at_fault: str = "") -> None:
    """Write that what was requested has failed, without a look at the cluster.

    :param at_fault: the uuid of the group at fault, where one is.
    """
    for row in cluster.nodegroups:
        unheard = observe.has_unheard_request(row, plan)
        if str(row.status).endswith("_IN_PROGRESS") and not unheard:
            own = _reason_of(row.uuid, reason, at_fault)
            operation = "DELETE" if plan.is_to_go(row.uuid) else "UPDATE"
            rows.write_group(row, {"status": f"{operation}_FAILED", "status_reason": own})
    # Only a delete leads out of ROLLBACK_FAILED in Magnum.
    rows.tell(cluster, "UPDATE_FAILED", reason)


def _reason_of(uuid: str, reason: str | None, at_fault: str) -> str | None:
    """Return why a node group's row has failed: only the group at fault has a reason of its own.

    :param at_fault: the uuid of that group; empty where the reason is about all of them.
    """
    return reason if at_fault in ("", uuid) else status.NOT_AT_FAULT


def _follow(cluster: Any, plan: Plan) -> None:
    """Let the cluster's row name the template that both its first groups were upgraded to."""
    if plan.upgrade is None or not plan.upgrade.over:
        return
    first = [row for row in cluster.nodegroups if row.is_default]
    targets = [target for row in first if (target := plan.upgrade.groups.get(row.uuid)) is not None]
    template = cluster.cluster_template_id
    followed = {plan.followed.get(row.uuid, template) for row in first}
    if not targets or followed != {targets[0].template}:
        return
    values = {"cluster_template_id": targets[0].template, **targets[0].cluster}
    for name, value in values.items():
        if getattr(cluster, name) != value:
            setattr(cluster, name, value)
    cluster.save()
    for row in first:
        if "labels" in values and row.labels != values["labels"]:
            row.labels = values["labels"]
            row.save()


def _api_address(view: View) -> dict[str, Any]:
    """Return where the API is to be found if the manager that it is said to be at is none now."""
    reachable = {
        str(manager.get("Addr")).rpartition(":")[0].strip("[]")
        for node in view.raw.values()
        if (manager := node.get("ManagerStatus")) and manager.get("Reachability") == "reachable"
    }
    stack = view.stacks["cluster"]
    pairs = zip(
        reach.output(stack, "manager_fixed_addresses"),
        reach.output(stack, "manager_addresses"),
        strict=False,
    )
    living = [swarm_client.url(address) for fixed, address in pairs if fixed in reachable]
    if not living or view.cluster.api_address in living:
        return {}
    return {"api_address": living[0]}


def _addresses(view: View, group: Group) -> list[str] | None:
    stack = view.stacks.get(group.stack)
    if stack is None:
        return None
    if group.stack != "cluster":
        return reach.output(stack, "addresses")
    return reach.output(stack, "manager_addresses" if group.is_manager else "worker_addresses")
