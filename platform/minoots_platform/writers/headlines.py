"""What a call of a tool is for, in a few words: they stand in its headline. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from minoots.contracts.conversations import ToolUse

# What the model says that it is for; where it says nothing, what it is about.
_TOLD: Final = (
    *("description", "explanation", "justification", "reason", "title", "subject"),
    *("file_path", "filePath", "absolute_path", "notebook_path", "path", "pattern", "query", "url"),
    *("command", "cmd", "skill"),
)
_LONGEST: Final = 80


def headline(tool: ToolUse) -> str:
    """Return the name of a tool, and what the call is for where that is told. Of one line, not escaped."""
    name = tool.name or "tool"
    purpose = _purpose(tool.input)
    return f"{name} — {purpose}" if purpose else name


def _purpose(given: Any) -> str:
    if not isinstance(given, Mapping):
        return ""
    for key in _TOLD:
        value = given.get(key)
        if isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value):
            value = " ".join(value)
        if isinstance(value, str) and (words := value[: _LONGEST * 8].split()):
            line = " ".join(words)
            return line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"
    return ""
