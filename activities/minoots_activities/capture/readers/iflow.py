"""iFlow: the records of Claude Code, in which results of tools are those of Gemini's API.

A call is told again with each that follows it, and counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Literal

from .claude import ClaudeParser
from .identity import id_in, id_in_name
from .reader import Identity, Parsed, Parser, Reader
from .texts import MENTIONED
from .values import as_text


class IFlow(Reader):
    """Transcripts of the iFlow CLI."""

    provider: ClassVar[str] = "iflow"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".iflow/projects",)

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """Every record says whose it is; where the first one does not, the name of the file."""
        if path.suffix != ".jsonl" or head is None:
            return None
        session = id_in(head, "sessionId") or (path.stem if "type" in head and id_in_name(path) else None)
        return Identity(session) if session else None

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Nothing of the past is needed: ids are made of content. Those of calls are not unique."""
        return _IFlowParser(identity, identity.session_id)


class _IFlowParser(ClaudeParser):
    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        super().feed(map(_as_claude, records), parsed)


def _as_claude(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a user's record with what tools said instead of how, and without what mentioned files hold."""
    message = record.get("message")
    if record.get("type") != "user" or not isinstance(message, Mapping):
        return record
    content = message.get("content")
    if isinstance(content, str):
        return {**record, "message": {**message, "content": content.partition(MENTIONED)[0]}}
    about = record.get("toolUseResult")
    failed = isinstance(about, Mapping) and about.get("status") in ("error", "cancelled")
    blocks: list[Any] = []
    mentioned = False
    for block in content if isinstance(content, list) else ():
        if isinstance(block, Mapping) and block.get("type") == "tool_result":
            is_error = failed or block.get("is_error") is True
            blocks.append({**block, "content": _output(block.get("content")), "is_error": is_error})
        elif isinstance(block, Mapping) and isinstance(text := block.get("text"), str):
            own, found, _ = text.partition(MENTIONED)
            if not mentioned:
                blocks.append({**block, "text": own})
            mentioned = mentioned or bool(found)
        else:
            blocks.append(block)
    return {**record, "message": {**message, "content": blocks}}


def _output(content: Any) -> Any:
    if not isinstance(content, Mapping):
        return content
    parts = content.get("responseParts")
    told: list[Any] = []
    for part in parts if isinstance(parts, list) else (parts,):
        if not isinstance(part, Mapping):
            continue
        answer, inline = part.get("functionResponse"), part.get("inlineData")
        response = answer.get("response") if isinstance(answer, Mapping) else None
        if isinstance(response, Mapping):
            said = (response.get(name) for name in ("output", "error"))
            shown = as_text(next((one for one in said if one is not None), response))
            told.append({"type": "text", "text": shown})
        elif isinstance(text := part.get("text"), str):
            told.append({"type": "text", "text": text})
        elif isinstance(inline, Mapping):
            source = {"data": inline.get("data"), "media_type": inline.get("mimeType")}
            told.append({"type": "image", "source": source})
    return told or as_text(content.get("resultDisplay") or content)
