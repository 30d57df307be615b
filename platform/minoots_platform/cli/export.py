"""``minoots export``: a captured session as one file."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from minoots.cli.session import Session, remote
from minoots.cli.sessions import session_id
from minoots_platform.writers import Look, Rendered, installed

app = typer.Typer(help="Write a captured session as one file.", add_completion=False)


@remote(app)
def export(
    session: Session,
    id: Annotated[
        str,
        typer.Argument(
            metavar="SESSION", help="Its id, or the beginning of the program's own.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; default: standard output.")
    ] = None,
    format: Annotated[str, typer.Option("--format", "-f", help="markdown, jsonl or html.")] = "markdown",
    tools: Annotated[bool, typer.Option(help="Also what tools were given and gave.")] = False,
    thinking: Annotated[bool, typer.Option(help="Also what was thought.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a captured session as one file."""
    writers = installed()
    if format not in writers:
        known = ", ".join(sorted(writers))
        raise typer.BadParameter(f"expected one of {known}; got {format}", param_hint="--format")
    if output is not None and output.exists() and not force:
        raise typer.BadParameter(f"{output} is there already; --force replaces it", param_hint="--output")
    found = session.client.sessions.get(session_id(session, id))
    look = Look(
        tool_calls=tools,
        tool_results=tools,
        thinking=thinking,
        title=found.title or "Conversation",
        id=found.id,
        session_id=found.session_id,
        created=found.started_at,
        recording_ids=False,
    )
    parts = _parts(session, found.id, format, look)
    if output is None:
        for part in parts:
            sys.stdout.write(part)
        return
    try:
        write_whole(output, parts)
    except OSError as error:
        raise typer.BadParameter(f"{output}: {error.strerror or error}", param_hint="--output") from error


def write_whole(output: Path, parts: Iterable[str]) -> None:
    """Write a file that only its owner may read, so that it is whole or as it was before.

    Raises:
        OSError: it cannot be written.
    """
    target = Path(os.path.realpath(output))
    if target.exists() and not target.is_file():  # a pipe or a terminal
        with target.open("w", encoding="utf-8", errors="replace", newline="\n") as stream:
            stream.writelines(parts)
        return
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.writelines(parts)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _parts(session: Session, public_id: str, format: str, look: Look) -> Iterator[str]:
    """Yield the file piece by piece. Its head says who spoke, so that it comes from a first reading."""
    writer = installed()[format]
    about = Rendered()
    state: dict[str, Any] = {}
    for one in session.client.sessions.events(public_id):
        writer.render(one.event, look, state, about)
        about.text = ""
        about.beside.clear()
    yield writer.head(look, about)
    state, rendered = {}, Rendered()
    for one in session.client.sessions.events(public_id):
        writer.render(one.event, look, state, rendered)
        yield rendered.text
        rendered = Rendered()
