# SPDX-License-Identifier: Apache-2.0
"""Carries out what ``decisions.change`` decides about a cluster that shall change.

Each look is one step, under the cluster's lease: the plan is written down before anything is done,
so that whichever conductor looks next goes on from there, and every step may be done twice.
"""

import contextlib
import dataclasses
import functools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from magnum import objects
from oslo_log import log as logging

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.cloud import credentials, grants
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import lease, notifications, reach, rows
from magnum_swarm_mode.conductor.rotation import ca as ca_rotation
from magnum_swarm_mode.db.store import Conflict, Phase, Record, State, Store
from magnum_swarm_mode.decisions import change, healing, steps, upgrade_plan
from magnum_swarm_mode.decisions import upgrade as decisions_upgrade
from magnum_swarm_mode.decisions.change import Group, Node, Outcome, Plan, Seen, Step
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.heat import members as heat_members
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.stack import node_group
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.swarm import client as swarm_client

CONF = cloud_sessions.CONF
LOG = logging.getLogger(__name__)

# How long a step is tried again that cannot be taken now.
_TROUBLED_SECONDS = 600
# How long an operation waits for Heat to show the cluster's stack.
_BLIND_SECONDS = 1800
# How many steps one look may lead to that need no waiting between them.
_STEPS_AT_ONCE = 6
# How long a conductor may take from a group's row to the record.
_REQUEST_SECONDS = 120
_INTERRUPTED = "The request was interrupted before it began; resize the group again."
# States of tasks that are on a node and have not ended.
_LIVING = ("assigned", "accepted", "preparing", "ready", "starting", "running")
_STARTING = _LIVING[:-1]
# What the names of the parameters of a group's two colours begin with.
_COLOURS = ("", "green_")
BUSY = ("UPDATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS")

Json = Mapping[str, Any]


@dataclasses.dataclass
class _View:
    """What one look brought to light, and how to act on it."""

    cluster: Any
    heat_api: heat_client.Heat
    stacks: dict[str, heat_client.Stack]
    groups: dict[str, Group]
    rows: dict[str, Any]
    swarm: swarm_client.Swarm | None
    raw: dict[str, Json]


