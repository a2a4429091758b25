# SPDX-License-Identifier: Apache-2.0
"""What this driver remembers of each cluster, beside Magnum's own row.

A record is written before that which it names is made, so that whoever comes after a conductor
that died knows what to look for. Every write is a compare-and-swap on ``generation``: who acts on
an outdated record changes nothing. A lease tells other conductors that somebody is at work on the
cluster; taking one raises the generation, which shuts out whoever held it before.
"""

import contextlib
import dataclasses
import enum
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import enginefacade

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.db import migration, schema

_TABLE = schema.CLUSTER
_FORMAT = 1
# How long a request may take from its record to Magnum's status, in seconds.
_MARK_SECONDS = 60
# The longest lease that anybody takes at once, in seconds; renewed while somebody is at work.
LONGEST_LEASE = 600
# How far, in seconds, the clocks of two conductors may be apart. What ends later than the longest
# lease and this was written by a clock that was ahead, and counts as over.
_CLOCKS_APART = 300


class Phase(enum.StrEnum):
    """How far the making, or unmaking, of a cluster has come."""

    PREPARING = "preparing"  # credentials are made
    SUBMITTING = "submitting"  # Heat is asked for the stack; it may or may not exist
    CREATED = "created"  # the stack exists, or did
    ABANDONED = "abandoned"  # creation failed before there was a stack
    DELETING = "deleting"  # the stack is asked to go
    CLEANING = "cleaning"  # the stack is gone; credentials remain


