"""The top level of ``minoots``: options for everywhere, sub-commands, and what happens to every error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from minoots._version import __version__
from minoots.errors import MinootsError

from .exits import EPILOG, Exit
from .plugins import Commands
from .session import Defaults, JsonOption, KeyOption, UrlOption, leave_pipe, tell

app = typer.Typer(
    cls=Commands,
    help="Durable time for agents.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"minoots {__version__}")
        raise typer.Exit(Exit.OK)


@app.callback()
def root(
    context: typer.Context,
    json_output: JsonOption = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Durable time for agents."""
    context.obj = Defaults(json=json_output, url=url, api_key=api_key)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave the process with its exit code; no error ends in a traceback."""
    try:
        try:
            app(args=arguments, prog_name="minoots")
        finally:
            sys.stdout.flush()
    except MinootsError as error:
        code = tell(error)
    except KeyboardInterrupt:
        code = int(Exit.INTERRUPTED)
    except BrokenPipeError:
        leave_pipe()
        code = int(Exit.OK)
    except Exception as error:
        if os.environ.get("MINOOTS_TRACEBACK"):
            raise
        text = f"minoots: a defect: {type(error).__name__}: {error}\n  set MINOOTS_TRACEBACK=1 to see where\n"
        sys.stderr.write(text)
        code = int(Exit.OTHER)
    sys.exit(code)