class Operations:
    """What changes a cluster after it was made.

    :param store: the table of records.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    # Asking for something

    def request(
        self,
        cluster: Any,
        group: Any,
        named: Sequence[str] = (),
        *,
        rollback: bool = False,
        resized: bool = True,
        status: str = "UPDATE_IN_PROGRESS",
        upgrade: upgrade_plan.Upgrade | None = None,
    ) -> None:
        """Write down that a group shall be as its row says; the next polls see to it.

        Whatever is under way goes on; this is served after what cannot be interrupted. Nothing is
        raised for a cluster that is being deleted, for Magnum would then stop the deletion.

        :param named: nodes to remove, by server id, host name or index.
        :param rollback: whether a failure shall lead back to the number of nodes before.
        :param status: of the group from now on.
        :param upgrade: what groups shall be made of, the others of which go with this one.
        """
        # The row goes first: whoever finds it different from the record takes it for a request.
        group.save()

        def asked(state: State) -> State:
            if state.phase is not Phase.CREATED:
                return state
            plan = Plan.from_json(state.update).requested(
                group.uuid, named, rollback=rollback, resized=resized, upgrade=upgrade
            )
            if status == "DELETE_IN_PROGRESS":
                plan.desired[group.uuid] = None
            elif resized:
                plan.desired[group.uuid] = int(group.node_count)
                plan.projected[group.uuid] = int(group.node_count)
            return dataclasses.replace(state, update=plan.to_json())

        record = self._store.amend(cluster.uuid, asked)
        if record is None or record.state.phase is not Phase.CREATED:
            LOG.info("Cluster %s is not there to be changed", cluster.uuid)
            return
        others = [
            row
            for row in cluster.nodegroups
            if upgrade is not None and row.uuid in upgrade.groups and row.uuid != group.uuid
        ]
        for row in (group, *others):
            row.status, row.status_reason = status, None
            row.save()
        # The handler does so as well, if its conductor lives long enough.
        rows.change(cluster.uuid, cluster.status, {"status": "UPDATE_IN_PROGRESS"})

    def begin(self, context: Any, cluster: Any) -> None:
        """Take the first step of what was requested, where that needs the token of the request.

        It is a step as the polls take it; whatever goes wrong with it, they try again.
        """
        record = self._store.get(cluster.uuid)
        if record is None or not reach.brings_owners_token(context, record.state):
            return
        if record.state.rotation:
            return
        with lease.held(self._store, cluster.uuid, "first step") as record:
            try:
                row = objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), cluster.uuid)
                if record and row.status in BUSY and record.state.phase is Phase.CREATED:
                    self.step(context, row, record)
            except Exception as error:
                LOG.warning("Cluster %s: %s: %s", cluster.uuid, type(error).__name__, error)

    def recall(self, cluster: Any, record: Record | None) -> None:
        """Take up what was asked for and forgotten, because the conductor died that was asked.

        Called with clusters that are in no operation, at each poll of their health. It may change
        the record.
        """
        if record is None or record.state.phase is not Phase.CREATED:
            return
        if record.state.loose:
            with contextlib.suppress(Conflict):
                orphans.sweep(self._store, cluster.uuid)
        if ca_rotation.is_under_way(record.state):
            ca_rotation.recall(cluster, record.state)
            return
        plan = Plan.from_json(record.state.update)
        counts = _counts(cluster)
        waiting = plan.adopted(counts, _deleted(cluster))
        if record.state.rotation or not waiting.is_over:
            if waiting != plan:
                try:
                    self._keep(record, waiting)
                except Conflict:
                    return
            rows.change(cluster.uuid, cluster.status, {"status": "UPDATE_IN_PROGRESS"})
            return
        for row in cluster.nodegroups:
            touched = row.updated_at or row.created_at
            if not str(row.status).endswith("_IN_PROGRESS") or touched is None:
                continue
            if time.time() - touched.timestamp() > _REQUEST_SECONDS:
                # Which nodes were to go is not known any more, so that nothing is guessed.
                rows.write_group(row, {"status": "UPDATE_FAILED", "status_reason": _INTERRUPTED})
                self._tell(cluster, "UPDATE_FAILED", f"Node group {row.name}: {_INTERRUPTED}")
                return
        self._settle(cluster, record, dataclasses.replace(plan, projected=counts))

    def _settle(self, cluster: Any, record: Record, changed: Plan) -> None:
        """Give nodes back what an ended operation owes them, and remember what rows say."""
        plan = Plan.from_json(record.state.update)
        if plan.debts:
            try:
                swarm = reach.swarm_of(cluster, list(cluster.master_addresses or ()))
                raw = {str(node["ID"]): node for node in swarm.nodes()}
                nodes = [_node(node, {}) for node in raw.values()]
                for action in steps.repayment(nodes, plan.debts):
                    _set_node(swarm, raw, action)
                changed = dataclasses.replace(changed, debts={})
            except exceptions.SwarmModeError as error:
                LOG.info("Cluster %s: %s", cluster.uuid, error.operator_message)
        if changed != plan:
            with contextlib.suppress(Conflict):
                self._keep(record, changed)

    def heal(
        self, context: Any, cluster: Any, record: Record | None, raw: Sequence[Json] | None
    ) -> str:
        """Begin to replace nodes that have been down for long, where the cluster's labels say so.

        Called with clusters that are in no operation, at each poll of their health. Whoever else
        changes the record or the status meanwhile goes first.

        :param record: as it was before the managers were asked.
        :param raw: the swarm's nodes; None when the managers could not be asked.
        :returns: what the cluster's health shall say of it; empty for nothing.
        """
        if record is None or record.state.phase is not Phase.CREATED:
            return ""
        values = _labels(cluster)
        plan = Plan.from_json(record.state.update)
        memory = healing.Memory.from_json(record.state.healing)
        if not values.auto_healing_enabled or not plan.is_over:
            return ""
        nodes = tuple(_node(node, {}) for node in raw or ())
        if not cluster.status.endswith("_COMPLETE"):
            failed = cluster.status == "UPDATE_FAILED"
            return healing.paused(nodes, cluster.status) if failed else ""
        if raw is None:
            verdict = healing.Verdict(memory.blind())
        else:
            rule = healing.Rule(
                delay=values.auto_healing_delay,
                most=CONF.swarm_mode.most_healings_per_hour,
                blind=3 * int(max(60, CONF.kubernetes.health_polling_interval)),
            )
            verdict = healing.decide(nodes, memory, rule, int(time.time()))
        if memory.is_at_rest and verdict.memory.is_at_rest and not verdict.replace:
            return verdict.line
        state = dataclasses.replace(record.state, healing=verdict.memory.to_json())
        if verdict.replace:
            plan = plan.healing(verdict.replace, verdict.cause)
            state = dataclasses.replace(state, update=plan.to_json())
        try:
            self._store.write(record, state)
        except Conflict:
            return ""
        if verdict.memory.limited and not memory.limited:
            LOG.warning("Healing of cluster %s: %s", cluster.uuid, verdict.line)
            notifications.healing_stopped(context, cluster, verdict.line)
        if verdict.replace:
            # A conductor that dies here has it recalled by the next poll.
            changes = {"status": "UPDATE_IN_PROGRESS", "status_reason": verdict.cause}
            rows.change(cluster.uuid, cluster.status, changes)
            LOG.info("Cluster %s: %s", cluster.uuid, verdict.cause)
            notifications.healing_begun(context, cluster, verdict.replace, verdict.cause)
        return verdict.line

    # Certificates

    def rotate_ca(self, context: Any, cluster: Any) -> None:
        """Begin to replace the cluster's certificates, which Magnum has just made anew.

        :raises SwarmModeError: with a sentence for the user; Magnum then calls the cluster failed.
        """

        def find_stack(state: Any) -> Callable[[], tuple[heat_client.Heat, heat_client.Stack]]:
            return functools.partial(_stack, context, cluster, state)

        ca_rotation.begin(self._store, cluster, find_stack)

    # Further node groups

    def create_group(self, context: Any, cluster: Any, row: Any) -> None:
        """Ask Heat for a further node group, with the token of the user who wants it.

        Heat needs a trust of its own for a stack, which it cannot make of the conductor's.

        :raises SwarmModeError: with a sentence for the user.
        """
        record = self._store.get(cluster.uuid)
        if record is None or record.state.phase is not Phase.CREATED:
            raise exceptions.Refused("The cluster is being deleted; no node group can be added.")
        values = node_group.check_labels(row.labels, cluster.labels, CONF.swarm_mode)
        heat_api, stack = _stack(context, cluster, record.state)
        taken = [made["prefix"] for made in record.state.groups.values()]
        prefix = node_group.name_prefix(
            str(stack.parameters["node_name_prefix"]), row.name, row.uuid, taken
        )
        secret = node_group.new_secret()
        request = node_group.build(cluster, row, values, stack, prefix, secret)
        name = node_group.stack_name(row.uuid)
        self._note_group(cluster, row, {"stack_name": name, "prefix": prefix}, ask=True)
        swarm = reach.swarm_of(cluster, reach.output(stack, "manager_addresses"))
        swarm.put_config(
            node_group.config_name(row.uuid),
            {node_group.DIGEST_LABEL: node_group.digest(secret)},
        )
        if cloud_sessions.has_token(context):
            heat_api = reach.heat_of(cloud_sessions.user_session(context))
        before = self._trusts(context)
        row.stack_id = reach.submit(heat_api, request, name, int(cluster.create_timeout or 0))
        noted = {
            "stack_name": name,
            "prefix": prefix,
            "stack_id": row.stack_id,
            "heat_trust": credentials.only_new(before, self._trusts(context)),
        }
        if not self._note_group(cluster, row, noted):
            # A user's delete has begun meanwhile, and may already have looked for what is here.
            heat_api.delete(row.stack_id)

    @staticmethod
    def _trusts(context: Any) -> set[str] | None:
        return (
            credentials.trusts_given(cloud_sessions.user_session(context))
            if cloud_sessions.has_token(context)
            else None
        )

    def _note_group(
        self, cluster: Any, row: Any, made: Mapping[str, str], *, ask: bool = False
    ) -> bool:
        """Write down what is made for a group; whether the cluster is there to have one."""

        def noted(state: State) -> State:
            if state.phase is not Phase.CREATED:
                return state
            plan = Plan.from_json(state.update)
            if ask:
                plan = plan.requested(row.uuid, resized=False)
                plan.desired[row.uuid] = int(row.node_count)
                # Whatever Heat says of the stack, it says because of this request.
                plan.sent[row.uuid] = [plan.number, "not made"]
            return dataclasses.replace(
                state, update=plan.to_json(), groups={**state.groups, row.uuid: dict(made)}
            )

        record = self._store.amend(cluster.uuid, noted)
        return record is not None and record.state.phase is Phase.CREATED

    # One look

    def step(self, context: Any, cluster: Any, record: Record) -> None:
        """Look, decide and act, some times over while nothing has to be waited for.

        :raises Conflict: when somebody else changed the record meanwhile.
        """
        if ca_rotation.is_under_way(record.state):
            more = not Plan.from_json(record.state.update).is_over
            find = functools.partial(_stack, context, cluster, record.state)
            tell = functools.partial(self._tell, cluster)
            ca_rotation.Look(self._store, cluster, record, find, tell).go_on(more_to_do=more)
            return
        for _ in range(_STEPS_AT_ONCE):
            try:
                seen, view = self._look(context, cluster, record)
            except grants.Lost as error:
                LOG.error("Cluster %s: %s", cluster.uuid, error.operator_message)
                self._abandon(cluster, record, error.user_message)
                return
            except exceptions.SwarmModeError as error:
                LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
                self._unseen(cluster, record, error)
                return
            step = change.decide(seen)
            # Whoever changed the record meanwhile wins here, before anything is done.
            record = self._keep(record, step.plan)
            try:
                record = self._act(view, step, record)
            except exceptions.SwarmModeError as error:
                LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
                self._stumble(seen, view, step, record, error)
                return
            if step.plan.troubled:
                record = self._keep(record, dataclasses.replace(step.plan, troubled=0))
            self._write_rows(view, step)
            if not step.soon:
                return

    def _unseen(self, cluster: Any, record: Record, error: exceptions.SwarmModeError) -> None:
        """Wait for Heat to show the cluster, for a time that is the same for all conductors."""
        plan = Plan.from_json(record.state.update)
        now = int(time.time())
        if plan.blind and now - plan.blind > _BLIND_SECONDS:
            minutes = _BLIND_SECONDS // 60
            self._abandon(
                cluster, record, f"Given up after {minutes} minutes: {error.user_message}"
            )
            return
        if not plan.blind:
            self._keep(record, dataclasses.replace(plan, blind=now))
        self._tell(cluster, cluster.status, error.user_message)

    def _abandon(self, cluster: Any, record: Record, reason: str) -> None:
        """End an operation that nobody has the rights for; nothing of it was seen to be done."""
        self._keep(record, steps.abandon(Plan.from_json(record.state.update), reason))
        for row in cluster.nodegroups:
            if str(row.status).endswith("_IN_PROGRESS"):
                rows.write_group(row, {"status": "UPDATE_FAILED", "status_reason": reason})
        # Only a delete leads out of ROLLBACK_FAILED in Magnum.
        self._tell(cluster, "UPDATE_FAILED", reason)

    def _keep(self, record: Record, plan: Plan) -> Record:
        state = dataclasses.replace(record.state, update=plan.to_json())
        return self._store.write(record, state)

    def _stumble(
        self,
        seen: Seen,
        view: _View,
        step: Step,
        record: Record,
        error: exceptions.SwarmModeError,
    ) -> None:
        """Deal with a step that could not be taken: try again for a while, or give up."""
        since = step.plan.troubled or seen.now
        lasting = not isinstance(error, exceptions.Unavailable)
        if lasting or seen.now - since > _TROUBLED_SECONDS:
            failed = change.give_up(seen, step.plan, error.user_message)
            record = self._keep(record, failed.plan)
            with contextlib.suppress(exceptions.Unavailable):
                self._act(view, failed, record)
            self._write_rows(view, failed)
            return
        self._keep(record, dataclasses.replace(step.plan, troubled=since))
        self._tell(view.cluster, view.cluster.status, f"{step.reason} {error.user_message}")

    def _look(self, context: Any, cluster: Any, record: Record) -> tuple[Seen, _View]:
        state = record.state
        heat_api, stack = _stack(context, cluster, state)
        stacks = {"cluster": stack}
        groups: dict[str, Group] = {}
        by_uuid = {row.uuid: row for row in cluster.nodegroups}
        plan = Plan.from_json(state.update).adopted(_counts(cluster), _deleted(cluster))
        plan.blind = 0
        for row in by_uuid.values():
            if row.is_default:
                groups[row.uuid] = _default_group(heat_api, stack, row, plan)
                continue
            made = state.groups.get(row.uuid, {})
            name = made.get("stack_id") or node_group.stack_name(row.uuid)
            own = heat_api.get(name)
            if own is not None and own.status != "DELETE_COMPLETE":
                stacks[row.uuid] = own
            elif row.uuid not in plan.pending and not str(row.status).endswith("_IN_PROGRESS"):
                # It was never made, and waits for its deletion.
                continue
            groups[row.uuid] = _further_group(heat_api, stacks.get(row.uuid), row, plan)
        for group in groups.values():
            _check_members(group)
        values = _labels(cluster)
        view = _View(cluster, heat_api, stacks, groups, by_uuid, None, {})
        seen = Seen(
            groups=tuple(sorted(groups.values(), key=lambda one: not one.is_manager)),
            nodes=None,
            plan=plan,
            now=int(time.time()),
            drain_timeout=values.drain_timeout,
            # What nodes were told, whatever labels and operators say by now.
            join_timeout=int(stack.parameters.get("join_timeout") or values.join_timeout),
        )
        if any((one.stack_status or "").endswith("_IN_PROGRESS") for one in seen.groups):
            return seen, view
        try:
            view.swarm = reach.swarm_of(cluster, reach.output(stack, "manager_addresses"))
            seen = _with_swarm(seen, view)
        except exceptions.SwarmModeError as error:
            return dataclasses.replace(seen, silence=error.user_message), view
        return _with_reports(seen, view), view

    # Acting

    def _act(self, view: _View, step: Step, record: Record) -> Record:
        for action in step.actions:
            if isinstance(action, change.SetNode) and view.swarm is not None:
                _set_node(view.swarm, view.raw, action)
            elif isinstance(action, change.Forget) and view.swarm is not None:
                view.swarm.remove_node(action.node_id)
            elif isinstance(action, change.Resize):
                self._resize(view, action)
            elif isinstance(action, change.Recolour):
                self._recolour(view, action, step.plan)
            elif isinstance(action, change.Remake):
                self._remake(view, action, step.plan)
            elif isinstance(action, change.FreePorts):
                self._free_ports(view)
            elif isinstance(action, change.DeleteStack):
                view.heat_api.delete(view.stacks[action.group].id)
            elif isinstance(action, change.DropGroup):
                record = self._drop_group(view, action.group, record)
        if step.outcome is Outcome.FAILED and step.plan.debts and view.swarm is not None:
            return self._keep(record, dataclasses.replace(step.plan, debts={}))
        return record

    def _drop_group(self, view: _View, uuid: str, record: Record) -> Record:
        """Forget a group whose stack is gone."""
        if view.swarm is not None:
            view.swarm.remove_config(node_group.config_name(uuid))
        groups = {key: value for key, value in record.state.groups.items() if key != uuid}
        # Whoever finds a row without a stack and without an entry drops it again.
        record = self._store.write(record, dataclasses.replace(record.state, groups=groups))
        view.rows.pop(uuid).destroy()
        return record

    @staticmethod
    def _resize(view: _View, action: change.Resize) -> None:
        group = view.groups[action.group]
        prefix = ""
        if view.rows[action.group].is_default:
            prefix = "manager_" if group.is_manager else "worker_"
        stack = view.stacks[group.stack]
        parameters: dict[str, Any] = {}
        if group.is_manager:
            parameters["manager_count"] = action.count
            parameters |= {"manager_removals": list(action.removals)} if action.removals else {}
        else:
            parameters |= _worker_counts(stack, prefix, action)
        if group.is_manager and not group.has_spare_ports:
            # The ports of those that go stay for now, and those that come need theirs at once.
            parameters["manager_port_count"] = action.count + len(action.removals)
            removed = _list(stack, "manager_removals")
            if action.removals:
                parameters["manager_removals"] = list(dict.fromkeys([*removed, *action.removals]))
        view.heat_api.update(stack.id, parameters, int(view.cluster.create_timeout or 0))

    @staticmethod
    def _recolour(view: _View, action: change.Recolour, plan: Plan) -> None:
        group = view.groups[action.group]
        prefix = "worker_" if view.rows[action.group].is_default else ""
        parameters: dict[str, Any] = {
            f"{prefix}count": action.blue,
            f"{prefix}green_count": action.green,
        }
        for colour, name in (("", ""), (change.GREEN, "green_")):
            removals = [
                index.removeprefix(change.GREEN)
                for index in action.removals
                if index.startswith(change.GREEN) == bool(colour)
            ]
            if removals:
                parameters[f"{prefix}{name}removals"] = removals
            if colour in action.looks:
                image, flavor = action.looks[colour]
                parameters |= {f"{prefix}{name}image": image, f"{prefix}{name}flavor": flavor}
        if action.machines is not None:
            parameters["manager_machines"] = dict(action.machines)
        _ask(view, group, parameters, plan if action.renew else None)

    @staticmethod
    def _remake(view: _View, action: change.Remake, plan: Plan) -> None:
        group = view.groups[action.group]
        parameters = {
            "manager_image": action.image,
            "manager_flavor": action.flavor,
            "manager_machines": dict(action.machines),
        }
        _ask(view, group, parameters, plan if action.renew else None)

    @staticmethod
    def _free_ports(view: _View) -> None:
        stack = view.stacks["cluster"]
        parameters = {
            "manager_port_count": int(stack.parameters["manager_count"]),
            "manager_port_removals": _list(stack, "manager_removals"),
        }
        view.heat_api.update(stack.id, parameters, int(view.cluster.create_timeout or 0))

    # Magnum's rows

    def _write_rows(self, view: _View, step: Step) -> None:
        cluster = view.cluster
        for uuid, row in view.rows.items():
            count = step.plan.desired.get(uuid, row.node_count)
            if count is not None and row.node_count != count:
                row.node_count = count
                row.save()
        for uuid, target in (step.plan.upgrade.groups if step.plan.upgrade else {}).items():
            made = view.rows.get(uuid)
            if target.done and made is not None:
                made.image_id, made.flavor_id = target.image, target.flavor
                made.save()
        found = _api_address(view)
        if step.outcome is Outcome.GOES_ON:
            self._tell(cluster, cluster.status, step.reason, found)
            return
        if step.outcome is Outcome.GOES_BACK:
            self._tell(cluster, "ROLLBACK_IN_PROGRESS", step.reason, found)
            return
        self._end_groups(view, step)
        if step.outcome is Outcome.COMPLETE:
            _follow(cluster, step.plan)
        if step.outcome is Outcome.COMPLETE and view.swarm is not None:
            with contextlib.suppress(exceptions.SwarmModeError):
                engine = view.swarm.engine()
                found |= {"coe_version": engine.version, "container_version": engine.version}
        # Magnum lets nobody change a cluster that is ROLLBACK_FAILED, and does not look at the
        # health of one that is ROLLBACK_COMPLETE.
        self._tell(cluster, f"UPDATE_{step.outcome.name}", step.reason, found)
        self._reopen(cluster)

    def _reopen(self, cluster: Any) -> None:
        """Go on at once with a request that came while the rows of the last one were written."""
        record = self._store.get(cluster.uuid)
        if record is None or record.state.phase is not Phase.CREATED:
            return
        plan = Plan.from_json(record.state.update)
        if plan.begun != plan.number:
            self._tell(cluster, "UPDATE_IN_PROGRESS", cluster.status_reason)

    @staticmethod
    def _end_groups(view: _View, step: Step) -> None:
        complete = step.outcome is Outcome.COMPLETE
        for uuid, row in view.rows.items():
            group = view.groups.get(uuid)
            if group is None:
                continue
            done = complete or (
                uuid != step.group
                and group.wanted == len(group.members)
                and step.plan.target(group) is None
            )
            changes: dict[str, Any] = {}
            if str(row.status).endswith("_IN_PROGRESS") or uuid == step.group:
                operation = str(row.status).rpartition("_")[0].removesuffix("_IN") or "UPDATE"
                changes["status"] = f"{operation}_{'COMPLETE' if done else 'FAILED'}"
                changes["status_reason"] = None if done else step.reason
            addresses = _addresses(view, group)
            if addresses is not None and list(row.node_addresses or ()) != addresses:
                changes["node_addresses"] = addresses
            rows.write_group(row, changes)

    def _tell(
        self, cluster: Any, status: str, reason: str | None, found: Mapping[str, Any] | None = None
    ) -> None:
        """Write status and reason, unless the status was changed since the cluster was read."""
        rows.write(cluster, {"status": status, "status_reason": reason, **(found or {})})


def _follow(cluster: Any, plan: Plan) -> None:
    """Let the cluster's row name the template that both its first groups were upgraded to."""
    if plan.upgrade is None:
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


