"""A message as people read it."""

from __future__ import annotations

import json

from .sender import Message


def text_of(message: Message, before: str | None, most: int) -> str:
    """Return what a person is told: a text of their own, the payload, and the link by which they answer."""
    parts = [before or message.title]
    if message.link is not None:
        parts.append(f"Acknowledge: {message.link}")
    if message.payload is not None:
        parts.append(json.dumps(message.payload, ensure_ascii=False, indent=2))
    text = "\n\n".join(parts)
    return text if len(text) <= most else text[: most - 1] + "…"
