"""Whose transcript something is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, Literal

_UUID: Final = re.compile(r"(?:.*[^0-9a-fA-F])?(?P<id>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})")


@dataclass(frozen=True)
class Identity:
    """Whose transcript a file is. Never made from the folder: files move."""

    session_id: str
    """The program's own id of the conversation."""
    parent_id: str | None = None
    relation: Literal["subagent", "fork", "resume", "review"] | None = None
    agent_id: str | None = None
    """Of a sub-agent."""


def id_in_name(path: PurePath) -> str | None:
    """Return the id that a file's name ends with, for files that have lost their beginning."""
    found = _UUID.fullmatch(path.stem)
    return found["id"] if found else None


def id_in(head: Mapping[str, Any] | None, name: str) -> str | None:
    """Return an id that a record tells; ``None`` where there is none."""
    value = None if head is None else head.get(name)
    return value if isinstance(value, str) and value else None
