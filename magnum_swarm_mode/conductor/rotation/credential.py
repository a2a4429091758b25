# SPDX-License-Identifier: Apache-2.0
"""Gives a cluster new rights, of the user who asks for it, and takes the former ones back.

Only the request brings a token. With it are made, one after the other, the conductor's trust and
the managers' credential, and Heat is asked, so that it makes a trust of its own of the user's: what
belongs to somebody else it could not change with the new trust. Then managers are told through
their settings. The rest needs no token and is done by the polls, one step each::

    making      rights are made, which nothing uses yet
    asking      Heat is asked to hand the credential to managers that come later
    telling     the record names the new rights; managers are told
    waiting     for Heat, and for managers to say that they use it
    revoking    the former rights

Each is written down before it begins. The credential's secret is kept nowhere on this side, so that
a rotation whose conductor dies before managers are told ends there, with both credentials valid,
and the next one revokes all but its own.

A replacement of certificates that has stopped, perhaps for want of just these rights, is set aside
meanwhile, and goes on afterwards.
"""

import contextlib
import dataclasses
import enum
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from oslo_log import log as logging

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.cloud import credentials
from magnum_swarm_mode.cloud import grants as cloud_grants
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.cloud.credentials import Grant
from magnum_swarm_mode.conductor import reach
from magnum_swarm_mode.conductor.rotation import ca as certificates
from magnum_swarm_mode.db.store import Conflict, Phase, Record, State, Store
from magnum_swarm_mode.decisions import change as decisions_change
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import manager_settings

LOG = logging.getLogger(__name__)

KIND = "credential"
# How long the conductor that was asked has the cluster to itself.
_LEASE_SECONDS = 180
# How long managers may take to say that they use the new credential.
_PATIENCE = 600
_ATTEMPTS = 5
_AGAIN = "The former credential stays valid; rotate the credential again."
_GOES_ON = "The credential was rotated. Replacing the cluster's certificates goes on."
_INTERRUPTED = f"The rotation of the credential was interrupted. {_AGAIN}"


class Step(enum.StrEnum):
    """How far a rotation has come."""

    MAKING = "making"
    ASKING = "asking"
    TELLING = "telling"
    WAITING = "waiting"
    REVOKING = "revoking"


@dataclasses.dataclass
class _Job:
    """What a request needs; found out before anything is made."""

    session: Any
    user_id: str
    magnum_url: str
    heat_api: heat_client.Heat
    stack: heat_client.Stack
    further: dict[str, heat_client.Stack]
    swarm: swarm_client.Swarm
    timeout_minutes: int


def is_under_way(state: State) -> bool:
    """Tell whether a credential is being rotated."""
    return state.rotation.get("kind") == KIND


