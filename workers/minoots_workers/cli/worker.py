"""``minoots worker``: serve queues of any Temporal server with any records."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Annotated

import typer

from minoots.errors import Failure
from minoots_platform.collector import loading
from minoots_platform.parent import watch_parent
from minoots_platform.settings import Settings, SettingsError, load_settings, require_startable
from minoots_platform.telemetry import get_logger, serve_metrics, start_logs, start_telemetry
from minoots_workflows.queues import Queue


def worker(
    queue: Annotated[
        list[Queue] | None, typer.Option("--queue", help="Queue to serve; repeat for several. Default: all.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (minoots.toml).")] = None,
    metrics_fd: Annotated[
        int | None, typer.Option("--metrics-fd", help="A listening socket for metrics that was inherited.")
    ] = None,
) -> None:
    """Run workflows and deliveries."""
    watch_parent()
    try:
        settings = load_settings(config)
        require_startable(settings)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    listener = _metrics_listener(settings, metrics_fd)
    with start_logs(settings.telemetry, "worker"):
        raise typer.Exit(_serve(settings, queue or list(Queue), listener))


def _metrics_listener(settings: Settings, descriptor: int | None) -> socket.socket | None:
    if descriptor is not None:
        return socket.socket(fileno=descriptor)
    port = settings.workers.metrics_port
    if port is None:
        return None
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        typer.echo(
            f"cannot serve metrics on 127.0.0.1 port {port}: {error.strerror}. Choose another with "
            "MINOOTS_WORKERS__METRICS_PORT, or end what listens there.",
            err=True,
        )
        raise typer.Exit(3) from None


def _serve(settings: Settings, queues: list[Queue], metrics: socket.socket | None) -> int:
    with loading():
        from minoots_workers.process import run_worker

    with start_telemetry(settings, "worker") as telemetry:
        if metrics is not None:
            serve_metrics(telemetry, metrics)
        try:
            asyncio.run(run_worker(settings, telemetry, queues))
        except Failure as failure:
            get_logger("minoots.worker").error(
                "worker.failed", kind=failure.kind, reason=failure.detail, remedy=failure.remedy
            )
            return 1
    return 0
