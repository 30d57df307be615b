"""The port of a writer: events in, text out, in an order that never takes anything back.

What is rendered of some events is the beginning of what is rendered of these and more, whatever the pieces
in which they come: so a file can be appended to, and a recording that was interrupted ends like one that was
not.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind


class Look(BaseModel):
    """How a recording is to look, and what it is of: as it was when it began."""

    model_config = ConfigDict(frozen=True)

    commentary: bool = True
    thinking: bool = True
    tool_calls: bool = False
    tool_results: bool = False
    decisions: bool = True
    decision_options: bool = True
    decision_selection: bool = True
    system_events: bool = False
    italic_user: bool = False
    relative_links: bool = True
    wikilinks: bool = False
    username: str | None = None
    """What a user is called in headings; ``user``, if nothing is given."""
    timezone: str = "local"
    """``local``, ``UTC`` or a name of the time zone database."""
    front_matter: bool = True
    updated: bool = False
    participant_username: bool = False
    session_ids: bool = True
    workspace_ids: bool = True
    recording_ids: bool = True
    event_kinds: bool = False
    tags: tuple[str, ...] = ()
    title: str = ""
    id: str = ""
    created: datetime | None = None
    session_id: str = ""
    workspace_id: str | None = None
    recording_id: str = ""
    root: str | None = None
    """Of the workspace: links to files below it become relative."""
    folder: str = ""
    """Where the file is."""
    agent_id: str | None = None
    """Of the sub-agent whose conversation it is."""
    beside: str = ""
    """Name of the folder for images and big outputs, next to the file; empty where there can be none."""


@dataclass(frozen=True)
class Beside:
    """A file that goes beside the recording."""

    name: str
    text: str | None = None
    sha256: str | None = None
    """Of an image or document that was kept with its message."""


@dataclass
class Rendered:
    """What comes of some events.

    Attributes:
        text: what is appended.
        participants: who spoke, in the order in which they first did.
        kinds: kinds of events, likewise.
        beside: files that the text refers to.
    """

    text: str = ""
    participants: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)


def agent_file(agent_id: str, extension: str) -> str:
    """Return the name of the file beside a recording in which a sub-agent's conversation is."""
    name = agent_id if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", agent_id) else _hashed(agent_id)
    return f"agent-{name}{extension}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


class Writer(ABC):
    """One format."""

    format: ClassVar[str]
    extension: ClassVar[str]
    gap: ClassVar[str] = "\n"
    """What has to stand at the end of a file before something is appended."""

    @abstractmethod
    def render(self, event: ConversationEvent, look: Look, state: dict[str, Any], into: Rendered) -> None:
        """Append to ``into`` what an event looks like.

        ``state`` is JSON that is kept between events: all that the rendering may know of what came before.
        """

    def head(self, look: Look, rendered: Rendered) -> str:
        """Return what a file begins with."""
        return ""

    def headed(self, existing: str, look: Look, rendered: Rendered, now: datetime) -> str | None:
        """Return a file with its head brought up to date; ``None`` where nothing has to change."""
        return None

    def dated(self, text: str, look: Look, now: datetime) -> str:
        """Return a whole file that was made anew, with the time of that where it is wanted."""
        return text

    def hidden(self, look: Look) -> frozenset[ConversationEventKind]:
        """Return kinds of events of which nothing is shown: what changes in them changes no file."""
        return frozenset()
