# SPDX-License-Identifier: Apache-2.0
"""One SQLite in memory for all simulations: our real table, and Magnum's two, with a history.

The record is read and written as in a service, through SQLAlchemy. Magnum's own rows are what the
driver is given, and not what is tested: their access is written down here again in plain SQL, with
the same semantics as Magnum's, because its own takes most of a simulation's time.
"""

import copy
import datetime
import json
import pickle
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from magnum.common import exception
from magnum.db.sqlalchemy import models
from sqlalchemy import pool

from magnum_swarm_mode.db import migration, schema

_TABLES = (models.Cluster.__table__, models.NodeGroup.__table__)
BYSTANDER = "00000000-0000-4000-8000-000000000000"
_OF_CLUSTER = {"cluster": "uuid", "nodegroup": "cluster_id", schema.CLUSTER.name: "cluster_uuid"}
# Whatever a status was, also one that was overwritten at once.
_HISTORY = """
CREATE TABLE history (number INTEGER PRIMARY KEY, status TEXT, reason TEXT);
CREATE TRIGGER changed AFTER UPDATE OF status, status_reason ON cluster
WHEN OLD.status IS NOT NEW.status OR OLD.status_reason IS NOT NEW.status_reason
BEGIN INSERT INTO history (status, reason) VALUES (NEW.status, NEW.status_reason); END;
"""
# Leases that were taken while another one had not ended.
_SHARED = f"""
CREATE TABLE shared (taken INTEGER, until INTEGER);
CREATE TRIGGER leased AFTER UPDATE OF lease_owner ON {schema.CLUSTER.name}
WHEN OLD.lease_owner <> NEW.lease_owner AND OLD.lease_expires > NEW.updated_at
BEGIN INSERT INTO shared VALUES (NEW.updated_at, OLD.lease_expires); END;
"""


