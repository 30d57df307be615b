"""Tools for the files of an agent: read, write, edit, list, search.

Owns what the model is told. What it asks for that is not there is an answer to it, not a fault of the job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from minoots.contracts import AgentTool, ToolRule
from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.globs import TooMuchWorkError, Work, matches

from .arguments import EditFile, ListFiles, ReadFile, SearchFiles, WriteFile
from .files import Files
from .policy import allowed

_MOST_LISTED: Final = 1000
_MOST_FOUND: Final = 200
_LONGEST_LINE: Final = 500
_MOST_SEARCHED: Final = 64 * 1024 * 1024
_STEPS: Final = 5_000_000

Tool = Callable[[Files, ToolRule, Any], Awaitable[str]]


async def read_file(files: Files, rule: ToolRule, wanted: ReadFile) -> str:
    """Return lines of a file, each with its number."""
    lines = _text(await files.read(wanted.path), wanted.path).splitlines()
    begin = wanted.first_line - 1
    some = lines[begin : begin + wanted.lines]
    if not some:
        return f"{wanted.path} has {len(lines)} lines"
    told = "\n".join(f"{number}\t{line}" for number, line in enumerate(some, start=wanted.first_line))
    left = len(lines) - begin - len(some)
    return f"{told}\n({left} more lines)" if left > 0 else told


async def write_file(files: Files, rule: ToolRule, wanted: WriteFile) -> str:
    """Write a file."""
    data = wanted.text.encode()
    there = wanted.path in files.tree
    await files.write(wanted.path, data, executable=wanted.executable)
    return f"{'replaced' if there else 'wrote'} {wanted.path}: {len(data)} bytes"


async def edit_file(files: Files, rule: ToolRule, wanted: EditFile) -> str:
    """Replace a text in a file."""
    text = _text(await files.read(wanted.path), wanted.path)
    times = text.count(wanted.old)
    if times == 0:
        raise Failure(
            FailureKind.INVALID, f"{wanted.path} does not have that text; read it again and copy it exactly"
        )
    if times > 1 and not wanted.everywhere:
        detail = f"{wanted.path} has that text {times} times; send more of what is around it, or everywhere"
        raise Failure(FailureKind.INVALID, detail)
    # Judged before it is made: a short text for a long one, a million times, is more than a worker has.
    files.require_room(
        wanted.path,
        files.tree[wanted.path].bytes + times * (len(wanted.new.encode()) - len(wanted.old.encode())),
    )
    data = text.replace(wanted.old, wanted.new).encode()
    await files.write(wanted.path, data, executable=files.tree[wanted.path].executable)
    return f"edited {wanted.path} in {times} place{'s' if times > 1 else ''}"


async def list_files(files: Files, rule: ToolRule, wanted: ListFiles) -> str:
    """List files."""
    found = await asyncio.to_thread(_meant, files, rule, wanted.pattern)
    told = [f"{path}\t{files.tree[path].bytes}" for path in found[:_MOST_LISTED]]
    if len(found) > _MOST_LISTED:
        told.append(f"({len(found) - _MOST_LISTED} more files)")
    return "\n".join(told) or "no files"


async def search_files(files: Files, rule: ToolRule, wanted: SearchFiles) -> str:
    """Find lines."""
    paths = await asyncio.to_thread(_meant, files, rule, wanted.pattern)
    found: list[str] = []
    searched = 0
    for begin in range(0, len(paths), 200):
        some = paths[begin : begin + 200]
        searched += sum(files.tree[path].bytes for path in some)
        if searched > _MOST_SEARCHED:
            found.append("(not all files were searched; name fewer by pattern)")
            break
        read = await files.read_all(some)
        found += await asyncio.to_thread(_lines_with, read.items(), wanted, _MOST_FOUND - len(found))
        if len(found) >= _MOST_FOUND:
            found.append("(there may be more; search for something rarer)")
            break
    return "\n".join(found) or "nothing found"


TOOLS: Final[dict[AgentTool, Tool]] = {
    AgentTool.READ_FILE: read_file,
    AgentTool.WRITE_FILE: write_file,
    AgentTool.EDIT_FILE: edit_file,
    AgentTool.LIST_FILES: list_files,
    AgentTool.SEARCH_FILES: search_files,
}


def _meant(files: Files, rule: ToolRule, pattern: str) -> list[str]:
    work = Work(_STEPS)
    try:
        return [
            path for path in sorted(files.tree) if matches(pattern, path, work) and allowed(rule, path, work)
        ]
    except TooMuchWorkError as error:
        raise Failure(FailureKind.INVALID, "the pattern is too much work; send a simpler one") from error


def _lines_with(read: Iterable[tuple[str, bytes]], wanted: SearchFiles, most: int) -> list[str]:
    looked_for = wanted.text.lower() if wanted.ignore_case else wanted.text
    found: list[str] = []
    for path, data in read:
        if b"\x00" in data:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
            if looked_for in (line.lower() if wanted.ignore_case else line):
                found.append(f"{path}:{number}: {line[:_LONGEST_LINE]}")
                if len(found) >= most:
                    return found
    return found


def _text(data: bytes, path: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Failure(FailureKind.INVALID, f"{path} is no text in UTF-8") from error
    if "\x00" in text:
        raise Failure(FailureKind.INVALID, f"{path} is no text: it has NUL bytes")
    return text
