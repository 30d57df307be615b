"""Claude Code: one record a line, appended; a sub-agent's records in a file of its own.

An answer comes as one record for each block, all under one message id, and its usage is repeated on each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Final, Literal

from minoots.contracts.conversations import (
    Choice,
    ConversationEventKind,
    ToolUse,
)

from .claude_blocks import output_in, prompt, speaker, tokens_in, unnamed
from .reader import Blob, Identity, Parsed, Parser, Reader, digest, event_id
from .texts import clean, command_in, notice_in, typed
from .times import moment

Kind = ConversationEventKind

_NAME: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}")
_SILENT: Final = frozenset(
    "progress file-history-snapshot file-history-delta queue-operation permission-mode mode worktree-state "
    "relocated pr-link frame-link bridge-session atis-latch last-prompt agent-setting agent-color".split()
)
"""Book-keeping that says nothing of the conversation."""

_TITLES: Final = {
    "custom-title": ("customTitle", 4),
    "agent-name": ("agentName", 3),
    "ai-title": ("aiTitle", 2),
    "summary": ("summary", 1),
}
_RECORDS: Final = frozenset({"user", "assistant", "system", "attachment", *_SILENT, *_TITLES})
_FACTS: Final = {"cwd": "cwd", "gitBranch": "branch", "version": "version", "entrypoint": "entrypoint"}
_INTERRUPTED: Final = re.compile(r"\[Request interrupted by user(?: for tool use)?\]")
_UNIQUE: Final = ("toolu_", "srvtoolu_")
"""Beginnings of the ids of calls that are never given twice."""
_PERSON: Final = "human"
"""The only origin of a prompt that is the user: others are channels, other agents, and programs."""


class Claude(Reader):
    """Transcripts of Claude Code."""

    provider: ClassVar[str] = "claude"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".claude/projects",)
    variable: ClassVar[str | None] = "CLAUDE_CONFIG_DIR"

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """The name of the file says whose it is; the ids in its records may be those of others."""
        if path.suffix != ".jsonl":
            return None
        name = path.stem
        if name.startswith("agent-"):
            parent = _parent_of(path) or _text_of(head, "sessionId")
            return Identity(f"{parent}/{name}" if parent else name, parent, "subagent", name[6:])
        if name == "journal":
            return None
        # A copy under another name may begin with what says nothing of its session.
        is_one = _NAME.fullmatch(name) or _text_of(head, "sessionId") or _text_of(head, "type") in _RECORDS
        return Identity(name) if is_one else None

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Nothing of the past is needed: ids are made of content."""
        return ClaudeParser(identity)