def _ask(view: _View, group: Group, parameters: Mapping[str, Any], upgrade: Plan | None) -> None:
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


def _labels(cluster: Any) -> label_table.Labels:
    try:
        return label_parsing.parse(cluster.labels or {}, CONF.swarm_mode)
    except exceptions.Refused as error:
        # An operator's default may have become wrong since; the cluster lives on.
        LOG.warning("Labels of cluster %s: %s", cluster.uuid, error.operator_message)
        return label_table.Labels()


def _stack(context: Any, cluster: Any, state: Any) -> tuple[heat_client.Heat, heat_client.Stack]:
    """Return the cluster's stack, and Heat as it was seen through.

    :raises Lost: when it is shown to nobody but Magnum's own user: with the first change
        Heat would put the stack into his hands.
    :raises Unavailable: when Heat does not show it now.
    """
    problems = []
    for who, session in reach.heat_sessions(context, cluster, state):
        try:
            heat_api = reach.heat_of(session)
            stack = heat_api.get(state.stack_id or state.stack_name)
        except heat_client.NotAllowed as error:
            problems.append(f"{who}: {error.operator_message}")
            continue
        if stack is not None and who == reach.SERVICE:
            raise grants.Lost("; ".join(problems))
        if stack is not None:
            return heat_api, stack
        problems.append(f"{who}: sees no stack")
    raise exceptions.Unavailable(
        "Heat does not show the cluster's stack to Magnum: it was deleted from outside Magnum, or "
        "the rights of the cluster's creator are gone.",
        "; ".join(problems),
    )


