"""``minoots dev``: the whole stack on this machine, in one process tree."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from minoots.errors import Failure
from minoots_platform.settings import Settings, SettingsError, load_settings, with_overrides
from minoots_workers.embedded.data_dir import DataDir
from minoots_workers.embedded.faults import CONFIG, StackFault
from minoots_workers.embedded.stack import Interrupted, Ready, Stack


def dev(
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept. Default: .minoots")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the gateway; 0 takes a free one.")] = None,
    temporal_port: Annotated[
        int | None, typer.Option(help="Port of the Temporal server; 0 takes a free one.")
    ] = None,
    ui_port: Annotated[int | None, typer.Option(help="Port of the Temporal UI; 0 takes a free one.")] = None,
    temporal_address: Annotated[str | None, typer.Option(help="Use this Temporal server instead.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (minoots.toml).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the logs of every part.")] = False,
) -> None:
    """Start Temporal, a worker and the gateway on this machine.

    Exit codes: 0 stopped on request, 1 a part failed, 2 settings, 3 a port is in use, 4 the data directory is
    held by another instance, 5 Temporal cannot be reached.
    """
    try:
        settings = _settings(config, data_dir, port, temporal_port, ui_port)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG) from None
    try:
        with DataDir(settings.data_dir) as held:
            stack = Stack(settings, held, temporal_address, verbose=verbose)
            asyncio.run(_run(stack, as_json=as_json))
    except StackFault as fault:
        typer.echo(f"minoots dev: {fault}", err=True)
        raise typer.Exit(fault.code) from None
    except Failure as failure:
        typer.echo(f"minoots dev: {failure.detail}\n  {failure.remedy or ''}".rstrip(), err=True)
        raise typer.Exit(CONFIG) from None


def _settings(
    config: Path | None,
    data_dir: Path | None,
    port: int | None,
    temporal_port: int | None,
    ui_port: int | None,
) -> Settings:
    settings = load_settings(config)
    chosen = {
        "data_dir": str((data_dir or settings.data_dir).absolute()),
        "gateway": {} if port is None else {"port": port},
        "temporal": {
            name: value
            for name, value in (("port", temporal_port), ("ui_port", ui_port))
            if value is not None
        },
    }
    return with_overrides(settings, chosen)


async def _run(stack: Stack, *, as_json: bool) -> None:
    stack.supervisor.listen()
    try:
        ready = await stack.start()
        _tell(ready, as_json=as_json)
        await stack.supervisor.run()
        if not as_json:
            typer.echo("stopping …", err=True)
    except Interrupted:
        pass
    finally:
        await stack.close()


def _tell(ready: Ready, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(ready.as_dict()))
        sys.stdout.flush()
        return
    where = ready.addresses
    lines = [
        f"  gateway      {where.gateway}",
        f"  routes       {where.docs}",
        f"  Temporal UI  {where.temporal_ui or 'at your own server'}",
        f"  metrics      {where.metrics}",
        f"  data         {where.data_dir}",
        "",
        f"ready in {ready.ready_after_s:.1f} s. Set a timer from another terminal:",
        "",
        f"  curl -sS {where.gateway}/v1/timers -H 'content-type: application/json' \\",
        """    -d '{"name": "tea", "after": "5s", "actions": [{"url": "http://127.0.0.1:9000/hook"}]}'""",
        "",
        "Ctrl-C stops everything; what is set stays set.",
        *([] if ready.capture_problem is None else ["", f"! {ready.capture_problem}"]),
    ]
    typer.echo("\n".join(lines))
    sys.stdout.flush()
