"""``minoots gateway``: serve HTTP in front of any Temporal server and any records."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Annotated

import typer

from minoots.errors import Failure
from minoots_platform.collector import loading
from minoots_platform.parent import watch_parent
from minoots_platform.settings import (
    Settings,
    SettingsError,
    load_settings,
    require_startable,
    with_overrides,
)
from minoots_platform.telemetry import get_logger, start_logs, start_telemetry


def gateway(
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (minoots.toml).")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port to listen on; 0 chooses a free one.")
    ] = None,
    fd: Annotated[int | None, typer.Option("--fd", help="A listening socket that was inherited.")] = None,
) -> None:
    """Serve the HTTP API."""
    watch_parent()
    overrides = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        settings = load_settings(config)
        if overrides:
            settings = with_overrides(settings, {"gateway": overrides})
        require_startable(settings)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    listener = _listener(settings, fd)
    with start_logs(settings.telemetry, "gateway"):
        raise typer.Exit(_serve(settings, listener))


def _listener(settings: Settings, fd: int | None) -> socket.socket:
    if fd is not None:
        return socket.socket(fileno=fd)
    where = (settings.gateway.host, settings.gateway.port)
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    try:
        return socket.create_server(where, family=family, backlog=1024)
    except OSError as error:
        typer.echo(
            f"cannot listen on {where[0]} port {where[1]}: {error.strerror}. Choose another with --port or "
            "MINOOTS_GATEWAY__PORT, or end what listens there.",
            err=True,
        )
        raise typer.Exit(3) from None


def _serve(settings: Settings, listener: socket.socket) -> int:
    with loading():
        from .process import serve

    with start_telemetry(settings, "gateway") as telemetry:
        try:
            asyncio.run(serve(settings, telemetry, listener))
        except Failure as failure:
            get_logger("minoots.gateway").error(
                "gateway.failed", kind=failure.kind, reason=failure.detail, remedy=failure.remedy
            )
            return 1
    return 0