def _counts(cluster: Any) -> dict[str, int]:
    """Return how many nodes the row of each group says that there shall be."""
    return {row.uuid: int(row.node_count) for row in cluster.nodegroups}


def _deleted(cluster: Any) -> list[str]:
    """Return the further groups whose rows say that they are to be deleted."""
    return [
        row.uuid
        for row in cluster.nodegroups
        if row.status == "DELETE_IN_PROGRESS" and not row.is_default
    ]


def _worker_counts(stack: heat_client.Stack, prefix: str, action: change.Resize) -> dict[str, Any]:
    """Return the parameters for a number of workers, whatever their colours are.

    Nodes that leave are taken off their own colour; the colour with more nodes takes the rest.
    """
    counts = {c: int(stack.parameters.get(f"{prefix}{c}count") or 0) for c in _COLOURS}
    parameters: dict[str, Any] = {}
    for colour, mark in zip(_COLOURS, (False, True), strict=True):
        removals = [
            index.removeprefix(change.GREEN)
            for index in action.removals
            if index.startswith(change.GREEN) == mark
        ]
        if removals:
            parameters[f"{prefix}{colour}removals"] = removals
            counts[colour] = max(0, counts[colour] - len(removals))
    larger = max(_COLOURS, key=lambda colour: (counts[colour], colour == ""))
    other = next(colour for colour in _COLOURS if colour != larger)
    counts[larger] = max(0, action.count - counts[other])
    for colour, count in counts.items():
        if count != int(stack.parameters.get(f"{prefix}{colour}count") or 0) or colour == larger:
            parameters[f"{prefix}{colour}count"] = count
    return parameters


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
        wanted=plan.desired.get(row.uuid, int(row.node_count)),
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
        for colour in _COLOURS
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
    return sum(int(stack.parameters.get(f"{prefix}{colour}count") or 0) for colour in _COLOURS)


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
        _list(stack, "manager_removals") != _list(stack, "manager_port_removals")
    )


