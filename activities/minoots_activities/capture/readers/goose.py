"""Goose: once a file of lines for each session, since 1.10 a database with all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, ClassVar, Final, Literal

from minoots.contracts.conversations import ConversationEventKind, ToolUse

from .reader import Identity, Parsed, Parser, Reader, digest, event_id
from .sqlite import Sqlite, json_of
from .store import Listed, Open, Store
from .texts import clean, typed
from .times import moment
from .values import as_text, blob

Kind = ConversationEventKind


_NAME: Final = re.compile(r"[0-9]{8}_[0-9]+")
_OF_AGENTS: Final = ("sub_agent", "subagent")


class Goose(Reader):
    """Sessions of Goose."""

    provider: ClassVar[str] = "goose"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".local/share/goose/sessions",)
    endings: ClassVar[tuple[str, ...]] = (".jsonl", "sessions.db")

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """The header says whose it is; older files are called after it."""
        if path.suffix != ".jsonl" or head is None:
            return None
        if "role" in head:
            # It has lost its header. What is a message's is no id of a session.
            return Identity(path.stem) if _NAME.fullmatch(path.stem) else None
        return Identity(str(head.get("id") or path.stem))

    def store_of(self, path: Path, open: Open) -> Store | None:
        """Return the database, for what is one."""
        return _Sessions(path, open) if path.suffix == ".db" else None

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Nothing of the past is needed but the messages of one second that had no id."""
        return _GooseParser(identity.session_id, dict(state or {}))


class _Sessions(Sqlite):
    def listed(self) -> Iterator[Listed]:
        with self.rows() as ask:
            sessions = ask("SELECT * FROM sessions")
            said = "SELECT session_id, digest(id, content_json) AS messages FROM messages GROUP BY session_id"
            told = {row["session_id"]: row["messages"] for row in ask(said)}
        for row in sessions:
            mark = digest(f"{row.get('updated_at')}/{told.get(row['id'])}")
            helper = row.get("session_type") in _OF_AGENTS
            yield Listed(Identity(str(row["id"]), None, "subagent" if helper else None), mark)

    def records(self, session_id: str) -> Iterator[Mapping[str, Any]]:
        with self.rows() as ask:
            sessions = ask("SELECT * FROM sessions WHERE id = ?", session_id)
            messages = ask("SELECT * FROM messages WHERE session_id = ? ORDER BY id", session_id)
        yield from sessions
        for row in messages:
            yield {
                "id": row.get("message_id"),
                "role": row.get("role"),
                "created": row.get("created_timestamp"),
                "content": json_of(row.get("content_json")),
                "metadata": json_of(row.get("metadata_json")),
            }


class _GooseParser(Parser):
    def __init__(self, session_id: str, state: dict[str, Any]) -> None:
        self._session = session_id
        self._state = state

    @property
    def state(self) -> dict[str, Any]:
        return self._state

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            if "role" in record:
                self._message(record, parsed)
            elif "working_dir" in record or "description" in record:
                parsed.understood += 1
                self._header(record, parsed)
            else:
                parsed.unknown["record"] += 1

    def _header(self, record: Mapping[str, Any], parsed: Parsed) -> None:
        cwd = record.get("working_dir")
        if isinstance(cwd, str) and cwd:
            parsed.facts["cwd"] = cwd
        title = record.get("description") or record.get("name")
        if isinstance(title, str) and title.strip():
            text = clean(title.strip())
            public_id = event_id("goose", self._session, "title", text)
            parsed.add(Kind.TITLE, None, public_id, text=text, rank=2)

    def _message(self, record: Mapping[str, Any], parsed: Parsed) -> None:
        content = record.get("content")
        if not isinstance(content, list):
            parsed.unknown["message"] += 1
            return
        parsed.understood += 1
        ts = moment(record.get("created"))
        name = record.get("id")
        if not isinstance(name, str) or not name:
            name = self._name(record)
        assistant = record.get("role") == "assistant"
        about = record.get("metadata")
        # For the model alone: what the program says to it where the user speaks.
        hidden = isinstance(about, Mapping) and about.get("userVisible") is False
        for place, part in enumerate(content):
            if isinstance(part, Mapping):
                public_id = event_id("goose", self._session, name, place)
                self._part(part, assistant, ts, name, public_id, parsed, hidden=hidden)

    def _name(self, record: Mapping[str, Any]) -> str:
        """Return a name for a message without one.

        By what it says, for Goose writes conversations anew, into other rows and lines; of the same of one
        second, each is one more.
        """
        said = json.dumps([record.get(part) for part in ("role", "created", "content")], sort_keys=True)
        same, created = digest(said), record.get("created")
        if self._state.get("created", ...) != created:
            self._state = {"created": created, "said": {}}
        again = self._state["said"][same] = self._state["said"].get(same, -1) + 1
        return f"n{same}.{again}"

    def _part(
        self,
        part: Mapping[str, Any],
        assistant: bool,
        ts: datetime | None,
        name: str,
        public_id: str,
        parsed: Parsed,
        *,
        hidden: bool,
    ) -> None:
        match part.get("type"):
            case "text":
                text = clean(str(part.get("text", "")))
                if assistant:
                    parsed.add(Kind.ASSISTANT, ts, public_id, text=text, message_id=name)
                else:
                    own = "" if hidden else typed(text)
                    parsed.add(Kind.USER, ts, public_id, text=own or text, message_id=name, injected=not own)
            case "thinking":
                parsed.add(Kind.THINKING, ts, public_id, text=clean(str(part.get("thinking", ""))))
            case "image":
                blobs = blob(part.get("data"), part.get("mimeType"))
                kind = Kind.ASSISTANT if assistant else Kind.USER
                parsed.add(kind, ts, public_id, text="", message_id=name, blobs=blobs)
            case "toolRequest" | "frontendToolRequest":
                call = _value(part.get("toolCall"))
                tool = ToolUse(
                    call_id=str(part.get("id", "")),
                    name=str(call.get("name") or "tool"),
                    input=call.get("arguments"),
                )
                parsed.add(Kind.TOOL_CALL, ts, public_id, tool=tool)
            case "toolResponse":
                result = part.get("toolResult")
                failed = isinstance(result, Mapping) and result.get("status") == "error"
                tool = ToolUse(
                    call_id=str(part.get("id", "")), output=clean(_output(result)), is_error=failed
                )
                parsed.add(Kind.TOOL_RESULT, ts, public_id, tool=tool)
            case "contextLengthExceeded" | "summarizationRequested" | "conversationCompacted":
                parsed.add(Kind.COMPACTION, ts, public_id)
            case "toolConfirmationRequest" | "redactedThinking":
                return
            case other:
                parsed.unknown[f"part {other}"[:60]] += 1


def _value(result: Any) -> Mapping[str, Any]:
    value = result.get("value", result) if isinstance(result, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _output(result: Any) -> str:
    if not isinstance(result, Mapping):
        return as_text(result)
    if result.get("status") == "error":
        return as_text(result.get("error"))
    value = result.get("value", result)
    value = value.get("content", value) if isinstance(value, Mapping) else value
    if not isinstance(value, list):
        return as_text(value)
    texts = [
        part["text"] for part in value if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    ]
    return "\n".join(texts) if texts else as_text(value)
