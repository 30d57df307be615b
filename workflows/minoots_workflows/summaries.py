"""Names as Temporal takes them: what is too long for a summary or a search attribute is refused."""

from __future__ import annotations

from typing import Final

MOST_BYTES: Final = 200
"""Of the 400 that a server allows by default: a payload codec may make them longer."""


def summary_of(name: str) -> str:
    """Return ``name``, shortened at a character if it is too long."""
    encoded = name.encode()
    if len(encoded) <= MOST_BYTES:
        return name
    return encoded[: MOST_BYTES - 3].decode(errors="ignore") + "…"
