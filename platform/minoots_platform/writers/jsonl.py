"""JSONL: one event a line, with everything that is known of it."""

from __future__ import annotations

from typing import Any, ClassVar

from minoots.contracts.conversations import ConversationEvent

from .visible import visible_json
from .writer import Look, Rendered, Writer


class Jsonl(Writer):
    """Writes events for programs."""

    format: ClassVar[str] = "jsonl"
    extension: ClassVar[str] = ".jsonl"

    def render(self, event: ConversationEvent, look: Look, state: dict[str, Any], into: Rendered) -> None:
        """Append one line."""
        into.text += visible_json(event.model_dump_json(exclude_defaults=True)) + "\n"
