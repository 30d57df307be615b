"""Migrations make exactly the tables that the code expects."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from minoots_platform.records import Database, revision, schema
from minoots_platform.records.migrate import head, migrate


async def test_a_migrated_database_is_what_the_code_expects(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_needed_revision_is_the_newest_migration(database: Database) -> None:
    assert head() == revision.NEEDED
    async with database.read() as connection:
        assert await revision.current(connection) == revision.NEEDED


async def test_migrating_again_is_harmless(database: Database) -> None:
    await migrate(database)
    await revision.wait_until_current(database)


async def test_two_processes_may_migrate_at_once(postgres_template: str) -> None:
    url = postgres_template.format("postgres")
    async with Database(url) as admin, admin.engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(sa.text("CREATE DATABASE shared"))
    url = postgres_template.format("shared")
    async with Database(url) as one, Database(url) as other:
        await asyncio.gather(migrate(one), migrate(other))
        await revision.wait_until_current(one)
