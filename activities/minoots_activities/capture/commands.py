"""Commands that a user types inside a chat: ``::record-notes plans/tea.md``. Pure.

They stand alone on a line of a user's message, outside of code, markup and quotes as CommonMark knows them.
What looks like a command and is none is
told with its remedy, for whoever typed it expects something to happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from minoots_platform.writers.closing import Blocks

_LINE: Final = re.compile(r"::(?P<token>[^\s:]\S*)(?:\s+(?P<argument>.+))?", re.DOTALL)
"""Of a line without spaces at its ends."""

LONGEST: Final = 500_000
"""Characters of a message in which commands are looked for."""
_BEHIND: Final = re.compile(
    r"(?i)(?:^|[\r\n])[ \t]{0,3}(?P<line>::(?:record|capture|export|stop)(?![a-z])[^\r\n]{0,200})"
)
_BLANK: Final = " \t"
_LINK: Final = re.compile(r"\[[^\]]*\]\((?P<target>[^()\s]+|<[^<>]+>)\)")
_ALIAS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_ADDRESS: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]{1,30}://|(?:mailto|data|javascript|file):")
_UNNAMEABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]")
_QUOTES: Final = ("`", '"', "'")


class Verb(StrEnum):
    """What is to be done."""

    RECORD = "record"
    """Record from here on."""
    CAPTURE = "capture"
    """Write the conversation from its beginning, then go on recording."""
    EXPORT = "export"
    """Write the conversation so far, once."""
    STOP = "stop"
    """Stop recording."""


@dataclass(frozen=True)
class Command:
    """A command as it was typed."""

    verb: Verb
    alias: str | None
    """Of the workspace; of none, ``stop`` means all."""
    argument: str | None
    line: int
    """In the message, from 1."""
    raw: str


@dataclass(frozen=True)
class Mistake:
    """A line that means to be a command and is none."""

    line: int
    raw: str
    problem: str
    """What was expected, and what to type instead."""


def commands_in(text: str) -> tuple[Command | Mistake, ...]:
    """Return the commands of a user's message, from the top down."""
    if "::" not in text:
        return ()
    # Never within a line: half a command may be another one.
    cut = len(text) if len(text) <= LONGEST else max(text.rfind(end, 0, LONGEST) for end in "\r\n") + 1
    found = [
        _read(match["token"], match["argument"] or None, number, line.lstrip(_BLANK).rstrip())
        for number, line in _spoken(text[:cut])
        if (match := _LINE.fullmatch(line.lstrip(_BLANK).rstrip()))
    ]
    if cut < len(text) and (behind := _BEHIND.search(text, max(0, cut - 1))):
        # Told, where it may have been meant: reading millions of lines would hold up everybody else.
        number = len(_lines(text[: behind.start("line")]))
        problem = f"it stands behind {LONGEST} characters; type it in a message of its own"
        found.append(Mistake(number, behind["line"], problem))
    return tuple(found)


def from_line(text: str, line: int) -> str:
    """Return a message from a line on: what a recording that begins there begins with."""
    return "\n".join(_lines(text)[line - 1 :])


def before_line(text: str, line: int) -> str:
    """Return a message up to a line: what a recording that ends there ends with."""
    return "\n".join(_lines(text)[: line - 1])


def destination_in(argument: str) -> str:
    """Return the path that an argument names: without link, quotes and backticks.

    Raises:
        ValueError: for a mention, and for what is empty or cannot be a path.
    """
    linked = _LINK.fullmatch(argument)
    path = (_unescaped(linked["target"]) if linked else argument).strip()
    while len(path) > 1 and ((path[0] in _QUOTES and path[-1] == path[0]) or path[0] + path[-1] == "<>"):
        path = path[1:-1].strip()
    path = path.replace("\\ ", " ")  # as one types it in a shell
    if path.startswith("@"):
        raise ValueError(f"expected a path; got the mention {path!r}: type the path without the @")
    if _ADDRESS.match(path):
        remedy = "type a path of this machine, such as plans/tea.md"
        raise ValueError(f"expected a path; got the address {path!r}: {remedy}")
    if path[:1] in _QUOTES or (path[:1] == "<" and ">" not in path):
        raise ValueError(f"expected a path; got {argument!r}: the mark before it has no end")
    # What stands for characters that nothing can hold names no file; controls would drive a terminal.
    if not path or _UNNAMEABLE.search(path):
        raise ValueError(f"expected a path; got {argument!r}: type one such as plans/tea.md")
    return path


def _unescaped(target: str) -> str:
    """Return what the target of a link names: editors write a space in it as ``%20``."""
    try:
        return unquote(target, errors="strict")
    except UnicodeDecodeError:
        return target


def _read(token: str, argument: str | None, line: int, raw: str) -> Command | Mistake:
    verb, dash, alias = token.partition("-")
    verb = verb.lower()
    if verb == "init":
        return Mistake(line, raw, "::init is no command any more; type ::record-<workspace>")
    if verb not in tuple(Verb):
        known = ", ".join(f"::{one}-<workspace>" for one in Verb)
        return Mistake(line, raw, f"{raw.split()[0]} is no command; there are {known} and ::stop")
    if verb == Verb.STOP and not dash:
        alias = ""
    elif not alias:
        return Mistake(line, raw, f"::{verb} needs a workspace; type ::{verb}-<workspace>")
    elif not _ALIAS.fullmatch(alias):
        return Mistake(line, raw, f"{alias!r} cannot be a workspace; expected letters, digits, . _ and -")
    if verb == Verb.STOP and argument is not None:
        return Mistake(line, raw, "::stop takes nothing behind it; type ::stop or ::stop-<workspace>")
    return Command(Verb(verb), alias or None, argument, line, raw)


def _spoken(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are no code, no markup and no quote, with their numbers."""
    blocks = Blocks()
    for number, line in enumerate(_lines(text), start=1):
        wide = line.expandtabs(4)
        # Four spaces are code to whoever reads it, also where a list makes them none.
        if blocks.feed(wide) and not wide.startswith("    "):
            yield number, line


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
