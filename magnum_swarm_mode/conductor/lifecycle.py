# SPDX-License-Identifier: Apache-2.0
"""Creates, watches and deletes a cluster; the thin code around what ``status`` decides.

A conductor may die after any line. So the record is written before that which it names is made,
what is made can be found again from the cluster's uuid alone, and each step may be done twice.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from magnum import objects
from magnum.common import exception as magnum_exception
from oslo_log import log as logging

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import credentials, grants, leftover_ports, networks
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.cloud.credentials import Grant
from magnum_swarm_mode.conductor import group_stacks, lease, reach, rows
from magnum_swarm_mode.conductor.change import operations
from magnum_swarm_mode.conductor.rotation import ca as ca_rotation
from magnum_swarm_mode.conductor.rotation import credential as credential_rotation
from magnum_swarm_mode.db.store import Conflict, Phase, Record, State, Store
from magnum_swarm_mode.decisions import status, steps
from magnum_swarm_mode.decisions.change import Plan
from magnum_swarm_mode.decisions.status import Action, Decision, Seen
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.stack import address_pools
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.stack.model import FixedNetwork
from magnum_swarm_mode.swarm import client as swarm_client

CONF = cloud_sessions.CONF
LOG = logging.getLogger(__name__)

# How long a delete may take from its record to its status.
_DELETE_MARK_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What is known before anything is made."""

    endpoints: cloud_sessions.Endpoints
    fixed_network: FixedNetwork | None
    labels: label_table.Labels
    address_pool: str
    ca_certificate: str
    openstack_ca: str | None


