"""``minoots clean``: let go of what was captured long ago, and of logs."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from minoots.cli import output
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, cleaning
from minoots_platform.settings import SettingsError, load_settings

from .on_records import AsJson, Config, DataDir, fail, run_with_records


def clean(
    sessions: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="DAYS", help="What was said in sessions to which nothing was captured for so long."
        ),
    ] = None,
    recordings: Annotated[
        int | None, typer.Option(min=0, metavar="DAYS", help="Recordings that ended so long ago; files stay.")
    ] = None,
    logs: Annotated[
        bool,
        typer.Option(
            "--logs",
            help="The logs of the data directory, with what was audited, unless telemetry.audit_log is set.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    tenant: Annotated[
        str | None, typer.Option(help="Whose. Default: capture.tenant.", show_default=False)
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let go of what was captured long ago. Nothing goes unless it is asked for."""
    if sessions is None and recordings is None and not logs:
        raise typer.BadParameter("expected at least one of --sessions, --recordings, --logs")
    now = utc_now()
    try:
        settings = load_settings(config)
    except SettingsError as error:
        fail(str(error))
    whose = tenant or settings.capture.tenant

    async def work(database: Database) -> cleaning.Cleaned:
        return await cleaning.clean(
            database,
            whose,
            sessions_before=None if sessions is None else now - timedelta(days=sessions),
            recordings_before=None if recordings is None else now - timedelta(days=recordings),
            dry_run=dry_run,
        )

    done = cleaning.Cleaned()
    if sessions is not None or recordings is not None:
        done = run_with_records(config, data_dir, work)
    freed = _clean_logs(data_dir or settings.data_dir, dry_run=dry_run) if logs else 0
    if as_json:
        typer.echo(json.dumps({**asdict(done), "log_bytes": freed, "dry_run": dry_run}))
        return
    what = f"{done.sessions} sessions with {done.events} events, {done.recordings} recordings"
    output.line(f"{'would let' if dry_run else 'let'} go of {what}, {freed} bytes of logs")


def _clean_logs(data_dir: Path, *, dry_run: bool) -> int:
    """Empty the logs that are written to, and remove those that were put aside; return how much that is."""
    freed = 0
    for path in sorted((data_dir / "logs").glob("*.log*")):
        freed += path.stat().st_size
        if dry_run:
            continue
        if path.suffix == ".log":
            # Emptied, for somebody may hold it open.
            with path.open("r+b") as file:
                file.truncate(0)
        else:
            path.unlink()
    return freed
