"""Cursor's CLI: one message a line, appended, without times and without ids.

What tells a message from another with the same words is which time they are said in its conversation. A file
that is written anew, with less or something else at its beginning, says again what is known, up to where its
old end is found; what stands behind is counted on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Final, Literal

from minoots.contracts.conversations import ConversationEventKind, ToolUse

from .occurrences import Occurrences, short
from .reader import Identity, Parsed, Parser, Reader, digest, event_id
from .texts import behind, clean, typed
from .values import as_text

Kind = ConversationEventKind

_RECORDS: Final = frozenset({"role", "type"})
_QUERY: Final = "<user_query>"
_QUERY_ENDS: Final = "</user_query>"
_RESULTS: Final = ("tool_result", "tool-result")
_END: Final = 24
"""Records by which the old end is found again."""
_ALIKE: Final = 2
"""As many of them have to be the same, if there are."""
_OPEN: Final = 50
"""Calls without an id that wait for their result."""


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
        """Goes on counting what is said."""
        return _CursorParser(identity, state or {})

    def written_anew(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """What was said before is counted as known, up to the old end."""
        if not state.get("end"):
            return {}
        known = Occurrences(state.get("known"))
        known.raise_to(Occurrences(state.get("said")))
        # Of one that was written anew while it was read anew, what counts is the end that was not found yet.
        return {"known": known.state, "old_end": state.get("old_end") or state["end"]}


class _CursorParser(Parser):
    def __init__(self, identity: Identity, state: Mapping[str, Any]) -> None:
        self._session = identity.session_id
        self._agent = identity.agent_id
        self._said = Occurrences(state.get("said"))
        self._end: list[str] = list(state.get("end", ()))
        self._open: list[str] = list(state.get("open", ()))
        # Of a file that was written anew: what had been said, and the last records, until they come.
        self._known = Occurrences(state["known"]) if "known" in state else None
        self._old_end: list[str] = list(state.get("old_end", ()))

    @property
    def state(self) -> dict[str, Any]:
        """How often what was said, and hashes of the last records."""
        state: dict[str, Any] = {"said": self._said.state, "end": list(self._end), "open": list(self._open)}
        if self._known is not None:
            state |= {"known": self._known.state, "old_end": list(self._old_end)}
        return state

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        part = list(records)
        known = self._old_end_in(part) if self._known is not None else None
        for number, record in enumerate(part):
            if number == known:
                self._go_on()
            role, message = record.get("role"), record.get("message")
            if record.get("type") == "turn_ended":
                parsed.understood += 1
            elif role in ("user", "assistant") and isinstance(message, Mapping):
                parsed.understood += 1
                self._message(str(role), message, parsed)
            else:
                parsed.unknown[str(record.get("type") or role)[:60]] += 1
            self._end = [*self._end, short(as_text(record))][-_END:]
        if known == len(part):
            self._go_on()

    def _go_on(self) -> None:
        """Count on from what had been said before the file was written anew."""
        if self._known is not None:
            self._said.raise_to(self._known)
            self._known, self._old_end = None, []

    def _old_end_in(self, part: Sequence[Mapping[str, Any]]) -> int | None:
        """Return behind how many records everything is new; ``None`` where that comes later.

        That is where the longest run is the same as at the old end. Of a file that has become shorter nothing
        need be, and all of it is known.
        """
        before = [*self._end, *(short(as_text(record)) for record in part)]
        best, found = 0, None
        for at in range(len(self._end) + 1, len(before) + 1):
            run = _alike(before[max(0, at - _END) : at], self._old_end)
            if run >= max(best, min(_ALIKE, len(self._old_end))):
                best, found = run, at - len(self._end)
        if best == len(self._old_end) or not self.more:
            return len(part) if found is None else found
        return None

    def _message(self, role: str, message: Mapping[str, Any], parsed: Parsed) -> None:
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found = [block for block in blocks if isinstance(block, Mapping)] if isinstance(blocks, list) else []
        # Parts of one message are together, whichever of them comes again.
        whole = event_id("cursor", self._session, role, *(digest(as_text(block)) for block in found))
        for block in found:
            kind = Kind.USER if role == "user" else Kind.ASSISTANT
            if isinstance(thought := block.get("thinking"), str):
                self._say(parsed, Kind.THINKING, clean(thought), whole)
            elif block.get("type") in ("tool_use", "tool_call"):
                self._call(block, parsed)
            elif block.get("type") in _RESULTS:
                self._result(block, parsed)
            elif isinstance(text := block.get("text"), str):
                # Also of blocks whose type is not known: what can be read is kept.
                own, certain = _asked(text) if kind is Kind.USER else (clean(text), True)
                self._say(
                    parsed, kind, own, whole, **({} if certain else {"details": {"uncertain": "pasted"}})
                )

    def _call(self, block: Mapping[str, Any], parsed: Parsed) -> None:
        key = self._key("call", as_text(block))
        named = block.get("id")
        call_id = named if isinstance(named, str) and named else key
        if call_id == key:
            self._open = [*self._open, key][-_OPEN:]
        tool = ToolUse(call_id=call_id, name=str(block.get("name", "")), input=block.get("input"))
        parsed.add(Kind.TOOL_CALL, None, key, tool=tool, agent_id=self._agent)

    def _result(self, block: Mapping[str, Any], parsed: Parsed) -> None:
        """Tell a result. Calls have no ids: it is that of the first one that has none."""
        key = self._key("result", as_text(block))
        named = block.get("tool_use_id") or block.get("id")
        call_id = self._open.pop(0) if self._open else str(named or key)
        content = block.get("content")
        texts = (
            [one.get("text") for one in content if isinstance(one, Mapping)]
            if isinstance(content, list)
            else ()
        )
        told = "\n".join(text for text in texts if isinstance(text, str)) or as_text(content)
        tool = ToolUse(call_id=call_id, output=clean(told), is_error=block.get("is_error") is True)
        parsed.add(Kind.TOOL_RESULT, None, key, tool=tool, agent_id=self._agent)

    def _say(self, parsed: Parsed, kind: Kind, text: str, whole: str, **more: Any) -> None:
        if text.strip():
            key = self._key(kind.value, text)
            parsed.add(kind, None, key, text=text, message_id=whole, agent_id=self._agent, **more)

    def _key(self, what: str, said: str) -> str:
        return event_id("cursor", self._session, what, digest(said), self._said.next(f"{what} {said}"))


def _asked(text: str) -> tuple[str, bool]:
    """Return what the user typed, and whether that is certain.

    It is all of the text, or what is marked as that behind what was given along.
    """
    text = clean(text).strip()
    if not text.endswith(_QUERY_ENDS) or _QUERY not in text:
        # With something of the program's behind the query, all before it may be files as well.
        return typed(text), not (_QUERY in text and _QUERY_ENDS in text)
    # The last one: what stands before it are files and rules, which may hold one, too.
    return behind(text.removesuffix(_QUERY_ENDS), _QUERY)


def _alike(these: Sequence[str], those: Sequence[str]) -> int:
    """Return how many at the ends of two are the same."""
    pairs = zip(reversed(these), reversed(those), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
