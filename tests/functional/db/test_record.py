# SPDX-License-Identifier: Apache-2.0
"""The table's own tests on the databases that Magnum is run with, and what only these can show."""
# A record that is missing fails the test that needs it, as it should.
# mypy: disable-error-code="union-attr"

import concurrent.futures
import dataclasses
import threading
import time
from typing import Any
from unittest import mock

import fixtures
import sqlalchemy as sa
from magnum.db.sqlalchemy import models

from magnum_swarm_mode import clocks, text
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.db import clock, migration, schema
from magnum_swarm_mode.db.store import Conflict, Store
from magnum_swarm_mode.decisions.model import Plan
from magnum_swarm_mode.decisions.record import Kind
from tests.functional.db import servers
from tests.unit.db import test_store as record

_TIME = time.time
_SERVER_TIME = clock._SERVER_TIME
_EMOJI = "a node called \N{WHALE}"


class _OnServer:
    """Lets the tests of a class run on a server of their own, with an empty table each.

    :ivar is_fresh: whether each test has a database of its own, in which there is no table yet.
    """

    server: servers.Server
    kind: type[servers.Server]
    is_fresh = False

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()  # type: ignore[misc]
        cls.server = cls.kind()
        cls.addClassCleanup(cls.server.cleanUp)  # type: ignore[attr-defined]
        cls.server.setUp()
        cls._database = cls.server.new_database()

    _database: str

    def setUp(self) -> None:
        # The time is what a test says, and not what the server says.
        patch: Any = mock.patch.object(clock, "_SERVER_TIME", {})
        patch.start()
        self.addCleanup(patch.stop)  # type: ignore[attr-defined]
        if self.is_fresh:
            self._database = self.server.new_database()
        else:
            engine = self.server.engine(self._database)
            migration.ensure(engine)
            with engine.begin() as connection:
                connection.execute(sa.delete(schema.CLUSTER))
            engine.dispose()
        super().setUp()  # type: ignore[misc]

    def new_engine(self) -> Any:
        engine = self.server.engine(self._database)
        self.addCleanup(engine.dispose)  # type: ignore[attr-defined]
        return engine


class _Both(record.StoreCase):
    """What SQLite cannot show."""

    def test_long(self) -> None:
        """A state of more than 64 KiB is read as it was written."""
        state = dataclasses.replace(record.STATE, plan=Plan(notes=["n" * 70_000]))

        written = self.store.write(self.insert(), state)

        self.assertEqual(written, self.store.get(record.UUID))

    def test_emoji(self) -> None:
        """A state with a character beyond the basic plane is read as it was written."""
        state = dataclasses.replace(record.STATE, plan=Plan(notes=[_EMOJI]))

        written = self.store.write(self.insert(), state)

        self.assertEqual(written, self.store.get(record.UUID))

    def test_two_writers(self) -> None:
        """Of two that write the same record at once, one does, and the other is told so."""
        ready = threading.Barrier(2)
        seen = self.insert()

        def write(name: str) -> bool:
            store = Store(self.new_engine())
            store.get(record.UUID)
            ready.wait(30)
            try:
                store.write(seen, record.STATE.owning(Kind.STACK, id=name))
            except Conflict:
                return False
            return True

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            outcomes = dict(zip("ab", pool.map(write, "ab"), strict=True))

        self.assertEqual([False, True], sorted(outcomes.values()))
        (winner,) = [name for name, wrote in outcomes.items() if wrote]
        self.assertEqual(winner, self.store.get(record.UUID).state.stack.id)
        self.assertEqual(2, self.store.get(record.UUID).generation)

    def test_amend_at_once(self) -> None:
        """Of four that amend a record at once, none is overwritten."""
        self.insert()

        def amend(name: str) -> None:
            Store(self.new_engine()).amend(
                record.UUID,
                lambda state: state.owning(Kind.CERTIFICATE, name, since=1),
                attempts=50,
            )

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(amend, "abcd"))

        made = self.store.get(record.UUID).state.things(Kind.CERTIFICATE)
        self.assertEqual(set("abcd"), {one.key for one in made})

    def test_rows(self) -> None:
        """What a node says, whatever it says, can be a reason in Magnum's row."""
        models.Base.metadata.create_all(self.engine, tables=[models.Cluster.__table__])
        self.addCleanup(models.Base.metadata.drop_all, self.engine, [models.Cluster.__table__])
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.conductor.rows.enginefacade.writer", self)
        )
        table = models.Cluster.__table__
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(table).values(uuid=record.UUID, status="UPDATE_IN_PROGRESS")
            )

        for said in (_EMOJI, "n" * 70_000, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 40_000, "a\0b"):
            changes = {"status": "UPDATE_FAILED", "status_reason": said}
            self.assertTrue(rows.change(record.UUID, "UPDATE_IN_PROGRESS", changes))
            with self.engine.begin() as connection:
                found = connection.execute(sa.select(table.c.status_reason)).scalar()
                connection.execute(sa.update(table).values(status="UPDATE_IN_PROGRESS"))
            self.assertEqual(text.storable(said, text.LONGEST), found)

    def get_engine(self) -> Any:
        """Be Magnum's own access to its database."""
        return self.engine


