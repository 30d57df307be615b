"""Codex CLI: one line an event, appended; flat at first, then in an envelope, then numbered ("paginated").

Whose a file is. What its lines mean is in `codex_lines`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Final, Literal

from .codex_lines import CodexParser
from .reader import Identity, Parser, Reader

_NAME: Final = re.compile(r"rollout-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-(?P<thread>[0-9a-f-]{36})(?:_[0-9a-f-]+)?")


class Codex(Reader):
    """Transcripts of Codex."""

    provider: ClassVar[str] = "codex"
    cursor: ClassVar[Literal["lines", "whole"]] = "lines"
    roots: ClassVar[Sequence[str]] = (".codex/sessions", ".codex/archived_sessions")
    variable: ClassVar[str | None] = "CODEX_HOME"
    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".jsonl.zst")

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """The name of the file says whose it is, or else its first line; later heads may be copies.

        A file that has lost its beginning is known by its name.
        """
        if not path.name.endswith((".jsonl", ".jsonl.zst")) or head is None:
            return None
        named = _NAME.match(path.name)
        thread = named["thread"] if named else None
        meta = head.get("payload") if head.get("type") == "session_meta" else None
        if "type" not in head and "payload" not in head and "record_type" not in head:
            meta = head  # flat, as in 2025
        if not isinstance(meta, Mapping) or not isinstance(told := meta.get("id"), str) or not told:
            return Identity(thread) if thread else None
        if thread is not None and thread != told:
            return Identity(thread)
        return Identity(told, *_lineage(meta, told))

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Goes on from a state: turn, model, tokens told last, and where a copied history ends."""
        return CodexParser(identity, state or {})


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
