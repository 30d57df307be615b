"""Whose transcript something is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Identity:
    """Whose transcript a file is. Never made from the folder: files move."""

    session_id: str
    """The program's own id of the conversation."""
    parent_id: str | None = None
    relation: Literal["subagent", "fork", "resume", "review"] | None = None
    agent_id: str | None = None
    """Of a sub-agent."""
