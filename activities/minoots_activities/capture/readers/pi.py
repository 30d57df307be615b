"""pi: one entry a line, appended; entries form a tree, and a session may go on from any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Final, Literal

from minoots.contracts.conversations import ConversationEventKind, Tokens, ToolUse

from .identity import id_in, id_in_name
from .reader import Blob, Identity, Parsed, Parser, Reader, digest, event_id
from .texts import clean, typed
from .times import moment
from .values import blob, count

Kind = ConversationEventKind

_SILENT: Final = frozenset({"thinking_level_change", "custom", "label"})
_SUMMARIES: Final = frozenset({"compaction", "branch_summary"})
_FORKED: Final = ("parentSession", "branchedFrom")
_ATTACHED: Final = '<file name="'
"""Begins what a file holds that was given on the command line; no end but the last is one for sure."""
_REMEMBERED: Final = 256
"""Entries before which a fork goes on from, rather than from one that it left out."""


class Pi(Reader):
    """Sessions of the pi coding agent."""

    provider: ClassVar[str] = "pi"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".pi/agent/sessions",)

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """The header says whose it is, and from which file it was forked."""
        if path.suffix != ".jsonl" or head is None:
            return None
        session = id_in(head, "id") if head.get("type") == "session" else None
        if session is None:
            # It has lost its beginning, but for what its name tells.
            named = id_in_name(path)
            return Identity(named) if named else None
        source = next((head[name] for name in _FORKED if isinstance(head.get(name), str)), "")
        # Files are called after the time and the id of their session, on whatever system it was written.
        parent = source.replace("\\", "/").rpartition("/")[2].removesuffix(".jsonl").rpartition("_")[2]
        return Identity(session, parent, "fork") if parent and parent != session else Identity(session)

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Remembers the entries before, to see when a session goes on from another than the last."""
        return _PiParser(identity, (state or {}).get("entries", ()))


