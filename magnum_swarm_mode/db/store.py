# SPDX-License-Identifier: Apache-2.0
"""What this driver remembers of each cluster, beside Magnum's own row.

A record is written before that which it names is made, so that whoever comes after a conductor
that died knows what to look for. Every write is a compare-and-swap on ``generation``: who acts on
an outdated record changes nothing. A lease tells other conductors that somebody is at work on the
cluster; taking one raises the generation, which shuts out whoever held it before.
"""

import contextlib
import dataclasses
import os
import socket
import uuid
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import enginefacade

from magnum_swarm_mode import clocks, exceptions
from magnum_swarm_mode.db import clock, migration, schema
from magnum_swarm_mode.decisions.record import Phase, State

_TABLE = schema.CLUSTER
_ONE = sa.select(_TABLE).where(_TABLE.c.cluster_uuid == sa.bindparam("uuid"))
# The longest lease that anybody takes at once, in seconds; renewed while somebody is at work.
LONGEST_LEASE = 600
# How long after it is written ``work_due`` is at most.
_MOST_DUE = 600


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
        clock.read(engine)
        return engine

    def _now(self) -> int:
        """Return the seconds since 1970 by the database's clock."""
        _ = self._engine  # which has the clock read when it is time to
        return int(clocks.now())

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
        now = self._now()
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
            updated_at=self._now(),
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

        :returns: the record under the new lease; None when there is no record or it is taken, or
            when only a newer release knows its phase.
        """
        # What cannot be read is left untouched to whoever can, who sees when it was changed last.
        found = self.get(cluster_uuid)
        if found is None or not isinstance(found.state.phase, Phase):
            return None
        now = self._now()
        owner = _new_owner()
        expires = _TABLE.c.lease_expires
        statement = (
            sa.update(_TABLE)
            .where(
                _TABLE.c.cluster_uuid == cluster_uuid,
                sa.or_(expires <= now, _is_ahead(expires, now, LONGEST_LEASE)),
            )
            .values(
                lease_owner=owner,
                lease_expires=now + min(seconds, LONGEST_LEASE),
                updated_at=now,
                generation=_TABLE.c.generation + 1,
            )
        )
        self._once(_changing(statement), lambda _: False, cluster_uuid)
        record = self.get(cluster_uuid)
        # The answer of the database may have been lost; the owner's name is unique.
        if record is None or record.lease_owner != owner:
            return None
        state = record.state.on_time(now)
        if state == record.state:
            return record
        try:
            return self.write(record, state)
        except Conflict:
            self.release(record)
            return None

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
                .values(lease_expires=self._now() + min(seconds, LONGEST_LEASE))
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
        """Return whether the caller is to look at a cluster's health, as nobody else does now.

        :param seconds: for which nobody else shall.
        """
        now, due = self._now(), _TABLE.c.health_due
        with self._engine.begin() as connection:
            result = connection.execute(
                sa.update(_TABLE)
                .where(
                    _TABLE.c.cluster_uuid == cluster_uuid,
                    sa.or_(due <= now, _is_ahead(due, now, seconds)),
                )
                .values(health_due=now + seconds)
            )
            # A cluster without a record has nothing that it could be shared out by.
            return result.rowcount == 1 or _select(connection, cluster_uuid) is None

    @_retrying
    def last_look(
        self, cluster_uuid: str, *, health: bool, seconds: int = LONGEST_LEASE
    ) -> int | None:
        """Return when a cluster was looked at, or is being; None where there is no record.

        It reads nothing of the state, which is perhaps no conductor's of this release.

        :param health: whether at its health, and then when the next look is due, rather than at an
            operation.
        :param seconds: how long after a look at the health the next one is due at most.
        """
        columns = _TABLE.c
        # Whoever holds a lease is at work, however long ago it was taken.
        most = (
            {columns.health_due: seconds}
            if health
            else {columns.updated_at: 0, columns.lease_expires: LONGEST_LEASE}
        )
        with self._engine.connect() as connection:
            row = connection.execute(
                sa.select(*most).where(columns.cluster_uuid == cluster_uuid)
            ).first()
        if row is None:
            return None
        now = self._now()
        # A time of a clock that was ahead says nothing.
        times = zip(row, most.values(), strict=True)
        return max((one for one, most in times if not clocks.is_ahead(one, now, most)), default=0)

    @_retrying
    def due(self, most: int) -> dict[str, int]:
        """Return clusters that somebody is to look at, the longest due first.

        :param most: how many at most.
        :returns: uuid to when each was due, in seconds since 1970.
        """
        now, due = self._now(), _TABLE.c.work_due
        with self._engine.connect() as connection:
            rows = connection.execute(
                sa.select(_TABLE.c.cluster_uuid, due)
                .where(due > 0, _is_due(due, now))
                .order_by(due, _TABLE.c.cluster_uuid)
                .limit(most)
            )
            return {row.cluster_uuid: min(row.work_due, now) for row in rows}

    @_retrying
    def postpone(self, cluster_uuid: str, seconds: int) -> bool:
        """Let a cluster that is due be due again so many seconds from now.

        :returns: whether it was due, so that the caller is the one who looks at it now.
        """
        now, due = self._now(), _TABLE.c.work_due
        with self._engine.begin() as connection:
            result = connection.execute(
                sa.update(_TABLE)
                .where(_TABLE.c.cluster_uuid == cluster_uuid, due > 0, _is_due(due, now))
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


def _is_due(due: Any, now: int) -> Any:
    return sa.or_(due <= now, _is_ahead(due, now, _MOST_DUE))


def _is_ahead(moment: Any, now: int, allowance: int) -> Any:
    """Return :func:`.clocks.is_ahead` for a column."""
    return clocks.is_ahead(moment, now, allowance)


def _new_owner() -> str:
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4()}"[-255:]


def _changing(statement: Any) -> Callable[[Any], bool]:
    """Return what executes a statement and tells whether it changed one row."""
    return lambda connection: connection.execute(statement).rowcount == 1


def _is_same(found: Record | None, written: Record) -> bool:
    """Return whether a row that was found is the one that was written."""
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
    row = connection.execute(_ONE, {"uuid": cluster_uuid}).mappings().first()
    if row is None:
        return None
    return Record(**{**row, "state": State.from_json(row["state"])})