class _Migration(record.MigrationTest):
    def test_tables(self) -> None:
        """The migrations make the columns that the code expects, and touch no other table."""
        engine = self.new_engine()
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))

        migration.ensure(engine)

        inspector = sa.inspect(engine)
        self.assertEqual(
            {"alembic_version", "swarm_mode_alembic_version", "swarm_mode_cluster"},
            set(inspector.get_table_names()),
        )
        declared = {
            column.name: (column.type.compile(engine.dialect), column.nullable)
            for column in schema.CLUSTER.columns
        }
        made = {
            one["name"]: (one["type"].compile(engine.dialect).partition(" CHA")[0], one["nullable"])
            for one in inspector.get_columns("swarm_mode_cluster")
        }
        # MariaDB says how wide it shows a number, which says nothing of the number.
        made = {name: (kind.partition("(20)")[0], null) for name, (kind, null) in made.items()}
        self.assertEqual(declared, made)


class _Clock(record.StoreCase):
    """A conductor whose own clock is an hour off, on a server whose clock is right."""

    HOUR = 3600

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.clocks._reading", None))
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.db.clock._SERVER_TIME", _SERVER_TIME)
        )
        self.log = self.useFixture(fixtures.FakeLogger())

    def _off(self, seconds: int) -> None:
        """Let the conductor's own clock be off by so many seconds."""
        self.useFixture(fixtures.MonkeyPatch("time.time", lambda: _TIME() + seconds))

    def _assert_right(self, moment: float) -> None:
        self.assertAlmostEqual(_TIME(), moment, delta=5)

    def test_ahead(self) -> None:
        """A conductor whose clock is ahead takes no lease that has not ended."""
        self._off(0)
        holder = self.store.insert(record.UUID, "project", record.STATE, lease=60)
        self._off(self.HOUR)

        self.assertIsNone(Store(self.new_engine()).lease(record.UUID, 60))

        self._assert_right(clocks.now())
        self.assertIn("ahead of that of the database", self.log.output)
        self.store.release(holder)
        taken = self.store.lease(record.UUID, 60)
        self._assert_right(taken.lease_expires - 60)
        self._assert_right(taken.updated_at)

    def test_behind(self) -> None:
        """A conductor whose clock is behind writes times that others have as well."""
        self._off(-self.HOUR)

        made = self.store.insert(record.UUID, "project", record.STATE, lease=60)

        self._assert_right(made.created_at)
        self._assert_right(made.lease_expires - 60)
        self.assertIn("behind that of the database", self.log.output)

    def test_zones(self) -> None:
        """The time zone of a session changes nothing."""
        self._off(0)
        with self.engine.begin() as connection:
            connection.execute(sa.text(self.server.far_zone))  # type: ignore[attr-defined]
        self.engine.dispose()

        self.store.insert(record.UUID, "project", record.STATE)

        self._assert_right(clocks.now())


class MariaDBStoreTest(_OnServer, _Both, record.StoreTest):
    kind = servers.MariaDB


class MariaDBLostAnswerTest(_OnServer, record.LostAnswerTest):
    kind = servers.MariaDB


class MariaDBLeaseTest(_OnServer, record.LeaseTest):
    kind = servers.MariaDB


class MariaDBMigrationTest(_OnServer, _Migration):
    kind = servers.MariaDB
    is_fresh = True


class MariaDBClockTest(_OnServer, _Clock):
    kind = servers.MariaDB


class PostgreSQLStoreTest(_OnServer, _Both, record.StoreTest):
    kind = servers.PostgreSQL


class PostgreSQLLostAnswerTest(_OnServer, record.LostAnswerTest):
    kind = servers.PostgreSQL


class PostgreSQLLeaseTest(_OnServer, record.LeaseTest):
    kind = servers.PostgreSQL


class PostgreSQLClockTest(_OnServer, _Clock):
    kind = servers.PostgreSQL


class PostgreSQLMigrationTest(_OnServer, _Migration):
    kind = servers.PostgreSQL
    is_fresh = True


# The bases are no tests by themselves.
del _Both, _Clock, _Migration
