"""The database behind the records: one engine a process, reading and writing transactions.

Owns connections, SQLite's pragmas and its single writer. Knows no table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from minoots.errors import Failure, FailureKind

from .inline_sqlite import InlineSQLite

_WRITING: Final = "minoots_writing"

_BUSY_TIMEOUT_MS: Final = 5
"""How long SQLite itself waits for a lock, blocking the process; beyond it, `Database` waits."""
_BUSY_PAUSE: Final = 0.001


class Database:
    """Opens transactions on the records, on SQLite or Postgres alike."""

    def __init__(self, url: str, *, pool_size: int = 5, busy_timeout_ms: int = 5000) -> None:
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise _bad_url(url.split(":", 1)[0]) from error
        self.is_sqlite = parsed.drivername == "sqlite"
        if not self.is_sqlite and parsed.drivername != "postgresql+asyncpg":
            raise _bad_url(parsed.drivername)
        if self.is_sqlite:
            parsed = parsed.set(drivername=f"sqlite+{InlineSQLite.driver}")
        self.engine: AsyncEngine = create_async_engine(
            parsed, pool_size=pool_size, pool_pre_ping=not self.is_sqlite, hide_parameters=True
        )
        # SQLite has one writer. Queueing for it here costs nothing; letting its busy handler poll costs
        # up to 100 ms, which a timer would show as lateness.
        self._writer: asyncio.Lock | None = asyncio.Lock() if self.is_sqlite else None
        self._patience = busy_timeout_ms / 1000
        if self.is_sqlite:
            _tune_sqlite(self.engine)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give every connection back."""
        await self.engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A reading transaction: one consistent picture."""
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A writing transaction: commits at the end, rolls back on any exception."""
        turn: AbstractAsyncContextManager[Any] = self._writer or nullcontext()
        async with turn, self.engine.connect() as connection:
            await connection.execution_options(**{_WRITING: True})
            async with connection.begin():
                if self.is_sqlite:
                    await self._lock(connection)
                yield connection

    async def _lock(self, connection: AsyncConnection) -> None:
        """Take SQLite's write lock, waiting for another process without blocking this one."""
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                # A deferred transaction that turns into a writer fails at once when another wrote in between.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            except sa.exc.OperationalError as error:
                if "locked" not in str(error.orig) or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_BUSY_PAUSE)
            else:
                return


def _bad_url(scheme: str) -> Failure:
    return Failure(
        FailureKind.INVALID,
        f"records.url: expected sqlite:///… or postgresql+asyncpg://…; got the scheme {scheme!r}",
        remedy="Set records.url in minoots.toml or MINOOTS_RECORDS__URL.",
    )


def _tune_sqlite(engine: AsyncEngine) -> None:
    @sa.event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _: Any) -> None:
        # SQLite's own knows ASCII alone.
        connection.create_function("lower", 1, _lower, deterministic=True)
        # The driver must not open transactions by itself: it would begin them without the write lock.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            # A killed process loses nothing in WAL mode; only a power cut may lose the last commits.
            "synchronous=NORMAL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        if not connection.get_execution_options().get(_WRITING, False):
            connection.exec_driver_sql("BEGIN")


def _lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text
