"""Operations on ingests and sources."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypedDict

from pydantic import TypeAdapter, ValidationError

from minoots.call import Call, File, Nothing, body_of, checked, get, invalid, key_header, path, post
from minoots.contracts.ingest import (
    Chunk,
    Ingest,
    IngestAbout,
    IngestedFile,
    Source,
    SourceName,
    SourceVersion,
)
from minoots.contracts.pages import Page

Content = str | bytes | Path
"""What is taken in: a text, bytes, or the file at a path."""

_NAME: Final = TypeAdapter(SourceName)
_TEXT: Final = "text/plain"
_UNKNOWN: Final = "application/octet-stream"


class About(TypedDict, total=False):
    """What is known of files beside their content."""

    labels: Mapping[str, str]
    """Of every file, and of the ingest."""
    metadata: Mapping[str, Any]
    """Of every file."""
    about: Mapping[str, Mapping[str, Any]]
    """Of single files by name: ``media_type``, ``title``, ``labels``, ``metadata``."""
    idempotency_key: str | None
    """The same key with the same files makes one ingest; default: a random one for each call."""


def send(files: Mapping[str, Content], fields: About) -> Call[Ingest]:
    """POST /v1/ingest.

    Raises:
        InvalidRequest: for no files, or one that cannot be read.
    """
    if not files:
        raise invalid("files", "at least one file or text, by name", "none")
    wanted: dict[str, Any] = dict(fields)
    key = wanted.pop("idempotency_key", None)
    if "about" in wanted:
        wanted["files"] = wanted.pop("about")
    about = checked(IngestAbout, **wanted)
    return Call(
        "POST",
        "/v1/ingest",
        Ingest,
        body=body_of(about),
        files=tuple(_file(name, content) for name, content in files.items()),
        headers=key_header(key),
    )


def listing(state: Sequence[str]) -> Call[Page[Ingest]]:
    """GET /v1/ingest."""
    return get("/v1/ingest", Page[Ingest], state=list(state) or None)


def read(ingest_id: str, wait: int | None = None) -> Call[Ingest]:
    """GET /v1/ingest/{id}."""
    call = get(path("/v1/ingest/{id}", id=ingest_id), Ingest, wait=wait)
    return replace(call, patience=float(wait or 0))


def files(ingest_id: str, state: Sequence[str]) -> Call[Page[IngestedFile]]:
    """GET /v1/ingest/{id}/files."""
    where = path("/v1/ingest/{id}/files", id=ingest_id)
    return get(where, Page[IngestedFile], state=list(state) or None, limit=200)


def cancel(ingest_id: str) -> Call[Ingest]:
    """POST /v1/ingest/{id}/cancel."""
    return post(path("/v1/ingest/{id}/cancel", id=ingest_id), Ingest)


def sources(prefix: str | None) -> Call[Page[Source]]:
    """GET /v1/sources."""
    return get("/v1/sources", Page[Source], prefix=prefix)


def source(source_id: str) -> Call[Source]:
    """GET /v1/sources/{id}."""
    return get(path("/v1/sources/{id}", id=source_id), Source)


def versions(source_id: str) -> Call[Page[SourceVersion]]:
    """GET /v1/sources/{id}/versions."""
    return get(path("/v1/sources/{id}/versions", id=source_id), Page[SourceVersion])


def chunks(source_id: str, version: int | None) -> Call[Page[Chunk]]:
    """GET /v1/sources/{id}/chunks."""
    return get(path("/v1/sources/{id}/chunks", id=source_id), Page[Chunk], version=version, limit=200)


def remove(source_id: str) -> Call[Nothing]:
    """DELETE /v1/sources/{id}."""
    return Call("DELETE", path("/v1/sources/{id}", id=source_id), Nothing)


def _file(name: str, content: Content) -> File:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise invalid("files", "names of 1 to 1024 characters on one line", repr(name)[:100]) from None
    media_type = mimetypes.guess_type(name)[0]
    if media_type is not None and not media_type.startswith(("text/", "application/")):
        media_type = None  # .ts is a program more often than a film
    if isinstance(content, str):
        return File(name, content.encode("utf-8", "replace"), media_type or _TEXT)
    if isinstance(content, Path):
        try:
            # A device or a pipe has no end.
            if not content.is_file():
                raise OSError("it is no plain file")
            content = content.read_bytes()
        except OSError as error:
            raise invalid(f"files.{name}", "a file that can be read", str(error)) from error
    return File(name, content, media_type or _UNKNOWN)