class CredentialRotation:
    """Rotates credentials.

    :param store: the table of records.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    # With the user's token

    def request(self, context: Any, cluster: Any) -> None:
        """Do what the token of the user who asks is needed for.

        :raises SwarmModeError: with a sentence for the user; where nothing uses the new rights yet,
            everything is as it was before.
        """
        if not cloud_sessions.has_token(context) or context.project_id != cluster.project_id:
            raise exceptions.Refused(
                "The credential of a cluster can only be rotated by a member of its project, for "
                "the new one is his."
            )
        record = self._store.lease(cluster.uuid, _LEASE_SECONDS)
        if record is None:
            raise Conflict(cluster.uuid)
        try:
            _check(record.state)
            self._begin(cluster, record, _prepare(context, cluster, record.state))
        finally:
            self._store.release(record)

    def _begin(self, cluster: Any, record: Record, job: _Job) -> None:
        state = record.state
        grant = Grant(job.user_id, cloud_grants.next_number(state))
        before = (cluster.status, cluster.status_reason)
        rotation = {
            "kind": KIND,
            "step": Step.MAKING,
            "number": grant.number,
            "since": int(time.time()),
            "before": list(before),
        }
        record = self._write(
            record, lambda now: _with(now, grant, rotation=rotation, paused=now.rotation)
        )
        if not self._tell(cluster, "UPDATE_IN_PROGRESS", "A new credential is made."):
            self._write(record, lambda now: _over(_without(now, grant)))
            raise exceptions.Refused(
                "Another operation has begun at this moment; rotate the credential when it has "
                "ended."
            )
        try:
            record, secret = self._make(cluster, record, grant, job)
        except _Unknown:
            raise
        except Exception as error:
            self._undo(cluster, grant, job, before)
            if isinstance(error, Conflict):
                raise exceptions.Refused("The cluster is being deleted.") from error
            raise
        try:
            self._hand_on(record, secret, job)
        except exceptions.SwarmModeError as error:
            self._stop(cluster, error.user_message)
            raise

    def _make(self, cluster: Any, record: Record, grant: Grant, job: _Job) -> tuple[Record, str]:
        """Make the rights and have Heat take them over; return the record and the secret."""
        trust_id = credentials.create_trust(
            job.session, cluster.uuid, cloud_grants.trustee_id(), grant.number
        )
        made = dataclasses.replace(grant, trust_id=trust_id)
        record = self._write(record, lambda now: _with(now, made))
        node = credentials.create_node_credential(
            job.session, cluster.uuid, job.magnum_url, grant.number
        )
        rotation = {**record.state.rotation, "step": Step.ASKING, "credential": node.id}
        record = self._write(record, lambda now: dataclasses.replace(now, rotation=rotation))
        taken_over = job.user_id != record.state.owner_id
        if taken_over:
            cloud_grants.make_way(record.state)
        heat_trust = self._ask_heat(job, node.id, node.secret)
        known: dict[str, Any] = {}
        if taken_over:
            known = {"heat_trust": heat_trust, "handed_over": True}
        record = self._write(record, lambda now: dataclasses.replace(_handed_over(now), **known))
        self._own(cluster, record.state)
        return record, node.secret

    @staticmethod
    def _ask_heat(job: _Job, credential_id: str, secret: str) -> str:
        """Have Heat take the credential over; return the trust that it made, where it made one.

        :raises _Unknown: when it is not known whether Heat does.
        """
        parameters = {"node_credential_id": credential_id, "node_credential_secret": secret}
        before = credentials.trusts_given(job.session)
        try:
            job.heat_api.update(job.stack.id, parameters, job.timeout_minutes)
        except exceptions.SwarmModeError as error:
            # The answer may have been lost on its way.
            if not _has_taken(job, credential_id, error):
                made = credentials.only_new(before, credentials.trusts_given(job.session))
                if made:
                    # Heat forgets it where it fails afterwards.
                    credentials.remove_trust(job.session, made)
                raise
        return credentials.only_new(before, credentials.trusts_given(job.session))

    def _hand_on(self, record: Record, secret: str, job: _Job) -> None:
        """Let the stacks of further groups belong to the user, and tell the managers."""
        for uuid, stack in job.further.items():
            before = credentials.trusts_given(job.session)
            job.heat_api.update(stack.id, {}, job.timeout_minutes)
            after = credentials.trusts_given(job.session)
            known = {"heat_trust": credentials.only_new(before, after)}
            record = self._write(record, functools.partial(_with_group, uuid=uuid, known=known))
        told = manager_settings.credential(record.state.node_credential_id, secret)
        self._waits(record, manager_settings.tell(job.swarm, told))

    def _undo(self, cluster: Any, grant: Grant, job: _Job, before: tuple[str, str | None]) -> None:
        """Revoke what nothing uses yet; what cannot be revoked now stays in the record."""
        revoked = False
        try:
            sessions = [lambda: job.session]
            record = self._store.get(cluster.uuid)
            known = cloud_grants.others(record.state) if record else []
            grant = next((one for one in known if one.number == grant.number), grant)
            cloud_grants.revoke(self._store, cluster.uuid, grant, sessions)
            revoked = True
        except exceptions.SwarmModeError as error:
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
        with contextlib.suppress(exceptions.SwarmModeError):
            self._end(cluster, grant if revoked else None, *before)

    # Without a token

    def step(self, context: Any, cluster: Any, record: Record) -> None:
        """Look and do the next thing, under the cluster's lease.

        :raises Conflict: when somebody else changed the record meanwhile.
        """
        try:
            step = Step(record.state.rotation["step"])
            if step in (Step.MAKING, Step.ASKING):
                self._interrupted(context, cluster, record, step)
                return
            self._own(cluster, record.state)
            if step is Step.TELLING:
                record = self._find_told(cluster, record)
            if step in (Step.TELLING, Step.WAITING):
                record = self._wait(context, cluster, record)
            if record.state.rotation.get("step") == Step.REVOKING:
                self._revoke_former(cluster, record)
        except Conflict:
            raise
        except _Stopped as error:
            self._stop(cluster, error.user_message)
        except exceptions.SwarmModeError as error:
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
            self._tell(cluster, cluster.status, error.user_message)

    def _interrupted(self, context: Any, cluster: Any, record: Record, step: Step) -> None:
        """Deal with a rotation whose conductor died before managers could be told."""
        state = record.state
        if step is Step.ASKING and _heat_knows(context, cluster, state):
            record = self._store.write(record, _handed_over(state))
            self._own(cluster, record.state)
            raise _Stopped(_INTERRUPTED)
        number = state.rotation["number"]
        (grant,) = [one for one in cloud_grants.others(state) if one.number == number]
        with contextlib.suppress(credentials.NotPermitted):
            cloud_grants.revoke(self._store, cluster.uuid, grant, ())
            self._store.write(record, _without(state, grant))
        raise _Stopped(_INTERRUPTED)

    def _find_told(self, cluster: Any, record: Record) -> Record:
        """Go on where managers were told and the conductor died before it wrote that down."""
        newest = manager_settings.newest(_swarm(cluster))
        told = newest.told.get("openstack") or {}
        if told.get("application_credential_id") != record.state.node_credential_id:
            raise _Stopped(_INTERRUPTED)
        return self._waits(record, newest.generation)

    def _waits(self, record: Record, generation: int) -> Record:
        rotation = {
            **record.state.rotation,
            "step": Step.WAITING,
            "generation": generation,
            "since": int(time.time()),
        }
        return self._write(record, lambda now: dataclasses.replace(now, rotation=rotation))

    def _wait(self, context: Any, cluster: Any, record: Record) -> Record:
        rotation = record.state.rotation
        nodes = _swarm(cluster).nodes()
        managers = [node for node in nodes if node.get("ManagerStatus")]
        waiting = manager_settings.waiting(nodes, rotation["generation"])
        if waiting and time.time() - rotation["since"] > _PATIENCE:
            raise _Stopped(
                f"Managers do not take the new credential over: {', '.join(waiting)}. {_AGAIN}"
            )
        at_work = _heat_at_work(context, cluster, record.state)
        if waiting or at_work:
            using = len(managers) - len(waiting)
            reason = f"{using} of {len(managers)} managers use the new credential."
            if at_work:
                reason += " Heat hands it to those that come later."
            self._tell(cluster, cluster.status, reason)
            return record
        changed = {**rotation, "step": Step.REVOKING}
        return self._store.write(record, dataclasses.replace(record.state, rotation=changed))

    def _revoke_former(self, cluster: Any, record: Record) -> None:
        problems = []
        self._tell(cluster, cluster.status, "The former credential is revoked.")
        for grant in cloud_grants.others(record.state):
            try:
                cloud_grants.revoke(self._store, cluster.uuid, grant, ())
            except credentials.NotPermitted as error:
                LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
                problems.append(error.user_message)
            else:
                record = self._store.write(record, _without(record.state, grant))
        with contextlib.suppress(exceptions.Unavailable):
            manager_settings.clean_up(_swarm(cluster))
        if record.state.paused:
            paused = {**record.state.paused, "note": " ".join(problems)}
            record = self._store.write(record, dataclasses.replace(record.state, paused=paused))
            self._end(cluster, None, "UPDATE_IN_PROGRESS", _GOES_ON)
            return
        status, reason = record.state.rotation.get("before") or ("", None)
        if status != "UPDATE_FAILED":
            self._end(cluster, None, "UPDATE_COMPLETE", " ".join(problems) or None)
            return
        # What failed before is not mended by this.
        problems.append(f"The credential was rotated. Before that: {reason}")
        self._end(cluster, None, status, " ".join(problems))

    def _own(self, cluster: Any, state: State) -> None:
        """Let Magnum's row name the owner, to whom alone its policy gives certificates.

        His are the managers' as well, who have theirs signed with his credential.
        """
        if cluster.user_id == state.owner_id:
            return
        owner = {"user_id": state.owner_id}
        if self._store.change_cluster(cluster.uuid, cluster.status, owner):
            cluster.user_id = state.owner_id
            cluster.obj_reset_changes(["user_id"])

    # Ends

    def _stop(self, cluster: Any, sentence: str) -> None:
        if _AGAIN not in sentence:
            sentence = f"{sentence} {_AGAIN}"
        self._end(cluster, None, "UPDATE_FAILED", sentence)

    def _end(self, cluster: Any, revoked: Grant | None, status: str, reason: str | None) -> None:
        """Let no rotation be under way any more; what was asked for meanwhile is served next."""
        record = self._store.get(cluster.uuid)
        if record is None or record.state.phase is not Phase.CREATED:
            return

        def ended(state: State) -> State:
            return _over(_without(state, revoked) if revoked else state)

        record = self._write(record, ended)
        if decisions_change.Plan.from_json(record.state.update).is_over:
            self._tell(cluster, status, reason)

    def _write(self, record: Record, change: Callable[[State], State]) -> Record:
        """Change the record under the lease; what others write into it meanwhile stays.

        :raises Conflict: when the lease is lost, or the cluster is being deleted.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._store.write(record, change(record.state))
            except Conflict:
                now = self._store.get(record.cluster_uuid)
                if now is None or now.lease_owner != record.lease_owner:
                    raise
                if now.state.phase is not Phase.CREATED:
                    raise
                record = now
        raise Conflict(record.cluster_uuid)

    def _tell(self, cluster: Any, status: str, reason: str | None) -> bool:
        """Write status and reason, unless the status was changed since the cluster was read."""
        changes = {"status": status, "status_reason": reason}
        if not self._store.change_cluster(cluster.uuid, cluster.status, changes):
            return False
        for name, value in changes.items():
            setattr(cluster, name, value)
        cluster.obj_reset_changes(list(changes))
        return True


