# SPDX-License-Identifier: Apache-2.0
"""Makes the table, or brings it up to date, when a conductor first needs it.

Several conductors start at once, and MySQL does not undo half a migration, so only one at a time
may change the schema: a named lock of the database keeps the others waiting. SQLite, which only
tests use, has no such lock; there a process-wide one suffices.
"""

import contextlib
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import command, config
from alembic.runtime import migration
from alembic.script import ScriptDirectory

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.db import schema

_LOCK_NAME = "magnum_swarm_mode_schema"
# PostgreSQL names its advisory locks by a number; this one is arbitrary.
_LOCK_NUMBER = 0x5741524D
_LOCK_SECONDS = 120

_process_lock = threading.Lock()
_current: set[str] = set()


def ensure(engine: Any) -> None:
    """Bring the schema behind ``engine`` to this release's version; cheap once it is.

    A newer schema than this release knows is left alone: releases only add to it.

    :raises Unavailable: when another process holds the lock for two minutes.
    """
    url = engine.url.render_as_string(hide_password=True)
    if url in _current and not _in_memory(engine):
        return
    with _process_lock, engine.connect() as connection, _database_lock(connection):
        _upgrade(connection)
        _current.add(url)


def _in_memory(engine: Any) -> bool:
    return engine.dialect.name == "sqlite" and engine.url.database in (None, "", ":memory:")


def _upgrade(connection: Any) -> None:
    options = config.Config()
    options.set_main_option("script_location", str(pathlib.Path(__file__).parent / "alembic"))
    options.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(options)
    context = migration.MigrationContext.configure(
        connection, opts={"version_table": schema.VERSION_TABLE}
    )
    present = context.get_current_revision()
    # Reading began a transaction; alembic wants to begin its own.
    connection.commit()
    known = {revision.revision for revision in scripts.walk_revisions()}
    if present == scripts.get_current_head() or (present is not None and present not in known):
        return
    command.upgrade(options, "head")
    connection.commit()


@contextlib.contextmanager
def _database_lock(connection: Any) -> Iterator[None]:
    take, release = _lock_statements(connection.dialect.name)
    if take is None:
        yield
        return
    taken = connection.execute(take).scalar()
    connection.commit()
    if taken == 0:
        raise exceptions.Unavailable(
            "The database of swarm-mode clusters is being changed by another process; try again "
            "in some minutes.",
            f"lock {_LOCK_NAME} was not free for {_LOCK_SECONDS} s",
        )
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(release)
        connection.commit()


def _lock_statements(dialect: str) -> tuple[Any, Any]:
    if dialect in ("mysql", "mariadb"):
        return (
            sa.text("SELECT GET_LOCK(:name, :seconds)").bindparams(
                name=_LOCK_NAME, seconds=_LOCK_SECONDS
            ),
            sa.text("SELECT RELEASE_LOCK(:name)").bindparams(name=_LOCK_NAME),
        )
    if dialect == "postgresql":
        return (
            sa.text("SELECT pg_advisory_lock(:number)").bindparams(number=_LOCK_NUMBER),
            sa.text("SELECT pg_advisory_unlock(:number)").bindparams(number=_LOCK_NUMBER),
        )
    return None, None
