"""Databases on a test run's own Postgres: a fresh one for each test.

To copy the template takes Postgres longer than most tests take, and longest where machines are busy. So a
database that a test has left is emptied for the next one: its rows are those of the template again, and its
name is another, so that whatever may still run of the test before cannot find it. One whose tables were
changed is thrown away.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

TEMPLATE = "minoots_template"

_KEEP = """
DO $$
DECLARE one record; filled boolean;
BEGIN
    CREATE SCHEMA kept;
    FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%1$I)', one.tablename) INTO filled;
        IF filled THEN
            EXECUTE format('CREATE TABLE kept.%1$I AS TABLE public.%1$I', one.tablename);
        END IF;
    END LOOP;
END $$;
CREATE SEQUENCE kept.changes;
CREATE FUNCTION kept.changed() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM nextval('kept.changes'); END $$;
CREATE EVENT TRIGGER changes ON ddl_command_end EXECUTE FUNCTION kept.changed();
"""
"""Remembers what stands in the template; from now on it is known whether a table or anything else is changed.

By a sequence: it tells of a change that was made back, too, and is open to whoever may change tables.
"""

_SAME = "SELECT NOT is_called FROM kept.changes"

_EMPTY = """
DO $$
DECLARE one record;
BEGIN
    SET LOCAL session_replication_role = replica;  -- in any order, whatever refers to what
    FOR one IN SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
               AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format('DELETE FROM public.%1$I', one.relname);
    END LOOP;
    FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'kept' LOOP
        EXECUTE format('INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE TABLE kept.%1$I', one.tablename);
    END LOOP;
    FOR one IN SELECT sequencename, start_value FROM pg_sequences
               WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
        PERFORM setval(format('public.%I', one.sequencename)::regclass, one.start_value, false);
    END LOOP;
END $$
"""


class Databases:
    """Makes databases like the template, and takes them back."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._spare: list[str] = []

    async def ready(self) -> None:
        """Have the template remember what it holds; nobody may be connected to it."""
        async with self._in(TEMPLATE) as connection:
            await connection.execute(_KEEP)

    async def take(self) -> str:
        """Return the name of a database that is like the template."""
        if self._spare:
            return self._spare.pop()
        name = self._name()
        async with self._in("postgres") as connection:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return name

    async def give_back(self, name: str) -> None:
        """Make a database like the template again, under another name, or remove it."""
        fresh = self._name()
        async with self._in("postgres") as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
            )
            try:
                # It waits for those that were ended, for some seconds.
                await connection.execute(f"ALTER DATABASE {name} RENAME TO {fresh}")
            except asyncpg.ObjectInUseError:
                # Somebody comes again and again, or the machine is too busy to end anybody.
                await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
                return
        async with self._in(fresh) as connection:
            same = await connection.fetchval(_SAME)
            if same:
                await connection.execute(_EMPTY)
        if same:
            self._spare.append(fresh)
            return
        async with self._in("postgres") as connection:
            await connection.execute(f"DROP DATABASE {fresh} WITH (FORCE)")

    def _name(self) -> str:
        return f"test_{next(self._numbers)}"

    @asynccontextmanager
    async def _in(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(host=self._folder, user="postgres", database=name)
        try:
            yield connection
        finally:
            await connection.close()