def _list(stack: heat_client.Stack, name: str) -> list[str]:
    """Return a parameter of Heat's that is a list, which its API gives as text."""
    text = str(stack.parameters.get(name) or "").strip()
    if text.startswith("["):
        return [str(value) for value in json.loads(text.replace("'", '"').replace('u"', '"'))]
    return [value.strip() for value in text.split(",") if value.strip()]


def _further_group(
    heat_api: heat_client.Heat, stack: heat_client.Stack | None, row: Any, plan: Plan
) -> Group:
    members: tuple[change.Member, ...] = ()
    if stack is not None:
        members = heat_members.members_of(heat_api, stack, is_default=False, is_manager=False)
    return Group(
        uuid=row.uuid,
        name=row.name,
        is_manager=False,
        wanted=plan.desired.get(row.uuid, int(row.node_count)),
        asked=_asked(stack, "") if stack else 0,
        members=members,
        stack=row.uuid,
        stack_status=stack.status if stack else None,
        stack_updated=stack.updated if stack else "",
        failure=_failure(heat_api, stack) if stack else "",
        labels=node_group.swarm_labels(row),
        **(_made_of(stack, "", _engine_of_group(stack)) if stack else {}),
        is_new=row.status == "CREATE_IN_PROGRESS",
        at_rest=row.uuid not in plan.pending,
    )


