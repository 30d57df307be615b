"""Conversations of programs made from Gemini's, which kept each in one JSON before they wrote lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minoots_activities.capture.compressed import Damaged

from .identity import Identity, id_in
from .reader import digest
from .sqlite import json_of, whole
from .store import Listed, Open, Store


class GeminiFile(Store):
    """One conversation's file."""

    def __init__(self, path: Path, open: Open) -> None:
        self._path = path
        self._open = open

    def listed(self) -> Iterator[Listed]:
        """Yield the conversation, if it says whose it is."""
        text, found = self._read()
        if (session := id_in(found, "sessionId")) and isinstance(found.get("messages"), list):
            yield Listed(Identity(session), digest(text))

    def records(self, session_id: str) -> Iterator[Mapping[str, Any]]:
        """Yield it as a whole."""
        yield self._read()[1]

    def _read(self) -> tuple[str, Mapping[str, Any]]:
        text = whole(self._open, self._path).decode("utf-8", "replace")
        found = json_of(text)
        if not isinstance(found, Mapping):
            raise Damaged(f"{self._path.name} is no JSON of a conversation")
        return text, found