class _Unknown(exceptions.Unavailable):
    """Nobody knows whether Heat took a request; the next poll finds out."""


class _Stopped(exceptions.SwarmModeError):
    """The rotation has ended before its end."""


def _check(state: State) -> None:
    """Refuse what the API process could not know.

    :raises Refused: with what is under way.
    """
    if state.phase is not Phase.CREATED:
        raise exceptions.Refused("The cluster is being deleted.")
    if certificates.has_stopped(state):
        # What was asked for since then waits for its end, so that nothing of it is under way.
        return
    if state.rotation or not decisions_change.Plan.from_json(state.update).is_over:
        raise exceptions.Refused(
            "Another operation is under way, or has stopped and goes on with a resize to the "
            "present number; rotate the credential when it has ended."
        )


def _prepare(context: Any, cluster: Any, state: State) -> _Job:
    """Find out everything that can be without making anything.

    :raises SwarmModeError: with what is not as it has to be.
    """
    session = cloud_sessions.user_session(context)
    heat_api = reach.heat_of(session)
    stack = _stack(heat_api, state.stack_id or state.stack_name)
    swarm = _swarm(cluster, stack)
    deaf = manager_settings.deaf(swarm.nodes())
    if deaf:
        raise exceptions.Refused(
            f"These managers were made by an earlier release and cannot be told a new credential: "
            f"{', '.join(deaf)}. Replace them first: resize the managers without them."
        )
    return _Job(
        session=session,
        user_id=str(session.get_user_id()),
        magnum_url=cloud_sessions.node_endpoints(session).magnum_url,
        heat_api=heat_api,
        stack=stack,
        further={
            uuid: _stack(heat_api, made.get("stack_id") or made["stack_name"])
            for uuid, made in state.groups.items()
        },
        swarm=swarm,
        timeout_minutes=int(cluster.create_timeout or 0),
    )


