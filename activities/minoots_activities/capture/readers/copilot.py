"""Copilot CLI: one event a line, appended; a session's folder holds its ``events.jsonl``.

A tool's call comes twice, with the answer that asks for it and when it begins; a thought, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar, Final, Literal

import orjson

from minoots.contracts.conversations import ConversationEventKind, Tokens, ToolUse
from minoots_activities.capture.recovery import holdable

from .copilot_timeline import FOLDER, Timeline
from .identity import id_in_name
from .reader import Blob, Identity, Parsed, Parser, Reader, digest, event_id
from .store import Open, Store
from .texts import clean, typed
from .times import moment
from .values import as_text, blob, count

Kind = ConversationEventKind

_SILENT: Final = frozenset(
    "session.usage_checkpoint session.auto_mode_resolved session.shutdown session.compaction_start "
    "session.mode_changed assistant.turn_start assistant.turn_end hook.start hook.end "
    "subagent.started subagent.completed subagent.failed subagent.selected subagent.deselected "
    "session.plan_changed session.workspace_file_changed session.context_changed session.idle".split()
)
"""Book-keeping. The totals at a shutdown repeat what was told with the answers."""

_FACTS: Final = {"cwd": "cwd", "branch": "branch", "repository": "repository"}
_OPEN_CALLS: Final = 1000
"""Calls without a result that are remembered; those before were given up."""


class Copilot(Reader):
    """Transcripts of the Copilot CLI."""

    provider: ClassVar[str] = "copilot"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".copilot/session-state", f".copilot/{FOLDER}")
    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".json")

    def holds(self, path: str) -> bool:
        """Lines of today, or a session of before; other JSON belongs to the program."""
        return path.endswith(".jsonl") or (path.endswith(".json") and FOLDER in PurePath(path).parts)

    def store_of(self, path: Path, open: Open) -> Store | None:
        """Return the session of before, for what is one."""
        return Timeline(path, open) if path.suffix == ".json" else None

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """The first event says whose it is; without it, the name of the folder or file."""
        if path.suffix != ".jsonl" or head is None:
            return None
        data = head.get("data")
        if head.get("type") == "session.start" and isinstance(data, Mapping):
            session = data.get("sessionId")
            if isinstance(session, str) and session:
                return Identity(session)
        named = path.parent.name if path.name == "events.jsonl" else id_in_name(path)
        return Identity(named) if named else None

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Remembers which calls have been told, and the last thought."""
        return _CopilotParser(identity, state or {})


