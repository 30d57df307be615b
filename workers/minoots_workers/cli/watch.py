"""``minoots watch``: look after the transcripts of agents on this machine."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from minoots.errors import Failure
from minoots_platform.collector import loading
from minoots_platform.parent import watch_parent
from minoots_platform.settings import Settings, SettingsError, load_settings, require_startable
from minoots_platform.telemetry import get_logger, start_logs, start_telemetry


def watch(
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (minoots.toml).")] = None,
    ready_fd: Annotated[
        int | None,
        typer.Option(
            "--ready-fd",
            help="A pipe that was inherited: `ready`, or `failed` and why, is written to it as a line.",
        ),
    ] = None,
) -> None:
    """Read transcripts of agents as they grow, and write recordings.

    It needs the Temporal server and the records of a running Minoots; `minoots dev` starts it by itself when
    capture.enabled is set.
    """
    watch_parent()
    try:
        settings = load_settings(config)
        require_startable(settings)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    with start_logs(settings.telemetry, "watch"):
        raise typer.Exit(_serve(settings, ready_fd))


def _serve(settings: Settings, ready_fd: int | None) -> int:
    with loading():
        from minoots_workers.process import stop_on_signals
        from minoots_workers.watching import run_watch

    def tell(line: str) -> None:
        if ready_fd is not None:
            # Whoever wanted to know may be gone.
            with suppress(OSError):
                os.write(ready_fd, f"{line}\n".encode())

    async def run() -> None:
        with start_telemetry(settings, "watch") as telemetry:
            await run_watch(
                settings,
                telemetry,
                stop_on_signals(),
                lambda: tell("ready"),
                lambda why: tell(f"failed {why}"),
            )

    try:
        asyncio.run(run())
    except Failure as failure:
        get_logger("minoots.capture").error(
            "capture.failed", kind=failure.kind, reason=failure.detail, remedy=failure.remedy
        )
        tell(f"failed {failure.detail}. {failure.remedy or ''}".strip())
        return 1
    except Exception as error:
        # Somebody waits for a word: what nobody has thought of must not end in silence.
        tell(f"failed it ended with {type(error).__name__}.")
        raise
    return 0
