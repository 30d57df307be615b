"""``minoots fake-llm``: a stand-in for Ollama, OpenAI and Anthropic that needs no model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minoots.errors import Failure


def fake_llm(
    script: Annotated[
        Path | None, typer.Argument(help="TOML file with models and turns; without one it echoes.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1.")] = 11434,
) -> None:
    """Speak the wires of Ollama, OpenAI and Anthropic, and say what a script says.

    Exit codes: 2 the script is not valid, 3 the port is in use.
    """
    import socket

    import uvicorn

    from minoots_workers.fake_llm import Script, create_app, load

    try:
        played = Script() if script is None else load(script)
    except Failure as failure:
        typer.echo(f"minoots fake-llm: {failure.detail}", err=True)
        raise typer.Exit(2) from None
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        typer.echo(
            f"minoots fake-llm: cannot listen on 127.0.0.1 port {port}: {error.strerror}. "
            "Choose another with --port, or end what listens there.",
            err=True,
        )
        raise typer.Exit(3) from None
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    models = ", ".join(model.name for model in played.models if model.pulled)
    wires = f"Ollama    {address}\nOpenAI    {address}/v1\nAnthropic {address}"
    typer.echo(f"{wires}\nmodels    {models}")
    config = uvicorn.Config(create_app(played), log_level="critical", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
