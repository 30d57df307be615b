"""Cursor's CLI: one message a line, appended, without times and without ids.

What tells a message from another with the same words is what came before it: every record is hashed
together with the hash of all before, so that a copy of a conversation has the same ids as far as it is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Final, Literal

from minoots.contracts.conversations import ConversationEventKind, ToolUse

from .reader import Identity, Parsed, Parser, Reader, event_id
from .texts import clean, typed

Kind = ConversationEventKind

_RECORDS: Final = frozenset({"role", "type"})
_QUERY: Final = "<user_query>"
_QUERY_ENDS: Final = "</user_query>"


class Cursor(Reader):
    """Transcripts of Cursor's CLI."""

    provider: ClassVar[str] = "cursor"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".cursor/projects",)

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """The name of the file says whose it is; a sub-agent's is in a folder below its parent's."""
        if path.suffix != ".jsonl" or head is None or not _RECORDS & head.keys():
            return None
        if path.parent.name == "subagents" and (parent := path.parent.parent.name):
            return Identity(path.stem, parent, "subagent", path.stem)
        return Identity(path.stem)

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Goes on from the hash of all that was read."""
        return _CursorParser(identity, str((state or {}).get("before", "")))


class _CursorParser(Parser):
    def __init__(self, identity: Identity, before: str) -> None:
        self._agent = identity.agent_id
        self._before = before

    @property
    def state(self) -> dict[str, Any]:
        """The hash of all records so far."""
        return {"before": self._before}

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            self._before = event_id("cursor", self._before, json.dumps(record, sort_keys=True, default=str))
            role, message = record.get("role"), record.get("message")
            if record.get("type") == "turn_ended":
                parsed.understood += 1
            elif role in ("user", "assistant") and isinstance(message, Mapping):
                parsed.understood += 1
                self._message(str(role), message, parsed)
            else:
                parsed.unknown[str(record.get("type") or role)[:60]] += 1

    def _message(self, role: str, message: Mapping[str, Any], parsed: Parsed) -> None:
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for number, block in enumerate(blocks if isinstance(blocks, list) else ()):
            if not isinstance(block, Mapping):
                continue
            kind = Kind.USER if role == "user" else Kind.ASSISTANT
            if isinstance(thought := block.get("thinking"), str):
                self._say(parsed, Kind.THINKING, number, clean(thought))
            elif block.get("type") in ("tool_use", "tool_call"):
                key = event_id(self._before, "call", number)
                call_id = str(block.get("id") or key)
                tool = ToolUse(call_id=call_id, name=str(block.get("name", "")), input=block.get("input"))
                parsed.add(Kind.TOOL_CALL, None, key, tool=tool, agent_id=self._agent)
            elif isinstance(text := block.get("text"), str):
                # Also of blocks whose type is not known: what can be read is kept.
                self._say(parsed, kind, number, _asked(text) if kind is Kind.USER else clean(text))

    def _say(self, parsed: Parsed, kind: Kind, number: int, text: str) -> None:
        if text.strip():
            key = event_id(self._before, kind.value, number)
            parsed.add(kind, None, key, text=text, message_id=self._before, agent_id=self._agent)


def _asked(text: str) -> str:
    """Return what the user typed: all of it, or what is marked as that behind what was given along."""
    text = clean(text).strip()
    if not text.endswith(_QUERY_ENDS):
        return typed(text)
    # The last one: what stands before it are files and rules, which may hold one, too.
    _, found, own = text.removesuffix(_QUERY_ENDS).rpartition(_QUERY)
    return own.strip() if found else typed(text)
