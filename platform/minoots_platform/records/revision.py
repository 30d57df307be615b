"""Which schema the records have, and which one this version needs. Without Alembic: every start asks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.errors import Failure, FailureKind

from .database import Database

NEEDED: Final = "0024"
"""The newest migration; a test holds it against the migrations."""

_LOOK: Final = 0.05


async def current(connection: AsyncConnection) -> str | None:
    """Return the revision of the database, ``None`` for one without tables."""

    def has_table(sync: sa.Connection) -> bool:
        return sa.inspect(sync).has_table("alembic_version")

    if not await connection.run_sync(has_table):
        return None
    revision: str | None = (
        await connection.execute(sa.text("SELECT version_num FROM alembic_version"))
    ).scalar()
    return revision


async def bring_up(database: Database) -> None:
    """Make or upgrade the tables, unless they are what this version needs."""
    async with database.read() as connection:
        if await current(connection) == NEEDED:
            return
    # Imported only here: Alembic takes longer than most commands that work on records.
    from .migrate import migrate

    await migrate(database)


async def wait_until_current(database: Database, patience: timedelta = timedelta(seconds=15)) -> None:
    """Wait until somebody has made the tables that this version needs.

    Raises:
        Failure: unavailable, when nobody did, or the database cannot be reached.
    """
    deadline = asyncio.get_running_loop().time() + patience.total_seconds()
    found: str | None = None
    error: Exception | None = None
    while True:
        try:
            async with database.read() as connection:
                found, error = await current(connection), None
        except (sa.exc.SQLAlchemyError, OSError) as problem:
            error = problem
        if error is None and found == NEEDED:
            return
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(_LOOK)
    if error is not None:
        raise Failure(
            FailureKind.UNAVAILABLE,
            f"the records cannot be reached: {type(error).__name__}",
            remedy="Check records.url (MINOOTS_RECORDS__URL) and the database behind it.",
        ) from error
    raise Failure(
        FailureKind.UNAVAILABLE,
        f"the records are at schema {found}, this version needs {NEEDED}",
        remedy="Run: python -m minoots_platform.records.migrate",
    )
