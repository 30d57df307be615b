"""Gemini CLI: a whole conversation as one JSON, or as a log of messages that replace each other.

Both are read as a whole each time. A message keeps its id while it grows, so what is new is a revision.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar, Final, Literal

import orjson

from minoots.contracts.conversations import (
    ConversationEventKind,
    Tokens,
    ToolUse,
)

from .identity import id_in, id_in_name
from .reader import Blob, Identity, Parsed, Parser, Reader, event_id
from .texts import clean, typed, without_mentioned
from .times import moment
from .values import as_text, blob, count

Kind = ConversationEventKind

_ENDED: Final = frozenset({"success", "error", "cancelled"})
_LOG: Final = re.compile(r"session-[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9-]+-[0-9a-f]{8}")
_MESSAGES: Final = frozenset({"type", "$set", "$rewindTo"})
_COMMAND: Final = re.compile(r"^[ \t]*::", re.MULTILINE)


class Gemini(Reader):
    """Transcripts of the Gemini CLI."""

    provider: ClassVar[str] = "gemini"
    cursor: ClassVar[Literal["lines", "whole"]] = "whole"
    roots: ClassVar[Sequence[str]] = (".gemini/tmp",)
    variable: ClassVar[str | None] = "GEMINI_CLI_HOME"
    endings: ClassVar[tuple[str, ...]] = (".json", ".jsonl")

    def folders(self, home: Path, environ: Mapping[str, str]) -> list[Path]:
        """This program's variable stands for the home folder."""
        return super().folders(Path(environ.get("GEMINI_CLI_HOME") or home), {})

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """The header says whose it is; a sub-agent's file stands in the folder of its parent."""
        if path.suffix not in (".json", ".jsonl") or head is None:
            return None
        session = id_in(head, "sessionId")
        if session is None:
            # A session's file in which nothing is known is no other file: it is read, and that is told.
            is_log = path.suffix == ".json" or _MESSAGES & head.keys()
            return _by_name(path) if is_log else None
        if head.get("kind") == "subagent":
            parent = path.parent.name if path.parent.name != "chats" else None
            return Identity(session, parent, "subagent", session)
        return Identity(session)

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Reads the whole each time."""
        return GeminiParser(identity)


def _by_name(path: PurePath) -> Identity | None:
    """Return whose a log is that has lost its header: its name holds the id, or only how that begins."""
    session, parent = id_in_name(path), path.parent.name
    if session is not None and session == path.stem and path.suffix == ".jsonl":
        return Identity(session, parent if parent != "chats" else None, "subagent", session)
    return Identity(path.stem) if _LOG.fullmatch(path.stem) else None


def records_of_whole(data: bytes) -> list[Mapping[str, Any]] | None:
    """Return the records of a whole file; ``None`` for one that is being written this moment."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return [found] if isinstance(found, Mapping) else None


class _Said:
    """The messages of a log, also those that were taken back: whoever read earlier has seen them."""

    def __init__(self) -> None:
        self.messages: dict[str, Mapping[str, Any]] = {}
        """As each was told last."""
        self.order: dict[tuple[str, bool], None] = {}
        """Which came, and which were taken back (true), in order."""
        self._standing: dict[str, None] = {}

    def add(self, messages: Mapping[str, Mapping[str, Any]]) -> None:
        """Take messages that are new, or told anew."""
        self.messages |= messages
        for message_id in messages:
            self._standing[message_id] = self.order[message_id, False] = None

    def replace(self, messages: Mapping[str, Mapping[str, Any]]) -> None:
        """Take messages in place of all."""
        self._standing.clear()
        self.add(messages)

    def rewind(self, to: str) -> None:
        """Take back a message and all after it; all of them, for an id that is not known."""
        if to not in self._standing:
            gone = list(self._standing)
        else:
            # From the end: a log may take back as often as it says something.
            gone = [to, *reversed(list(itertools.takewhile(lambda one: one != to, reversed(self._standing))))]
        for message_id in gone:
            del self._standing[message_id]
            self.order[message_id, True] = None


