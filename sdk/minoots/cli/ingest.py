"""``minoots ingest`` and ``minoots sources``: take files and texts in, and see what became of them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from minoots.contracts.ingest import SOURCE_NAME_PATTERN, FileState, Ingest, IngestedFile, IngestState
from minoots.errors import Failure, FailureKind
from minoots.operations.ingest import Content

from . import output
from .arguments import duration, given, mapping
from .exits import Exit
from .moments import local, relative
from .session import Session, group, interrupted, remote

app = group("Take files and texts in: read, cleaned of secrets, divided into chunks, in versions.")
sources = group("Read and remove files and texts that were taken in.")

IngestId = Annotated[str, typer.Argument(metavar="ID", help="Id of the ingest: ing_…", show_default=False)]
SourceId = Annotated[
    str, typer.Argument(metavar="SOURCE", help="Its name, or its id: src_…", show_default=False)
]

_MOST_FILES: Final = 100
_MOST_BYTES: Final = 16 * 1024 * 1024
"""Of one request; more are sent one after the other."""


@remote(app)
def add(
    session: Session,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH…", help="Files, folders, or - for standard input.", show_default=False),
    ],
    name: Annotated[str | None, typer.Option(help="Name of what comes from standard input.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until all are read.")] = True,
    timeout: Annotated[str | None, typer.Option(help="Wait no longer than: 30s, 10m.")] = None,
) -> None:
    """Take files in, those of folders with all below them; exit code 8 if one of them cannot be read.

    What begins with a dot is left out, and links are not followed, unless they are named themselves.
    """
    seconds = None if timeout is None else duration(timeout, "--timeout").total_seconds()
    about = given(labels=mapping(label, "--label", "="), metadata=mapping(metadata, "--metadata", "="))
    begun = _Begun()
    try:
        failed = _add(session, _requests(paths, name), about, begun, wait=wait, seconds=seconds)
    except KeyboardInterrupt as error:
        raise interrupted(session, begun.told(), begun.remedy()) from error
    if failed:
        raise typer.Exit(Exit.ENDED_BADLY)


@dataclass
class _Begun:
    """What was sent before it was interrupted."""

    accepted: int = 0
    """Files."""
    sending: int = 0
    """Files of the request whose answer has not come."""
    ingests: list[str] = field(default_factory=list)

    def told(self) -> str:
        """Return what became of the files, as far as it is known."""
        more = f", and {self.sending} more may have been" if self.sending else ""
        read = "; they are read on" if self.accepted else ""
        return f"{self.accepted} files were accepted{more}{read}"

    def remedy(self) -> str:
        """Return how to go on."""
        again = "The same command again goes on: what is there already is not taken in twice."
        if not self.ingests:
            return again
        return f"{again} `minoots ingest show {self.ingests[-1]}` tells how far the last ones are."


def _add(
    session: Session,
    requests: Iterator[dict[str, Content]],
    about: dict[str, Any],
    begun: _Begun,
    *,
    wait: bool,
    seconds: float | None,
) -> bool:
    """Send files, and tell what becomes of each; return whether one of them cannot be read."""
    failed = False
    for files in requests:
        begun.sending = len(files)
        ingest = session.client.ingest.send(files, **about)
        begun.sending, begun.accepted = 0, begun.accepted + len(files)
        begun.ingests.append(ingest.id)
        if not wait:
            _show(session, ingest)
            continue
        ended = session.client.ingest.wait(ingest.id, timeout=seconds)
        for file in session.client.ingest.files(ended.id):
            _show_file(session, file)
        failed |= bool(ended.counts.get(FileState.FAILED)) or ended.state is IngestState.CANCELLED
    return failed


@remote(app, "list")
def list_ingests(
    session: Session,
    state: Annotated[list[IngestState] | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List ingests, the newest first."""
    found = islice(session.client.ingest.list(state=state or ()), limit or None)
    if session.json:
        for one in found:
            output.json_line(one)
        return
    now = datetime.now(UTC)
    rows = [(one.id, one.state, one.files, _counts(one), local(one.created_at, now)) for one in found]
    output.table(("ID", "STATE", "FILES", "OF THEM", "CREATED"), rows)


@remote(app)
def show(session: Session, ingest_id: IngestId) -> None:
    """Show how far an ingest is."""
    _show(session, session.client.ingest.get(ingest_id))


@remote(app)
def files(
    session: Session,
    ingest_id: IngestId,
    state: Annotated[list[FileState] | None, typer.Option(help="Only those in this state.")] = None,
) -> None:
    """List the files of an ingest, and what became of each."""
    for file in session.client.ingest.files(ingest_id, state=state or ()):
        _show_file(session, file)


@remote(app)
def cancel(session: Session, ingest_id: IngestId) -> None:
    """Take in no more of the files of an ingest."""
    _show(session, session.client.ingest.cancel(ingest_id))


