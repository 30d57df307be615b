"""OpenCode: once a tree of small files, since 1.2 a database; the same messages and parts in both."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, ClassVar, Final, Literal

from minoots.contracts.conversations import ConversationEventKind, Tokens, ToolUse

from .opencode_database import SessionsInDatabase
from .reader import Identity, Parsed, Parser, Reader, digest, event_id
from .sqlite import json_of, whole
from .store import Listed, Open, Store
from .texts import clean, typed
from .times import moment
from .values import as_text, count, data_url

Kind = ConversationEventKind

_NAME: Final = re.compile(r"[\w.-]{1,128}")
_SILENT: Final = frozenset({"step-start", "step-finish", "snapshot", "patch", "agent", "retry", "subtask"})


class OpenCode(Reader):
    """Sessions of OpenCode."""

    provider: ClassVar[str] = "opencode"
    cursor: ClassVar[Literal["lines", "whole"]] = "whole"
    roots: ClassVar[Sequence[str]] = (".local/share/opencode",)
    endings: ClassVar[tuple[str, ...]] = (".json", ".db")

    def holds(self, path: str) -> bool:
        """A database, or the file of a session in the tree; those of messages and parts belong to it."""
        name = os.path.basename(path)
        if name.startswith("opencode") and name.endswith(".db"):
            return True
        return name.startswith("ses_") and name.endswith(".json") and f"{os.sep}session{os.sep}" in path

    def beside(self, path: str) -> Iterator[str]:
        """Of a session in the tree, its last message with its parts; older ones change no more."""
        if path.endswith(".db"):
            yield from super().beside(path)
            return
        storage, name = _storage_of(path), Path(path).stem
        messages = storage / "message" / name
        yield str(messages)
        if found := _json_in(messages):
            parts = storage / "part" / found[-1].stem
            yield from map(str, (found[-1], parts, *_json_in(parts)))

    def meant(self, path: str) -> str:
        """Of a message or part in the tree, the file of its session."""
        place = Path(path)
        kind, owner = place.parent.parent.name, place.parent.name
        storage = place.parent.parent.parent
        if kind == "part" and place.suffix == ".json":
            message = next(storage.glob(f"message/*/{glob.escape(owner)}.json"), None)
            owner, kind = ("", kind) if message is None else (message.parent.name, "message")
        if kind == "message" and place.suffix == ".json":
            session = next(storage.glob(f"session/*/{glob.escape(owner)}.json"), None)
            return path if session is None else str(session)
        return super().meant(path)

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """No file is a session by itself."""
        return None

    def store_of(self, path: Path, open: Open) -> Store | None:
        """Return the database, or the tree in which a session is."""
        return SessionsInDatabase(path, open) if path.suffix == ".db" else _Tree(path, open)

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Nothing of the past is needed: messages and parts have ids."""
        return _OpenCodeParser(identity.session_id)


class _Tree(Store):
    """One session's file, and those of its messages and parts beside it."""

    def __init__(self, path: Path, open: Open) -> None:
        self._path = path
        self._open = open
        self._storage = _storage_of(str(path))

    def listed(self) -> Iterator[Listed]:
        info = self._json(self._path)
        name = info.get("id") if isinstance(info, dict) else None
        if isinstance(name, str) and _NAME.fullmatch(name):
            told = [str(info.get("time"))]
            for path in (*self._messages(name), *self._all_parts(name)):
                about = path.stat()
                told.append(f"{path.name}:{about.st_size}:{about.st_mtime_ns}")
            parent = info.get("parentID")
            child = isinstance(parent, str) and parent
            identity = Identity(name, parent, "subagent") if child else Identity(name)
            yield Listed(identity, digest("/".join(told)))

    def records(self, session_id: str) -> Iterator[Mapping[str, Any]]:
        yield {"session": self._json(self._path)}
        messages = [(self._json(path), path) for path in self._messages(session_id)]
        for info, _ in sorted(messages, key=lambda one: (_created(one[0]), one[1].name)):
            if isinstance(info, dict):
                parts = [self._json(part) for part in self._parts(info.get("id"))]
                yield {"message": info, "parts": [part for part in parts if isinstance(part, dict)]}

    def _messages(self, session_id: str) -> list[Path]:
        return _json_in(self._storage / "message" / session_id)

    def _parts(self, message_id: Any) -> list[Path]:
        name = str(message_id)
        return _json_in(self._storage / "part" / name) if _NAME.fullmatch(name) else []

    def _all_parts(self, session_id: str) -> Iterator[Path]:
        for path in self._messages(session_id):
            info = self._json(path)
            yield from self._parts(info.get("id") if isinstance(info, dict) else None)

    def _json(self, path: Path) -> Any:
        return json_of(whole(self._open, path).decode("utf-8", "replace"))


