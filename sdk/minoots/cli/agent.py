"""``minoots agent run``: wake coding-agent sessions on this machine when commands say so."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from . import output
from .exits import EPILOG
from .session import Defaults, KeyOption, UrlOption

app = typer.Typer(
    help="Be the hands of an agent on this machine.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def group() -> None:
    """Be the hands of an agent on this machine."""


@app.command(epilog=EPILOG)
def run(
    context: typer.Context,
    config: Annotated[Path, typer.Option("--config", help="What the runner may do (TOML).")],
    once: Annotated[bool, typer.Option("--once", help="Return after one command.")] = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Take the agent's commands, resume the sessions they name, and answer when they are awake."""
    from minoots.async_client import AsyncMinoots
    from minoots.runner import load
    from minoots.runner import run as work

    defaults = context.find_root().obj or Defaults()
    settings = load(config)

    async def serve() -> None:
        async with AsyncMinoots(url or defaults.url, api_key=api_key or defaults.api_key) as client:
            await work(client, settings, output.line, once=once)

    with suppress(asyncio.CancelledError):
        asyncio.run(serve())
