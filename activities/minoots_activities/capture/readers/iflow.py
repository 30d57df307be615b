"""iFlow: the records of Claude Code, in which results of tools are those of Gemini's API.

A call is told again with each that follows it, and counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Literal

from .claude import ClaudeParser
from .reader import Identity, Parsed, Parser, Reader
from .values import as_text


class IFlow(Reader):
    """Transcripts of the iFlow CLI."""

    provider: ClassVar[str] = "iflow"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".iflow/projects",)

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """Every record says whose it is."""
        session = None if head is None else head.get("sessionId")
        if path.suffix != ".jsonl" or not isinstance(session, str) or not session:
            return None
        return Identity(session)

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Nothing of the past is needed: ids are made of content."""
        return _IFlowParser(identity)


class _IFlowParser(ClaudeParser):
    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        super().feed(map(_unwrapped, records), parsed)


def _unwrapped(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record in which the results of tools are what the tools said."""
    message = record.get("message")
    content = message.get("content") if isinstance(message, Mapping) else None
    if record.get("type") != "user" or not isinstance(message, Mapping) or not isinstance(content, list):
        return record
    about = record.get("toolUseResult")
    status = about.get("status") if isinstance(about, Mapping) else None
    blocks = [
        {**block, "content": _output(block["content"]), "is_error": status in ("error", "cancelled")}
        if isinstance(block, Mapping) and isinstance(block.get("content"), Mapping)
        else block
        for block in content
    ]
    return {**record, "message": {**message, "content": blocks}}


def _output(content: Mapping[str, Any]) -> str:
    parts = content.get("responseParts")
    told: list[str] = []
    for part in parts if isinstance(parts, list) else (parts,):
        answer = part.get("functionResponse") if isinstance(part, Mapping) else None
        response = answer.get("response") if isinstance(answer, Mapping) else None
        if isinstance(response, Mapping):
            told.append(as_text(response.get("output", response.get("error", response))))
    return "\n".join(told) or as_text(content.get("resultDisplay") or content)
