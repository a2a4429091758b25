# SPDX-License-Identifier: Apache-2.0
"""The first half of a credential's rotation: what the token of the user who asks is needed for.

The rights are made, one after the other, and Heat is asked, so that it makes a trust of its own of
the user's: what belongs to somebody else it could not change with the new trust. Then managers are
told through their settings.
"""

import contextlib
import dataclasses
import functools
from typing import Any

from magnum_swarm_mode import clocks, exceptions, log, reach
from magnum_swarm_mode.cloud import credentials
from magnum_swarm_mode.cloud import grants as cloud_grants
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.cloud.credentials import Grant
from magnum_swarm_mode.conductor import lease
from magnum_swarm_mode.conductor.rotation import credential_rows, credential_state
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions.record import Kind, Phase, State
from magnum_swarm_mode.decisions.rotation import CredentialRotation
from magnum_swarm_mode.decisions.rotation import CredentialStep as Step
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import manager_settings

LOG = log.of(__name__)


@dataclasses.dataclass
class _Job:
    """What a request needs; found out before anything is made.

    :ivar further: the stacks of further node groups, as far as there are any.
    """

    session: Any
    user_id: str
    magnum_url: str
    heat_api: heat_client.Heat
    stack: heat_client.Stack
    further: dict[str, heat_client.Stack]
    swarm: swarm_client.Swarm
    timeout_minutes: int


class _Unknown(exceptions.Unavailable):
    """Nobody knows whether Heat took a request; the next poll finds out."""