@remote(sources, "list")
def list_sources(
    session: Session,
    prefix: Annotated[str | None, typer.Argument(help="What their names begin with.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List sources, those that changed last first."""
    found = islice(session.client.sources.list(prefix=prefix), limit or None)
    if session.json:
        for one in found:
            output.json_line(one)
        return
    now = datetime.now(UTC)
    rows = [
        (one.id, one.name, one.version, one.chunks, relative(one.updated_at, now), one.title) for one in found
    ]
    output.table(("ID", "NAME", "VERSION", "CHUNKS", "CHANGED", "TITLE"), rows)


@remote(sources, "show")
def show_source(session: Session, source_id: SourceId) -> None:
    """Show a source and its versions."""
    source = session.client.sources.get(_id_of(session, source_id))
    if session.json:
        output.json_line(source)
        return
    now = datetime.now(UTC)
    output.fields(
        (
            ("id", source.id),
            ("name", source.name),
            ("title", source.title),
            ("kind", source.media_type),
            ("bytes", source.bytes),
            ("text", f"{source.characters} characters in {source.chunks} chunks"),
            ("labels", _pairs(source.labels)),
            ("metadata", _pairs(source.metadata)),
            ("found", _pairs(source.found)),
        )
    )
    rows = [
        (one.number, local(one.created_at, now), one.bytes, one.chunks, one.chunks_new, one.redacted or "")
        for one in session.client.sources.versions(source.id)
    ]
    output.table(("VERSION", "CREATED", "BYTES", "CHUNKS", "NEW", "REDACTED"), rows)


@remote(sources)
def text(
    session: Session,
    source_id: SourceId,
    version: Annotated[int | None, typer.Option(min=1, help="Default: the newest.")] = None,
) -> None:
    """Print the text of a source; as JSON, its chunks."""
    for chunk in session.client.sources.chunks(_id_of(session, source_id), version=version):
        if session.json:
            output.json_line(chunk)
        else:
            output.text(chunk.text)


@remote(sources)
def remove(session: Session, source_id: SourceId) -> None:
    """Remove a source with all of its versions, for good."""
    session.client.sources.remove(_id_of(session, source_id))


def _id_of(session: Session, given_id: str) -> str:
    """Return the id of a source that may be given by its name."""
    if given_id.startswith("src_"):
        return given_id
    for source in session.client.sources.list(prefix=given_id):
        if source.name == given_id:
            return source.id
    raise Failure(
        FailureKind.NOT_FOUND, f"there is no source {given_id}", remedy="minoots sources list shows them."
    )


def _requests(paths: Sequence[str], name: str | None) -> Iterator[dict[str, Content]]:
    """Yield what is sent together: few files, and not too large."""
    together: dict[str, Content] = {}
    size = 0
    for known_as, content in _found(paths, name).items():
        length = len(content) if isinstance(content, bytes | str) else content.stat().st_size
        if together and (len(together) >= _MOST_FILES or size + length > _MOST_BYTES):
            yield together
            together, size = {}, 0
        together[known_as] = content
        size += length
    if together:
        yield together


def _found(paths: Sequence[str], name: str | None) -> dict[str, Content]:
    """Return every file by its name. Nothing is sent before all of them are known to be there."""
    if (name is None) == ("-" in paths):
        raise typer.BadParameter(
            "what comes from standard input needs a name, and nothing else takes one: - --name notes.md",
            param_hint="--name",
        )
    found: dict[str, Content] = {}
    for given_path in dict.fromkeys(paths):
        path = Path(given_path)
        if given_path == "-":
            continue
        if path.exists() and not path.is_file() and not path.is_dir():
            told = f"{given_path!r} is neither a file nor a folder; - --name NAME reads what a program writes"
            raise typer.BadParameter(told, param_hint="PATH")
        if not path.is_file() and not path.is_dir():
            raise typer.BadParameter(f"there is no file or folder {given_path!r}", param_hint="PATH")
        for file in _below(path) if path.is_dir() else [path]:
            found[_name_of(file)] = file
    if name is not None:
        if name in found:
            raise typer.BadParameter(f"there is a file {name!r} among the others", param_hint="--name")
        found[name] = sys.stdin.buffer.read()
    if not found:
        told = "; what begins with a dot is left out, and links are not followed, unless they are named"
        raise typer.BadParameter(f"there is no file in {', '.join(paths)}{told}", param_hint="PATH")
    return found


def _name_of(file: Path) -> str:
    name = Path(os.path.normpath(file)).as_posix()
    if re.fullmatch(SOURCE_NAME_PATTERN, name) is None:
        expected = "expected a name of 1 to 1024 characters on one line, in UTF-8"
        raise typer.BadParameter(f"{expected}; got {name!r}", param_hint="PATH")
    return name


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            file = Path(place) / name
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file


def _show(session: Session, ingest: Ingest) -> None:
    if session.json:
        output.json_line(ingest)
        return
    now = datetime.now(UTC)
    output.fields(
        (
            ("id", ingest.id),
            ("state", ingest.state),
            ("files", f"{ingest.files}, {ingest.bytes} bytes"),
            ("of them", _counts(ingest)),
            ("labels", _pairs(ingest.labels)),
            ("created", f"{local(ingest.created_at, now)} by {ingest.created_by}"),
            ("ended", None if ingest.ended_at is None else local(ingest.ended_at, now)),
        )
    )


def _show_file(session: Session, file: IngestedFile) -> None:
    if session.json:
        output.json_line(file)
        return
    told = f"{file.state:<10} {file.name}"
    if file.problem is not None:
        told += f": {file.problem}" + (f". {file.remedy}" if file.remedy else "")
    elif file.version is not None:
        chunks = "1 chunk" if file.chunks == 1 else f"{file.chunks} chunks"
        told += f"  (version {file.version}, {chunks}, {file.chunks_new} new)"
    output.line(told.rstrip())


def _counts(ingest: Ingest) -> str:
    return ", ".join(f"{ingest.counts[state]} {state}" for state in FileState if ingest.counts.get(state))


def _pairs(values: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