def _has_taken(job: _Job, credential_id: str, error: exceptions.SwarmModeError) -> bool:
    try:
        stack = job.heat_api.get(job.stack.id)
    except exceptions.SwarmModeError:
        raise _Unknown(error.user_message, error.operator_message) from error
    return stack is not None and stack.parameters.get("node_credential_id") == credential_id


def _stack(heat_api: heat_client.Heat, name: str) -> heat_client.Stack:
    stack = heat_api.get(name)
    if stack is None or stack.status.startswith("DELETE"):
        raise exceptions.Unavailable("Heat does not show a stack of the cluster to you.")
    if stack.status.endswith("_IN_PROGRESS"):
        raise exceptions.Unavailable(
            "Heat is at work on a stack of the cluster; rotate the credential when it has ended."
        )
    return stack


def _swarm(cluster: Any, stack: heat_client.Stack | None = None) -> swarm_client.Swarm:
    addresses = reach.output(stack, "manager_addresses") if stack else cluster.master_addresses
    return reach.swarm_of(cluster, list(addresses or ()))


def _with(state: State, grant: Grant, **changes: Any) -> State:
    """Return a state that knows of rights beside those in use."""
    kept = [one for one in state.grants if one["number"] != grant.number]
    grants = [*kept, dataclasses.asdict(grant)]
    return dataclasses.replace(state, grants=grants, **changes)


