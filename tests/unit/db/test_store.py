# SPDX-License-Identifier: Apache-2.0
# A record that is missing fails the test that needs it, as it should.
# mypy: disable-error-code="union-attr,arg-type,method-assign"
import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import time

import fixtures
import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslotest import base

from magnum_swarm_mode.conductor import lease
from magnum_swarm_mode.db import migration, schema
from magnum_swarm_mode.db import store as record_store
from magnum_swarm_mode.db.store import Conflict, Store
from magnum_swarm_mode.decisions.record import Kind, Phase, State, new

UUID = "067d30c0-abc7-46d2-8709-c616e77742a4"
STATE = new(Phase.PREPARING, "owner", "swarm-mode-1")


class StateTest(base.BaseTestCase):
    def test_round_trip(self):
        """What is written is read back."""
        state = STATE.owning(Kind.STACK, id="stack").entering(Phase.CREATED)

        self.assertEqual(state, State.from_json(state.to_json()))

    def test_newer_release(self):
        """What a newer release wrote beside survives an older one's write."""
        text = json.dumps({**json.loads(STATE.to_json()), "wanted_workers": 5})

        state = State.from_json(text).entering(Phase.CREATED)

        self.assertEqual(5, json.loads(state.to_json())["wanted_workers"])

    def test_entering(self):
        """Entering a phase notes when."""
        self.useFixture(fixtures.MonkeyPatch("time.time", lambda: 1234.5))

        state = STATE.entering(Phase.CREATED, complete_since=5)

        self.assertEqual(
            (Phase.CREATED, 1234, 5), (state.phase, state.phase_since, state.complete_since)
        )


class StoreCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "magnum.sqlite"
        self.engine = self.new_engine()
        self.store = Store(self.engine)
        self.now = 1_000_000.0
        self.useFixture(fixtures.MonkeyPatch("time.time", lambda: self.now))

    def new_engine(self):
        engine = sa.create_engine(f"sqlite:///{self.path}", connect_args={"timeout": 30})
        self.addCleanup(engine.dispose)
        return engine

    def insert(self, lease=0):
        return self.store.insert(UUID, "project", STATE, lease)

    def lease(self):
        record = self.store.lease(UUID, 60)
        assert record is not None
        return record


