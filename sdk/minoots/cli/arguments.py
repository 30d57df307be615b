"""Text from the command line as values: labels, headers, durations, JSON payloads."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer

from minoots.durations import parse_duration


def mapping(
    texts: Sequence[str] | None, option: str, separators: str, *, exact: bool = False
) -> dict[str, str]:
    """Return ``key=value`` texts as a mapping; the first of ``separators`` in a text divides it.

    White space around keys and values does not count, but for ``exact`` values.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        match = re.search(f"[{separators}]", text)
        if match is None or match.start() == 0:
            expected = " or ".join(f"KEY{separator}VALUE" for separator in separators)
            raise typer.BadParameter(f"expected {expected}; got {text!r}", param_hint=option)
        value = text[match.end() :]
        found[text[: match.start()].strip()] = value if exact else value.strip()
    return found


def duration(text: str, option: str) -> timedelta:
    """Return the duration that ``text`` spells; a bare number is seconds."""
    try:
        return parse_duration(float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def text(given: str, option: str) -> str:
    """Return the text that is given, in the file that ``@path`` names, or on standard input for ``-``."""
    try:
        if given == "-":
            return sys.stdin.read()
        return Path(given[1:]).read_text("utf-8") if given.startswith("@") else given
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"expected a readable file; {error}", param_hint=option) from error


def json_value(given: str, option: str) -> Any:
    """Return the JSON in what `text` returns."""
    source = "standard input" if given == "-" else given[1:] if given.startswith("@") else "the text"
    try:
        return json.loads(text(given, option))
    except (json.JSONDecodeError, RecursionError) as error:
        raise typer.BadParameter(
            f"expected JSON in {source}; {error}. A bare word needs quotes: '\"word\"'", param_hint=option
        ) from error


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not ``None`` or empty."""
    return {name: value for name, value in values.items() if value not in (None, {}, [], ())}


def mcp_server(text: str) -> dict[str, Any]:
    """Return the MCP server that ``NAME=COMMAND`` or ``NAME=URL`` means.

    Raises:
        typer.BadParameter: it is neither.
    """
    name, _, where = text.partition("=")
    if where.startswith(("http://", "https://")):
        return {"name": name, "url": where}
    try:
        command = shlex.split(where)
    except ValueError:
        command = []
    if not command:
        raise typer.BadParameter(f"expected NAME=COMMAND or NAME=URL; got {text!r}", param_hint="--mcp")
    return {"name": name, "command": command}


def tool_rule(told: str) -> dict[str, str]:
    """Return the rule for a tool of an agent that is given as ``NAME`` or ``NAME=APPROVAL``."""
    name, _, approval = told.partition("=")
    return {"name": name, "approval": approval} if approval else {"name": name}
