# SPDX-License-Identifier: Apache-2.0
"""The table, apart from Magnum's own metadata so that neither's migrations see the other's."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

METADATA = sa.MetaData()

# Where alembic keeps the version of this schema; Magnum's own is in ``alembic_version``.
VERSION_TABLE = "swarm_mode_alembic_version"

# MySQL's TEXT ends at 64 KiB, which the names of a thousand nodes could fill.
LARGE_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

CLUSTER = sa.Table(
    "swarm_mode_cluster",
    METADATA,
    sa.Column("cluster_uuid", sa.String(36), primary_key=True),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("state", LARGE_TEXT, nullable=False),
    sa.Column("generation", sa.BigInteger(), nullable=False),
    sa.Column("lease_owner", sa.String(255), nullable=True),
    # Seconds since 1970, UTC.
    sa.Column("lease_expires", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.Column("updated_at", sa.BigInteger(), nullable=False),
    # Seconds since 1970 before which no conductor needs to look at the cluster's health.
    sa.Column("health_due", sa.BigInteger(), nullable=False, server_default="0"),
    # Seconds since 1970 after which a conductor is to look at the cluster, whatever status Magnum's
    # row has; 0 where there is nothing to be done.
    sa.Column("work_due", sa.BigInteger(), nullable=False, server_default="0", index=True),
)