class GeminiParser(Parser):
    """Reads conversations that are known as a whole, of Gemini or of a program made from it."""

    def __init__(self, identity: Identity, provider: str = "gemini") -> None:
        self._provider = provider
        self._session = identity.session_id
        self._agent = identity.agent_id

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Put the messages together, then tell what they say."""
        said = _Said()
        for number, record in enumerate(records):
            parsed.understood += 1
            if "$rewindTo" in record:
                said.rewind(str(record["$rewindTo"]))
            elif isinstance(patch := record.get("$set"), Mapping):
                if isinstance(all_ := patch.get("messages"), list):
                    said.replace(_by_id(all_, number))
                self._facts(patch, parsed)
            elif "sessionId" in record and "type" not in record:
                self._facts(record, parsed)
                said.add(_by_id(record.get("messages"), number))
            elif "type" in record and ("content" in record or "toolCalls" in record):
                said.add(_by_id([record], number))
            else:
                parsed.understood -= 1
                parsed.unknown[",".join(sorted(map(str, record)))[:60]] += 1
        for message_id, taken_back in said.order:
            message = said.messages[message_id]
            if taken_back:
                key = event_id(self._provider, self._session, "rewind", message_id)
                self._add(parsed, Kind.REWIND, message, key, details={"message_id": message_id})
            else:
                self._message(message_id, message, parsed)

    def _facts(self, record: Mapping[str, Any], parsed: Parsed) -> None:
        if isinstance(folders := record.get("directories"), list) and folders:
            parsed.facts["cwd"] = str(folders[0])
        summary = record.get("summary")
        if isinstance(summary, str) and summary.strip():
            key = event_id(self._provider, self._session, "title", summary)
            self._add(parsed, Kind.TITLE, record, key, text=clean(summary).strip(), rank=2)

    def _message(self, message_id: str, message: Mapping[str, Any], parsed: Parsed) -> None:
        what = message.get("type")
        text, blobs = _content(message.get("content"))
        if what == "user":
            self._asked(message_id, message, text, blobs, parsed)
        elif what in ("gemini", "model", self._provider):
            self._answered(message_id, message, text, parsed)
        elif text.strip():
            kind = Kind.ERROR if what == "error" else Kind.SYSTEM
            key = event_id(self._provider, self._session, message_id, kind.value)
            self._add(parsed, kind, message, key, text=clean(text), injected=True)

    def _asked(
        self,
        message_id: str,
        message: Mapping[str, Any],
        text: str,
        blobs: Sequence[Blob],
        parsed: Parsed,
    ) -> None:
        shown, _ = _content(message.get("displayContent"))
        (text,) = without_mentioned([text])
        if shown.strip():
            # What was typed; commands that it does not show are kept where nothing else is left out: what a
            # command of the program, such as `/init`, makes of itself may hold anything.
            said = [line.strip() for line in text.splitlines()]
            seen = [line.strip() for line in shown.splitlines()]
            lost = [line for line in said if _COMMAND.match(line) and line not in seen]
            alike = [line for line in said if line and line not in lost] == [line for line in seen if line]
            text = "\n".join((shown, *lost)) if alike else shown
        own = typed(clean(text))
        if own or blobs:
            key = event_id(self._provider, self._session, message_id, "user")
            self._add(parsed, Kind.USER, message, key, text=own, message_id=message_id, blobs=blobs)

    def _answered(self, message_id: str, message: Mapping[str, Any], text: str, parsed: Parsed) -> None:
        model = message.get("model")
        common: dict[str, Any] = {
            "message_id": message_id,
            "model": model if isinstance(model, str) else None,
        }
        if common["model"]:
            parsed.facts["model"] = common["model"]
        for number, thought in enumerate(_listed(message.get("thoughts"))):
            if isinstance(thought, Mapping):
                parts = (str(thought.get("subject", "")), str(thought.get("description", "")))
                told = "\n\n".join(part for part in parts if part)
                key = event_id(self._provider, self._session, message_id, "thinking", number)
                self._add(parsed, Kind.THINKING, thought, key, text=clean(told), **common)
        if text.strip():
            key = event_id(self._provider, self._session, message_id, "assistant")
            self._add(parsed, Kind.ASSISTANT, message, key, text=clean(text), **common)
        for number, call in enumerate(_listed(message.get("toolCalls"))):
            if isinstance(call, Mapping):
                self._call(message_id, number, call, message, common, parsed)
        if isinstance(tokens := message.get("tokens"), Mapping):
            key = event_id(self._provider, self._session, message_id, "usage")
            self._add(parsed, Kind.USAGE, message, key, tokens=_tokens(tokens), **common)

    def _call(
        self,
        message_id: str,
        number: int,
        call: Mapping[str, Any],
        message: Mapping[str, Any],
        common: dict[str, Any],
        parsed: Parsed,
    ) -> None:
        call_id = str(call.get("id") or f"{message_id}/{number}")
        at = call if call.get("timestamp") else message
        tool = ToolUse(call_id=call_id, name=str(call.get("name", "")), input=call.get("args"))
        key = event_id(self._provider, self._session, "call", message_id, call_id)
        self._add(parsed, Kind.TOOL_CALL, at, key, tool=tool, **common)
        status = call.get("status")
        if call.get("result") is None and str(status) not in _ENDED:
            return
        agent = call.get("agentId")
        tool = ToolUse(call_id=call_id, output=clean(_result(call)), is_error=status == "error")
        key = event_id(self._provider, self._session, "result", message_id, call_id)
        more: dict[str, Any] = {"agent_id": agent} if isinstance(agent, str) else {}
        self._add(parsed, Kind.TOOL_RESULT, at, key, tool=tool, **more)

    def _add(
        self,
        parsed: Parsed,
        kind: Kind,
        source: Mapping[str, Any],
        public_id: str,
        **more: Any,
    ) -> None:
        more.setdefault("agent_id", self._agent)
        parsed.add(kind, moment(source.get("timestamp")), public_id, **more)


def _by_id(messages: Any, number: int) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, Mapping):
            found[str(message.get("id") or f"{number}.{index}")] = message
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _content(content: Any) -> tuple[str, list[Blob]]:
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    blobs: list[Blob] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            if isinstance(text := part.get("text"), str):
                texts.append(text)
            blobs += _inline(part.get("inlineData"))
    return "\n".join(texts), blobs


def _inline(data: Any) -> list[Blob]:
    return blob(data.get("data"), data.get("mimeType")) if isinstance(data, Mapping) else []


def _result(call: Mapping[str, Any]) -> str:
    texts: list[str] = []
    result = call.get("result")
    for part in result if isinstance(result, list) else ():
        answer = part.get("functionResponse") if isinstance(part, Mapping) else None
        response = answer.get("response") if isinstance(answer, Mapping) else None
        if isinstance(response, Mapping):
            told = response.get("output", response.get("error"))
            texts.append(told if isinstance(told, str) else as_text(response))
    if not texts and isinstance(shown := call.get("resultDisplay"), str):
        texts.append(shown)
    return "\n".join(texts)


def _tokens(tokens: Mapping[str, Any]) -> Tokens:
    cached, thinking = count(tokens, "cached") or 0, count(tokens, "thoughts") or 0
    return Tokens(
        input=max(0, (count(tokens, "input") or 0) - cached),
        cache_read=cached,
        output=(count(tokens, "output") or 0) + thinking,
        thinking=thinking,
    )