class StoreTest(StoreCase):
    def test_absent(self):
        """A cluster that is not known has no record."""
        self.assertIsNone(self.store.get(UUID))

    def test_insert(self):
        """A record is read as it was inserted."""
        record = self.insert()

        self.assertEqual(record, self.store.get(UUID))
        self.assertEqual((STATE, 1), (record.state, record.generation))

    def test_insert_twice(self):
        """Of two conductors that begin with a cluster one is told so."""
        self.insert()

        self.assertRaises(Conflict, self.insert)

    def test_write(self):
        """A write raises the generation."""
        written = self.store.write(self.insert(), STATE.entering(Phase.CREATED))

        self.assertEqual(written, self.store.get(UUID))
        self.assertEqual((Phase.CREATED, 2), (written.state.phase, written.generation))

    def test_outdated_write(self):
        """Who read the record before another wrote it changes nothing."""
        record = self.insert()
        current = self.store.write(record, STATE.entering(Phase.DELETING))

        self.assertRaises(Conflict, self.store.write, record, STATE.entering(Phase.CREATED))

        self.assertEqual(current, self.store.get(UUID))

    def test_delete(self):
        """A deleted record is gone, and cannot be written or deleted again."""
        record = self.insert()

        self.store.delete(record)

        self.assertIsNone(self.store.get(UUID))
        self.assertRaises(Conflict, self.store.write, record, STATE)
        self.assertRaises(Conflict, self.store.delete, record)

    def test_outdated_delete(self):
        """Who read the record before another wrote it does not delete it."""
        record = self.insert()
        self.store.write(record, STATE)

        self.assertRaises(Conflict, self.store.delete, record)

    def test_lease(self):
        """While one has the lease, nobody gets it; after its end or release somebody does."""
        self.insert()
        first = self.lease()

        self.assertIsNone(self.store.lease(UUID, 60))
        self.now += 60
        second = self.lease()
        self.store.release(second)
        self.assertIsNotNone(self.store.lease(UUID, 60))
        self.assertNotEqual(first.lease_owner, second.lease_owner)

    def test_lost_lease(self):
        """Who lost the lease to another changes nothing any more."""
        self.insert()
        lost = self.lease()
        self.now += 61
        current = self.lease()

        self.assertRaises(Conflict, self.store.write, lost, STATE)
        self.assertRaises(Conflict, self.store.delete, lost)
        self.store.release(lost)

        self.assertEqual(current, self.store.get(UUID))

    def test_insert_with_lease(self):
        """Who creates a record has it to himself from the start."""
        self.insert(lease=60)

        self.assertIsNone(self.store.lease(UUID, 60))

    def test_lease_without_record(self):
        """There is no lease on what is not there."""
        self.assertIsNone(self.store.lease(UUID, 60))

    def test_known(self):
        """Of some uuids those are returned that have a record."""
        self.insert()

        self.assertEqual({UUID}, self.store.known([UUID, "other"]))
        self.assertEqual(set(), self.store.known([]))

    def test_one_of_many(self):
        """Of ten that take the lease at once one gets it."""
        self.insert()
        stores = [Store(self.new_engine()) for _ in range(10)]

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            leases = list(pool.map(lambda store: store.lease(UUID, 60), stores))

        self.assertEqual(1, sum(lease is not None for lease in leases))

    def test_amend(self):
        """An amendment is made of the record as it is by then, though another wrote meanwhile."""
        self.insert()
        others = iter([None])

        def change(state):
            for _ in others:
                record = self.store.get(UUID)
                self.store.write(record, record.state.owning(Kind.STACK, id="stack"))
            return state.owning(Kind.TRUST, "0", id="trust")

        record = self.store.amend(UUID, change)

        self.assertEqual(record, self.store.get(UUID))
        self.assertEqual(("stack", "trust"), (record.state.stack.id, record.state.trust_id))

    def test_amend_nothing(self):
        """An amendment that changes nothing writes nothing."""
        record = self.insert()

        self.assertEqual(record, self.store.amend(UUID, lambda state: state))

        self.assertEqual(1, self.store.get(UUID).generation)

    def test_amend_without_record(self):
        """There is nothing to be amended of what is not there."""
        self.assertIsNone(self.store.amend(UUID, lambda state: state))

    def test_amend_in_vain(self):
        """Who is never quick enough to amend a record is told so."""
        self.insert()

        def change(state):
            record = self.store.get(UUID)
            self.store.write(record, dataclasses.replace(record.state, grant=state.grant + 1))
            return state.owning(Kind.TRUST, "0", id="trust")

        self.assertRaises(Conflict, self.store.amend, UUID, change, attempts=3)

        self.assertEqual(3, self.store.get(UUID).state.grant)

    def test_lease_of_a_clock_ahead(self):
        """A lease that ends later than any can counts as over."""
        self.insert()
        self.now += 86400
        self.lease()
        self.now -= 86400

        self.assertIsNotNone(self.store.lease(UUID, 60))

    def test_lease_of_a_clock_a_little_ahead(self):
        """A lease of a clock that is two minutes ahead holds."""
        self.insert()
        self.now += 120
        self.store.lease(UUID, record_store.LONGEST_LEASE)
        self.now -= 120

        self.assertIsNone(self.store.lease(UUID, 60))

    def test_record_of_a_clock_ahead(self):
        """Who takes a lease finds no time in the future at which something began."""
        self.now += 10 * 3600
        self.store.insert(UUID, "project", STATE.entering(Phase.SUBMITTING))
        self.now -= 10 * 3600

        record = self.store.lease(UUID, 60)

        self.assertEqual(int(self.now), record.state.phase_since)
        self.assertEqual(record, self.store.get(UUID))

    def test_due_of_a_clock_ahead(self):
        """What is due later than it can be is due now, and once."""
        self.now += 10 * 3600
        self.store.insert(UUID, "project", STATE.entering(Phase.DELETING))
        self.now -= 10 * 3600

        self.assertEqual({UUID: int(self.now)}, self.store.due(5))

        self.assertTrue(self.store.postpone(UUID, 60))
        self.assertFalse(self.store.postpone(UUID, 60))
        self.assertEqual({}, self.store.due(5))

    def test_last_look_of_a_clock_ahead(self):
        """When a conductor looked whose clock is ahead is not known."""
        self.store.insert(UUID, "project", STATE)
        self.now -= 10 * 3600
        self.store.claim_health(UUID, 60)

        self.assertEqual(0, self.store.last_look(UUID, health=False))
        self.assertEqual(int(self.now) + 60, self.store.last_look(UUID, health=True))
        self.now -= 10 * 3600
        self.assertEqual(0, self.store.last_look(UUID, health=True))

    def test_health_of_a_clock_ahead(self):
        """A look at health that is due later than the interval allows is due now."""
        self.insert()
        self.now += 86400
        self.assertTrue(self.store.claim_health(UUID, 45))
        self.now -= 86400

        self.assertTrue(self.store.claim_health(UUID, 45))
        self.assertFalse(self.store.claim_health(UUID, 45))

    def test_renew(self):
        """A renewed lease ends later, and its holder can write as before."""
        self.insert()
        record = self.lease()
        self.now += 50

        self.assertTrue(self.store.renew(record, 60))

        self.now += 50
        self.assertIsNone(self.store.lease(UUID, 60))
        self.store.write(record, STATE.entering(Phase.CREATED))

    def test_renew_lost(self):
        """A lease that was lost to another is not renewed."""
        self.insert()
        lost = self.lease()
        self.now += 61
        current = self.lease()

        self.assertFalse(self.store.renew(lost, 600))

        self.assertEqual(current, self.store.get(UUID))

    def test_no_secret(self):
        """Nothing in a record is a secret."""
        fields = {field.name for field in dataclasses.fields(State)}

        self.assertFalse([name for name in fields if "secret" in name or "password" in name])


