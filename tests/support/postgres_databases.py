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
DECLARE one record;
BEGIN
    CREATE SCHEMA kept;
    FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TABLE kept.%1$I AS TABLE public.%1$I', one.tablename);
    END LOOP;
END $$
"""
"""Remembers what stands in the template."""

_EMPTY = """
DO $$
DECLARE one record;
BEGIN
    SET LOCAL session_replication_role = replica;  -- in any order, whatever refers to what
    FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('DELETE FROM public.%1$I', one.tablename);
        EXECUTE format('INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE TABLE kept.%1$I', one.tablename);
    END LOOP;
    FOR one IN SELECT sequencename, start_value FROM pg_sequences
               WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
        PERFORM setval(format('public.%I', one.sequencename)::regclass, one.start_value, false);
    END LOOP;
END $$
"""

_SHAPE = """
SELECT md5(string_agg(told, E'\n' ORDER BY told)) FROM (
    SELECT concat_ws(' ', c.relname, c.relkind, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
                     a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)) AS told
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT concat_ws(' ', proname, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
) AS everything
"""
"""Tells tables, indexes, constraints, triggers and functions from others."""


class Databases:
    """Makes databases like the template, and takes them back."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._spare: list[str] = []
        self._shape = ""

    async def ready(self) -> None:
        """Learn what the template holds; nobody may be connected to it."""
        async with self._in(TEMPLATE) as connection:
            self._shape = await connection.fetchval(_SHAPE)
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
            same = await connection.fetchval(_SHAPE) == self._shape
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
