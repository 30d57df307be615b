"""Codex CLI: one line an event, appended; flat at first, then in an envelope, then numbered ("paginated").

Texts come twice, as history for the model and as events for the screen. What people said and read is taken
from the events, tools and reasoning from the history; where a file has only one of the two, from that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any, ClassVar, Final, Literal

import orjson

from minoots.contracts.conversations import (
    ConversationEventKind,
    Tokens,
    ToolUse,
)
from minoots_activities.capture.recovery import holdable

from .reader import Blob, Identity, Parsed, Parser, Reader, digest, event_id
from .texts import clean, notice_in, typed
from .times import moment
from .values import count, data_url

Kind = ConversationEventKind

_NAME: Final = re.compile(r"rollout-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-(?P<thread>[0-9a-f-]{36})(?:_[0-9a-f-]+)?")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
"""Of the kind that begins with the time."""

_BURST: Final = timedelta(seconds=2)
"""Copied lines get the time of the fork, all at once."""

_REQUEST: Final = "## My request for Codex:"
_CALLS: Final = frozenset(
    {"local_shell_call", "web_search_call", "tool_search_call", "image_generation_call"}
)
_SILENT: Final = frozenset(
    "world_state inter_agent_communication inter_agent_communication_metadata token_usage_record "
    "security_risk_score retained_context realtime_item state".split()
)


class Codex(Reader):
    """Transcripts of Codex."""

    provider: ClassVar[str] = "codex"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".codex/sessions", ".codex/archived_sessions")
    variable: ClassVar[str | None] = "CODEX_HOME"
    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".jsonl.zst")

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """The first ``session_meta`` says whose it is; later ones are copies of a parent's, or repeats."""
        if not path.name.endswith((".jsonl", ".jsonl.zst")) or head is None:
            return None
        meta = head.get("payload") if head.get("type") == "session_meta" else head
        if not isinstance(meta, Mapping) or not isinstance(thread := meta.get("id"), str):
            named = _NAME.match(path.name)
            return Identity(named["thread"]) if named else None
        return Identity(thread, *_lineage(meta, thread))

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Goes on from a state: turn, model, tokens told last, and where a copied history ends."""
        return _CodexParser(identity, state or {})


def _lineage(
    meta: Mapping[str, Any], thread: str
) -> tuple[str | None, Literal["subagent", "fork", "review"] | None, str | None]:
    source = meta.get("source")
    spawned = source.get("subagent") if isinstance(source, Mapping) else None
    if isinstance(spawned, Mapping) and isinstance(by := spawned.get("thread_spawn"), Mapping):
        parent = by.get("parent_thread_id")
        return (parent if isinstance(parent, str) else None), "subagent", thread
    parent = meta.get("parent_thread_id") or meta.get("forked_from_id")
    parent = parent if isinstance(parent, str) else None
    if spawned == "review":
        return parent, "review", thread
    if spawned is not None:
        return parent, "subagent", thread
    return parent, ("fork" if parent else None), None


class _CodexParser(Parser):
    def __init__(self, identity: Identity, state: Mapping[str, Any]) -> None:
        self._thread = identity.session_id
        self._agent = identity.agent_id
        # A fork repeats what its parent was told of tokens, sometimes without saying that it is copied.
        self._paid_by = identity.parent_id or identity.session_id
        self._model: str | None = state.get("model")
        self._turn: str | None = state.get("turn")
        self._total: int = state.get("total", -1)
        # Begun by a second session_meta of somebody else: the history of the parent, until the first turn.
        self._copied: bool = state.get("copied", False)
        self._forked_at: datetime | None = moment(state.get("forked_at"))
        self._begun: bool = state.get("begun", False)
        # Whether texts have come as events; else the history is all there is.
        self._events: bool = state.get("events", False)
        self._number: int = state.get("number", 0)
        # How often a text was said, by where it was found: its n-th event is its n-th time in the history.
        self._said: dict[str, int] = dict(state.get("said", {}))

    @property
    def state(self) -> dict[str, Any]:
        """What records to come depend on."""
        return {
            "model": self._model,
            "turn": self._turn,
            "total": self._total,
            "copied": self._copied,
            "forked_at": self._forked_at and self._forked_at.isoformat(),
            "begun": self._begun,
            "events": self._events,
            "number": self._number,
            "said": self._said,
        }

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            self._number += 1
            kind, payload, stamp = record.get("type"), record.get("payload"), record.get("timestamp")
            if not isinstance(payload, Mapping):
                # Flat, as in 2025: items without an envelope, and without a time.
                kind, payload = (
                    ("session_meta" if "id" in record and kind is None else "response_item"),
                    record,
                )
                if record.get("record_type") == "state":
                    kind = "state"
            ts = moment(stamp)
            match str(kind):
                case "session_meta":
                    self._meta(payload, ts, parsed)
                case "turn_context":
                    self._context(payload, ts, parsed)
                case "response_item":
                    self._item(payload, ts, parsed)
                case "event_msg":
                    self._event(payload, ts, parsed)
                case "compacted":
                    self._compacted(payload, ts, parsed)
                case str(silent) if silent in _SILENT:
                    pass
                case _:
                    parsed.unknown[str(kind)[:60]] += 1
                    continue
            parsed.understood += 1

    def _meta(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        thread = payload.get("id")
        if self._begun and thread != self._thread:
            self._copied, self._forked_at = True, ts
        if not self._begun or thread == self._thread:
            _keep(parsed, payload, cwd="cwd", cli_version="version", originator="entrypoint")
            if isinstance(git := payload.get("git"), Mapping):
                _keep(parsed, git, branch="branch", commit_hash="commit", repository_url="remote")
        self._begun = True

    def _context(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        self._turns(payload.get("turn_id"), ts)
        if self._copied:
            return
        if isinstance(model := payload.get("model"), str):
            self._model = model
        _keep(parsed, payload, cwd="cwd", model="model")

    def _turns(self, turn: Any, ts: datetime | None) -> None:
        """Note the turn. A copied history ends where a turn is younger than the thread, or long after."""
        named = isinstance(turn, str) and _UUID.fullmatch(turn) and _UUID.fullmatch(self._thread)
        if named:
            own = turn >= self._thread
        else:
            own = ts is None or self._forked_at is None or ts - self._forked_at > _BURST
        self._copied = self._copied and not own
        if isinstance(turn, str) and not self._copied:
            self._turn = turn

    def _item(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        if self._copied:
            return
        call_id = str(payload.get("call_id") or payload.get("id") or "")
        match payload.get("type"):
            case "message":
                self._history(payload, ts, parsed)
            case "reasoning":
                parts = payload.get("summary")
                texts = [str(one.get("text", "")) for one in parts or () if isinstance(one, Mapping)]
                if text := clean("\n\n".join(texts)).strip():
                    key = payload.get("id") or (self._turn, digest(text))
                    self._add(
                        parsed, Kind.THINKING, ts, event_id("codex", self._thread, "thinking", key), text=text
                    )
            case "function_call":
                tool = ToolUse(
                    call_id=call_id, name=_name(payload), input=_arguments(payload.get("arguments"))
                )
                self._add(
                    parsed, Kind.TOOL_CALL, ts, event_id("codex", self._thread, "call", call_id), tool=tool
                )
            case "custom_tool_call":
                tool = ToolUse(call_id=call_id, name=_name(payload), input=payload.get("input"))
                self._add(
                    parsed, Kind.TOOL_CALL, ts, event_id("codex", self._thread, "call", call_id), tool=tool
                )
            case (
                "local_shell_call" | "web_search_call" | "tool_search_call" | "image_generation_call" as what
            ):
                tool = ToolUse(call_id=call_id, name=what.removesuffix("_call"), input=payload.get("action"))
                key = call_id or (self._turn, digest(str(payload.get("action"))))
                self._add(parsed, Kind.TOOL_CALL, ts, event_id("codex", self._thread, "call", key), tool=tool)
            case "function_call_output" | "custom_tool_call_output" | "tool_search_output":
                text, is_error = _output(payload.get("output"))
                tool = ToolUse(call_id=call_id, output=clean(text), is_error=is_error)
                self._add(
                    parsed,
                    Kind.TOOL_RESULT,
                    ts,
                    event_id("codex", self._thread, "result", call_id),
                    tool=tool,
                )

    def _history(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        """A message as the model saw it: only taken where no events tell of it."""
        role = payload.get("role")
        texts: list[str] = []
        blobs: list[Blob] = []
        for part in payload.get("content") or ():
            if isinstance(part, Mapping):
                if isinstance(text := part.get("text"), str):
                    texts.append(text)
                blobs += data_url(part.get("image_url"))
        text = clean("\n".join(texts)).strip()
        if role in ("developer", "system"):
            return
        if role == "user":
            for told in filter(notice_in, texts):
                # Comes in no event.
                details = {"origin": notice_in(told)}
                key = event_id("codex", self._thread, "notice", digest(told), self._times("n", told, "h"))
                self._add(
                    parsed, Kind.SYSTEM, ts, key, text=clean(told).strip(), injected=True, details=details
                )
            if self._events and not blobs:
                return
            own = typed(*texts)
            if own:
                self._user(own, ts, parsed, blobs, "h")
        elif not self._events:
            self._assistant(text, payload.get("phase"), ts, parsed, "h")

    def _event(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        what = payload.get("type")
        if what in ("task_started", "turn_started"):
            self._turns(payload.get("turn_id"), ts)
        if self._copied:
            return
        match what:
            case "user_message":
                self._events = True
                self._user(str(payload.get("message", "")), ts, parsed, (), "e")
            case "agent_message":
                self._events = True
                self._assistant(str(payload.get("message", "")), payload.get("phase"), ts, parsed, "e")
            case "item_completed":
                self._completed(payload.get("item"), ts, parsed)
            case "task_complete" | "turn_complete":
                text = payload.get("last_agent_message")
                # The same as the last message, where that was written; else the only trace of it.
                if isinstance(text, str) and not self._was_said("a", clean(text).strip()):
                    self._assistant(text, "final_answer", ts, parsed, "e")
            case "token_count":
                self._tokens(payload.get("info"), ts, parsed)
            case "turn_aborted" | "error" | "stream_error":
                reason = payload.get("reason") or payload.get("message") or what
                key = event_id("codex", self._thread, "error", self._turn, digest(str(reason)))
                self._add(parsed, Kind.ERROR, ts, key, text=clean(str(reason)))
            case "thread_rolled_back":
                turns = payload.get("num_turns")
                key = event_id("codex", self._thread, "rewind", self._turn, turns, self._number)
                self._add(parsed, Kind.REWIND, ts, key, text=None, details={"turns": turns})
            case "thread_name_updated":
                if (
                    isinstance(name := payload.get("thread_name") or payload.get("name"), str)
                    and name.strip()
                ):
                    key = event_id("codex", self._thread, "title", digest(name))
                    self._add(parsed, Kind.TITLE, ts, key, text=clean(name).strip(), rank=3)

    def _completed(self, item: Any, ts: datetime | None, parsed: Parsed) -> None:
        if not isinstance(item, Mapping):
            return
        text = item.get("text") or item.get("message") or _joined(item.get("content"))
        match item.get("type"):
            case "UserMessage":
                self._events = True
                self._user(str(text or ""), ts, parsed, (), "e")
            case "AgentMessage":
                self._events = True
                self._assistant(str(text or ""), item.get("phase"), ts, parsed, "e")

    def _user(
        self, text: str, ts: datetime | None, parsed: Parsed, blobs: Sequence[Blob], where: str
    ) -> None:
        if _REQUEST in text:
            # The last one: what was selected in an editor stands before it, and may hold one, too.
            text = text.rpartition(_REQUEST)[2]
        text = clean(typed(text))
        if not text and not blobs:
            return
        key = event_id("codex", self._thread, "user", digest(text), self._times("u", text, where))
        self._add(parsed, Kind.USER, ts, key, text=text, blobs=blobs)

    def _assistant(self, text: str, phase: Any, ts: datetime | None, parsed: Parsed, where: str) -> None:
        text = clean(text).strip()
        if not text:
            return
        shown: Literal["commentary", "final"] | None = None
        if phase in ("commentary", "final_answer"):
            shown = "commentary" if phase == "commentary" else "final"
        key = event_id("codex", self._thread, "assistant", digest(text), self._times("a", text, where))
        self._add(parsed, Kind.ASSISTANT, ts, key, text=text, model=self._model, phase=shown)

    def _times(self, who: str, text: str, where: str) -> int:
        key = f"{who}{where}{digest(text)}"
        self._said[key] = self._said.get(key, 0) + 1
        return self._said[key]

    def _was_said(self, who: str, text: str) -> bool:
        return any(f"{who}{where}{digest(text)}" in self._said for where in "eh")

    def _tokens(self, info: Any, ts: datetime | None, parsed: Parsed) -> None:
        if not isinstance(info, Mapping) or not isinstance(last := info.get("last_token_usage"), Mapping):
            return
        total = info.get("total_token_usage")
        sum_ = total.get("total_tokens", -1) if isinstance(total, Mapping) else -1
        # The same snapshot is often told twice; only a new total is a new answer.
        if not isinstance(sum_, int) or sum_ == self._total:
            return
        self._total = sum_
        cached = count(last, "cached_input_tokens") or 0
        tokens = Tokens(
            input=max(0, (count(last, "input_tokens") or 0) - cached),
            cache_read=cached,
            output=count(last, "output_tokens"),
            thinking=count(last, "reasoning_output_tokens"),
        )
        key = event_id("codex", self._paid_by, "usage", sum_, *sorted(last.items()))
        self._add(parsed, Kind.USAGE, ts, key, tokens=tokens, model=self._model)

    def _compacted(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        if self._copied:
            return
        text = payload.get("message")
        key = event_id("codex", self._thread, "compaction", self._turn, digest(str(text)), self._number)
        self._add(parsed, Kind.COMPACTION, ts, key, text=clean(text) if isinstance(text, str) else None)

    def _add(
        self,
        parsed: Parsed,
        kind: Kind,
        ts: datetime | None,
        public_id: str,
        **more: Any,
    ) -> None:
        parsed.add(kind, ts, public_id, turn_id=self._turn, agent_id=self._agent, **more)


def _keep(parsed: Parsed, source: Mapping[str, Any], **facts: str) -> None:
    for name, fact in facts.items():
        value = source.get(name)
        if isinstance(value, str) and value:
            parsed.facts[fact] = value


def _name(payload: Mapping[str, Any]) -> str:
    space, name = payload.get("namespace"), str(payload.get("name", ""))
    return f"{space}.{name}" if isinstance(space, str) and space else name


def _arguments(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return holdable(orjson.loads(value))
    except orjson.JSONDecodeError:
        return value


def _output(value: Any) -> tuple[str, bool]:
    """Return the text of a result, which may be a text, a list of parts, or JSON within a text."""
    if isinstance(value, list):
        return _joined(value), False
    if isinstance(value, Mapping):
        return str(value.get("content") or value.get("output") or ""), value.get("success") is False
    text = "" if value is None else str(value)
    if text.startswith('{"output"'):
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            return text, False
        about = found.get("metadata")
        code = about.get("exit_code") if isinstance(about, Mapping) else None
        return str(found.get("output", "")), code not in (None, 0)
    return text, False


def _joined(parts: Any) -> str:
    if not isinstance(parts, list):
        return ""
    found = (str(one.get("text", "")) for one in parts if isinstance(one, Mapping))
    return "\n".join(one for one in found if one)