class _PiParser(Parser):
    def __init__(self, identity: Identity, entries: Iterable[str]) -> None:
        self._forked = identity.relation == "fork"
        self._entries = dict.fromkeys(map(str, entries))

    @property
    def state(self) -> dict[str, Any]:
        """Hashes of the ids of the last entries."""
        return {"entries": list(self._entries)}

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            self._follow(record, parsed)
            kind = str(record.get("type"))
            if kind in _SILENT or self._told(kind, record, parsed):
                parsed.understood += 1
            else:
                parsed.unknown[kind[:60]] += 1

    def _follow(self, record: Mapping[str, Any], parsed: Parsed) -> None:
        own, parent = record.get("id"), record.get("parentId")
        if record.get("type") == "session" or not isinstance(own, str) or "parentId" not in record:
            return
        last = next(reversed(self._entries), None)
        named = digest(parent) if isinstance(parent, str) else None
        # A fork leaves entries out, and may name one of those; else it is one of long ago.
        known = parent is None or named in self._entries or not self._forked
        if last is not None and named != last and known:
            details = {} if parent is None else {"message_id": parent}
            self._add(parsed, record, Kind.REWIND, said=f"{own} {parent}", details=details)
        self._entries[digest(own)] = None
        if len(self._entries) > _REMEMBERED:
            del self._entries[next(iter(self._entries))]

    def _told(self, kind: str, record: Mapping[str, Any], parsed: Parsed) -> bool:
        match kind:
            case "session":
                if isinstance(cwd := record.get("cwd"), str) and cwd:
                    parsed.facts["cwd"] = cwd
            case "model_change":
                if isinstance(model := record.get("modelId"), str):
                    parsed.facts["model"] = model
            case "session_info":
                if isinstance(name := record.get("name"), str) and name.strip():
                    self._add(parsed, record, Kind.TITLE, text=clean(name).strip(), rank=4)
            case "custom_message":
                self._by_program(record, record, parsed)
            case "message" if isinstance(message := record.get("message"), Mapping):
                return self._message(record, message, parsed)
            case summary if summary in _SUMMARIES:
                text = clean(str(record.get("summary") or "")).strip() or None
                self._add(parsed, record, Kind.COMPACTION, text=text)
            case _:
                return False
        return True

    def _message(self, record: Mapping[str, Any], message: Mapping[str, Any], parsed: Parsed) -> bool:
        match message.get("role"):
            case "user":
                texts, blobs = _content(message.get("content"))
                text, own = "\n".join(texts), clean(typed(*map(_without_files, texts)))
                injected = not (own or blobs)
                if text.strip() or blobs:
                    told = text if injected else own
                    named = record.get("id")
                    common: dict[str, Any] = {"message_id": named} if isinstance(named, str) else {}
                    self._add(parsed, record, Kind.USER, text=told, injected=injected, blobs=blobs, **common)
            case "assistant":
                self._answer(record, message, parsed)
            case "toolResult":
                texts, blobs = _content(message.get("content"))
                call_id = str(message.get("toolCallId") or record.get("id") or "")
                failed = message.get("isError") is True
                tool = ToolUse(call_id=call_id, output="\n".join(texts), is_error=failed)
                self._add(parsed, record, Kind.TOOL_RESULT, tool=tool, blobs=blobs)
            case "bashExecution":
                # The user's own command, run by the program.
                said = f"$ {message.get('command', '')}\n{message.get('output') or ''}"
                self._by_program(record, {"content": said}, parsed)
            case "custom" | "hookMessage" | "branchSummary" | "compactionSummary":
                self._by_program(record, message, parsed)
            case _:
                return False
        return True

    def _answer(self, record: Mapping[str, Any], message: Mapping[str, Any], parsed: Parsed) -> None:
        model = message.get("model")
        common: dict[str, Any] = {
            "message_id": str(record.get("id") or record.get("timestamp") or ""),
            "model": model if isinstance(model, str) else None,
        }
        if common["model"]:
            parsed.facts["model"] = common["model"]
        content = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, Mapping):
                self._part(record, number, part, common, parsed)
        reason = message.get("stopReason")
        if reason == "error" or (reason == "aborted" and message.get("errorMessage")):
            text = clean(str(message.get("errorMessage") or reason))
            self._add(parsed, record, Kind.ERROR, text=text, **common)
        if isinstance(usage := message.get("usage"), Mapping):
            self._add(parsed, record, Kind.USAGE, tokens=_tokens(usage), **common)

    def _part(
        self,
        record: Mapping[str, Any],
        number: int,
        part: Mapping[str, Any],
        common: Mapping[str, Any],
        parsed: Parsed,
    ) -> None:
        match part.get("type"):
            case "text" if isinstance(text := part.get("text"), str) and text.strip():
                self._add(parsed, record, Kind.ASSISTANT, number, text=clean(text), **common)
            case "thinking" if isinstance(text := part.get("thinking"), str) and text.strip():
                self._add(parsed, record, Kind.THINKING, number, text=clean(text), **common)
            case "toolCall":
                call_id = str(part.get("id") or f"{record.get('id')}/{number}")
                name = str(part.get("name", ""))
                tool = ToolUse(call_id=call_id, name=name, input=part.get("arguments"))
                self._add(parsed, record, Kind.TOOL_CALL, number, tool=tool, **common)

    def _by_program(self, record: Mapping[str, Any], message: Mapping[str, Any], parsed: Parsed) -> None:
        texts, blobs = _content(message.get("content") or message.get("summary"))
        if (text := "\n".join(texts)).strip() or blobs:
            self._add(parsed, record, Kind.SYSTEM, text=text, injected=True, blobs=blobs)

    def _add(
        self,
        parsed: Parsed,
        record: Mapping[str, Any],
        kind: Kind,
        number: int = 0,
        *,
        said: str = "",
        text: str | None = None,
        tool: ToolUse | None = None,
        blobs: Sequence[Blob] = (),
        **more: Any,
    ) -> None:
        # Not by the entry's id: old files had none and were given some later, and a fork keeps the times.
        stamp = record.get("timestamp")
        told = digest(f"{said}{text or ''}{tool.call_id if tool else ''}")
        key = event_id("pi", kind.value, stamp, number, told, *(one.about.sha256 for one in blobs))
        parsed.add(kind, moment(stamp), key, text=text, tool=tool, blobs=blobs, **more)


def _without_files(text: str) -> str:
    before, found, attached = text.partition(_ATTACHED)
    return before + attached.rpartition("</file>")[2] if found and "</file>" in attached else before


def _content(content: Any) -> tuple[list[str], list[Blob]]:
    if isinstance(content, str):
        return [clean(content)], []
    texts: list[str] = []
    blobs: list[Blob] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping):
            if isinstance(text := part.get("text"), str):
                texts.append(clean(text))
            elif part.get("type") == "image":
                blobs += blob(part.get("data"), part.get("mimeType"))
    return texts, blobs


def _tokens(usage: Mapping[str, Any]) -> Tokens:
    return Tokens(
        input=count(usage, "input"),
        cache_read=count(usage, "cacheRead"),
        cache_write=count(usage, "cacheWrite"),
        output=count(usage, "output"),
    )
