"""Sessions of Copilot CLI before it wrote lines: one JSON each, read as the events of today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from minoots_activities.capture.compressed import Damaged

from .reader import Identity, digest
from .sqlite import json_of, whole
from .store import Listed, Open, Store
from .values import as_text

FOLDER: Final = "history-session-state"
"""Where they are, beside those of today."""

_SAID: Final = {
    "user": "user.message",
    "copilot": "assistant.message",
    "info": "session.info",
    "warning": "session.info",
    "error": "session.error",
}


class Timeline(Store):
    """One session's file."""

    def __init__(self, path: Path, open: Open) -> None:
        self._path = path
        self._open = open

    def listed(self) -> Iterator[Listed]:
        """Yield the session, if it says whose it is."""
        data = whole(self._open, self._path)
        session = self._read(data).get("sessionId")
        if isinstance(session, str) and session:
            yield Listed(Identity(session), digest(data.decode("utf-8", "replace")))

    def records(self, session_id: str) -> Iterator[Mapping[str, Any]]:
        """Yield its events as they would be written today."""
        timeline = self._read(whole(self._open, self._path)).get("timeline")
        for number, entry in enumerate(timeline if isinstance(timeline, list) else ()):
            if isinstance(entry, Mapping):
                yield from _events(entry, entry.get("id") or f"{session_id}/{number}")

    def _read(self, data: bytes) -> Mapping[str, Any]:
        found = json_of(data.decode("utf-8", "replace"))
        if not isinstance(found, Mapping):
            raise Damaged(f"{self._path.name} is no JSON of a session")
        return found


def _events(entry: Mapping[str, Any], name: Any) -> Iterator[Mapping[str, Any]]:
    common = {"id": name, "timestamp": entry.get("timestamp")}
    kind, text = str(entry.get("type")), entry.get("text")
    call = {"toolCallId": entry.get("callId") or name}
    if kind in _SAID:
        yield {**common, "type": _SAID[kind], "data": {"content": text, "message": text}}
    elif kind.startswith("tool_call_"):
        begun = {**call, "toolName": entry.get("name"), "arguments": entry.get("arguments")}
        yield {**common, "type": "tool.execution_start", "data": begun}
        if kind == "tool_call_completed":
            yield {**common, "type": "tool.execution_complete", "data": {**call, **_result(entry)}}
    else:
        yield {**common, "type": kind}


def _result(entry: Mapping[str, Any]) -> dict[str, Any]:
    result = entry.get("result")
    if not isinstance(result, Mapping):
        return {"result": result}
    parts = (result.get(part) for part in ("log", "message", "error"))
    told = as_text(next((part for part in parts if part is not None), result))
    return {"result": told, "success": result.get("type", "success") == "success"}