def _failure(heat_api: heat_client.Heat, stack: heat_client.Stack) -> str:
    if not stack.status.endswith("_FAILED"):
        return ""
    return heat_members.failure(heat_api, stack)


def _with_swarm(seen: Seen, view: _View) -> Seen:
    """Add the swarm's nodes, and how many tasks are on each where that matters."""
    assert view.swarm is not None
    nodes = view.swarm.nodes()
    view.raw = {str(node["ID"]): node for node in nodes}
    on_node: Counter[str] = Counter()
    starting = 0
    if _concerns_tasks(seen):
        known: set[str] = set()
        leaving = [str(node["ID"]) for node in nodes if _hostname(node) in seen.plan.leaving]
        for task in _tasks(view.swarm, leaving):
            state = (task.get("Status") or {}).get("State")
            if task.get("ID") in known or state not in _LIVING or not task.get("NodeID"):
                continue
            known.add(str(task.get("ID")))
            on_node[str(task["NodeID"])] += 1
            starting += state in _STARTING and task.get("DesiredState") == "running"
    found = tuple(_node(node, on_node) for node in nodes)
    return dataclasses.replace(seen, nodes=found, starting=starting)


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


def _hostname(node: Json) -> str:
    return str((node.get("Description") or {}).get("Hostname") or "")