class Forgetful:
    """An engine that loses the acknowledgement of one COMMIT."""

    def __init__(self, engine, happening=lambda: None):
        self._engine, self._happening, self.lost = engine, happening, False

    def __getattr__(self, name):
        return getattr(self._engine, name)

    @contextlib.contextmanager
    def begin(self):
        with self._engine.begin() as connection:
            yield connection
        if not self.lost:
            self.lost = True
            self._happening()
            raise db_exception.DBConnectionError


class LostAnswerTest(StoreCase):
    def forgetful(self, happening=lambda: None):
        return Store(Forgetful(self.engine, happening))

    def test_write(self):
        """A write whose acknowledgement was lost is one's own."""
        record = self.insert(lease=60)

        written = self.forgetful().write(record, STATE.entering(Phase.CREATED))

        self.assertEqual(written, self.store.get(UUID))
        self.assertEqual(2, written.generation)

    def test_overtaken_write(self):
        """A write whose acknowledgement was lost, and that another has replaced, is a conflict."""
        record = self.insert(lease=60)

        def happening():
            self.store.write(self.store.get(UUID), STATE.entering(Phase.DELETING))

        store = self.forgetful(happening)

        self.assertRaises(Conflict, store.write, record, STATE.entering(Phase.CREATED))

    def test_insert(self):
        """An insert whose acknowledgement was lost is one's own."""
        record = self.forgetful().insert(UUID, "project", STATE, 60)

        self.assertEqual(record, self.store.get(UUID))

    def test_lease(self):
        """A lease whose acknowledgement was lost is had."""
        self.insert()

        record = self.forgetful().lease(UUID, 60)

        self.assertEqual(record, self.store.get(UUID))
        self.assertIsNotNone(record)

    def test_delete(self):
        """A deletion whose acknowledgement was lost is done."""
        record = self.insert()

        self.forgetful().delete(record)

        self.assertIsNone(self.store.get(UUID))


