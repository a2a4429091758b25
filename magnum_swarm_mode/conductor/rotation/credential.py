# SPDX-License-Identifier: Apache-2.0
"""Gives a cluster new rights, of the user who asks for it, and takes the former ones back.

Only the request brings a token; ``credential_request`` does with it what cannot be done without.
The rest is done by the polls, one step each::

    making      rights are made, which nothing uses yet
    asking      Heat is asked to hand the credential to managers that come later
    telling     the record names the new rights; managers are told
    waiting     for Heat, and for managers to say that they use it
    revoking    the former rights

Each is written down before it begins. The credential's secret is kept nowhere on this side, so that
a rotation whose conductor dies before managers are told ends there, with both credentials valid,
and the next one revokes all but its own.

The record holds the moment at which a rotation is given up, whatever it waits for then: Heat,
managers, Keystone, or a step of a newer release. Both credentials are valid then, too, and the
user is told to rotate again.

A replacement of certificates that has stopped, perhaps for want of just these rights, is set aside
meanwhile, and goes on afterwards.
"""

import contextlib
import dataclasses
import functools
from typing import Any

from magnum_swarm_mode import clocks, exceptions, log, reach
from magnum_swarm_mode.cloud import credentials
from magnum_swarm_mode.cloud import grants as cloud_grants
from magnum_swarm_mode.conductor.rotation import credential_rows
from magnum_swarm_mode.conductor.rotation import credential_state as states
from magnum_swarm_mode.conductor.rotation.credential_rows import Stopped
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions import status as decisions_status
from magnum_swarm_mode.decisions.record import Kind, State
from magnum_swarm_mode.decisions.rotation import CredentialStep as Step
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.swarm import manager_settings

LOG = log.of(__name__)