class Lifecycle:
    """What the driver does to clusters.

    :param store: the table of records.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._store = store or Store()
        self.operations = operations.Operations(self._store)
        self.credential_rotation = credential_rotation.CredentialRotation(self._store)

    # Creation

    def create(self, context: Any, cluster: Any, timeout_minutes: int) -> None:
        """Ask Heat for a cluster, with the token of the user who wants it.

        :raises SwarmModeError: with a sentence for the user; what was made is undone by then, or
            remembered and undone when the cluster is deleted.
        """
        # Magnum has made the cluster's certificates, and saves where they are only when this
        # returns; a conductor that dies before would leave a cluster without them.
        cluster.save()
        session = cloud_sessions.user_session(context)
        plan = _plan(session, cluster)
        # Whatever is refused shall be so before a credential is made.
        _request(cluster, plan, stack_request.NodeCredential("", ""), timeout_minutes)
        record = self._begin(session, cluster)
        if record is None:
            return
        try:
            with lease.kept(self._store, record, "creation"):
                self._make(session, cluster, plan, record, timeout_minutes)
        except Conflict:
            self._yield(session, cluster, record)
        except Exception as error:
            LOG.warning("Creating cluster %s failed: %s", cluster.uuid, _for_operator(error))
            self._undo(session, cluster, self._store.get(cluster.uuid))
            if isinstance(error, exceptions.SwarmModeError):
                raise
            raise exceptions.SwarmModeError(
                "The cluster could not be created for a reason that the operator finds in the log "
                f"of magnum-conductor ({type(error).__name__}).",
                str(error),
            ) from error

    def _begin(self, session: Any, cluster: Any) -> Record | None:
        """Write the record; None when there is nothing to make (any more)."""
        state = State(
            phase=Phase.PREPARING,
            owner_id=session.get_user_id(),
            stack_name=stack_request.stack_name(cluster),
            phase_since=int(time.time()),
        )
        seconds = lease.LEASE_SECONDS
        with contextlib.suppress(Conflict):
            record = self._store.insert(cluster.uuid, cluster.project_id, state, lease=seconds)
            if _is_wanted(cluster):
                return record
            # A delete was quicker, has finished, and will not look for this record.
            self._store.delete(record)
            return None
        leased = self._store.lease(cluster.uuid, seconds)
        if leased is None:
            raise Conflict(cluster.uuid)
        if leased.state.phase not in (Phase.PREPARING, Phase.SUBMITTING):
            cluster.stack_id = leased.state.stack_id or None
            self._store.release(leased)
            return None
        return leased

    def _make(
        self, session: Any, cluster: Any, plan: _Plan, record: Record, timeout_minutes: int
    ) -> None:
        heat_api = reach.heat_of(session)
        name = record.state.stack_name
        # An earlier attempt may have got as far as Heat.
        found = heat_api.get(name) if record.state.submitted_at else None
        if found is None:
            trust_id = credentials.create_trust(session, cluster.uuid, grants.trustee_id())
            record = self._store.write(
                record, record.state.entering(Phase.PREPARING, trust_id=trust_id)
            )
            node = credentials.create_node_credential(
                session, cluster.uuid, plan.endpoints.magnum_url
            )
            request = _request(cluster, plan, node, timeout_minutes)
            record = self._store.write(
                record,
                record.state.entering(
                    Phase.SUBMITTING,
                    node_credential_id=node.id,
                    submitted_at=int(time.time()),
                ),
            )
            before = credentials.trusts_given(session)
            stack_id = reach.submit(heat_api, request, name, timeout_minutes)
            heat_trust = credentials.only_new(before, credentials.trusts_given(session))
        else:
            stack_id, heat_trust = found.id, ""
        record = self._store.write(
            record,
            record.state.entering(Phase.CREATED, stack_id=stack_id, heat_trust=heat_trust),
        )
        cluster.stack_id = stack_id
        # Of clusters that somebody else deleted: only their owner's own token can remove them.
        owner_id = record.state.owner_id
        credentials.remove_access_rules([lambda: session], owner_id, None, self._store.known)

    def _undo(self, session: Any, cluster: Any, record: Record | None) -> None:
        """Unmake what a failed creation has made; what cannot be unmade now stays in the record."""
        name = stack_request.stack_name(cluster)
        try:
            heat_api = reach.heat_of(session)
            stack_is_there = heat_api.get(name) is not None
            if stack_is_there:
                heat_api.delete(name)
            if record is not None:
                # Nobody has asked for a deletion; when somebody does, it looks for the stack.
                record = self._store.write(record, record.state.entering(Phase.ABANDONED))
            if not stack_is_there:
                self._revoke(cluster, record.state if record else None, [lambda: session])
        except Exception as error:
            LOG.warning(
                "Undoing the creation of cluster %s is left to its deletion: %s",
                cluster.uuid,
                _for_operator(error),
            )

    def _yield(self, session: Any, cluster: Any, held: Record) -> None:
        """Leave a cluster to whoever wrote its record while it was created."""
        record = self._store.get(cluster.uuid)
        if record is not None and record.state.phase not in (Phase.DELETING, Phase.CLEANING):
            # Another conductor took the lease over, and finds by its name what was made.
            LOG.warning("Cluster %s was taken over while it was created", cluster.uuid)
            return
        # A user's delete has begun and may already have looked for what is here.
        LOG.info("Cluster %s is deleted while it is created", cluster.uuid)
        try:
            # Absent is fine. The delete finds the stack as well, unless it looked too early.
            reach.heat_of(session).delete(stack_request.stack_name(cluster))
            grant = grants.present(held.state)
            grants.revoke_node(self._store, cluster.uuid, grant, [lambda: session])
            if record is None or record.state.phase is Phase.CLEANING:
                # Else cleaning is still to come, and until then the trust is needed.
                self._revoke(cluster, held.state, [lambda: session])
        except Exception as error:
            LOG.error(
                "Cluster %s was deleted while it was created; its stack or credentials may stay "
                "behind: %s",
                cluster.uuid,
                _for_operator(error),
            )

    # Deletion

    def delete(self, context: Any, cluster: Any) -> None:
        """Start to delete a cluster, whoever asks and however far it had come.

        :raises SwarmModeError: with a sentence for the user; it may be asked again.
        """
        record = self._mark_deleting(cluster)
        reach.SWARMS.forget(cluster.uuid)
        if record.state.phase is not Phase.CLEANING:
            try:
                grants.make_way(record.state)
            except exceptions.SwarmModeError as error:
                # Then Heat may fail, and says so.
                LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
            try:
                # What is on the cluster's network goes before the network.
                if group_stacks.are_gone(context, cluster, record.state):
                    self._delete_stack(context, cluster, record)
            except exceptions.Unavailable as error:
                if not record.state.trust_id:
                    raise
                # The trust lets the next poll ask again, which no user needs to do then.
                LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
        if cloud_sessions.has_token(context):
            # The owner's own token may do what Magnum's user perhaps may not.
            self._revoke_own(context, cluster, record.state)

    def _revoke_own(self, context: Any, cluster: Any, state: State) -> None:
        """Revoke the managers' credentials that the user has given who asks."""
        for grant in (grants.present(state), *grants.others(state)):
            if grant.owner_id != context.user_id:
                continue
            try:
                grants.revoke_node(
                    self._store, cluster.uuid, grant, [lambda: cloud_sessions.user_session(context)]
                )
            except exceptions.SwarmModeError as error:
                LOG.info("Cluster %s: %s", cluster.uuid, error.operator_message)
                continue
            if grant == grants.present(state):
                self._amend(cluster, node_credential_revoked=True)

    def _amend(self, cluster: Any, **changes: Any) -> None:
        """Change some of a record that others may be changing; one that is gone is left alone."""
        self._store.amend(cluster.uuid, lambda state: dataclasses.replace(state, **changes))

    def _mark_deleting(self, cluster: Any) -> Record:
        def mark(state: State) -> State:
            if state.phase is Phase.CLEANING:
                return dataclasses.replace(state, blind_since=0, errors=0)
            known = state.stack_id or cluster.stack_id or ""
            return state.entering(Phase.DELETING, stack_id=known, blind_since=0, errors=0)

        marked = self._store.amend(cluster.uuid, mark)
        if marked is not None:
            return marked
        state = State(
            phase=Phase.DELETING,
            owner_id=cluster.user_id or "",
            stack_name=stack_request.stack_name(cluster),
            phase_since=int(time.time()),
            stack_id=cluster.stack_id or "",
        )
        with contextlib.suppress(Conflict):
            return self._store.insert(cluster.uuid, cluster.project_id, state)
        # Its creation has begun meanwhile.
        marked = self._store.amend(cluster.uuid, mark)
        if marked is None:
            raise Conflict(cluster.uuid)
        return marked

    def _delete_stack(self, context: Any, cluster: Any, record: Record) -> None:
        state = record.state
        problems = []
        for who, session in reach.heat_sessions(context, cluster, state):
            foreign = who == reach.SERVICE
            target = state.stack_id if foreign else state.stack_name
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
                elif not _may_still_appear(state):
                    # Nobody has to look again, which perhaps nobody may.
                    self._amend(cluster, stack_id="", submitted_at=0)
                    return
                return
            except heat_client.NotAllowed as error:
                problems.append(f"{who}: {error.operator_message}")
        if not state.stack_id and not state.submitted_at:
            return
        raise exceptions.SwarmModeError(
            "The cluster's Heat stack cannot be deleted with the rights of the cluster's creator "
            "(deleted, disabled or no longer in the project?), nor with Magnum's. A member of the "
            "project must delete the cluster.",
            f"stack {state.stack_name} of project {cluster.project_id}: {'; '.join(problems)}",
        )

    # Watching

    def poll(self, context: Any, cluster: Any) -> None:
        """Bring the status of a cluster in progress up to date.

        Every conductor does this every ten seconds for every such cluster; the record's lease lets
        one of them act. ``context`` has no token.
        """
        with lease.held(self._store, cluster.uuid, "poll") as record:
            if record is not None:
                self._pass(context, cluster, record)
            elif self._store.get(cluster.uuid) is None:
                self._poll_without_record(cluster)

    def _pass(self, context: Any, cluster: Any, record: Record) -> None:
        """Look at a cluster once, under its lease."""
        try:
            self._act(context, cluster, record)
        except Conflict:
            LOG.debug("Cluster %s was changed during a poll", cluster.uuid)
        except Exception as error:
            LOG.exception("A look at cluster %s failed", cluster.uuid)
            self._count(cluster, type(error).__name__)
        else:
            if record.state.errors:
                self._amend(cluster, errors=0)

    def _act(self, context: Any, cluster: Any, record: Record) -> None:
        phase = record.state.phase
        is_deleted = cluster.status.startswith("DELETE")
        if phase in (Phase.DELETING, Phase.CLEANING) and not is_deleted:
            self._mend_delete(cluster, record)
        elif cluster.status in operations.BUSY and phase is Phase.CREATED:
            if credential_rotation.is_under_way(record.state):
                self.credential_rotation.step(context, cluster, record)
            else:
                self.operations.step(context, cluster, record)
        elif cluster.status == "DELETE_IN_PROGRESS" and record.state.groups:
            self._delete_groups(context, cluster, record)
        else:
            self._step(context, cluster, record)

    def _count(self, cluster: Any, error: str) -> None:
        """Note a look that failed unexpectedly; end the operation after several in a row."""
        record = self._store.amend(
            cluster.uuid, lambda state: dataclasses.replace(state, errors=state.errors + 1)
        )
        if record is None or record.state.errors < status.MOST_ERRORS:
            return
        decision = status.broken(cluster.status, error)
        LOG.error("Cluster %s: %s", cluster.uuid, decision.reason)
        self._store.amend(cluster.uuid, lambda state: _at_rest(state, decision.reason or ""))
        self._change(cluster, decision)

    def _blind(self, cluster: Any, record: Record, why: str) -> None:
        """Note that nothing can be seen now; end the operation when that lasts."""
        now = int(time.time())
        since = record.state.blind_since or now
        if since != record.state.blind_since:
            self._store.write(record, dataclasses.replace(record.state, blind_since=since))
        self._change(cluster, status.blind(cluster.status, since, now, why))

    def _delete_groups(self, context: Any, cluster: Any, record: Record) -> None:
        try:
            gone = group_stacks.are_gone(context, cluster, record.state)
        except exceptions.Unavailable as error:
            self._blind(cluster, record, error.user_message)
            return
        except exceptions.SwarmModeError as error:
            LOG.error("Cluster %s: %s", cluster.uuid, error.operator_message)
            self._change(cluster, Decision("DELETE_FAILED", error.user_message))
            return
        if not gone:
            reason = "Heat deletes the further node groups."
            if record.state.blind_since:
                self._store.write(record, dataclasses.replace(record.state, blind_since=0))
            self._change(cluster, Decision("DELETE_IN_PROGRESS", reason))
            return
        state = dataclasses.replace(record.state, groups={}, blind_since=0)
        record = self._store.write(record, state)
        self._step(context, cluster, record)

    def _mend_delete(self, cluster: Any, record: Record) -> None:
        """Let a delete go on whose status another request overwrote, or that has none yet."""
        if time.time() - record.state.phase_since > _DELETE_MARK_SECONDS:
            LOG.warning("The deletion of cluster %s is taken up again", cluster.uuid)
            self._change(cluster, Decision("DELETE_IN_PROGRESS", None))

    def _poll_without_record(self, cluster: Any) -> None:
        if cluster.status == "DELETE_IN_PROGRESS":
            # The record goes last, so this cluster was cleaned up by a conductor that then died.
            rows.remember(cluster, {"status": "DELETE_COMPLETE", "status_reason": None})
            return
        age = time.time() - cluster.created_at.timestamp() if cluster.created_at else 0.0
        if cluster.status == "CREATE_IN_PROGRESS" and age > status.PREPARE_SECONDS:
            self._change(
                cluster,
                Decision(
                    "CREATE_FAILED",
                    "The making of the cluster was interrupted before it began; delete the cluster "
                    "and create it again.",
                ),
            )

    def _step(self, context: Any, cluster: Any, record: Record) -> None:
        seen, stack, heat_api = self._look(context, cluster, record)
        state = record.state
        if stack is not None and not state.stack_id:
            state = dataclasses.replace(state, stack_id=stack.id)
        blind_since = (state.blind_since or seen.now) if seen.blind else 0
        state = dataclasses.replace(state, blind_since=blind_since)
        seen = dataclasses.replace(seen, state=state)
        found: dict[str, Any] = {}
        if stack is not None and status.is_made(seen):
            state = dataclasses.replace(state, complete_since=state.complete_since or seen.now)
            problem, found = self._ask_docker(cluster, stack)
            seen = dataclasses.replace(seen, docker_problem=problem, state=state)
        decision = status.decide(seen)
        if decision.action is Action.DELETE_STACK and heat_api is not None and stack is not None:
            try:
                heat_api.delete(stack.id)
            except exceptions.SwarmModeError as error:
                LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
                self._blind(cluster, record, error.user_message)
                return
        if decision.action is Action.CLEAN_UP:
            self._clean_up(context, cluster, record)
            return
        if decision.status != cluster.status or state != record.state:
            # Whoever marked the cluster for deletion meanwhile wins here.
            record = self._store.write(record, state)
        self._change(cluster, decision, stack, found)

    def _look(
        self, context: Any, cluster: Any, record: Record
    ) -> tuple[Seen, heat_client.Stack | None, heat_client.Heat | None]:
        state = record.state
        seen = Seen(cluster_status=cluster.status, state=state, now=int(time.time()))
        if state.phase in (Phase.CLEANING, Phase.ABANDONED):
            return seen, None, None
        if not (state.stack_id or state.submitted_at):
            # There is nothing to be seen.
            return seen, None, None
        try:
            found = self._first_sight(context, cluster, seen)
        except exceptions.Unavailable as error:
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
            return dataclasses.replace(seen, blind=error.user_message), None, None
        if found is not None:
            return found
        blind = (
            "Heat does not show the cluster's stack to Magnum any more: the rights of the "
            "cluster's creator are gone. A member of the project can delete the cluster."
        )
        return dataclasses.replace(seen, blind=blind), None, None

    def _first_sight(
        self, context: Any, cluster: Any, seen: Seen
    ) -> tuple[Seen, heat_client.Stack | None, heat_client.Heat] | None:
        """Look with each session until one may; None when none may."""
        state = seen.state
        problems = []
        for who, session in reach.heat_sessions(context, cluster, state):
            foreign = who == reach.SERVICE
            if foreign and not state.stack_id:
                continue
            try:
                heat_api = reach.heat_of(session)
                stack = heat_api.get(state.stack_id or state.stack_name)
                if stack is None and foreign:
                    # Heat answers so as well where it does not let this user see the stack.
                    problems.append(f"{who}: sees no stack {state.stack_id}")
                    continue
                return self._described(seen, cluster, stack, heat_api), stack, heat_api
            except heat_client.NotAllowed as error:
                problems.append(f"{who}: {error.operator_message}")
        LOG.warning("Cluster %s cannot be watched: %s", cluster.uuid, "; ".join(problems))
        return None

    def _described(
        self, seen: Seen, cluster: Any, stack: heat_client.Stack | None, heat_api: heat_client.Heat
    ) -> Seen:
        if stack is None:
            return seen
        failure, progress = None, ""
        if stack.status.endswith("_FAILED"):
            failure = heat_api.failure_reason(stack)
        elif stack.status == "CREATE_IN_PROGRESS" and seen.cluster_status == "CREATE_IN_PROGRESS":
            with contextlib.suppress(exceptions.SwarmModeError):
                progress = status.progress(
                    {"managers": cluster.master_count, "workers": cluster.node_count},
                    heat_api.signals(stack.id),
                )
        return dataclasses.replace(
            seen, stack_status=stack.status, failure=failure, progress=progress
        )

    def _ask_docker(self, cluster: Any, stack: heat_client.Stack) -> tuple[str, dict[str, Any]]:
        """Return what the swarm lacks, and where it is whole what the cluster's row shall say."""
        addresses = reach.output(stack, "manager_addresses")
        try:
            swarm = reach.swarm_of(cluster, addresses)
            engine, nodes = swarm.engine(), swarm.nodes()
        except exceptions.SwarmModeError as error:
            return error.user_message, {}
        prefix = stack_request.node_name_prefix(cluster.name or "", cluster.uuid)
        lacking = status.lacking(prefix, nodes, cluster.master_count, cluster.node_count)
        if lacking:
            return lacking, {}
        host = stack.outputs.get("api_address") or addresses[0]
        return "", {
            "api_address": swarm_client.url(str(host)),
            # Swarm mode is a part of the engine and has no version of its own.
            "coe_version": engine.version,
            "container_version": engine.version,
        }

    def _clean_up(self, context: Any, cluster: Any, record: Record) -> None:
        """Revoke and remove what was made beside the stack, which is gone."""
        if record.state.phase is not Phase.CLEANING:
            record = self._store.write(record, record.state.entering(Phase.CLEANING))
        sessions: list[Callable[[], Any]] = []
        if cloud_sessions.has_token(context):
            sessions.append(functools.partial(cloud_sessions.user_session, context))
        try:
            self._revoke(cluster, record.state, sessions)
            ca_rotation.forget(cluster.uuid, record.state)
            _delete_certificates(cluster)
        except exceptions.Unavailable as error:
            self._blind(cluster, record, error.user_message)
            return
        except exceptions.SwarmModeError as error:
            LOG.error("Cluster %s: %s", cluster.uuid, error.operator_message)
            reason = f"{error.user_message} Then delete the cluster again."
            self._change(cluster, Decision("DELETE_FAILED", reason))
            return
        self._store.delete(record)
        # Magnum removes its own row when it sees this; it need not be saved.
        rows.remember(cluster, {"status": "DELETE_COMPLETE", "status_reason": None})

    def _revoke(self, cluster: Any, state: State | None, sessions: list[Callable[[], Any]]) -> None:
        """Revoke all rights, with the given sessions before those of Magnum's own."""
        if state is None:
            grants.revoke(self._store, cluster.uuid, Grant(cluster.user_id or ""), sessions)
            return
        for grant in grants.others(state):
            grants.revoke(self._store, cluster.uuid, grant, sessions)
        grants.revoke(
            self._store,
            cluster.uuid,
            grants.present(state),
            sessions,
            node=not state.node_credential_revoked,
        )

    # Writing Magnum's rows

    def _change(
        self,
        cluster: Any,
        decision: Decision,
        stack: heat_client.Stack | None = None,
        found: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a decision to Magnum's rows, unless its status was changed since it was read."""
        values = {"status": decision.status, "status_reason": decision.reason, **(found or {})}
        own = {"status": decision.status, "status_reason": decision.reason}
        if stack is not None:
            values["stack_id"] = own["stack_id"] = stack.id
        if not rows.write(cluster, values):
            LOG.debug("Cluster %s has another status than was polled", cluster.uuid)
            return
        for group in cluster.nodegroups:
            more: dict[str, Any] = {}
            if decision.action is Action.COMPLETE and stack is not None:
                more["node_addresses"] = _addresses(group, stack)
            rows.write_group(group, {**own, **more})


def _at_rest(state: State, reason: str) -> State:
    """Return a state in which nothing is under way that a look would go on with."""
    try:
        update = steps.abandon(Plan.from_json(state.update), reason).to_json()
    except Exception as error:
        LOG.warning("What was under way cannot be read: %s: %s", type(error).__name__, error)
        update = {}
    rotation, paused = state.rotation, state.paused
    if credential_rotation.is_under_way(state):
        rotation, paused = paused, {}
    if rotation:
        # It goes on when somebody has it go on.
        rotation = {**rotation, "failed": True}
    return dataclasses.replace(state, update=update, rotation=rotation, paused=paused, errors=0)


def _is_wanted(cluster: Any) -> bool:
    """Tell whether Magnum still has the cluster's row, and not for deleting it."""
    try:
        row = objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), cluster.uuid)
    except magnum_exception.ClusterNotFound:
        return False
    return not str(row.status).startswith("DELETE")