def _node(node: Json, tasks: Mapping[str, int]) -> Node:
    spec, manager = node.get("Spec") or {}, node.get("ManagerStatus")
    return Node(
        id=str(node["ID"]),
        hostname=_hostname(node),
        state=str((node.get("Status") or {}).get("State") or "unknown"),
        availability=str(spec.get("Availability") or "active"),
        role=str(spec.get("Role") or "worker"),
        in_raft=bool(manager),
        reachable=(manager or {}).get("Reachability") == "reachable",
        leader=bool((manager or {}).get("Leader")),
        tasks=tasks.get(str(node["ID"]), 0),
        labels=dict(spec.get("Labels") or {}),
    )


def _with_reports(seen: Seen, view: _View) -> Seen:
    """Add why nodes could not join, if any is missing."""
    stacks = {
        group.stack
        for group in seen.groups
        for member in group.members
        if (group.wanted == group.asked or seen.plan.target(group)) and not seen.entries(member)
    }
    reports: dict[str, str] = {}
    for name in stacks:
        reports.update(heat_members.reports(view.heat_api, view.stacks[name].id))
    return dataclasses.replace(seen, reports=reports)


def _set_node(swarm: swarm_client.Swarm, nodes: Mapping[str, Json], action: change.SetNode) -> None:
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


def _api_address(view: _View) -> dict[str, Any]:
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


def _addresses(view: _View, group: Group) -> list[str] | None:
    stack = view.stacks.get(group.stack)
    if stack is None:
        return None
    if group.stack != "cluster":
        return reach.output(stack, "addresses")
    return reach.output(stack, "manager_addresses" if group.is_manager else "worker_addresses")
