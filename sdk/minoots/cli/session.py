"""What every remote command has: the options for everywhere, a client, errors that end in an exit code.

Owns the decorator `remote`. A command is a function of a `Session` and its own options. The client and the
models are imported when one runs: the top level and its help need neither.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from minoots.errors import FAILURES, APIError, Failure, FailureKind, MinootsError, WaitTimeout

from .exits import EPILOG, Exit, exit_code

if TYPE_CHECKING:
    from minoots.client import Minoots
    from minoots.contracts.problems import Problem

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON: one object, or one a line.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="Address of the service (MINOOTS_URL).", show_default=False)
]
KeyOption = Annotated[
    str | None, typer.Option("--api-key", help="API key (MINOOTS_API_KEY).", show_default=False)
]


@dataclass(frozen=True)
class Defaults:
    """The same options given before the command: ``minoots --json timers list``."""

    json: bool = False
    url: str | None = None
    api_key: str | None = None


@dataclass(frozen=True)
class Session:
    """One run of one remote command."""

    client: Minoots
    json: bool


_EVERYWHERE: Final = {
    "json_output": (JsonOption, False),
    "url": (UrlOption, None),
    "api_key": (KeyOption, None),
}


def group(help: str) -> typer.Typer:
    """Return an app for the commands of one noun."""
    return typer.Typer(help=help, epilog=EPILOG, no_args_is_help=True, pretty_exceptions_enable=False)


def remote(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function ``(session, …)`` as a command that also takes the options for everywhere."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(context: typer.Context, **given: Any) -> None:
            from minoots.client import Minoots

            defaults = context.find_root().obj or Defaults()
            json = given.pop("json_output") or defaults.json
            url, key = given.pop("url") or defaults.url, given.pop("api_key") or defaults.api_key
            try:
                with Minoots(url, api_key=key) as client:
                    function(Session(client, json), **given)
            except MinootsError as error:
                raise typer.Exit(tell(error, as_json=json)) from error
            except BrokenPipeError as error:
                leave_pipe()
                raise typer.Exit(Exit.OK) from error

        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter("context", keyword, annotation=typer.Context),
            *(item.replace(kind=keyword) for item in own),
            *(
                inspect.Parameter(name, keyword, annotation=annotation, default=default)
                for name, (annotation, default) in _EVERYWHERE.items()
            ),
        ]
        # Typer reads the signature; the wrapper's must be the command's, not that of the function inside.
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {item.name: item.annotation for item in parameters}
        del command.__wrapped__
        app.command(name, epilog=EPILOG)(command)
        return function

    return register


def tell(error: MinootsError, *, as_json: bool = False) -> int:
    """Print ``error`` to standard error, as text or as a JSON problem, and return its exit code."""
    if as_json:
        sys.stderr.write(_as_problem(error).model_dump_json(exclude_none=True) + "\n")
        return int(exit_code(error))
    lines = [f"minoots: {error}"]
    if isinstance(error, Failure):
        lines += [f"  {item.field}: expected {item.expected}; got {item.got}" for item in error.errors]
        lines += [f"  {error.remedy}"] if error.remedy else []
    sys.stderr.write("\n".join(lines) + "\n")
    return int(exit_code(error))


def interrupted(session: Session, detail: str, remedy: str) -> typer.Exit:
    """Tell what an interruption has not undone, and how to go on; return how the command ends."""
    tell(Failure(FailureKind.CANCELLED, f"interrupted: {detail}", remedy=remedy), as_json=session.json)
    return typer.Exit(Exit.INTERRUPTED)


def _as_problem(error: MinootsError) -> Problem:
    """Return what ``error`` says; one that never reached the service has status 0."""
    from minoots.contracts.problems import Problem

    if isinstance(error, APIError):
        return error.problem
    if isinstance(error, Failure):
        rule = FAILURES[error.kind]
        return Problem(
            title=rule.title,
            status=rule.status,
            kind=error.kind,
            detail=error.detail,
            remedy=error.remedy,
            errors=error.errors,
        )
    kind = FailureKind.CANCELLED if isinstance(error, WaitTimeout) else FailureKind.UNAVAILABLE
    return Problem(title=type(error).__name__, status=0, kind=kind, detail=str(error))


def leave_pipe() -> None:
    """Let the interpreter end quietly after the reader of standard output has gone."""
    # Without this the flush at exit fails again and prints a traceback that nobody can act on.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