class LeaseTest(StoreCase):
    def test_held(self):
        """A lease is held while the block runs, and free afterwards."""
        self.insert()

        with lease.held(self.store, UUID, "test") as record:
            self.assertIsNone(self.store.lease(UUID, 60))
            self.store.write(record, STATE.entering(Phase.CREATED))

        self.assertIsNotNone(self.store.lease(UUID, 60))

    def test_taken(self):
        """Where somebody else has the lease, the block runs without a record."""
        self.insert(lease=60)

        with lease.held(self.store, UUID, "test") as record:
            self.assertIsNone(record)

        self.assertIsNone(self.store.lease(UUID, 60))

    def test_failed(self):
        """A block that fails leaves the lease free."""
        self.insert()

        with contextlib.suppress(ValueError), lease.held(self.store, UUID, "test"):
            raise ValueError

        self.assertIsNotNone(self.store.lease(UUID, 60))

    def expires(self):
        return self.store.get(UUID).lease_expires

    def wait_for(self, expected):
        end = time.monotonic() + 10
        while self.expires() != expected and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual(expected, self.expires())

    def test_renewed(self):
        """A lease is renewed for as long as the block runs."""
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.conductor.lease._INTERVAL", 0.01))
        self.insert()

        with lease.held(self.store, UUID, "test"):
            self.now += 50
            self.wait_for(int(self.now) + lease.LEASE_SECONDS)

    def test_hung(self):
        """The lease of a block that does not end is not renewed any more after some time."""
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.conductor.lease._INTERVAL", 0.01))
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.conductor.lease.MOST_SECONDS", 0))
        self.insert()

        with lease.held(self.store, UUID, "test"):
            self.now += 61
            time.sleep(0.1)
            self.assertIsNotNone(self.store.lease(UUID, 60))


class MigrationTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "magnum.sqlite"

    def new_engine(self):
        engine = sa.create_engine(f"sqlite:///{self.path}", connect_args={"timeout": 30})
        self.addCleanup(engine.dispose)
        return engine

    def test_tables(self):
        """The migrations make what the code expects, and touch no other table."""
        engine = self.new_engine()
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
            connection.execute(sa.text("INSERT INTO alembic_version VALUES ('magnum')"))

        migration.ensure(engine)

        inspector = sa.inspect(engine)
        self.assertEqual(
            {"alembic_version", "swarm_mode_alembic_version", "swarm_mode_cluster"},
            set(inspector.get_table_names()),
        )
        made = {(c["name"], str(c["type"])) for c in inspector.get_columns("swarm_mode_cluster")}
        declared = {
            (column.name, str(column.type.compile(engine.dialect)))
            for column in schema.CLUSTER.columns
        }
        self.assertEqual(declared, made)
        with engine.connect() as connection:
            version = connection.execute(sa.text("SELECT * FROM alembic_version")).scalar()
        self.assertEqual("magnum", version)

    def test_twice(self):
        """Doing it again changes nothing."""
        engine = self.new_engine()
        migration.ensure(engine)
        record = Store(engine).insert(UUID, "project", STATE)
        migration._current.clear()

        migration.ensure(engine)

        self.assertEqual(record, Store(engine).get(UUID))

    def test_at_once(self):
        """Conductors that start at the same time do not trip over each other."""
        engines = [self.new_engine() for _ in range(8)]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(migration.ensure, engines))

        self.assertIsNone(Store(engines[0]).get(UUID))

    def test_half_done(self):
        """A table that a conductor made before it died, without a version, is kept."""
        engine = self.new_engine()
        schema.METADATA.create_all(engine)

        migration.ensure(engine)

        self.assertIsNone(Store(engine).get(UUID))

    def test_newer_schema(self):
        """A schema of a newer release is left alone."""
        engine = self.new_engine()
        migration.ensure(engine)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE swarm_mode_alembic_version SET version_num='9999'"))
        migration._current.clear()

        migration.ensure(engine)

        with engine.connect() as connection:
            statement = sa.text("SELECT version_num FROM swarm_mode_alembic_version")
            self.assertEqual("9999", connection.execute(statement).scalar())

    def test_conflict_is_temporary(self):
        """A conflict says that trying again may help."""
        self.assertIn("try again in a minute", str(record_store.Conflict(UUID)))
