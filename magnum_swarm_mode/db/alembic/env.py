# SPDX-License-Identifier: Apache-2.0
"""Runs the migrations over the connection that ``migration`` hands over."""

from alembic import context

from magnum_swarm_mode.db import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.METADATA,
    version_table=schema.VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
