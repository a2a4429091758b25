# SPDX-License-Identifier: Apache-2.0
"""Which clusters somebody is to look at, whatever status Magnum's rows have."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TABLE = "swarm_mode_cluster"
_INDEX = "ix_swarm_mode_cluster_work_due"


def upgrade() -> None:
    """Add column and index, unless an interrupted migration has added them already."""
    inspector = sa.inspect(op.get_bind())
    if "work_due" not in {column["name"] for column in inspector.get_columns(_TABLE)}:
        op.add_column(
            _TABLE,
            sa.Column("work_due", sa.BigInteger(), nullable=False, server_default="0"),
        )
    if _INDEX not in {index["name"] for index in inspector.get_indexes(_TABLE)}:
        op.create_index(_INDEX, _TABLE, ["work_due"])