def _may_still_appear(state: State) -> bool:
    """Tell whether Heat may yet make a stack that it was asked for a moment ago."""
    return not state.stack_id and time.time() - state.submitted_at < status.SUBMIT_SECONDS


def _plan(session: Any, cluster: Any) -> _Plan:
    """Find out everything that can be without making anything."""
    template = cluster.cluster_template
    parsed = label_parsing.parse(cluster.labels or {}, CONF.swarm_mode)
    endpoints = cloud_sessions.node_endpoints(session)
    fixed = networks.resolve(
        session,
        cloud_sessions.region_name(),
        cloud_sessions.interface(),
        cluster.fixed_network or template.fixed_network,
        cluster.fixed_subnet or template.fixed_subnet,
    )
    pool = address_pools.pool_for(
        parsed.swarm_address_pool,
        CONF.swarm_mode.address_pools,
        parsed.swarm_address_pool_mask,
        subnet=fixed,
        dns=template.dns_nameserver,
        endpoints=cloud_sessions.addresses_of((endpoints.auth_url, endpoints.magnum_url)),
    )
    return _Plan(
        endpoints=endpoints,
        fixed_network=fixed,
        labels=parsed,
        address_pool=pool,
        ca_certificate=certificate_store.certificate(cluster.uuid, cluster.ca_cert_ref),
        openstack_ca=cloud_sessions.openstack_ca(),
    )


