"""What commands share that work directly on the records: options, transactions, errors with a remedy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import sqlalchemy as sa
import typer
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.errors import Failure
from minoots_platform.records import Database, revision
from minoots_platform.settings import SettingsError, load_settings, with_overrides

T = TypeVar("T")
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (minoots.toml).")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Data directory, for the SQLite records of minoots dev.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def run_on_records(
    config: Path | None, data_dir: Path | None, work: Callable[[AsyncConnection], Awaitable[T]]
) -> T:
    """Return what ``work`` returns, done in one transaction of the records."""

    async def in_one(database: Database) -> T:
        async with database.write() as connection:
            return await work(connection)

    return run_with_records(config, data_dir, in_one)


def run_with_records(
    config: Path | None, data_dir: Path | None, work: Callable[[Database], Awaitable[T]]
) -> T:
    """Return what ``work`` returns, which opens transactions of the records as it likes."""

    async def run() -> T:
        settings = load_settings(config)
        if data_dir is not None:
            settings = with_overrides(settings, {"data_dir": str(data_dir)})
        if settings.records.url.startswith("sqlite"):
            _require_file(Path(sa.make_url(settings.records.url).database or ""), chosen=data_dir is not None)
        async with Database(settings.records.url) as database:
            await revision.bring_up(database)
            return await work(database)

    try:
        return asyncio.run(run())
    except SettingsError as error:
        fail(str(error))
    except Failure as failure:
        fail("\n".join(filter(None, (failure.detail, failure.remedy))), code=3)
    except (SQLAlchemyError, OSError) as error:
        fail(
            f"the records cannot be opened ({type(error).__name__}); check records.url or --data-dir", code=5
        )


def _require_file(path: Path, *, chosen: bool) -> None:
    """Refuse to make records that nobody serves: a key in them would open nothing."""
    if chosen:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not path.exists():
        fail(
            f"there are no records at {path}. Name those of your stack: --data-dir (as of minoots dev), or "
            "--config with records.url.",
            code=5,
        )


def fail(text: str, code: int = 2) -> NoReturn:
    """End with a text on standard error."""
    typer.echo(f"minoots: {text}", err=True)
    raise typer.Exit(code)