class _CopilotParser(Parser):
    def __init__(self, identity: Identity, state: Mapping[str, Any]) -> None:
        self._agent = identity.agent_id
        self._calls: dict[str, None] = dict.fromkeys(map(str, state.get("calls", ())))
        self._thought = str(state.get("thought", ""))

    @property
    def state(self) -> dict[str, Any]:
        """Calls that wait for a result, and a hash of the last thought."""
        return {"calls": list(self._calls), "thought": self._thought}

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            kind, data = str(record.get("type")), record.get("data")
            if not isinstance(data, Mapping):
                data = {}
            if kind in _SILENT or self._told(kind, record, data, parsed):
                parsed.understood += 1
            else:
                parsed.unknown[kind[:60]] += 1

    def _told(self, kind: str, record: Mapping[str, Any], data: Mapping[str, Any], parsed: Parsed) -> bool:
        match kind:
            case "session.start" | "session.resume" | "session.model_change":
                _facts(data, parsed)
            case "user.message":
                self._asked(record, data, parsed)
            case "skill.invoked":
                text = clean(str(data.get("content") or ""))
                details = {"origin": "skill", "name": clean(str(data.get("name") or ""))[:200]}
                self._add(parsed, record, data, Kind.SYSTEM, text=text, injected=True, details=details)
            case "assistant.message":
                self._answer(record, data, parsed)
            case "assistant.reasoning":
                self._think(record, data, data.get("content"), parsed)
            case "tool.execution_start":
                self._call(record, data, data.get("toolName"), parsed)
            case "tool.execution_complete":
                self._result(record, data, parsed)
            case "session.error":
                self._add(parsed, record, data, Kind.ERROR, text=clean(str(data.get("message") or "")))
            case "session.truncation" | "session.compaction_complete":
                numbers = {name: one for name, one in data.items() if isinstance(one, int)}
                summary = data.get("summaryContent")
                told = clean(summary) if isinstance(summary, str) else None
                self._add(parsed, record, data, Kind.COMPACTION, text=told, details=numbers)
            case "session.info" | "system.message" | "system.notification" | "abort":
                text = clean(str(data.get("content") or data.get("message") or data.get("reason") or ""))
                if text.strip():
                    self._add(parsed, record, data, Kind.SYSTEM, text=text, injected=True)
            case _:
                return False
        return True

    def _asked(self, record: Mapping[str, Any], data: Mapping[str, Any], parsed: Parsed) -> None:
        """Tell a prompt as the user's, unless it says that it comes from elsewhere or goes elsewhere."""
        text, blobs = clean(str(data.get("content") or "")), _attached(data.get("attachments"))
        if not text.strip() and not blobs:
            return
        by = _speaker(data)
        if by is not None:
            details = {"origin": clean(by)[:100]}
            self._add(
                parsed, record, data, Kind.SYSTEM, text=text, injected=True, blobs=blobs, details=details
            )
            return
        own = typed(text)
        # What has the id of a sub-agent was said to that one, by an agent.
        injected = not (own or blobs) or self._by(record, data)["agent_id"] is not None
        told = text if injected else own
        self._add(parsed, record, data, Kind.USER, text=told, injected=injected, blobs=blobs)

    def _answer(self, record: Mapping[str, Any], data: Mapping[str, Any], parsed: Parsed) -> None:
        common = _common(record, data)
        _facts(data, parsed)
        self._think(record, data, data.get("reasoningText"), parsed)
        text = data.get("content")
        if isinstance(text, str) and text.strip():
            self._add(parsed, record, data, Kind.ASSISTANT, text=clean(text), **common)
        requests = data.get("toolRequests")
        for request in requests if isinstance(requests, list) else ():
            if isinstance(request, Mapping):
                self._call(record, request, request.get("name"), parsed, **common)
        output = count(data, "outputTokens")
        if output is not None:
            self._add(parsed, record, data, Kind.USAGE, tokens=Tokens(output=output), **common)

    def _think(
        self, record: Mapping[str, Any], data: Mapping[str, Any], thought: Any, parsed: Parsed
    ) -> None:
        if not isinstance(thought, str) or not thought.strip():
            return
        known, self._thought = self._thought, digest(thought)
        if self._thought != known:
            self._add(parsed, record, data, Kind.THINKING, text=clean(thought))

    def _call(
        self, record: Mapping[str, Any], call: Mapping[str, Any], name: Any, parsed: Parsed, **more: Any
    ) -> None:
        call_id = str(call.get("toolCallId") or record.get("id") or "")
        if call_id in self._calls:
            return
        self._calls[call_id] = None
        if len(self._calls) > _OPEN_CALLS:
            del self._calls[next(iter(self._calls))]
        tool = ToolUse(call_id=call_id, name=str(name or ""), input=_arguments(call.get("arguments")))
        key = event_id("copilot", "call", call_id)
        parsed.add(
            Kind.TOOL_CALL, moment(record.get("timestamp")), key, tool=tool, **self._by(record, call), **more
        )

    def _result(self, record: Mapping[str, Any], data: Mapping[str, Any], parsed: Parsed) -> None:
        call_id = str(data.get("toolCallId") or record.get("id") or "")
        self._calls.pop(call_id, None)
        result, error = data.get("result"), data.get("error")
        told = result.get("content") if isinstance(result, Mapping) else result
        if told is None:
            told = error.get("message") if isinstance(error, Mapping) else error
        tool = ToolUse(call_id=call_id, output=clean(as_text(told)), is_error=data.get("success") is False)
        key = event_id("copilot", "result", call_id)
        parsed.add(
            Kind.TOOL_RESULT, moment(record.get("timestamp")), key, tool=tool, **self._by(record, data)
        )

    def _add(
        self,
        parsed: Parsed,
        record: Mapping[str, Any],
        data: Mapping[str, Any],
        kind: Kind,
        **more: Any,
    ) -> None:
        key = event_id("copilot", kind.value, record.get("id"), record.get("timestamp"))
        parsed.add(kind, moment(record.get("timestamp")), key, **self._by(record, data), **more)

    def _by(self, record: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
        # A sub-agent is told by the call that began it, or by an id of its own.
        named = (data.get("parentToolCallId"), record.get("agentId"), data.get("agentId"))
        found = (one for one in named if isinstance(one, str) and one)
        return {"agent_id": next(found, self._agent)}


def _speaker(data: Mapping[str, Any]) -> str | None:
    """Return who else than the user speaks in a prompt; ``None`` where nobody else does."""
    source = data.get("source")
    if source not in (None, "", "user"):
        return str(source)
    if data.get("isAutopilotContinuation"):
        return "autopilot"
    return "agent" if data.get("parentAgentTaskId") else None


def _attached(given: Any) -> list[Blob]:
    """Return the bytes that came with a prompt; files are only named."""
    found: list[Blob] = []
    for one in given if isinstance(given, list) else ():
        if isinstance(one, Mapping) and one.get("type") == "blob":
            found += blob(one.get("data"), one.get("mimeType"))
    return found


def _common(record: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    model = data.get("model")
    return {
        "message_id": str(data.get("messageId") or record.get("id") or ""),
        "model": model if isinstance(model, str) else None,
    }


def _facts(data: Mapping[str, Any], parsed: Parsed) -> None:
    context = data.get("context")
    for name, fact in _FACTS.items():
        value = context.get(name) if isinstance(context, Mapping) else None
        if isinstance(value, str) and value:
            parsed.facts[fact] = value
    if isinstance(version := data.get("copilotVersion"), str):
        parsed.facts["version"] = version
    model = data.get("newModel") or data.get("selectedModel") or data.get("model")
    if isinstance(model, str):
        parsed.facts["model"] = model


def _arguments(given: Any) -> Any:
    """Arguments come as JSON, or as a text of JSON."""
    if not isinstance(given, str):
        return given
    try:
        return holdable(orjson.loads(given))
    except orjson.JSONDecodeError:
        return given
