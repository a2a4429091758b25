# SPDX-License-Identifier: Apache-2.0
"""Writes Magnum's own rows of clusters and node groups.

Magnum saves without looking, so that a status which a user's delete has just set would be
overwritten by a poll that began earlier. Here a row is changed only where its status is still the
one that was read. What others say is made storable before.
"""

import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import api as oslo_db_api
from oslo_db.sqlalchemy import enginefacade

from magnum_swarm_mode import clocks, text

# Magnum's other columns of text hold so many characters.
_SHORT = 255
_LONG = ("status_reason",)
_DELETING = "DELETE_IN_PROGRESS"
# How long a conductor may take from the end of a deletion to the row.
_END_SECONDS = 120


def write(cluster: Any, changes: Mapping[str, Any]) -> bool:
    """Change columns of a cluster's row, and the object that was read of it.

    :param cluster: as it was read; its status is what the row must still have.
    :returns: whether the row is as wanted; False when its status was changed meanwhile.
    """
    wanted = _different(cluster, changes)
    if not wanted:
        return True
    if not change(cluster.uuid, cluster.status, wanted):
        return False
    remember(cluster, wanted)
    return True


def tell(
    cluster: Any, status: str, reason: str | None, found: Mapping[str, Any] | None = None
) -> bool:
    """Write status and reason, as :func:`write` does.

    :param found: what else the row shall say.
    """
    return write(cluster, {"status": status, "status_reason": reason, **(found or {})})


def write_group(group: Any, changes: Mapping[str, Any]) -> None:
    """Save a node group's row where something of it changes."""
    wanted = _different(group, changes)
    for name, value in wanted.items():
        setattr(group, name, value)
    if wanted:
        group.save()


def remember(cluster: Any, changes: Mapping[str, Any]) -> None:
    """Change an object without having it saved by whoever has it."""
    for name, value in changes.items():
        setattr(cluster, name, value)
    cluster.obj_reset_changes(list(changes))


@oslo_db_api.wrap_db_retry(
    max_retries=5, retry_interval=0.2, inc_retry_interval=True, retry_on_disconnect=True
)
def change(cluster_uuid: str, expected_status: str, changes: Mapping[str, Any]) -> bool:
    """Change columns of a cluster's row, provided that it still has the expected status.

    :returns: whether the row was changed.
    """
    from magnum.db.sqlalchemy import models  # its database layer is not for the API process

    table = models.Cluster.__table__
    with enginefacade.writer.get_engine().begin() as connection:
        result = connection.execute(
            sa.update(table)
            .where(table.c.uuid == cluster_uuid, table.c.status == expected_status)
            .values(**storable(changes))
        )
    # MySQL counts rows that were found unless told otherwise, as SQLAlchemy does tell it.
    return bool(result.rowcount == 1)


def mark_end(cluster_uuid: str) -> None:
    """Note in a row that its conductor is about to have it removed, and says so to others."""
    change(cluster_uuid, _DELETING, {"updated_at": _moment(0)})


@oslo_db_api.wrap_db_retry(
    max_retries=5, retry_interval=0.2, inc_retry_interval=True, retry_on_disconnect=True
)
def take_end(cluster_uuid: str) -> bool:
    """Return whether the caller is to have a row removed, which another conductor has not done.

    Only one caller gets that answer for some minutes, and none while the conductor that has deleted
    the cluster may be about to do it: the one that does sends the notification.
    """
    from magnum.db.sqlalchemy import models  # as above

    table = models.Cluster.__table__
    touched = sa.func.coalesce(table.c.updated_at, table.c.created_at)
    with enginefacade.writer.get_engine().begin() as connection:
        result = connection.execute(
            sa.update(table)
            .where(
                table.c.uuid == cluster_uuid,
                table.c.status == _DELETING,
                sa.or_(
                    touched.is_(None),
                    touched < _moment(-_END_SECONDS),
                    touched > _moment(clocks.APART),
                ),
            )
            .values(updated_at=_moment(0))
        )
    return bool(result.rowcount == 1)


def _moment(seconds: float) -> datetime.datetime:
    """Return the time so many seconds from now as Magnum's columns have it."""
    moment = datetime.datetime.fromtimestamp(clocks.now() + seconds, datetime.UTC)
    return moment.replace(tzinfo=None)


def storable(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes whose texts the columns can hold, also those in lists."""
    return {
        name: _storable(value, text.LONGEST if name in _LONG else _SHORT)
        for name, value in changes.items()
    }


def _storable(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return text.storable(value, longest)
    return [_storable(one, longest) for one in value] if isinstance(value, list) else value


def _different(row: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    wanted = storable(changes)
    return {name: value for name, value in wanted.items() if getattr(row, name) != value}
