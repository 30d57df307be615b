"""What Codex' lines mean.

Texts come twice, as history for the model and as events for the screen. What people said and read is taken
from the events, tools and reasoning from the history; where a file has only one of the two, from that. An
event is known by its thread, its turn, what it says, and which time in the turn that is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from minoots.contracts.conversations import ConversationEventKind, Enclosed, ToolUse

from .codex_copies import Copies
from .codex_items import (
    CALLS,
    RESULTS,
    SILENT,
    call_in,
    images,
    joined,
    output_in,
    parts_of,
    thoughts,
    tokens_in,
)
from .reader import Blob, Identity, Parsed, Parser, digest, event_id
from .texts import behind, clean, notice_in, typed
from .times import moment
from .values import as_text

Kind = ConversationEventKind

_REQUEST: Final = "## My request for Codex:"
_SILENT: Final = frozenset(
    "world_state inter_agent_communication inter_agent_communication_metadata token_usage_record "
    "security_risk_score retained_context realtime_item state".split()
)
_PLACES: Final = 2
"""Hex digits by which the counts of a turn are kept: 256 places, however long it is."""
_PAIRED: Final = 8
"""Prompts in the history that wait for their event."""
_LONGEST: Final = 200
"""Characters of a turn's id, for it stands in every event and in the state."""
_THOUGHTS: Final = 64
"""Thoughts of a turn that are not told again."""