def _with_group(state: State, uuid: str, known: Mapping[str, str]) -> State:
    """Return a state that knows more of what was made for a further node group."""
    made = {**state.groups.get(uuid, {}), **known}
    return dataclasses.replace(state, groups={**state.groups, uuid: made})


def _over(state: State) -> State:
    """Return a state in which no credential is rotated, and what was set aside is not any more."""
    return dataclasses.replace(state, rotation=state.paused, paused={})


def _without(state: State, grant: Grant) -> State:
    kept = [one for one in state.grants if one["number"] != grant.number]
    return dataclasses.replace(state, grants=kept)


def _handed_over(state: State) -> State:
    """Return the state in which the new rights are those in use, and the former are to go."""
    rotation: Mapping[str, Any] = state.rotation
    (new,) = [one for one in cloud_grants.others(state) if one.number == rotation["number"]]
    former = cloud_grants.present(state)
    return dataclasses.replace(
        _with(_without(state, new), former),
        owner_id=new.owner_id,
        grant=new.number,
        trust_id=new.trust_id,
        node_credential_id=rotation["credential"],
        rotation={**rotation, "step": Step.TELLING},
    )


def _heat_knows(context: Any, cluster: Any, state: State) -> bool:
    """Tell whether Heat was asked for the new credential, and took the request.

    :raises Unavailable: when Heat does not show the stack now.
    """
    number = state.rotation["number"]
    new = next(one for one in cloud_grants.others(state) if one.number == number)
    states = (dataclasses.replace(state, trust_id=new.trust_id), state)
    for one in states:
        for _, session in reach.heat_sessions(context, cluster, one):
            with contextlib.suppress(heat_client.NotAllowed):
                stack = reach.heat_of(session).get(state.stack_id)
                if stack is not None:
                    known = stack.parameters.get("node_credential_id")
                    return bool(known == state.rotation["credential"])
    raise exceptions.Unavailable("Heat does not show the cluster's stack to Magnum now.")


def _heat_at_work(context: Any, cluster: Any, state: State) -> bool:
    """Tell whether Heat is busy with what it was asked for.

    :raises _Stopped: when it failed.
    :raises Unavailable: when it does not show the stacks now.
    """
    for _, session in reach.heat_sessions(context, cluster, state):
        heat_api = reach.heat_of(session)
        try:
            names = [state.stack_id, *(made["stack_id"] for made in state.groups.values())]
            stacks = [stack for name in names if (stack := heat_api.get(name))]
        except heat_client.NotAllowed as error:
            LOG.info("Cluster %s: %s", cluster.uuid, error.operator_message)
            continue
        for stack in stacks:
            if stack.status == "UPDATE_FAILED":
                raise _Stopped(
                    "Heat could not hand the new credential to managers that come later: "
                    f"{heat_api.failure_reason(stack).rstrip('.')}. {_AGAIN}"
                )
        return any(stack.status.endswith("_IN_PROGRESS") for stack in stacks)
    raise exceptions.Unavailable("Heat does not show the cluster's stack to Magnum now.")
