"""Databases for tests on one Postgres server: made from a template once, emptied and used again."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import sqlalchemy as sa

from minoots_platform.records import Database

_LARGEST = 8 << 20
"""Bytes more than the template's, above which a database is dropped: emptying leaves dead rows behind."""

_EMPTY = """
DO $$ DECLARE item record; BEGIN
  PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
  SET LOCAL session_replication_role = replica;
  FOR item IN SELECT tablename FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('DELETE FROM %I', item.tablename);
  END LOOP;
  FOR item IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER SEQUENCE %I RESTART', item.sequencename);
  END LOOP;
END $$
"""
_SHAPE = sa.text(
    "SELECT md5(string_agg(concat(relname, relkind, attname, atttypid), ',' ORDER BY relname, attname)) "
    "FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "
    "WHERE relnamespace = 'public'::regnamespace AND NOT attisdropped"
)
_SIZE = sa.text("SELECT pg_database_size(current_database())")


class PostgresPool:
    """Fresh databases, one for each test that asks: copying a template takes longer than most tests."""

    def __init__(self, pattern: str, seed: Callable[[Database], Awaitable[None]]) -> None:
        """Hold no database yet: ``pattern`` has ``{}`` for a name; ``seed`` writes what each begins with."""
        self._pattern = pattern
        self._seed = seed
        self._free: list[str] = []
        self._numbers = itertools.count()
        self._template: tuple[str, int] | None = None

    async def hurry(self) -> None:
        """Let the server not wait for the disk: no test pulls the machine's plug."""
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            await self.admin(f"ALTER SYSTEM SET {setting} = off")
        await self.admin("SELECT pg_reload_conf()")

    async def take(self) -> str:
        """Return the URL of a database that holds nothing but what the template does."""
        if self._template is None:
            async with Database(self._pattern.format("minoots_template")) as template:
                self._template = await _state_of(template)
        if self._free:
            return self._free.pop()
        name = f"test_{next(self._numbers)}"
        await self.admin(f"CREATE DATABASE {name} TEMPLATE minoots_template")
        return self._pattern.format(name)

    async def give_back(self, url: str) -> None:
        """Empty a database for the next test, or drop it where that would not make it like new."""
        assert self._template is not None
        shape, size = self._template
        async with Database(url) as database:
            async with database.engine.begin() as connection:
                await connection.execute(sa.text(_EMPTY))
            await self._seed(database)
            found, grown = await _state_of(database)
        if found == shape and grown - size < _LARGEST:
            self._free.append(url)
        else:
            await self.admin(f"DROP DATABASE {sa.make_url(url).database} WITH (FORCE)")

    async def admin(self, statement: str) -> None:
        """Say something to the server that no transaction may hold."""
        url = self._pattern.format("postgres")
        async with Database(url) as database, database.engine.connect() as connection:
            autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await autocommit.execute(sa.text(statement))


async def _state_of(database: Database) -> tuple[str, int]:
    """Return a digest of every table's and index's columns, and the size in bytes."""
    async with database.read() as connection:
        shape = (await connection.execute(_SHAPE)).scalar_one()
        return shape, (await connection.execute(_SIZE)).scalar_one()
