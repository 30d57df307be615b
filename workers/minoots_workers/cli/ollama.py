"""``minoots ollama``: the models of an Ollama server: which are there, pulling, warming up, letting go.

It speaks to the server that the settings name, and holds models against their pinned digests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from minoots.cli import output
from minoots_platform.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from minoots_activities.models.providers.ollama import OllamaServer

app = typer.Typer(help="The models of an Ollama server.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option(help="Settings file; default: minoots.toml where it exists.")]
Name = Annotated[str | None, typer.Option("--provider", help="Of the settings; default: the first Ollama.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[str, typer.Argument(help="Name of a model: qwen3:8b.")]


@app.command("list")
def list_models(config: Config = None, provider: Name = None, as_json: AsJson = False) -> None:
    """List the models that are pulled, and which of them are in memory."""
    from minoots_activities.models.providers.ollama_models import loaded

    async def work(server: OllamaServer) -> None:
        warm = {one.name: one for one in await loaded(server)}
        rows = []
        for model in await server.models():
            there = warm.get(model.name)
            moment = None if there is None else there.until
            until = "" if moment is None else moment.isoformat(timespec="seconds")
            pinned = server.spec.is_pinned(model.name, model.digest)
            able = () if model.capabilities is None else sorted(model.capabilities)
            told = {
                "name": model.name,
                "digest": model.digest,
                "pinned": pinned,
                "context": model.context,
                "capabilities": list(able),
                "remote": model.remote,
                "loaded_until": until or None,
            }
            if as_json:
                typer.echo(json.dumps(told))
            state = "" if pinned is None else ("pinned" if pinned else "NOT what is pinned")
            digest, context = (model.digest or "")[:12], str(model.context or "")
            rows.append((model.name, digest, state, context, ",".join(able), until))
        if not as_json:
            output.table(("MODEL", "DIGEST", "PIN", "CONTEXT", "CAN", "IN MEMORY UNTIL"), rows)

    _run(config, provider, work)


@app.command()
def pull(model: Model, config: Config = None, provider: Name = None, as_json: AsJson = False) -> None:
    """Pull a model, telling how far it is; one of another digest than the pinned one is refused."""
    from minoots_activities.models.providers import ollama_models

    async def work(server: OllamaServer) -> None:
        async for step in ollama_models.pull(server, model):
            if as_json:
                typer.echo(json.dumps(vars(step)))
            elif step.total:
                typer.echo(f"{step.status}: {100 * (step.completed or 0) // step.total} %")
            else:
                typer.echo(step.status)

    _run(config, provider, work)


@app.command()
def pin(model: Model, config: Config = None, provider: Name = None) -> None:
    """Print what pins a model to the digest that it has now, as the setting `models.pins` wants it."""

    async def work(server: OllamaServer) -> None:
        found = await server.look(model)
        if found is None or found.digest is None:
            there = ", ".join(one.name for one in await server.models()) or "none"
            pull = f"Name one of these, or fetch it first: minoots ollama pull {model}"
            _fail(f"{server.name} has no model {model} that could be pinned; it has {there}\n  {pull}", 5)
        typer.echo(f"{server.name}/{found.name}=sha256:{found.digest.removeprefix('sha256:')}")

    _run(config, provider, work)


@app.command()
def warm(model: Model, config: Config = None, provider: Name = None) -> None:
    """Have a model in memory."""
    from minoots_activities.models.providers.ollama_models import warm_up

    async def work(server: OllamaServer) -> None:
        there = await warm_up(server, model)
        until = "for ever" if there.until is None else f"until {there.until.isoformat(timespec='seconds')}"
        typer.echo(f"{there.name} is in memory {until}")

    _run(config, provider, work)


@app.command()
def unload(model: Model, config: Config = None, provider: Name = None) -> None:
    """Have a model leave the memory."""
    from minoots_activities.models.providers import ollama_models

    async def work(server: OllamaServer) -> None:
        await ollama_models.unload(server, model)
        typer.echo(f"{model} has left the memory")

    _run(config, provider, work)


def _run(config: Path | None, name: str | None, work: Callable[[OllamaServer], Awaitable[None]]) -> None:
    """Do something with the server of the settings.

    Exit codes: 2 the settings are not valid or name no such server, 5 it cannot be asked.
    """
    from minoots_activities.models.providers.ollama import Ollama
    from minoots_activities.models.providers.provider import Patience
    from minoots_platform.models import Catalogue
    from minoots_workflows.models.failures import ModelFailure

    try:
        models = load_settings(config).models
    except SettingsError as error:
        _fail(str(error), 2)
    spec = next(
        (spec for spec in models.specs() if spec.kind == "ollama" and name in (None, spec.name)), None
    )
    if spec is None:
        _fail(f"the settings name no Ollama server{'' if name is None else ' ' + name}", 2)

    async def run() -> None:
        server = Ollama().open(spec, Catalogue(()), Patience(models.connect_seconds))
        try:
            await work(server)
        finally:
            await server.close()

    try:
        asyncio.run(run())
    except ModelFailure as failure:
        _fail(f"{failure.detail}\n  {failure.remedy}", 5)


def _fail(text: str, code: int) -> NoReturn:
    typer.echo(f"minoots ollama: {text}", err=True)
    raise typer.Exit(code)
