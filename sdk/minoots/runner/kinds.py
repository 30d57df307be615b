"""What is particular to each command line: how it resumes, where its transcripts are, what a turn looks like.

Facts from their documentation and files; the prompt goes in on standard input, which all three read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .settings import Kind, Program


@dataclass(frozen=True)
class Recipe:
    """How one kind of command line is handled."""

    home_variable: str
    """Names the directory that holds everything, if it is not where it usually is."""
    home: str
    transcripts: str
    """Below home."""
    pattern: str
    """Of the file of a session, with ``{id}`` for its id and ``{short}`` for the first eight characters."""
    resume: tuple[str, ...]
    """Arguments, with ``{id}``."""


RECIPES: Final[Mapping[Kind, Recipe]] = {
    Kind.CLAUDE_CODE: Recipe(
        "CLAUDE_CONFIG_DIR", "~/.claude", "projects", "*/{id}.jsonl", ("--print", "--resume", "{id}")
    ),
    Kind.CODEX: Recipe(
        "CODEX_HOME", "~/.codex", "sessions", "**/rollout-*-{id}.jsonl", ("exec", "resume", "{id}", "-")
    ),
    Kind.GEMINI_CLI: Recipe(
        "GEMINI_CLI_HOME", "~/.gemini", "tmp", "*/chats/session-*-{short}.jsonl", ("--resume", "{id}")
    ),
}


def command_line(program: Program, session_id: str) -> list[str]:
    """Return the argument list that resumes a session."""
    resume = RECIPES[program.kind].resume
    return [
        str(program.path),
        *program.arguments,
        *(argument.replace("{id}", session_id) for argument in resume),
    ]


def transcripts(program: Program, session_id: str) -> Iterator[Path]:
    """Yield the files of a session, as they are now."""
    recipe = RECIPES[program.kind]
    root = program.transcripts
    if root is None:
        root = Path(os.environ.get(recipe.home_variable) or recipe.home).expanduser() / recipe.transcripts
    # The id was checked: it holds nothing that a pattern would read.
    yield from root.glob(recipe.pattern.replace("{id}", session_id).replace("{short}", session_id[:8]))


def is_turn(kind: Kind, record: Mapping[str, Any]) -> bool:
    """Tell whether a record of a transcript is the assistant speaking or acting."""
    match kind:
        case Kind.CLAUDE_CODE:
            # What the program says in the assistant's name, such as an error of the service, is no turn.
            message = record.get("message")
            made_up = isinstance(message, Mapping) and message.get("model") == "<synthetic>"
            own = not record.get("isSidechain") and not record.get("isApiErrorMessage") and not made_up
            return record.get("type") == "assistant" and own
        case Kind.CODEX:
            payload = record.get("payload", record)
            return isinstance(payload, Mapping) and (
                (payload.get("type") == "message" and payload.get("role") == "assistant")
                or payload.get("type") == "agent_message"
            )
        case Kind.GEMINI_CLI:
            return record.get("type") == "gemini"
