"""Alembic's environment: always run through `minoots_platform.records.migrate`, inside its transaction."""

from __future__ import annotations

from alembic import context

from minoots_platform.records.schema import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("run migrations with: python -m minoots_platform.records.migrate")

context.configure(
    connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True
)
context.run_migrations()