class CredentialRotation:
    """Rotates credentials.

    :param store: the table of records.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = credential_rows.Rows(store)

    def step(self, context: Any, cluster: Any, record: Record) -> None:
        """Look and do the next thing, under the cluster's lease.

        :raises Conflict: when somebody else changed the record meanwhile.
        """
        record = self._with_deadline(cluster, record)
        try:
            said = self._take(context, cluster, record)
        except Conflict:
            raise
        except Stopped as error:
            self._rows.stop(cluster, error.user_message, error.revoked)
            return
        except exceptions.SwarmModeError as error:
            LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
            said = error.user_message
        except Exception as error:
            if not states.of(record.state).is_overdue(clocks.now()):
                raise
            LOG.exception("Cluster %s", cluster.uuid)
            said = decisions_status.unexpected(type(error).__name__)
        if not said:
            return
        rotation = states.of(record.state)
        if rotation.is_overdue(clocks.now()):
            minutes = round((clocks.now() - rotation.began) / 60)
            self._rows.stop(cluster, f"Given up after {minutes} minutes: {said}")
            return
        self._rows.tell(cluster, cluster.status, said)

    def _with_deadline(self, cluster: Any, record: Record) -> Record:
        """Give a rotation an end that an earlier release has begun, or of which little is known."""
        rotation = states.of(record.state)
        now = int(clocks.now())
        limit = states.limit_seconds(int(cluster.create_timeout or 0))
        if rotation.deadline and not clocks.is_ahead(rotation.deadline, now, limit):
            return record
        changed = functools.partial(
            states.changed,
            began=rotation.began or now,
            deadline=now + limit,
        )
        return self._rows.write(record, changed)

    def _take(self, context: Any, cluster: Any, record: Record) -> str:
        """Take what steps can be taken; return what is waited for, or nothing at the end."""
        step = states.of(record.state).step
        if step not in list(Step):
            return "A conductor of a newer release goes on with the rotation of the credential."
        if step in (Step.MAKING, Step.ASKING):
            self._interrupted(context, cluster, record)
        self._rows.own(cluster, record.state)
        if step == Step.TELLING:
            record = self._find_told(cluster, record)
        if step in (Step.TELLING, Step.WAITING):
            if waits := self._waits(context, cluster, record):
                return waits
            record = self._noting_groups(context, cluster, record)
            revoking = functools.partial(states.changed, step=Step.REVOKING)
            record = self._store.write(record, revoking(record.state))
        self._revoke_former(cluster, record)
        return ""

    def _interrupted(self, context: Any, cluster: Any, record: Record) -> None:
        """Deal with a rotation whose conductor died before managers could be told.

        :raises Stopped: always, when it is dealt with.
        """
        state = record.state
        grant = states.new_grant(state)
        if grant is None:
            # Who dealt with it before died as well, after the rights were gone.
            raise Stopped(states.INTERRUPTED)
        if states.of(state).step == Step.ASKING and _heat_knows(
            context, cluster, state, grant.trust_id
        ):
            record = self._store.write(record, states.handed_over(state))
            self._rows.own(cluster, record.state)
            raise Stopped(states.INTERRUPTED)
        revoked = None
        with contextlib.suppress(credentials.NotPermitted):
            cloud_grants.revoke(self._store, cluster.uuid, grant, ())
            revoked = grant
        raise Stopped(states.INTERRUPTED, revoked)

    def _find_told(self, cluster: Any, record: Record) -> Record:
        """Go on where managers were told and the conductor died before it wrote that down."""
        newest = manager_settings.newest(credential_rows.swarm_of(cluster))
        told = newest.told.get("openstack") or {}
        if told.get("application_credential_id") != record.state.node_credential_id:
            raise Stopped(states.INTERRUPTED)
        changed = functools.partial(
            states.changed,
            step=Step.WAITING,
            generation=newest.generation,
            since=int(clocks.now()),
        )
        return self._rows.write(record, changed)

    def _waits(self, context: Any, cluster: Any, record: Record) -> str:
        """Return what managers and Heat still have to do; nothing when that is done."""
        rotation = states.of(record.state)
        nodes = credential_rows.swarm_of(cluster).nodes()
        managers = [node for node in nodes if node.get("ManagerStatus")]
        waiting = manager_settings.waiting(nodes, rotation.generation)
        told = rotation.since or rotation.began
        if waiting and clocks.now() - told > states.PATIENCE_SECONDS:
            raise Stopped(
                f"Managers do not take the new credential over: {', '.join(waiting)}. "
                f"{states.AGAIN}"
            )
        at_work = _heat_at_work(context, cluster, record.state)
        if not waiting and not at_work:
            return ""
        using = len(managers) - len(waiting)
        reason = f"{using} of {len(managers)} managers use the new credential."
        if at_work and rotation.is_overdue(clocks.now()):
            return f"{reason} Heat is at work on the cluster's stacks."
        return f"{reason} Heat hands it to those that come later." if at_work else reason

    def _noting_groups(self, context: Any, cluster: Any, record: Record) -> Record:
        """Keep for the end which further groups Heat could not change."""
        rotation = states.of(record.state)
        for note in _failed_groups(context, cluster, record.state):
            rotation = rotation.noting(note)
        if rotation == states.of(record.state):
            return record
        return self._rows.write(record, functools.partial(states.changed, notes=rotation.notes))

    def _revoke_former(self, cluster: Any, record: Record) -> None:
        problems = []
        self._rows.tell(cluster, cluster.status, "The former credential is revoked.")
        for grant in cloud_grants.others(record.state):
            try:
                cloud_grants.revoke(self._store, cluster.uuid, grant, ())
            except credentials.NotPermitted as error:
                LOG.warning("Cluster %s: %s", cluster.uuid, error.operator_message)
                problems.append(error.user_message)
            else:
                record = self._store.write(record, cloud_grants.without(record.state, grant))
        with contextlib.suppress(exceptions.Unavailable):
            manager_settings.clean_up(credential_rows.swarm_of(cluster))
        rotation = states.of(record.state)
        note = " ".join([*problems, *rotation.notes])
        if record.state.ca is not None:
            ca = dataclasses.replace(record.state.ca.resumed, note=note)
            record = self._store.write(record, dataclasses.replace(record.state, ca=ca))
            self._rows.end(cluster, None, "UPDATE_IN_PROGRESS", states.GOES_ON)
            return
        self._rows.end(cluster, None, *states.ending(record.state, problems), note=note)


def _heat_knows(context: Any, cluster: Any, state: State, trust_id: str) -> bool:
    """Return whether Heat was asked for the new credential, and took the request.

    :param trust_id: the trust of the user who asked.
    :raises Unavailable: when Heat does not show the stack now.
    """
    credential = states.of(state).credential
    present = str(state.grant)
    for one in (state.owning(Kind.TRUST, present, id=trust_id), state):
        for _, session in reach.heat_sessions(context, cluster, one):
            with contextlib.suppress(heat_client.NotAllowed):
                stack = reach.heat_of(session).get(state.stack.handle)
                if stack is not None:
                    return bool(stack.parameters.get("node_credential_id") == credential)
    raise _hidden()


def _heat_at_work(context: Any, cluster: Any, state: State) -> bool:
    """Return whether Heat is busy with what it was asked for.

    :raises Stopped: when it failed at the cluster's own stack.
    :raises Unavailable: when it does not show that now.
    """
    heat_api, stack, further = _stacks(context, cluster, state)
    if stack.status == "UPDATE_FAILED":
        raise Stopped(
            "Heat could not hand the new credential to managers that come later: "
            f"{heat_api.failure_reason(stack).rstrip('.')}. {states.AGAIN}"
        )
    return any(one.status.endswith("_IN_PROGRESS") for one in (stack, *further))


def _failed_groups(context: Any, cluster: Any, state: State) -> list[str]:
    heat_api, _, further = _stacks(context, cluster, state)
    return [
        f"Heat fails at the stack {stack.name} of a node group: "
        f"{heat_api.failure_reason(stack).rstrip('.')}."
        for stack in further
        if stack.status == "UPDATE_FAILED"
    ]


def _stacks(
    context: Any, cluster: Any, state: State
) -> tuple[heat_client.Heat, heat_client.Stack, list[heat_client.Stack]]:
    """Return Heat, the cluster's stack, and those of further groups that are not deleted.

    :raises Unavailable: when Heat does not show the cluster's stack now.
    """
    for _, session in reach.heat_sessions(context, cluster, state):
        heat_api = reach.heat_of(session)
        try:
            stack = heat_api.get(state.stack.handle)
            names = states.stack_names(state).values()
            further = [one for name in names if (one := heat_api.get(name))]
        except heat_client.NotAllowed as error:
            LOG.info("Cluster %s: %s", cluster.uuid, error.operator_message)
            continue
        if stack is not None:
            left = [one for one in further if not one.status.startswith("DELETE")]
            return heat_api, stack, left
    raise _hidden()


def _hidden() -> exceptions.Unavailable:
    return exceptions.Unavailable("Heat does not show the cluster's stack to Magnum now.")
