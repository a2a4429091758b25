# SPDX-License-Identifier: Apache-2.0
"""Reads the clock of Magnum's database, which all conductors share."""

from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from magnum_swarm_mode import clocks, log

LOG = log.of(__name__)

# Seconds since 1970, which no time zone of the server or of the session changes.
_SERVER_TIME = {
    "mysql": "SELECT UNIX_TIMESTAMP()",
    "mariadb": "SELECT UNIX_TIMESTAMP()",
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
}
# From so many seconds on the operator reads of a clock that is wrong.
_WRONG_SECONDS = 10


def read(engine: Any) -> None:
    """Read the clock of the server behind ``engine`` again if it is time to."""
    question = _SERVER_TIME.get(engine.dialect.name)
    if question is None or not clocks.is_to_be_read():
        return
    try:
        with engine.connect() as connection:
            ahead = clocks.read(float(connection.execute(sa.text(question)).scalar()))
    except (sa.exc.SQLAlchemyError, db_exception.DBError) as error:
        # What needs the database is tried again; the time goes on by the last reading.
        LOG.warning("The clock of the database cannot be read: %s", type(error).__name__)
        return
    if abs(ahead) > _WRONG_SECONDS:
        LOG.warning(
            "The clock of this host is %d seconds %s that of the database. Clusters are not "
            "affected, for their times are taken from the database; set the clock all the same.",
            abs(ahead),
            "ahead of" if ahead > 0 else "behind",
        )