class CodexParser(Parser):
    """Reads the lines of one file."""

    def __init__(self, identity: Identity, state: Mapping[str, Any]) -> None:
        self._thread = identity.session_id
        self._agent = identity.agent_id
        # A fork repeats what its parent was told of tokens, sometimes without saying that it is copied.
        self._paid_by = identity.parent_id or identity.session_id
        self._copies = Copies(self._thread, state)
        self._model: str | None = state.get("model")
        self._turn: str | None = state.get("turn")
        self._total: int = state.get("total", -1)
        # Whether texts have come as events since the thread was opened; else the history is all there is.
        self._asked: bool = state.get("asked", False)
        self._answered: bool = state.get("answered", False)
        # How often something was said in this turn. Where two share a place: too often, never too rarely.
        self._said: dict[str, int] = dict(state.get("said", {}))
        # The last thoughts of this turn.
        self._thought: dict[str, None] = dict.fromkeys(state.get("thought", ()))
        # The prompts in the history since the last answer, which may come as events, too, in another form;
        # and when each was written.
        self._prompts: dict[str, str | None] = dict(state.get("prompts", ()))
        self._enclosed: list[dict[str, Any]] = list(state.get("enclosed", ()))
        # The prompt that came last as an event, while nothing else has.
        self._shown: tuple[str, str | None] | None = None
        if isinstance(shown := state.get("shown"), list | tuple):
            self._shown = (shown[0], shown[1])
        self._last: str | None = state.get("last")

    @property
    def state(self) -> dict[str, Any]:
        """What records to come depend on. Never what was said: this is not looked through for secrets."""
        return {
            **self._copies.state,
            "model": self._model,
            "turn": self._turn,
            "total": self._total,
            "asked": self._asked,
            "answered": self._answered,
            "said": dict(self._said),
            "thought": list(self._thought),
            "prompts": list(self._prompts.items()),
            "enclosed": list(self._enclosed),
            "shown": self._shown and list(self._shown),
            "last": self._last,
        }

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            kind, payload = record.get("type"), record.get("payload")
            if not isinstance(payload, Mapping):
                # Flat, as in 2025: items without an envelope, and without a time.
                kind, payload = (
                    ("session_meta" if "id" in record and kind is None else "response_item"),
                    record,
                )
                if record.get("record_type") == "state":
                    kind = "state"
            ts = moment(record.get("timestamp"))
            self._copies.line(ts)
            match str(kind):
                case "session_meta":
                    self._meta(payload, ts, parsed)
                case "turn_context":
                    self._context(payload, parsed)
                case "response_item":
                    if not self._item(payload, ts, parsed):
                        continue
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
        if self._copies.head(payload, ts):
            # Another version may write from here on, with events or without.
            self._asked = self._answered = False
            _keep(parsed, payload, cwd="cwd", cli_version="version", originator="entrypoint")
            if isinstance(git := payload.get("git"), Mapping):
                _keep(parsed, git, branch="branch", commit_hash="commit", repository_url="remote")

    def _context(self, payload: Mapping[str, Any], parsed: Parsed) -> None:
        self._begin(payload.get("turn_id"))
        if self._copies.going_on:
            return
        if isinstance(model := payload.get("model"), str):
            self._model = model
        _keep(parsed, payload, cwd="cwd", model="model")

    def _begin(self, turn: Any) -> None:
        """Note the turn. What is said in it is counted anew: it has the same ids when it is written anew."""
        if isinstance(turn, str) and len(turn) > _LONGEST:
            turn = digest(turn)
        self._copies.turn(turn)
        if isinstance(turn, str) and not self._copies.going_on and turn != self._turn:
            self._turn, self._said, self._thought = turn, {}, {}
            self._prompts, self._enclosed, self._shown = {}, [], None

    def _item(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> bool:
        """Take an item of the history; return whether it is known."""
        if self._copies.going_on:
            return True
        call_id = str(payload.get("call_id") or payload.get("id") or "")
        match payload.get("type"):
            case "message":
                self._history(payload, ts, parsed)
            case "reasoning":
                self._think(thoughts(payload), ts, parsed)
            case str(what) if what in CALLS or what in ("function_call", "custom_tool_call"):
                name, given = call_in(payload)
                key = self._key("call", call_id or f"{name} {as_text(given)}")
                tool = ToolUse(call_id=call_id or key, name=name, input=given)
                self._tell(parsed, Kind.TOOL_CALL, ts, key, tool=tool, model=self._model)
            case str(what) if what in RESULTS:
                text, is_error = output_in(payload.get("output"))
                key = self._key("result", call_id or text)
                tool = ToolUse(call_id=call_id or key, output=clean(text), is_error=is_error)
                self._tell(parsed, Kind.TOOL_RESULT, ts, key, tool=tool)
            case "agent_message":
                # What another agent says to this one.
                text, by = clean(joined(payload.get("content"))), clean(str(payload.get("author") or "agent"))
                if text.strip():
                    key = self._key("notice", f"{by} {text}")
                    told: dict[str, Any] = {"text": text, "injected": True, "details": {"origin": by[:100]}}
                    self._add(parsed, Kind.SYSTEM, ts, key, **told)
            case what if str(what) not in SILENT:
                parsed.unknown[f"item {what}"[:60]] += 1
                return False
        return True

    def _history(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        """A message as the model saw it: only taken where no events tell of it."""
        content = parts_of(payload.get("content"))
        if payload.get("role") == "user":
            texts = [clean(text) for part in content if isinstance(text := part.get("text"), str)]
            for told in filter(notice_in, texts):
                # Comes in no event.
                details = {"origin": notice_in(told)}
                key = self._key("notice", told)
                self._add(parsed, Kind.SYSTEM, ts, key, text=told.strip(), injected=True, details=details)
            self._prompt(typed(*texts), images(payload.get("content")), ts, parsed)
        elif payload.get("role") == "assistant" and not self._answered:
            self._answer(joined(content), payload.get("phase"), ts, parsed, "history")

    def _event(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        what = payload.get("type")
        if what in ("task_started", "turn_started"):
            self._begin(payload.get("turn_id"))
        if self._copies.going_on:
            return
        match what:
            case "user_message":
                self._show(str(payload.get("message", "")), images(payload.get("images")), ts, parsed)
            case "agent_message":
                self._answered = True
                self._answer(str(payload.get("message", "")), payload.get("phase"), ts, parsed, "event")
            case "agent_reasoning" | "agent_reasoning_raw_content":
                self._think([str(payload.get("text") or "")], ts, parsed)
            case "item_completed" if isinstance(item := payload.get("item"), Mapping):
                self._completed(item, ts, parsed)
            case "task_complete" | "turn_complete":
                text = payload.get("last_agent_message")
                # The same as the last message, where that was written; else the only trace of it.
                if isinstance(text, str) and self._last != digest(clean(text).strip()):
                    self._answer(text, "final_answer", ts, parsed, "event")
            case "token_count":
                self._tokens(payload.get("info"), ts, parsed)
            case "turn_aborted" | "error" | "stream_error":
                reason = str(payload.get("reason") or payload.get("message") or what)
                self._tell(parsed, Kind.ERROR, ts, self._key("error", reason), text=clean(reason))
            case "thread_rolled_back":
                turns = payload.get("num_turns")
                key = self._key("rewind", str(turns))
                self._tell(parsed, Kind.REWIND, ts, key, text=None, details={"turns": turns})
            case "thread_name_updated":
                name = payload.get("thread_name") or payload.get("name")
                if isinstance(name, str) and name.strip():
                    key = event_id("codex", self._thread, "title", digest(name))
                    self._add(parsed, Kind.TITLE, ts, key, text=clean(name).strip(), rank=3)

    def _completed(self, item: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        text = item.get("text") or item.get("message") or joined(item.get("content"))
        match item.get("type"):
            case "UserMessage":
                self._show(str(text or ""), images(item.get("content")), ts, parsed)
            case "AgentMessage":
                self._answered = True
                self._answer(str(text or ""), item.get("phase"), ts, parsed, "event")
            case "Reasoning":
                self._think(thoughts(item), ts, parsed)

    def _prompt(self, text: str, blobs: list[Blob], ts: datetime | None, parsed: Parsed) -> None:
        """Take a prompt as the model saw it, with its images, which events only name."""
        text, certain = behind(text, _REQUEST)
        if not text and not blobs:
            return
        self._copies.words(digest(text), ts)
        if self._copies.going_on:
            return
        key = self._key("user", text, "history")
        if self._shown is not None:
            # It came as an event right before.
            (key, at), self._shown = self._shown, None
            if not blobs:
                return
            ts = moment(at)
        elif self._asked and not blobs:
            return
        else:
            self._prompts[key] = _stamp(ts)
            if len(self._prompts) > _PAIRED:
                del self._prompts[next(iter(self._prompts))]
            self._enclosed = [one.about.model_dump(mode="json") for one in blobs]
        self._add(parsed, Kind.USER, ts, key, text=text, blobs=blobs, **_doubt(certain))

    def _show(self, text: str, blobs: list[Blob], ts: datetime | None, parsed: Parsed) -> None:
        """Take a prompt as it was typed. It is the one of the history that was told right before, if any."""
        self._asked = True
        text, certain = behind(typed(clean(text)), _REQUEST)
        if not text and not blobs:
            return
        self._copies.words(digest(text), ts)
        if self._copies.going_on:
            return
        key, waiting = self._key("user", text), self._prompts
        self._prompts, self._shown = {}, None
        enclosed: dict[str, Any] = {}
        if waiting:
            key = key if key in waiting else list(waiting)[-1]
            ts = moment(waiting[key])
            # Their bytes have been told with the history.
            known = tuple(Enclosed.model_validate(one) for one in self._enclosed)
            enclosed = {"enclosed": known} if known and not blobs else {}
        else:
            self._shown = key, _stamp(ts)
        self._enclosed = []
        self._add(parsed, Kind.USER, ts, key, text=text, blobs=blobs, **enclosed, **_doubt(certain))

    def _answer(self, text: str, phase: Any, ts: datetime | None, parsed: Parsed, where: str) -> None:
        text = clean(text).strip()
        if not text:
            return
        shown: Literal["commentary", "final"] | None = None
        if phase in ("commentary", "final_answer"):
            shown = "commentary" if phase == "commentary" else "final"
        self._last = digest(text)
        key = self._key("assistant", text, where)
        self._tell(parsed, Kind.ASSISTANT, ts, key, text=text, model=self._model, phase=shown)

    def _think(self, texts: Sequence[str], ts: datetime | None, parsed: Parsed) -> None:
        """Tell thoughts, each once in a turn: they come again in the history, with all before them."""
        for text in texts:
            if (text := clean(text).strip()) and (told := digest(text)) not in self._thought:
                self._thought[told] = None
                if len(self._thought) > _THOUGHTS:
                    del self._thought[next(iter(self._thought))]
                key = event_id("codex", self._thread, "thinking", self._turn, told)
                self._tell(parsed, Kind.THINKING, ts, key, text=text, model=self._model)

    def _tokens(self, info: Any, ts: datetime | None, parsed: Parsed) -> None:
        if not isinstance(info, Mapping) or not isinstance(last := info.get("last_token_usage"), Mapping):
            return
        total = info.get("total_token_usage")
        sum_ = total.get("total_tokens", -1) if isinstance(total, Mapping) else -1
        # The same snapshot is often told twice; only a new total is a new answer.
        if not isinstance(sum_, int) or sum_ == self._total:
            return
        self._total = sum_
        key = event_id("codex", self._paid_by, "usage", sum_, *sorted(last.items()))
        self._add(parsed, Kind.USAGE, ts, key, tokens=tokens_in(last), model=self._model)

    def _compacted(self, payload: Mapping[str, Any], ts: datetime | None, parsed: Parsed) -> None:
        if self._copies.going_on:
            return
        text = payload.get("message")
        told = clean(text) if isinstance(text, str) else None
        self._tell(parsed, Kind.COMPACTION, ts, self._key("compaction", str(text)), text=told)

    def _key(self, what: str, said: str, where: str = "event") -> str:
        """Return the id of what is said, for the time that it is said in this turn."""
        told = digest(said)
        place = digest(f"{what} {where} {told}")[:_PLACES]
        self._said[place] = times = self._said.get(place, 0) + 1
        return event_id("codex", self._thread, what, self._turn, told, times)

    def _tell(self, parsed: Parsed, kind: Kind, ts: datetime | None, public_id: str, **more: Any) -> None:
        """Add what follows a prompt: what comes behind it is another one."""
        self._prompts, self._enclosed, self._shown = {}, [], None
        self._add(parsed, kind, ts, public_id, **more)

    def _add(self, parsed: Parsed, kind: Kind, ts: datetime | None, public_id: str, **more: Any) -> None:
        parsed.add(kind, ts, public_id, turn_id=self._turn, agent_id=self._agent, **more)


def _doubt(certain: bool) -> dict[str, Any]:
    return {} if certain else {"details": {"uncertain": "pasted"}}


def _stamp(ts: datetime | None) -> str | None:
    return None if ts is None else ts.isoformat()


def _keep(parsed: Parsed, source: Mapping[str, Any], **facts: str) -> None:
    for name, fact in facts.items():
        value = source.get(name)
        if isinstance(value, str) and value:
            parsed.facts[fact] = value
