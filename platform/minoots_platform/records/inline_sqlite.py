"""SQLite for an event loop without a thread in between.

A statement on a local SQLite file takes some tens of microseconds; handing it to a thread and back costs
several times that, and each way waits for Python's lock when workflow code or JSON keeps the processor busy.
So statements run where they are called. The only thing that may take long is waiting for the write lock of
another process, and that `Database` does without blocking.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool
from sqlalchemy.util.concurrency import await_


class _Cursor(sqlite3.Cursor):
    async def _async_soft_close(self) -> None:
        """What SQLAlchemy calls on a cursor of an asynchronous driver: there is nothing to let go."""


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)


class InlineSQLite(SQLiteDialect_pysqlite):
    """The standard library's driver, called from the event loop."""

    driver = "inline"
    is_async = True
    supports_statement_cache = True

    def create_connect_args(self, url: URL) -> Any:
        """Have connections made whose cursors SQLAlchemy can use from asynchronous code."""
        arguments, options = super().create_connect_args(url)
        return arguments, {**options, "factory": _Connection, "check_same_thread": False}

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """Return a pool whose waiting does not block the event loop."""
        return AsyncAdaptedQueuePool

    def get_driver_connection(self, connection: Any) -> Any:
        """Return the connection itself: there is no wrapper."""
        return connection

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Run a statement."""
        await_(_nothing())
        super().do_execute(cursor, statement, parameters, context)  # type: ignore[no-untyped-call]

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Run a statement for many rows."""
        await_(_nothing())
        super().do_executemany(cursor, statement, parameters, context)  # type: ignore[no-untyped-call]

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        """Run a statement without parameters."""
        await_(_nothing())
        super().do_execute_no_params(cursor, statement, context)  # type: ignore[no-untyped-call]


async def _nothing() -> None:
    """Done at once: SQLAlchemy wants to see an await in every asynchronous call."""


registry.register("sqlite.inline", __name__, "InlineSQLite")