class ClaudeParser(Parser):
    """Reads records of the wire of Anthropic's messages, one block or more each."""

    def __init__(self, identity: Identity, *scope: str) -> None:
        """With what tells this session's calls from those of others, where their ids do not."""
        self._agent = identity.agent_id
        self._session = identity.session_id
        self._scope = scope

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            kind = str(record.get("type"))
            if kind in ("user", "assistant", "system", "attachment"):
                parsed.understood += 1
                self._facts(record, parsed)
                self._said(kind, record, parsed)
            elif kind in _TITLES:
                parsed.understood += 1
                self._title(kind, record, parsed)
            elif kind in _SILENT:
                parsed.understood += 1
            else:
                parsed.unknown[kind[:60]] += 1

    def _facts(self, record: Mapping[str, Any], parsed: Parsed) -> None:
        for name, fact in _FACTS.items():
            value = record.get(name)
            if isinstance(value, str) and value:
                parsed.facts[fact] = value

    def _said(self, kind: str, record: Mapping[str, Any], parsed: Parsed) -> None:
        if kind == "attachment":
            self._attachment(record, parsed)
        elif kind == "system":
            self._system(record, parsed)
        else:
            message = record.get("message")
            if not isinstance(message, Mapping):
                return
            content = message.get("content")
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            if not isinstance(blocks, list):
                return
            if kind == "assistant":
                self._answer(record, message, blocks, parsed)
            else:
                self._asked(record, blocks, parsed)

    def _asked(self, record: Mapping[str, Any], blocks: list[Any], parsed: Parsed) -> None:
        for block in blocks:
            if isinstance(block, Mapping) and block.get("type") == "tool_result":
                self._result(record, block, parsed)
        texts, blobs = prompt(blocks)
        text = "\n".join(texts)
        if not text.strip() and not blobs:
            return
        if record.get("isCompactSummary"):
            self._add(parsed, record, Kind.COMPACTION, text=text, injected=True)
            return
        # What a tool brings in, such as a skill, says which call it came with.
        meta = bool(record.get("isMeta") or record.get("sourceToolUseID"))
        self._said_to_it(record, record.get("origin"), texts, blobs, parsed, injected=meta)

    def _said_to_it(
        self,
        record: Mapping[str, Any],
        origin: Any,
        texts: Sequence[str],
        blobs: Sequence[Blob],
        parsed: Parsed,
        *,
        injected: bool,
    ) -> None:
        """Tell a prompt: as the user's, or as that of whoever else spoke where the user does."""
        by = speaker(origin)
        if by not in (None, _PERSON):
            self._notice(record, str(by), origin, texts, blobs, parsed)
            return
        words: list[str] = []
        own: list[str] = []
        for part in texts:
            if by is None and (notice := notice_in(part)):
                self._notice(record, notice, origin, [part], (), parsed)
                continue
            words.append(part)
            if not _INTERRUPTED.fullmatch(part.strip()):
                own.append(typed(part, certain=by == _PERSON))
        said = "\n".join(part for part in own if part)
        injected = injected or not (said or blobs)
        told = "\n".join(words) if injected else said
        if told.strip() or blobs:
            details: dict[str, Any] = {"interrupted": True} if len(own) < len(words) else {}
            if injected and (command := command_in(told)):
                details["command"] = command
            more = {"details": details} if details else {}
            self._add(parsed, record, Kind.USER, text=told, injected=injected, blobs=blobs, **more)

    def _notice(
        self,
        record: Mapping[str, Any],
        by: str,
        origin: Any,
        texts: Sequence[str],
        blobs: Sequence[Blob],
        parsed: Parsed,
    ) -> None:
        details = {"origin": clean(by)[:100]}
        if isinstance(origin, Mapping) and isinstance(whose := origin.get("from"), str):
            details["from"] = clean(whose)[:200]
        told = "\n".join(texts)
        self._add(parsed, record, Kind.SYSTEM, text=told, injected=True, blobs=blobs, details=details)

    def _result(self, record: Mapping[str, Any], block: Mapping[str, Any], parsed: Parsed) -> None:
        call_id = str(block.get("tool_use_id") or unnamed(record, block))
        text, blobs = output_in(block.get("content"))
        more = record.get("toolUseResult")
        details = more if isinstance(more, Mapping) else {}
        tool = ToolUse(call_id=call_id, output=clean(text), is_error=bool(block.get("is_error")))
        agent = details.get("agentId")
        called = agent if isinstance(agent, str) else self._agent
        key = event_id("claude", "result", *self._call(call_id, record.get("timestamp")))
        self._event(parsed, record, Kind.TOOL_RESULT, key, tool=tool, agent_id=called, blobs=blobs)
        self._choices(record, call_id, details, parsed)

    def _choices(
        self, record: Mapping[str, Any], call_id: str, details: Mapping[str, Any], parsed: Parsed
    ) -> None:
        questions, answers = details.get("questions"), details.get("answers")
        if not isinstance(questions, list):
            return
        given = answers if isinstance(answers, Mapping) else {}
        for number, question in enumerate(questions):
            if not isinstance(question, Mapping):
                continue
            text = str(question.get("question", ""))
            options = question.get("options")
            listed = options if isinstance(options, list) else ()
            labels = [str(one.get("label", "")) for one in listed if isinstance(one, Mapping)]
            chosen = given.get(text)
            choice = Choice(
                key=str(question.get("header", number)),
                question=text,
                options=tuple(labels),
                chosen=() if chosen is None else (str(chosen),),
            )
            asked = self._call(call_id, record.get("timestamp"))
            public_id = event_id("claude", "decision", *asked, number)
            self._event(parsed, record, Kind.DECISION, public_id, choice=choice)

    def _answer(
        self, record: Mapping[str, Any], message: Mapping[str, Any], blocks: list[Any], parsed: Parsed
    ) -> None:
        model = message.get("model")
        if model == "<synthetic>" or record.get("isApiErrorMessage"):
            self._add(parsed, record, Kind.ERROR, text=clean(output_in(blocks)[0]))
            return
        message_id = str(message.get("id") or self._stamp(record, "uuid", "timestamp"))
        common: dict[str, Any] = {
            "message_id": message_id,
            "model": model if isinstance(model, str) else None,
        }
        if common["model"]:
            parsed.facts["model"] = common["model"]
        for block in blocks:
            if isinstance(block, Mapping):
                self._block(record, block, common, parsed)
        usage = message.get("usage")
        if isinstance(usage, Mapping):
            public_id = event_id("claude", "usage", message_id)
            self._event(parsed, record, Kind.USAGE, public_id, tokens=tokens_in(usage), **common)

    def _block(
        self, record: Mapping[str, Any], block: Mapping[str, Any], common: dict[str, Any], parsed: Parsed
    ) -> None:
        message_id = common["message_id"]
        match block.get("type"):
            case "text" if isinstance(text := block.get("text"), str) and text.strip():
                public_id = event_id("claude", "text", message_id, digest(text))
                self._event(parsed, record, Kind.ASSISTANT, public_id, text=clean(text), **common)
            case "thinking" if isinstance(text := block.get("thinking"), str) and text.strip():
                public_id = event_id("claude", "thinking", message_id, digest(text))
                self._event(parsed, record, Kind.THINKING, public_id, text=clean(text), **common)
            case "tool_use" | "server_tool_use":
                call_id = str(block.get("id") or unnamed(record, block))
                tool = ToolUse(call_id=call_id, name=str(block.get("name", "")), input=block.get("input"))
                key = event_id("claude", "call", *self._call(call_id, message_id))
                self._event(parsed, record, Kind.TOOL_CALL, key, tool=tool, **common)

    def _system(self, record: Mapping[str, Any], parsed: Parsed) -> None:
        subtype = str(record.get("subtype"))
        content = record.get("content")
        text = clean(content) if isinstance(content, str) else None
        if subtype == "compact_boundary":
            self._add(parsed, record, Kind.COMPACTION, text=text, details={"boundary": True})
        elif subtype in ("api_error", "error", "api_refusal"):
            self._add(parsed, record, Kind.ERROR, text=text or subtype)
        elif text:
            self._add(parsed, record, Kind.SYSTEM, text=text, injected=True, details={"subtype": subtype})

    def _attachment(self, record: Mapping[str, Any], parsed: Parsed) -> None:
        found = record.get("attachment")
        if not isinstance(found, Mapping) or found.get("type") != "queued_command":
            return
        # Typed while the agent was busy; it is in no record of its own.
        texts, blobs = prompt(found.get("prompt"))
        if not "".join(texts).strip() and not blobs:
            return
        mode = found.get("commandMode")
        origin = found.get("origin", record.get("origin"))
        if mode != "prompt" and speaker(origin) in (None, _PERSON):
            origin = {"kind": mode if isinstance(mode, str) and mode else "unknown"}
        meta = bool(found.get("isMeta") or record.get("isMeta"))
        self._said_to_it(record, origin, texts, blobs, parsed, injected=meta)

    def _title(self, kind: str, record: Mapping[str, Any], parsed: Parsed) -> None:
        name, rank = _TITLES[kind]
        text = record.get(name)
        if isinstance(text, str) and text.strip():
            # The one before is replaced: the last of a kind counts.
            key = event_id("claude", "title", kind, digest(text))
            self._event(parsed, record, Kind.TITLE, key, text=clean(text).strip(), rank=rank)

    def _add(
        self,
        parsed: Parsed,
        record: Mapping[str, Any],
        kind: Kind,
        *,
        text: str | None,
        blobs: Sequence[Blob] = (),
        **more: Any,
    ) -> None:
        # A compaction writes old messages again under new ids, but with their time and text.
        stamp = self._stamp(record, "timestamp", "uuid")
        public_id = event_id(
            "claude", kind.value, stamp, digest(text or ""), *(one.about.sha256 for one in blobs)
        )
        self._event(parsed, record, kind, public_id, text=text, blobs=blobs, **more)

    def _stamp(self, record: Mapping[str, Any], *names: str) -> str:
        """Return what tells a record from others, or at least from those of other sessions."""
        return str(next((value for name in names if (value := record.get(name))), self._session))

    def _call(self, call_id: str, of: Any) -> tuple[str, ...]:
        """Return what tells a call from others. Models that are not Anthropic's count theirs from one."""
        if self._scope or call_id.startswith(_UNIQUE):
            return (*self._scope, call_id)
        return str(of or self._session), call_id

    def _event(
        self, parsed: Parsed, record: Mapping[str, Any], kind: Kind, public_id: str, **more: Any
    ) -> None:
        agent = record.get("agentId")
        more.setdefault("agent_id", agent if isinstance(agent, str) else self._agent)
        if record.get("isSidechain") and more["agent_id"] is None:
            more["agent_id"] = "sidechain"
        parsed.add(kind, moment(record.get("timestamp")), public_id, **more)


def _parent_of(path: PurePath) -> str | None:
    parts = path.parts
    if "subagents" in parts:
        return parts[len(parts) - 1 - parts[::-1].index("subagents") - 1]
    return None


def _text_of(head: Mapping[str, Any] | None, name: str) -> str | None:
    value = None if head is None else head.get(name)
    return value if isinstance(value, str) and value else None