def _request(
    cluster: Any, plan: _Plan, node: stack_request.NodeCredential, timeout_minutes: int
) -> stack_request.StackRequest:
    return stack_request.build(
        stack_request.from_magnum(
            cluster,
            cluster.cluster_template,
            plan.labels,
            ca_certificate=plan.ca_certificate,
            magnum_url=plan.endpoints.magnum_url,
            auth_url=plan.endpoints.auth_url,
            region_name=cloud_sessions.region_name(),
            node_credential=node,
            fixed_network=plan.fixed_network,
            openstack_ca=plan.openstack_ca,
            address_pool=plan.address_pool,
            timeout_minutes=timeout_minutes,
        )
    )


def _delete_certificates(cluster: Any) -> None:
    """Delete those certificates that Magnum itself forgets to."""
    forgotten = ("etcd_ca_cert_ref", "front_proxy_ca_cert_ref")
    certificate_store.delete(cluster.uuid, [getattr(cluster, name, None) for name in forgotten])


def _addresses(group: Any, stack: heat_client.Stack) -> list[str]:
    return reach.output(
        stack, "manager_addresses" if group.role == "master" else "worker_addresses"
    )


def _for_operator(error: BaseException) -> str:
    if isinstance(error, exceptions.SwarmModeError):
        return error.operator_message
    return f"{type(error).__name__}: {error}"
