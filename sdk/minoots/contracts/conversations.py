"""Conversations on the wire: what was said and done, whichever agent's files it was read from."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from .base import Instant, View


class ConversationEventKind(StrEnum):
    """What one event of a conversation is."""

    USER = "message.user"
    ASSISTANT = "message.assistant"
    SYSTEM = "message.system"
    THINKING = "thinking"
    TOOL_CALL = "tool.call"
    TOOL_RESULT = "tool.result"
    DECISION = "decision"
    """A question that was put to somebody, with what they chose."""
    USAGE = "usage"
    """Tokens of one answer of a model, counted once."""
    TITLE = "title"
    COMPACTION = "compaction"
    """What came before was replaced by a summary, for the model; here it stays."""
    REWIND = "rewind"
    """Events after a point were taken back."""
    ERROR = "error"


class Tokens(View):
    """Tokens of one answer. Absent numbers were not told; none is guessed."""

    input: int | None = None
    """Without what came from a cache."""
    cache_read: int | None = None
    cache_write: int | None = None
    output: int | None = None
    """With what was spent on thinking."""
    thinking: int | None = None


class ToolUse(View):
    """A call of a tool, or what came of it."""

    call_id: str
    """Links the result to the call."""
    name: str | None = None
    input: Any = None
    output: str | None = None
    is_error: bool = False


class Choice(View):
    """A question, its options, and what was chosen."""

    key: str
    question: str
    options: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    """Nothing yet, while it is open."""


class Enclosed(View):
    """An image or document that came with a message; its bytes are kept by their hash."""

    sha256: str
    media_type: str
    size: int


class ConversationEvent(View):
    """One thing that was said or done.

    The id is made of the content that the agent wrote, never of a path or an offset: the same event has the
    same id in a file that was moved, compressed, forked or copied. A later revision replaces the one before.
    """

    id: str
    revision: int = 1
    kind: ConversationEventKind
    ts: Instant | None = None
    ts_source: Literal["record", "session", "file", "none"] = "none"
    """Where ``ts`` is from; it is never invented."""
    text: str | None = None
    message_id: str | None = None
    """Events of one id are parts of one message."""
    turn_id: str | None = None
    phase: Literal["commentary", "final"] | None = None
    model: str | None = None
    tool: ToolUse | None = None
    choice: Choice | None = None
    tokens: Tokens | None = None
    enclosed: tuple[Enclosed, ...] = ()
    injected: bool = False
    """Not typed by a person: put there by the program."""
    agent_id: str | None = None
    """The sub-agent that it belongs to; with a tool's result, the one that was called."""
    rank: int = 0
    """Of a title: the highest is shown."""
    details: dict[str, Any] = Field(default_factory=dict)
