"""Qwen Code: one record a line, appended; each holds the parts of one message of the model's own API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar, Final, Literal

from minoots.contracts.conversations import ConversationEventKind, Tokens, ToolUse

from .gemini import GeminiParser
from .gemini_file import GeminiFile
from .identity import id_in, id_in_name
from .reader import Blob, Identity, Parsed, Parser, Reader, event_id
from .store import Open, Store
from .texts import clean, typed, without_mentioned
from .times import moment
from .values import as_text, blob, count

Kind = ConversationEventKind

_FACTS: Final = {"cwd": "cwd", "gitBranch": "branch", "version": "version", "model": "model"}
_ASKED: Final = (None, "mid_turn_user_message")
"""Subtypes of what a user says. Others are notifications, jobs, agents' prompts and goals."""
_PERSON: Final = (None, "real_user")


class Qwen(Reader):
    """Transcripts of Qwen Code."""

    provider: ClassVar[str] = "qwen"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".qwen/projects", ".qwen/tmp")
    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".json")

    def holds(self, path: str) -> bool:
        """Lines, or a conversation of before; not what the program keeps beside them."""
        place = PurePath(path)
        if place.suffix == ".json":
            return place.parent.name == "chats" and place.name.startswith("session-")
        return path.endswith(".jsonl") and not path.endswith(".ledger.jsonl")

    def store_of(self, path: Path, open: Open) -> Store | None:
        """Return the conversation of before, for what is one."""
        return GeminiFile(path, open) if path.suffix == ".json" else None

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """Every record says whose it is; where the first one does not, the name of the file."""
        if path.suffix != ".jsonl" or head is None:
            return None
        session = id_in(head, "sessionId") or (id_in_name(path) if "type" in head else None)
        return Identity(session) if session else None

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Nothing of the past is needed: every record has an id."""
        return _QwenParser(identity)


class _QwenParser(Parser):
    def __init__(self, identity: Identity) -> None:
        self._agent = identity.agent_id
        self._before = GeminiParser(identity, "qwen")

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            if "type" not in record and "messages" in record:
                self._before.feed([record], parsed)
                continue
            kind = str(record.get("type"))
            if kind not in ("user", "assistant", "tool_result", "system"):
                parsed.unknown[kind[:60]] += 1
                continue
            parsed.understood += 1
            for name, fact in _FACTS.items():
                value = record.get(name)
                if isinstance(value, str) and value:
                    parsed.facts[fact] = value
            if kind == "system":
                self._system(record, parsed)
            else:
                self._message(kind, record, parsed)

    def _message(self, kind: str, record: Mapping[str, Any], parsed: Parsed) -> None:
        message = record.get("message")
        parts = message.get("parts") if isinstance(message, Mapping) else None
        texts: dict[Kind, list[str]] = {}
        blobs: list[Blob] = []
        tools: list[tuple[int, Mapping[str, Any]]] = []
        own = Kind.ASSISTANT if kind == "assistant" else Kind.USER
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            if not isinstance(part, Mapping):
                continue
            if isinstance(text := part.get("text"), str):
                texts.setdefault(Kind.THINKING if part.get("thought") is True else own, []).append(text)
            elif any(isinstance(part.get(one), Mapping) for one in ("functionCall", "functionResponse")):
                tools.append((number, part))
            elif isinstance(inline := part.get("inlineData"), Mapping):
                blobs += blob(inline.get("data"), inline.get("mimeType"))
        if kind != "assistant":
            self._tools(tools, record, parsed)
        common = _common(record) if kind == "assistant" else {}
        if thoughts := clean("\n".join(texts.get(Kind.THINKING, ()))).strip():
            self._add(parsed, record, Kind.THINKING, text=thoughts, **common)
        spoken = texts.get(own, [])
        by = _speaker(record) if kind == "user" else None
        if by is not None:
            told: dict[str, Any] = {"text": clean("\n".join(spoken)), "blobs": blobs}
            if told["text"].strip() or blobs:
                details = {"origin": clean(by)[:100]}
                self._add(parsed, record, Kind.SYSTEM, injected=True, details=details, **told)
            return
        said = typed(*map(clean, without_mentioned(spoken))) if own is Kind.USER else clean("\n".join(spoken))
        if said.strip() or blobs:
            self._add(parsed, record, own, text=said, blobs=blobs, **common)
        if kind == "assistant":
            self._tools(tools, record, parsed)  # behind the words that announce them
        usage = record.get("usageMetadata")
        if isinstance(usage, Mapping) and usage:
            self._add(parsed, record, Kind.USAGE, tokens=_tokens(usage), **common)

    def _tools(
        self, parts: Iterable[tuple[int, Mapping[str, Any]]], record: Mapping[str, Any], parsed: Parsed
    ) -> None:
        for number, part in parts:
            if isinstance(call := part.get("functionCall"), Mapping):
                self._call(number, call, record, parsed)
            elif isinstance(answer := part.get("functionResponse"), Mapping):
                self._result(number, answer, record, parsed)

    def _call(self, number: int, call: Mapping[str, Any], record: Mapping[str, Any], parsed: Parsed) -> None:
        call_id = str(call.get("id") or f"{record.get('uuid')}/{number}")
        tool = ToolUse(call_id=call_id, name=str(call.get("name", "")), input=call.get("args"))
        self._add(parsed, record, Kind.TOOL_CALL, call_id, tool=tool, **_common(record))

    def _result(
        self, number: int, answer: Mapping[str, Any], record: Mapping[str, Any], parsed: Parsed
    ) -> None:
        call_id = str(answer.get("id") or f"{record.get('uuid')}/{number}")
        response = answer.get("response")
        failed = isinstance(response, Mapping) and "output" not in response and "error" in response
        told = response.get("output", response.get("error")) if isinstance(response, Mapping) else response
        if told is None and response:
            told = response
        tool = ToolUse(call_id=call_id, output=clean(as_text(told)), is_error=failed)
        self._add(parsed, record, Kind.TOOL_RESULT, call_id, tool=tool)

    def _system(self, record: Mapping[str, Any], parsed: Parsed) -> None:
        payload = record.get("systemPayload")
        given = payload if isinstance(payload, Mapping) else {}
        match record.get("subtype"):
            case "chat_compression":
                self._add(parsed, record, Kind.COMPACTION)
            case "rewind":
                # What follows goes on from an earlier record.
                parent = record.get("parentUuid")
                details = {"message_id": parent} if isinstance(parent, str) else {}
                self._add(parsed, record, Kind.REWIND, details=details)
            case "custom_title" if isinstance(title := given.get("customTitle"), str) and title.strip():
                self._add(parsed, record, Kind.TITLE, text=clean(title).strip(), rank=4)
            case "slash_command" if given.get("phase") == "invocation":
                text = clean(str(given.get("rawCommand") or ""))
                if text.strip():
                    # For the program, not for the model: no message of the conversation.
                    self._add(parsed, record, Kind.SYSTEM, text=text, injected=True)

    def _add(
        self, parsed: Parsed, record: Mapping[str, Any], kind: Kind, call_id: str = "", **more: Any
    ) -> None:
        stamp = record.get("timestamp")
        key = event_id("qwen", kind.value, record.get("uuid"), stamp, call_id)
        named = record.get("agentId")
        agent = named if isinstance(named, str) and named else self._agent
        parsed.add(kind, moment(stamp), key, agent_id=agent, **more)


def _speaker(record: Mapping[str, Any]) -> str | None:
    """Return who else than the user speaks; ``None`` where nobody else does."""
    subtype, source = record.get("subtype"), record.get("provenance")
    if subtype not in _ASKED:
        return str(subtype)
    if source not in _PERSON:
        return str(source)
    return "background" if record.get("backgroundTurn") else None


def _common(record: Mapping[str, Any]) -> dict[str, Any]:
    model = record.get("model")
    return {
        "message_id": str(record.get("uuid") or ""),
        "model": model if isinstance(model, str) else None,
    }


def _tokens(usage: Mapping[str, Any]) -> Tokens:
    prompt, cached = count(usage, "promptTokenCount"), count(usage, "cachedContentTokenCount")
    said, thinking = count(usage, "candidatesTokenCount"), count(usage, "thoughtsTokenCount")
    return Tokens(
        input=None if prompt is None else max(0, prompt - (cached or 0)),
        cache_read=cached,
        output=None if said is None else said + (thinking or 0),
        thinking=thinking,
    )
