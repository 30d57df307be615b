"""The port of a reader, and what parsing gives.

A parser is fed records in the order of the file and keeps no more of the past than its `Parser.state`, which
is kept with the mark: reading on after a restart gives what reading at once would have given.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, ClassVar, Final, Literal

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind, Enclosed

from .identity import Identity
from .store import Open, Store

_BESIDE: Final = ("-wal", "-journal", "-shm")
"""What SQLite writes next to a database."""

_DEFAULTS: Final[dict[str, Any]] = {
    name: None if field.is_required() else field.default
    for name, field in ConversationEvent.model_fields.items()
}
"""Every field, in its order; those that are always given have nothing here."""
_FIELDS: Final = set(_DEFAULTS)


@dataclass(frozen=True)
class Blob:
    """Bytes that came with a message; kept beside it, by their hash."""

    about: Enclosed
    data: bytes


@dataclass(frozen=True)
class Draft:
    """An event, and the bytes that belong to it."""

    event: ConversationEvent
    blobs: tuple[Blob, ...] = ()


@dataclass
class Parsed:
    """What came of some records."""

    drafts: list[Draft] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """What is known of the conversation by now: ``cwd``, ``branch``, ``version``, ``model``, …"""
    unknown: Counter[str] = field(default_factory=Counter)
    """Records of types that are not known, by type. They are kept as they came, and no reason to fail."""
    understood: int = 0
    """Records that were understood, also those that say nothing. None of many: the format has changed."""

    def add(
        self,
        kind: ConversationEventKind,
        ts: datetime | None,
        public_id: str,
        *,
        blobs: Sequence[Blob] = (),
        **more: Any,
    ) -> None:
        """Add an event, with the time that its record tells, or without one."""
        if blobs:
            more["enclosed"] = tuple(one.about for one in blobs)
        fields = _DEFAULTS | more
        fields["id"], fields["kind"], fields["ts"] = public_id, kind, ts
        fields["ts_source"] = "record" if ts else "none"
        if "details" not in more:
            fields["details"] = {}
        self.drafts.append(Draft(_event(fields), tuple(blobs)))


def _event(fields: dict[str, Any]) -> ConversationEvent:
    """Return an event of all its fields, unchecked: readers make them, and a transcript has many.

    It is what `ConversationEvent.model_construct` returns, which takes ten times as long: it asks every field
    for its other names and its default. That was a third of what reading a transcript cost.
    """
    event = object.__new__(ConversationEvent)
    object.__setattr__(event, "__dict__", fields)
    object.__setattr__(event, "__pydantic_fields_set__", _FIELDS.copy())
    object.__setattr__(event, "__pydantic_extra__", None)
    object.__setattr__(event, "__pydantic_private__", None)
    return event


class Parser(ABC):
    """Turns the records of one file into events."""

    more = False
    """Whether other records come behind those that are fed next: the file has more already."""

    @abstractmethod
    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on. Never raises for what a record holds."""

    @property
    def state(self) -> dict[str, Any]:
        """What of the past the records to come depend on, as JSON."""
        return {}


class Reader(ABC):
    """One program whose transcripts can be read: an entry point of the group ``minoots.transcripts``."""

    provider: ClassVar[str]
    cursor: ClassVar[Literal["lines", "whole"]]
    """Whether files grow by lines, or are written anew as a whole."""
    roots: ClassVar[Sequence[str]]
    """Where transcripts are, below the home folder, unless the settings say otherwise."""
    variable: ClassVar[str | None] = None
    """Environment variable that the program takes for its folder, the first part of the roots."""
    own: ClassVar[bool] = True
    """Whether nobody but the program writes where its transcripts are. What comes with a repository may be
    old, although it is new here."""
    endings: ClassVar[tuple[str, ...]] = (".jsonl",)
    """How the names of transcripts end."""

    def holds(self, path: str) -> bool:
        """Tell whether a path may be that of a transcript, as far as its name tells."""
        return path.endswith(self.endings)

    def beside(self, path: str) -> Iterable[str]:
        """Return other files whose change is a change of this one: of a database, what is not in it yet."""
        return (f"{path}-wal",) if path.endswith(".db") else ()

    def meant(self, path: str) -> str:
        """Return the transcript that a file lies beside; any other path as it is."""
        return next((path.removesuffix(end) for end in _BESIDE if path.endswith(f".db{end}")), path)

    def store_of(self, path: Path, open: Open) -> Store | None:
        """Return the store that a file is, or belongs to; ``None`` where it is a session by itself."""
        return None

    def folders(self, home: Path, environ: Mapping[str, str]) -> list[Path]:
        """Return where this user's transcripts are, whether there are any or not."""
        own = environ.get(self.variable or "")
        if not own:
            return [home / root for root in self.roots]
        return [Path(own, *PurePath(root).parts[1:]) for root in self.roots]

    @abstractmethod
    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """Return whose transcript a file is, from its name and its first record; ``None`` for other files."""

    def written_anew(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return with which state a file is read from its beginning again; ``state`` is that at its end."""
        return {}

    @abstractmethod
    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Return a parser that begins, or goes on from a state."""


def event_id(*content: object) -> str:
    """Return the id of an event, made of what tells it from all others."""
    told = "\x1f".join(map(str, content)).encode("utf-8", "surrogatepass")
    return "cev_" + hashlib.blake2b(told, digest_size=16).hexdigest()


def digest(text: str) -> str:
    """Return a short hash of a text, as a part of an id."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


__all__ = [
    "Blob",
    "ConversationEventKind",
    "Draft",
    "Identity",
    "Parsed",
    "Parser",
    "Reader",
    "digest",
    "event_id",
]
