# SPDX-License-Identifier: Apache-2.0
"""When the health of each cluster is to be looked at again, so that conductors share them out."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column, unless an interrupted migration has added it already."""
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(_TABLE)}
    if "health_due" not in columns:
        op.add_column(
            _TABLE,
            sa.Column("health_due", sa.BigInteger(), nullable=False, server_default="0"),
        )


_TABLE = "swarm_mode_cluster"
