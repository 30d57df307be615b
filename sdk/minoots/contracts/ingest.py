"""Ingesting on the wire: files and texts that are taken in under names, their versions, and their chunks.

A source is a file or text by its name. Each change of its content is a version, and a version is divided into
chunks: in order they are the whole text, and a chunk whose hash was there before has not changed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, JsonValue

from .base import Instant, Labels, Matching, Part, Request, View
from .payloads import Metadata

MAX_FILES: Final = 1000
"""Files in one request."""

MAX_SOURCE_NAME: Final = 1024
SOURCE_NAME_PATTERN: Final = r"^[^\x00-\x1f\x7f\ud800-\udfff]{1,1024}$"
SourceName = Annotated[str, Matching(SOURCE_NAME_PATTERN, "a name of 1 to 1024 characters on one line")]
"""By what a source is known: a path, an address, a title; the same name is the same source."""

MEDIA_TYPE_PATTERN: Final = r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$"


class SourceAbout(Part):
    """What is known of a file beside its content."""

    media_type: Annotated[str, Matching(MEDIA_TYPE_PATTERN, "a media type, such as text/markdown")] | None = (
        None
    )
    """Where what the file says of itself, its name and the request are wrong."""
    title: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """In place of the one that stands in it."""
    labels: Labels = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)


class IngestAbout(Request):
    """What is known of the files of a request: the part ``about`` of its form."""

    labels: Labels = Field(default_factory=dict)
    """Of every file, and of the ingest."""
    metadata: Metadata = Field(default_factory=dict)
    """Of every file."""
    files: Annotated[dict[SourceName, SourceAbout], Field(max_length=MAX_FILES)] = Field(default_factory=dict)
    """Of single files, by name."""


class IngestState(StrEnum):
    """Where an ingest stands. ``completed`` and ``cancelled`` are final."""

    RUNNING = "running"
    COMPLETED = "completed"
    """Every file has been seen to; some may have failed."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self is not IngestState.RUNNING


class FileState(StrEnum):
    """What became of a file. All but ``waiting`` are final."""

    WAITING = "waiting"
    CREATED = "created"
    """Its source is new."""
    UPDATED = "updated"
    """Its source has a new version."""
    UNCHANGED = "unchanged"
    """Its source had this very content; only what is known of it may have changed."""
    SUPERSEDED = "superseded"
    """Its source has a version by now that was sent later than this one."""
    FAILED = "failed"
    """It cannot be read; ``problem`` says why."""
    CANCELLED = "cancelled"


class Ingest(View):
    """Files and texts that are taken in together."""

    id: str
    state: IngestState
    files: int
    bytes: int
    counts: dict[FileState, int]
    """How many files stand how."""
    labels: dict[str, str]
    created_at: Instant
    created_by: str
    ended_at: Instant | None = None


class IngestedFile(View):
    """One file of an ingest, and what became of it."""

    number: int
    """Its place in the request, from 1."""
    name: str
    state: FileState
    problem: str | None = None
    remedy: str | None = None
    bytes: int
    sha256: str
    source_id: str | None = None
    version: int | None = None
    """Which version of its source it is."""
    chunks: int | None = None
    chunks_new: int | None = None
    """Of them, those that the version before had not."""
    redacted: int | None = None
    """Secrets that were taken out of it, or with ``detect`` only found."""
    ended_at: Instant | None = None


class SourceVersion(View):
    """A source as it was from some time on."""

    number: int
    """From 1."""
    ingest_id: str
    media_type: str
    sha256: str
    """Of the bytes that were sent."""
    bytes: int
    characters: int
    """Of the text that was found in them."""
    chunks: int
    chunks_new: int
    redacted: int
    found: dict[str, JsonValue]
    """What stands in the file about itself: author, pages, front matter and the like."""
    created_at: Instant


class Source(View):
    """A file or text that was taken in, by its name."""

    id: str
    name: str
    title: str
    version: int
    """The newest."""
    media_type: str
    sha256: str
    bytes: int
    characters: int
    chunks: int
    labels: dict[str, str]
    metadata: dict[str, JsonValue]
    found: dict[str, JsonValue]
    created_at: Instant
    updated_at: Instant


class Chunk(View):
    """A part of a source's text. All of them, one after the other, are the whole of it."""

    number: int
    """From 1."""
    begin: int
    end: int
    """Characters of the text: from the first, up to the last but it."""
    headings: tuple[str, ...]
    """Those below which it stands, the highest first."""
    page: int | None = None
    """Of a document that has pages, from 1."""
    sha256: str
    """Of the text and the headings: what was worked out for one chunk holds for every one of the same."""
    text: str