class Database:
    """Magnum's database layer, as far as handlers and periodic tasks use it.

    :ivar boundary: called before each write.
    :ivar live: called before each other statement.
    :ivar now: returns the seconds since 1970.
    """

    def __init__(self) -> None:
        self._raw = sqlite3.connect(":memory:", factory=_Lasting)
        self.engine = sa.create_engine(
            "sqlite://", poolclass=pool.StaticPool, creator=lambda: self._raw
        )
        with self.engine.begin() as connection:
            models.Base.metadata.create_all(connection, tables=list(_TABLES))
        migration.ensure(self.engine)
        self._raw.executescript(_HISTORY + _SHARED)
        sa.event.listen(self.engine, "before_cursor_execute", self._statement)
        self._tables = {table.name: _Table(table) for table in _TABLES}
        # What was read since the last write: most looks change nothing.
        self._read: dict[Any, list[dict[str, Any]]] = {}
        self._record: bytes | None = None
        self.boundary: Callable[[], None] = _nothing
        self.live: Callable[[], None] = _nothing
        self.now: Callable[[], float] = lambda: 0.0

    def empty(self) -> None:
        """Forget everything."""
        self.boundary = self.live = _nothing
        self._read.clear()
        self._record = None
        for table in ("history", "shared", *self._tables, schema.CLUSTER.name):
            self._raw.execute(f"DELETE FROM {table}")
        self._raw.commit()

    def bystander(self) -> list[Any]:
        """Return all that is written of the cluster that no request and no fault concerns."""
        return [
            self._raw.execute(f"SELECT * FROM {table} WHERE {column} = ?", (BYSTANDER,)).fetchall()
            for table, column in _OF_CLUSTER.items()
        ]

    def add_bystander(self, state: str) -> None:
        """Let there be another cluster, which is complete.

        :param state: of its record.
        """
        moment = self._moment()
        rows: dict[str, dict[str, Any]] = {
            "cluster": {"uuid": BYSTANDER, "name": "bystander", "status": "CREATE_COMPLETE"},
            "nodegroup": {
                "uuid": BYSTANDER,
                "cluster_id": BYSTANDER,
                "name": "default-worker",
                "node_count": 2,
                "role": "worker",
                "is_default": 1,
                "status": "CREATE_COMPLETE",
            },
        }
        for table, row in rows.items():
            values = {**row, "created_at": moment, "updated_at": moment}
            self._put(table, values)
        self._put(
            schema.CLUSTER.name,
            {
                "cluster_uuid": BYSTANDER,
                "project_id": "p",
                "state": state,
                "generation": 1,
                "lease_expires": 0,
                "created_at": 0,
                "updated_at": 0,
                "health_due": 0,
                "work_due": 0,
            },
        )
        self._raw.commit()

    def _put(self, table: str, values: Mapping[str, Any]) -> None:
        names, marks = ", ".join(values), ", ".join("?" for _ in values)
        statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        self._raw.execute(statement, list(values.values()))

    def record(self, get: Callable[[], Any]) -> Any:
        """Return a record that is read, from the table only if something was written since.

        Whoever reads gets a record of his own, as from the table.
        """
        self.live()
        if self._record is None:
            self._record = pickle.dumps(get())
        return pickle.loads(self._record)

    def shared(self) -> list[tuple[int, int]]:
        """Return when leases were taken of which another conductor had one until when."""
        return self._raw.execute("SELECT taken, until FROM shared").fetchall()

    def history(self, since: int = 0) -> list[tuple[str, str | None]]:
        """Return statuses and reasons that the cluster's row has had, the latest last."""
        found = self._raw.execute(
            "SELECT status, reason FROM history ORDER BY number LIMIT -1 OFFSET ?", (since,)
        )
        return list(found)

    def _statement(self, _: Any, __: Any, sql: str, *___: Any) -> None:
        if sql.startswith("SELECT"):
            self.live()
        else:
            self.boundary()
            self._read.clear()
            self._record = None

    # What magnum.db.sqlalchemy.api does

    def create_cluster(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Insert a cluster's row."""
        return self._insert("cluster", values)

    def create_nodegroup(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Insert a node group's row."""
        if self._select("nodegroup", cluster_id=values["cluster_id"], name=values["name"]):
            raise exception.NodeGroupAlreadyExists(uuid=values.get("uuid"))
        return self._insert("nodegroup", values)

    def get_cluster_by_uuid(self, _: Any, cluster_uuid: str) -> dict[str, Any]:
        """Return a cluster's row."""
        for row in self._select("cluster", uuid=cluster_uuid):
            return row
        raise exception.ClusterNotFound(cluster=cluster_uuid)

    def get_cluster_list(self, _: Any, filters: Any = None, **__: Any) -> list[dict[str, Any]]:
        """Return clusters' rows, of some statuses."""
        statuses = (filters or {}).get("status")
        rows = [row for row in self._select("cluster") if row["uuid"] != BYSTANDER]
        return [row for row in rows if not statuses or row["status"] in statuses]

    def list_cluster_nodegroups(
        self, _: Any, cluster_id: str, filters: Any = None, **__: Any
    ) -> list[dict[str, Any]]:
        """Return the rows of a cluster's node groups."""
        return self._select("nodegroup", cluster_id=cluster_id, **(filters or {}))

    def get_nodegroup_by_uuid(self, _: Any, __: str, row_uuid: str) -> dict[str, Any]:
        """Return a node group's row."""
        for row in self._select("nodegroup", uuid=row_uuid):
            return row
        raise exception.NodeGroupNotFound(nodegroup=row_uuid)

    def update_cluster(self, row_uuid: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change a cluster's row, whatever it says by now."""
        self._update("cluster", row_uuid, values)
        return self.get_cluster_by_uuid(None, row_uuid)

    def update_nodegroup(self, _: str, row_uuid: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change a node group's row, whatever it says by now."""
        self._update("nodegroup", row_uuid, values)
        return self.get_nodegroup_by_uuid(None, "", row_uuid)

    def destroy_cluster(self, row_uuid: str) -> None:
        """Delete a cluster's row."""
        self.get_cluster_by_uuid(None, row_uuid)
        self._write("DELETE FROM cluster WHERE uuid = ?", [row_uuid])

    def destroy_nodegroup(self, _: str, row_uuid: str) -> None:
        """Delete a node group's row."""
        if not self._select("nodegroup", uuid=row_uuid):
            raise exception.NodeGroupNotFound(nodegroup=row_uuid)
        self._write("DELETE FROM nodegroup WHERE uuid = ?", [row_uuid])

    # SQL

    def _write(self, sql: str, values: list[Any]) -> None:
        self.boundary()
        self._read.clear()
        self._raw.execute(sql, values)
        self._raw.commit()

    def _moment(self) -> str:
        return datetime.datetime.fromtimestamp(self.now(), datetime.UTC).isoformat(" ")[:26]

    def _insert(self, table: str, values: Mapping[str, Any]) -> dict[str, Any]:
        given = {"uuid": str(uuid.uuid4()), **values, "created_at": self._moment()}
        # As SQLAlchemy does, which makes empty JSON of what is not given.
        given = {**dict.fromkeys(self._tables[table].json), **given}
        stored = self._tables[table].stored(given)
        names = ", ".join(stored)
        marks = ", ".join("?" for _ in stored)
        self._write(
            f"INSERT INTO {table} ({names}) VALUES ({marks})",
            list(stored.values()),
        )
        (row,) = self._select(table, uuid=given["uuid"])
        return row

    def _update(self, table: str, row_uuid: str, values: Mapping[str, Any]) -> None:
        stored = self._tables[table].stored({**values, "updated_at": self._moment()})
        names = ", ".join(f"{name} = ?" for name in stored)
        self._write(
            f"UPDATE {table} SET {names} WHERE uuid = ?",
            [*stored.values(), row_uuid],
        )

    def _select(self, table: str, **where: Any) -> list[dict[str, Any]]:
        self.live()
        key = (table, *where.items())
        if key not in self._read:
            names = " AND ".join(f"{name} = ?" for name in where) or "1"
            cursor = self._raw.execute(
                f"SELECT * FROM {table} WHERE {names} ORDER BY id",
                list(where.values()),
            )
            columns = [column[0] for column in cursor.description]
            self._read[key] = [
                self._tables[table].read(dict(zip(columns, row, strict=True))) for row in cursor
            ]
        return [self._tables[table].copied(row) for row in self._read[key]]


class _Lasting(sqlite3.Connection):
    """A connection that stays, also where SQLAlchemy closes it because a conductor died."""

    def close(self) -> None:
        """Forget only what was not committed."""
        self.rollback()


class _Table:
    """How values of a table of Magnum's are stored.

    :ivar json: the columns that hold JSON, and the type of each.
    """

    def __init__(self, table: Any) -> None:
        self.json = {
            column.name: column.type.type
            for column in table.columns
            if isinstance(column.type, models.JsonEncodedType)
        }
        self._moments = ("created_at", "updated_at")

    def stored(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what SQLite is given; JSON that is absent is empty, as Magnum has it."""
        return dict(self._stored(values))

    def _stored(self, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if name in self.json:
                yield name, json.dumps(self.json[name]() if value is None else value)
            elif isinstance(value, datetime.datetime):
                yield name, value.isoformat(" ")[:26]
            else:
                yield name, value

    def read(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what Magnum's objects are made of."""
        for name in self.json:
            if row[name] is not None:
                row[name] = json.loads(row[name])
        for name in self._moments:
            if row[name]:
                row[name] = datetime.datetime.fromisoformat(row[name]).replace(tzinfo=datetime.UTC)
        return row

    def copied(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row of which nothing is shared that could be changed."""
        made = dict(row)
        for name in self.json:
            made[name] = copy.copy(made[name])
        return made


def _nothing() -> None:
    return None
