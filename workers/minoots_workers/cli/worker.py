"""``minoots worker``: serve queues of any Temporal server with any records."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from minoots.errors import Failure
from minoots_platform.parent import watch_parent
from minoots_platform.settings import Settings, SettingsError, load_settings, require_startable
from minoots_platform.telemetry import get_logger, serve_metrics, start_logs, start_telemetry
from minoots_workflows.queues import Queue


def worker(
    queue: Annotated[
        list[Queue] | None, typer.Option("--queue", help="Queue to serve; repeat for several. Default: all.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (minoots.toml).")] = None,
) -> None:
    """Run workflows and deliveries."""
    watch_parent()
    try:
        settings = load_settings(config)
        require_startable(settings)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    with start_logs(settings.telemetry, "worker"):
        raise typer.Exit(_serve(settings, queue or list(Queue)))


def _serve(settings: Settings, queues: list[Queue]) -> int:
    from minoots_workers.process import run_worker

    with start_telemetry(settings, "worker") as telemetry:
        if settings.workers.metrics_port is not None:
            serve_metrics(telemetry, settings.workers.metrics_port)
        try:
            asyncio.run(run_worker(settings, telemetry, queues))
        except Failure as failure:
            get_logger("minoots.worker").error(
                "worker.failed", kind=failure.kind, reason=failure.detail, remedy=failure.remedy
            )
            return 1
    return 0