@dataclasses.dataclass(frozen=True)
class State:
    """The contents of a record.

    :ivar owner_id: Keystone's id of the user with whose rights the conductor works: who created the
        cluster, or rotated its credential last.
    :ivar phase_since: seconds since 1970 at which ``phase`` was entered.
    :ivar trust_id: the trust through which the conductor acts for the owner.
    :ivar node_credential_id: the application credential of the managers.
    :ivar submitted_at: seconds since 1970 at which Heat was asked for the stack; 0 before.
    :ivar complete_since: seconds since 1970 at which Heat was first seen to be done; 0 before.
    :ivar node_credential_revoked: whether the managers' credential is known to be gone.
    :ivar update: what is under way, as :class:`.update.Plan` puts it into JSON.
    :ivar groups: uuid of each further node group to what was made for it: ``stack_name``,
        ``stack_id``, ``prefix`` of its nodes' host names.
    :ivar grant: number of the owner's rights, as :class:`.credentials.Grant` has it.
    :ivar grants: other rights that were given and are to be taken back, as a mapping of the fields
        of :class:`.credentials.Grant` each.
    :ivar handed_over: whether another user than its creator became the owner of the stack.
    :ivar heat_trust: the trust that Heat has of the stack's owner; empty where it is not known.
    :ivar rotation: how far a replacement of certificates or credentials has come; empty when none
        is under way. ``kind`` says of what.
    :ivar paused: a replacement of certificates, as ``rotation`` has it, that had stopped when one
        of credentials began; it goes on after that.
    :ivar loose: references of certificates in Magnum's store that nothing names yet, or any more:
        when each was made, in seconds since 1970; 0 for one that is to be deleted.
    :ivar healing: what is remembered of nodes that are down, as :class:`.healing.Memory` puts it
        into JSON.
    :ivar blind_since: seconds since 1970 since when Heat has not shown what it has of the cluster;
        0 while it does.
    :ivar errors: how many looks in a row ended with an exception that nobody expected.
    :ivar unknown: what a newer release wrote and this one does not understand.
    """

    phase: Phase
    owner_id: str
    stack_name: str
    phase_since: int = 0
    stack_id: str = ""
    trust_id: str = ""
    node_credential_id: str = ""
    submitted_at: int = 0
    complete_since: int = 0
    node_credential_revoked: bool = False
    update: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    grant: int = 0
    grants: Sequence[Mapping[str, Any]] = dataclasses.field(default_factory=list)
    handed_over: bool = False
    heat_trust: str = ""
    rotation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    paused: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    loose: Mapping[str, int] = dataclasses.field(default_factory=dict)
    healing: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    blind_since: int = 0
    errors: int = 0
    unknown: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def entering(self, phase: Phase, **changes: Any) -> "State":
        """Return this state moved to another phase now, with other changes."""
        return dataclasses.replace(self, phase=phase, phase_since=int(time.time()), **changes)

    def replacement(self, kind: str) -> Mapping[str, Any]:
        """Return how far a replacement of a kind has come, paused or not; empty for none."""
        found = (one for one in (self.rotation, self.paused) if one.get("kind") == kind)
        return next(found, {})

    @property
    def work_due(self) -> int:
        """Seconds since 1970 after which a look is due whatever Magnum's status is; 0 for none.

        What a request asked for is due a while after it, for its conductor sets the status itself.
        """
        if self.phase in (Phase.DELETING, Phase.CLEANING):
            return self.phase_since + _MARK_SECONDS
        update = self.update
        asked = update.get("number", 0) != update.get("begun", 0)
        under_way = asked or update.get("leaving") or update.get("waiting")
        stopped = self.rotation.get("failed")
        if under_way or (self.rotation and not stopped):
            return int(time.time()) + _MARK_SECONDS
        return 0

    def to_json(self) -> str:
        """Return the text that the table holds."""
        known = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "unknown"
        }
        return json.dumps({**self.unknown, **known, "format": _FORMAT}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "State":
        """Read what :meth:`to_json` wrote, also that of a newer release."""
        values = json.loads(text)
        values.pop("format", None)
        names = {field.name for field in dataclasses.fields(cls)} - {"unknown"}
        known = {name: value for name, value in values.items() if name in names}
        known["phase"] = Phase(known["phase"])
        unknown = {name: value for name, value in values.items() if name not in names}
        return cls(**known, unknown=unknown)


@dataclasses.dataclass(frozen=True)
class Record:
    """A row as it was read; times are seconds since 1970.

    :ivar health_due: before which nobody needs to look at the cluster's health.
    :ivar work_due: after which somebody is to look at the cluster, whatever Magnum's status is;
        0 where there is nothing to be done.
    """

    cluster_uuid: str
    project_id: str
    state: State
    generation: int
    lease_owner: str | None
    lease_expires: int
    created_at: int
    updated_at: int
    health_due: int = 0
    work_due: int = 0


class Conflict(exceptions.Unavailable):
    """The record was changed by somebody else since it was read."""

    def __init__(self, cluster_uuid: str) -> None:
        super().__init__(
            f"Another conductor is at work on cluster {cluster_uuid}; try again in a minute."
        )


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _retrying(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    retrying: Callable[Arguments, Result] = oslo_db_api.wrap_db_retry(
        max_retries=5,
        retry_interval=0.2,
        inc_retry_interval=True,
        max_retry_interval=2,
        retry_on_deadlock=True,
        retry_on_disconnect=True,
    )(function)
    return retrying


class Store:
    """The table of records, in Magnum's database.

    :param engine: a SQLAlchemy engine; Magnum's own, looked up at each use, when None.
    """

    def __init__(self, engine: Any = None) -> None:
        self._given_engine = engine

    @property
    def _engine(self) -> Any:
        engine = self._given_engine or enginefacade.writer.get_engine()
        migration.ensure(engine)
        return engine

    def _once(
        self,
        act: Callable[[Any], bool],
        is_ours: Callable[["Record | None"], bool],
        cluster_uuid: str,
    ) -> bool:
        """Change a row in a transaction; whether it was changed.

        The acknowledgement of a COMMIT can be lost. The next attempt then finds the row changed,
        by nobody else.

        :param act: makes the change and tells whether there was a row to be changed.
        :param is_ours: tells whether a row is as ``act`` leaves it.
        """
        attempts = 0

        @_retrying
        def attempt() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                with self._engine.begin() as connection:
                    if act(connection):
                        return True
            except (db_exception.DBDuplicateEntry, sa.exc.IntegrityError):
                pass
            if attempts == 1:
                return False
            with self._engine.connect() as connection:
                return is_ours(_select(connection, cluster_uuid))

        return attempt()

    @_retrying
    def get(self, cluster_uuid: str) -> Record | None:
        """Return the record of a cluster, or None."""
        with self._engine.connect() as connection:
            return _select(connection, cluster_uuid)

    def insert(self, cluster_uuid: str, project_id: str, state: State, lease: int = 0) -> Record:
        """Add a record, together with a lease of so many seconds.

        :raises Conflict: when there is one already.
        """
        now = int(time.time())
        record = Record(
            cluster_uuid=cluster_uuid,
            project_id=project_id,
            state=state,
            generation=1,
            lease_owner=_new_owner() if lease else None,
            lease_expires=now + lease if lease else 0,
            created_at=now,
            updated_at=now,
            work_due=state.work_due,
        )
        values = {**vars(record), "state": state.to_json()}

        def add(connection: Any) -> bool:
            connection.execute(sa.insert(_TABLE).values(**values))
            return True

        if not self._once(add, lambda found: _is_same(found, record), cluster_uuid):
            raise Conflict(cluster_uuid)
        return record

    def write(self, record: Record, state: State) -> Record:
        """Replace the state, provided that nobody changed the record since it was read.

        :raises Conflict: when somebody did, or removed it.
        """
        uuid = record.cluster_uuid
        written = dataclasses.replace(
            record,
            state=state,
            generation=record.generation + 1,
            updated_at=int(time.time()),
            work_due=state.work_due,
        )
        statement = (
            sa.update(_TABLE)
            .where(_unchanged(record))
            .values(
                state=state.to_json(),
                generation=written.generation,
                updated_at=written.updated_at,
                work_due=written.work_due,
            )
        )
        if not self._once(_changing(statement), lambda found: _is_same(found, written), uuid):
            raise Conflict(uuid)
        return written

    def amend(
        self, cluster_uuid: str, change: Callable[[State], State], attempts: int = 10
    ) -> Record | None:
        """Change a state that others may be changing: read, change, write, and again if need be.

        :param change: returns the new state; the same for nothing to be written. Called with each
            state that is read, so it has no effect of its own.
        :returns: the record as it is then; None when there is none.
        :raises Conflict: when others were quicker at every attempt.
        """
        for _ in range(attempts):
            record = self.get(cluster_uuid)
            if record is None:
                return None
            state = change(record.state)
            if state == record.state:
                return record
            with contextlib.suppress(Conflict):
                return self.write(record, state)
        raise Conflict(cluster_uuid)

    def delete(self, record: Record) -> None:
        """Remove the record, provided that nobody changed it since it was read.

        :raises Conflict: when somebody did, or removed it.
        """
        statement = sa.delete(_TABLE).where(_unchanged(record))
        if not self._once(_changing(statement), lambda found: found is None, record.cluster_uuid):
            raise Conflict(record.cluster_uuid)

    def lease(self, cluster_uuid: str, seconds: int) -> Record | None:
        """Take the cluster for so many seconds, at most :data:`LONGEST_LEASE`.

        :returns: the record under the new lease; None when there is no record or it is taken.
        """
        now = int(time.time())
        owner = _new_owner()
        expires = _TABLE.c.lease_expires
        statement = (
            sa.update(_TABLE)
            .where(
                _TABLE.c.cluster_uuid == cluster_uuid,
                sa.or_(expires <= now, expires > now + LONGEST_LEASE + _CLOCKS_APART),
            )
            .values(
                lease_owner=owner,
                lease_expires=now + min(seconds, LONGEST_LEASE),
                generation=_TABLE.c.generation + 1,
            )
        )
        self._once(_changing(statement), lambda _: False, cluster_uuid)
        record = self.get(cluster_uuid)
        # The answer of the database may have been lost; the owner's name is unique.
        return record if record is not None and record.lease_owner == owner else None

    @_retrying
    def renew(self, record: Record, seconds: int) -> bool:
        """Let a lease end so many seconds from now.

        :returns: whether the caller still has the lease.
        """
        with self._engine.begin() as connection:
            result = connection.execute(
                sa.update(_TABLE)
                .where(
                    _TABLE.c.cluster_uuid == record.cluster_uuid,
                    _TABLE.c.lease_owner == record.lease_owner,
                )
                .values(lease_expires=int(time.time()) + min(seconds, LONGEST_LEASE))
            )
        return bool(result.rowcount == 1)

    @_retrying
    def release(self, record: Record) -> None:
        """End a lease early; one that was lost meanwhile is left to its new holder."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(_TABLE)
                .where(
                    _TABLE.c.cluster_uuid == record.cluster_uuid,
                    _TABLE.c.lease_owner == record.lease_owner,
                )
                .values(lease_owner=None, lease_expires=0)
            )

    @_retrying
    def claim_health(self, cluster_uuid: str, seconds: int) -> bool:
        """Tell whether the caller is to look at a cluster's health, as nobody else does now.

        :param seconds: for which nobody else shall.
        """
        now, due = int(time.time()), _TABLE.c.health_due
        with self._engine.begin() as connection:
            result = connection.execute(
                sa.update(_TABLE)
                .where(
                    _TABLE.c.cluster_uuid == cluster_uuid,
                    sa.or_(due <= now, due > now + seconds + _CLOCKS_APART),
                )
                .values(health_due=now + seconds)
            )
            # A cluster without a record has nothing that it could be shared out by.
            return result.rowcount == 1 or _select(connection, cluster_uuid) is None

    @_retrying
    def due(self, most: int) -> list[str]:
        """Return the uuids of clusters that somebody is to look at, the longest due first.

        :param most: how many at most.
        """
        due = _TABLE.c.work_due
        with self._engine.connect() as connection:
            rows = connection.execute(
                sa.select(_TABLE.c.cluster_uuid)
                .where(due > 0, due <= int(time.time()))
                .order_by(due, _TABLE.c.cluster_uuid)
                .limit(most)
            )
            return [row.cluster_uuid for row in rows]

    @_retrying
    def postpone(self, cluster_uuid: str, seconds: int) -> bool:
        """Let a cluster that is due be due again so many seconds from now.

        :returns: whether it was due, so that the caller is the one who looks at it now.
        """
        now, due = int(time.time()), _TABLE.c.work_due
        with self._engine.begin() as connection:
            result = connection.execute(
                sa.update(_TABLE)
                .where(_TABLE.c.cluster_uuid == cluster_uuid, due > 0, due <= now)
                .values(work_due=now + seconds)
            )
        return bool(result.rowcount == 1)

    @_retrying
    def known(self, cluster_uuids: list[str]) -> set[str]:
        """Return those of the given uuids that have a record."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                sa.select(_TABLE.c.cluster_uuid).where(_TABLE.c.cluster_uuid.in_(cluster_uuids))
            )
            return {row.cluster_uuid for row in rows}


def _new_owner() -> str:
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4()}"[-255:]


def _changing(statement: Any) -> Callable[[Any], bool]:
    """Return what executes a statement and tells whether it changed one row."""
    return lambda connection: connection.execute(statement).rowcount == 1


def _is_same(found: Record | None, written: Record) -> bool:
    """Tell whether a row that was found is the one that was written."""
    return (
        found is not None
        and (found.generation, found.lease_owner) == (written.generation, written.lease_owner)
        and found.state.to_json() == written.state.to_json()
    )


def _unchanged(record: Record) -> Any:
    return sa.and_(
        _TABLE.c.cluster_uuid == record.cluster_uuid, _TABLE.c.generation == record.generation
    )


def _select(connection: Any, cluster_uuid: str) -> Record | None:
    row = (
        connection.execute(sa.select(_TABLE).where(_TABLE.c.cluster_uuid == cluster_uuid))
        .mappings()
        .first()
    )
    if row is None:
        return None
    return Record(**{**row, "state": State.from_json(row["state"])})