class _OpenCodeParser(Parser):
    def __init__(self, session_id: str) -> None:
        self._session = session_id

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            session, message = record.get("session"), record.get("message")
            if isinstance(session, Mapping):
                parsed.understood += 1
                self._header(session, parsed)
            elif isinstance(message, Mapping):
                parsed.understood += 1
                self._message(message, record.get("parts"), parsed)
            else:
                parsed.unknown["record"] += 1

    def _header(self, session: Mapping[str, Any], parsed: Parsed) -> None:
        for name, fact in (("directory", "cwd"), ("version", "version")):
            value = session.get(name)
            if isinstance(value, str) and value:
                parsed.facts[fact] = value
        title = session.get("title")
        if isinstance(title, str) and title.strip():
            text = clean(title.strip())
            parsed.add(Kind.TITLE, None, self._id("title", text), text=text, rank=2)

    def _message(self, message: Mapping[str, Any], parts: Any, parsed: Parsed) -> None:
        name, role = str(message.get("id", "")), message.get("role")
        time = message.get("time")
        ts = moment(time.get("created")) if isinstance(time, Mapping) else None
        model = message.get("modelID")
        model = model if isinstance(model, str) and model else None
        if model:
            parsed.facts["model"] = model
        if isinstance(cwd := message.get("cwd"), str) and cwd:
            parsed.facts["cwd"] = cwd
        for place, part in enumerate(parts if isinstance(parts, list) else []):
            if isinstance(part, Mapping):
                self._part(part, name, str(part.get("id") or place), role, ts, model, parsed)
        tokens = message.get("tokens")
        if isinstance(tokens, Mapping) and any(isinstance(value, int) for value in tokens.values()):
            parsed.add(Kind.USAGE, ts, self._id(name, "usage"), tokens=_tokens(tokens), model=model)
        error = message.get("error")
        if isinstance(error, Mapping):
            data = error.get("data")
            text = data.get("message") if isinstance(data, Mapping) else error.get("message")
            told = clean(str(text or error.get("name") or error.get("type")))
            parsed.add(Kind.ERROR, ts, self._id(name, "error"), text=told)

    def _part(
        self,
        part: Mapping[str, Any],
        message: str,
        name: str,
        role: Any,
        ts: datetime | None,
        model: str | None,
        parsed: Parsed,
    ) -> None:
        time = part.get("time")
        if isinstance(time, Mapping):
            ts = moment(time.get("start")) or moment(time.get("created")) or ts
        public_id = self._id(message, name)
        match part.get("type"):
            case "text":
                text = clean(str(part.get("text") or ""))
                if role == "system":
                    told = {"origin": clean(str(part.get("origin")))[:100]}
                    parsed.add(Kind.SYSTEM, ts, public_id, text=text, injected=True, details=told)
                elif role == "user":
                    own = "" if part.get("synthetic") else typed(text)
                    parsed.add(
                        Kind.USER, ts, public_id, text=own or text, message_id=message, injected=not own
                    )
                else:
                    parsed.add(Kind.ASSISTANT, ts, public_id, text=text, message_id=message, model=model)
            case "reasoning":
                parsed.add(Kind.THINKING, ts, public_id, text=clean(str(part.get("text", ""))), model=model)
            case "tool":
                self._tool(part, message, name, ts, model, parsed)
            case "compaction":
                summary = part.get("text")
                told_of = clean(summary) if isinstance(summary, str) else None
                parsed.add(Kind.COMPACTION, ts, public_id, text=told_of)
            case "file":
                blobs = data_url(part.get("url"))
                kind = Kind.USER if role == "user" else Kind.ASSISTANT
                if blobs:
                    parsed.add(kind, ts, public_id, text="", message_id=message, blobs=blobs)
            case str(other) if other in _SILENT:
                return
            case other:
                parsed.unknown[f"part {other}"[:60]] += 1

    def _tool(
        self,
        part: Mapping[str, Any],
        message: str,
        name: str,
        ts: datetime | None,
        model: str | None,
        parsed: Parsed,
    ) -> None:
        state = part.get("state")
        state = state if isinstance(state, Mapping) else part
        call_id = str(part.get("callID") or part.get("id") or name)
        tool = str(part.get("tool") or part.get("name") or "tool")
        if "input" in state:
            parsed.add(
                Kind.TOOL_CALL,
                ts,
                self._id(message, name, "call"),
                tool=ToolUse(call_id=call_id, name=tool, input=state.get("input")),
                model=model,
            )
        failed = state.get("status") == "error"
        if failed or state.get("output") is not None:
            output = clean(as_text(state.get("error") if failed else state.get("output")))
            parsed.add(
                Kind.TOOL_RESULT,
                ts,
                self._id(message, name, "result"),
                tool=ToolUse(call_id=call_id, name=tool, output=output, is_error=failed),
            )

    def _id(self, *of: str) -> str:
        return event_id("opencode", self._session, *of)


def _tokens(tokens: Mapping[str, Any]) -> Tokens:
    cache = tokens.get("cache")
    cache = cache if isinstance(cache, Mapping) else {}
    return Tokens(
        input=count(tokens, "input"),
        output=count(tokens, "output"),
        thinking=count(tokens, "reasoning"),
        cache_read=count(cache, "read"),
        cache_write=count(cache, "write"),
    )


def _created(info: Any) -> float:
    time = info.get("time") if isinstance(info, dict) else None
    created = moment(time.get("created")) if isinstance(time, dict) else None
    return created.timestamp() if created else 0.0


def _storage_of(path: str) -> Path:
    """Return the tree in which a session's file is: ``storage/session/<project>/ses_x.json``."""
    return Path(path).parent.parent.parent


def _json_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except (FileNotFoundError, NotADirectoryError):
        return []
