"""Bring the records up to the newest schema: ``python -m minoots_platform.records.migrate``.

Owns running Alembic. Safe to run at every start and by several processes at once.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from minoots_platform.settings import SettingsError, load_settings

from .database import Database

_LOCK = 0x6D696E6F6F7473  # "minoots": one migration at a time on a shared Postgres


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def head() -> str:
    """Return the revision that this version of Minoots needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("no migration is packaged with minoots-server; install it again")
    return revision


async def migrate(database: Database) -> None:
    """Create or upgrade every table."""

    def upgrade(connection: sa.Connection) -> None:
        if not database.is_sqlite:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with database.write() as connection:
        await connection.run_sync(upgrade)


async def _main() -> None:
    settings = load_settings()
    async with Database(settings.records.url) as database:
        await migrate(database)


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except SettingsError as error:
        raise SystemExit(str(error)) from None