class Request:
    """One request for new rights.

    :param store: the table of records.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = credential_rows.Rows(store)

    def serve(self, context: Any, cluster: Any) -> None:
        """Do what the token of the user who asks is needed for.

        :raises SwarmModeError: with a sentence for the user; where nothing uses the new rights yet,
            everything is as it was before.
        """
        if not cloud_sessions.has_token(context) or context.project_id != cluster.project_id:
            raise exceptions.Refused(
                "The credential of a cluster can only be rotated by a member of its project, for "
                "the new one is his."
            )
        with lease.held(self._store, cluster.uuid, "rotation of the credential") as record:
            if record is None:
                raise Conflict(cluster.uuid)
            _check(record.state)
            self._begin(cluster, record, _prepare(context, cluster, record.state))

    def _begin(self, cluster: Any, record: Record, job: _Job) -> None:
        state = record.state
        grant = Grant(job.user_id, cloud_grants.next_number(state))
        before = (cluster.status, cluster.status_reason)
        now = int(clocks.now())
        rotation = CredentialRotation(
            number=grant.number,
            began=now,
            deadline=now + credential_state.limit_seconds(job.timeout_minutes),
            status=before[0],
            reason=before[1],
        )
        begun = functools.partial(credential_state.begun, grant=grant, rotation=rotation)
        record = self._rows.write(record, begun)
        if not self._rows.tell(cluster, "UPDATE_IN_PROGRESS", "A new credential is made."):
            self._rows.write(
                record, lambda now: credential_state.over(cloud_grants.without(now, grant))
            )
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
            self._rows.stop(cluster, error.user_message)
            raise

    def _make(self, cluster: Any, record: Record, grant: Grant, job: _Job) -> tuple[Record, str]:
        """Make the rights and have Heat take them over; return the record and the secret."""
        trust_id = credentials.create_trust(
            job.session, cluster.uuid, cloud_grants.trustee_id(), grant.number
        )
        made = dataclasses.replace(grant, trust_id=trust_id)
        record = self._rows.write(record, functools.partial(cloud_grants.adding, grant=made))
        node = credentials.create_node_credential(
            job.session, cluster.uuid, job.magnum_url, grant.number
        )
        asking = functools.partial(credential_state.changed, step=Step.ASKING, credential=node.id)
        record = self._rows.write(record, asking)
        taken_over = job.user_id != record.state.owner_id
        if taken_over:
            cloud_grants.make_way(record.state, job.further)
        heat_trust = self._ask_heat(job, node.id, node.secret)

        def handed_over(state: State) -> State:
            state = credential_state.handed_over(state)
            if not taken_over:
                return state
            return dataclasses.replace(state.owning(Kind.STACK, trust=heat_trust), handed_over=True)

        record = self._rows.write(record, handed_over)
        self._rows.own(cluster, record.state)
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
        """Let the stacks of further groups belong to the user, and tell the managers.

        A group whose stack Heat does not change keeps nobody from the new credential.
        """
        for uuid, stack in job.further.items():
            before = credentials.trusts_given(job.session)
            try:
                job.heat_api.update(stack.id, {}, job.timeout_minutes)
            except exceptions.SwarmModeError as error:
                rotation = credential_state.of(record.state).noting(
                    f"Heat did not take the stack {stack.name} of a node group over: "
                    f"{error.user_message}"
                )
                noted = functools.partial(credential_state.changed, notes=rotation.notes)
                record = self._rows.write(record, noted)
                continue
            after = credentials.trusts_given(job.session)
            known = {"trust": credentials.only_new(before, after)}
            record = self._rows.write(
                record, functools.partial(credential_state.with_group, uuid=uuid, known=known)
            )
        told = manager_settings.credential(record.state.node_credential_id, secret)
        generation = manager_settings.tell(job.swarm, told)
        self._rows.write(
            record,
            functools.partial(
                credential_state.changed,
                step=Step.WAITING,
                generation=generation,
                since=int(clocks.now()),
            ),
        )

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
            self._rows.end(cluster, grant if revoked else None, *before)


def _check(state: State) -> None:
    """Refuse what the API process could not know.

    :raises Refused: with what is under way.
    """
    if state.phase is not Phase.CREATED:
        raise exceptions.Refused("The cluster is being deleted.")
    if state.replaces_ca and state.ca is not None and state.ca.failed:
        # What was asked for since then waits for its end, so that nothing of it is under way.
        return
    if state.is_rotating or not state.plan.is_over:
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
    stack = _stack(heat_api, state.stack.handle)
    if stack is None:
        raise exceptions.Unavailable("Heat does not show a stack of the cluster to you.")
    swarm = credential_rows.swarm_of(cluster, stack)
    deaf = manager_settings.deaf(swarm.nodes())
    if deaf:
        raise exceptions.Refused(
            f"These managers were made by an earlier release and cannot be told a new credential: "
            f"{', '.join(deaf)}. Replace them first: resize the managers without them."
        )
    further = {
        uuid: _stack(heat_api, name) for uuid, name in credential_state.stack_names(state).items()
    }
    return _Job(
        session=session,
        user_id=str(session.get_user_id()),
        magnum_url=cloud_sessions.node_endpoints(session).magnum_url,
        heat_api=heat_api,
        stack=stack,
        # The cluster's own stack is shown to this user, so that what is not is not there.
        further={uuid: found for uuid, found in further.items() if found is not None},
        swarm=swarm,
        timeout_minutes=int(cluster.create_timeout or 0),
    )


def _has_taken(job: _Job, credential_id: str, error: exceptions.SwarmModeError) -> bool:
    try:
        stack = job.heat_api.get(job.stack.id)
    except exceptions.SwarmModeError:
        raise _Unknown(error.user_message, error.operator_message) from error
    return stack is not None and stack.parameters.get("node_credential_id") == credential_id


def _stack(heat_api: heat_client.Heat, name: str) -> heat_client.Stack | None:
    """Return a stack; None where there is none, or it is being deleted.

    :raises Unavailable: when Heat is at work on it.
    """
    stack = heat_api.get(name)
    if stack is None or stack.status.startswith("DELETE"):
        return None
    if stack.status.endswith("_IN_PROGRESS"):
        raise exceptions.Unavailable(
            "Heat is at work on a stack of the cluster; rotate the credential when it has ended."
        )
    return stack
