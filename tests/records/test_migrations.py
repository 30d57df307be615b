"""Migrations make exactly the tables that the code expects."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from minoots_platform.clock import utc_now
from minoots_platform.records import Database, revision, schema, tenants
from minoots_platform.records.migrate import head, migrate


async def test_a_migrated_database_is_what_the_code_expects(database: Database) -> None:
    def ours(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
        # The search index of SQLite is made by hand, that of Postgres is not known to SQLite.
        return not str(name).startswith(("conversation_words", "ix_conversation_events_words"))

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        return list(compare_metadata(context, schema.metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_needed_revision_is_the_newest_migration(database: Database) -> None:
    assert head() == revision.NEEDED
    async with database.read() as connection:
        assert await revision.current(connection) == revision.NEEDED


async def test_migrating_again_is_harmless(database: Database) -> None:
    await migrate(database)
    await revision.wait_until_current(database)


async def test_records_are_brought_up_from_nothing_and_from_an_older_version(tmp_path: Path) -> None:
    scripts = Config()
    scripts.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))

    def take_back(connection: sa.Connection) -> None:
        scripts.attributes["connection"] = connection
        command.downgrade(scripts, "-1")

    async with Database(f"sqlite:///{tmp_path}/new.db") as database:
        await revision.bring_up(database)
        async with database.write() as connection:
            assert await revision.current(connection) == revision.NEEDED
            await connection.run_sync(take_back)
            assert await revision.current(connection) != revision.NEEDED
        await revision.bring_up(database)
        await revision.wait_until_current(database)


def test_records_that_are_current_are_opened_without_alembic(sqlite_url: str) -> None:
    code = (
        "import asyncio, sys\n"
        "from minoots_platform.records import Database, revision\n"
        "async def main():\n"
        "    async with Database(sys.argv[1]) as database:\n"
        "        await revision.bring_up(database)\n"
        "asyncio.run(main())\n"
        "print('alembic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sqlite_url], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


async def test_two_processes_may_migrate_at_once(postgres_template: str) -> None:
    url = postgres_template.format("postgres")
    async with Database(url) as admin, admin.engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(sa.text("CREATE DATABASE shared"))
    url = postgres_template.format("shared")
    async with Database(url) as one, Database(url) as other:
        await asyncio.gather(migrate(one), migrate(other))
        await revision.wait_until_current(one)


async def test_every_migration_can_be_taken_back_and_made_again(database: Database) -> None:
    scripts = Config()
    scripts.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))

    def take_back(connection: sa.Connection) -> set[str]:
        scripts.attributes["connection"] = connection
        command.downgrade(scripts, "base")
        return set(sa.inspect(connection).get_table_names()) - {"alembic_version"}

    async with database.write() as connection:
        assert await connection.run_sync(take_back) == set()
    await migrate(database)
    async with database.write() as connection:
        await tenants.ensure(connection, "acme", utc_now())
    await test_a_migrated_database_is_what_the_code_expects(database)


async def test_a_migration_that_fails_leaves_nothing_behind(database: Database) -> None:
    """Both databases change tables in the transaction, so a start that was killed can be repeated."""
    scripts = Config()
    scripts.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))

    def take_back_and_die(connection: sa.Connection) -> None:
        scripts.attributes["connection"] = connection
        command.downgrade(scripts, "base")
        raise ConnectionError

    with suppress(ConnectionError):
        async with database.write() as connection:
            await connection.run_sync(take_back_and_die)
    await test_a_migrated_database_is_what_the_code_expects(database)
