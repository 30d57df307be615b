"""Aider: one Markdown file in each repository, with one chat behind the other. It has no ids and no times.

An answer may hold lines that look as if the user had typed them: who speaks is not certain.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar, Final, Literal

from minoots.contracts.conversations import ConversationEventKind

from .reader import Identity, Parsed, Parser, Reader, digest, event_id
from .sqlite import whole
from .store import Listed, Open, Store
from .texts import clean

Kind = ConversationEventKind

_STARTED: Final = "# aider chat started at "
_USER: Final = "#### "
_SAID: Final = "> "
_FENCE: Final = re.compile(r"(?P<marker>`{3,}|~{3,})")


class Aider(Reader):
    """Chats of Aider. It has no folder of its own: `capture.roots` names repositories."""

    provider: ClassVar[str] = "aider"
    cursor: ClassVar[Literal["lines", "whole"]] = "whole"
    roots: ClassVar[Sequence[str]] = ()
    own: ClassVar[bool] = False
    endings: ClassVar[tuple[str, ...]] = (".aider.chat.history.md",)

    def identify(self, path: PurePath, head: Mapping[str, Any] | None) -> Identity | None:
        """No file is a chat by itself."""
        return None

    def store_of(self, path: Path, open: Open) -> Store | None:
        """Return the chats of a file."""
        return _Chats(path, open)

    def parser(self, identity: Identity, state: Mapping[str, Any] | None = None) -> Parser:
        """Ids are made of the chat and the place in it."""
        return _AiderParser(identity.session_id)


class _Chats(Store):
    def __init__(self, path: Path, open: Open) -> None:
        self._path = path
        self._open = open

    def listed(self) -> Iterator[Listed]:
        for session_id, lines in self._chats():
            yield Listed(Identity(session_id), digest("\n".join(lines)))

    def records(self, session_id: str) -> Iterator[Mapping[str, Any]]:
        for found, lines in self._chats():
            if found == session_id:
                yield {"started": lines[0].removeprefix(_STARTED), "folder": str(self._path.parent)}
                yield from _turns(lines[1:])

    def _chats(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the chats with something in them. Each is known by its beginning, wherever the file is."""
        text = whole(self._open, self._path).decode("utf-8", "replace").replace("\r\n", "\n")
        # What stands behind the last line end is being written: it may become another line.
        *lines, _ = text.split("\n")
        chat: list[str] = []
        for line in (*lines, _STARTED):
            if not line.startswith(_STARTED):
                chat.append(line)
                continue
            first = next((one for one in chat if one.startswith(_USER)), None)
            if first is not None and chat[0].startswith(_STARTED):
                yield f"{chat[0].removeprefix(_STARTED).strip()} {digest(first.rstrip())}", chat
            chat = [line]


class _AiderParser(Parser):
    def __init__(self, session_id: str) -> None:
        self._session = session_id
        self._places = itertools.count()

    def feed(self, records: Iterable[Mapping[str, Any]], parsed: Parsed) -> None:
        """Read on."""
        for record in records:
            place = next(self._places)
            if "started" in record:
                parsed.understood += 1
                # In the time of the machine, which is not told: it is shown, and no time is made of it.
                parsed.facts["started"] = str(record["started"])
                parsed.facts["cwd"] = str(record.get("folder", ""))
            elif (kind := _KINDS.get(str(record.get("role")))) is not None:
                parsed.understood += 1
                text = clean(str(record.get("text", "")))
                details = {"uncertain": True} if kind is Kind.USER else {}
                parsed.add(kind, None, event_id("aider", self._session, place), text=text, details=details)
            else:
                parsed.unknown["record"] += 1


_KINDS: Final = {"user": Kind.USER, "assistant": Kind.ASSISTANT, "system": Kind.SYSTEM}


def _turns(lines: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield who said what: what follows one another of one speaker is one turn."""
    # Aider ends the lines of a user with two spaces; a heading in an answer has none. Without any such line
    # in the chat it has been edited, and every heading of that depth counts.
    certain = any(line.startswith(_USER) and line.endswith("  ") for line in lines)
    fence: str | None = None
    role, said = "", list[str]()
    for line in lines:
        now = "assistant"
        match = _FENCE.match(line.lstrip())
        if fence is not None:
            if match and match["marker"].startswith(fence) and not line.strip().strip(fence[0]):
                fence = None
        elif match:
            fence = match["marker"]
        elif line.startswith(_USER) and (line.endswith("  ") or not certain):
            now, line = "user", line.removeprefix(_USER).rstrip()
        elif line.startswith(_SAID):
            now, line = "system", line.removeprefix(_SAID).rstrip()
        elif not line.strip() and role != "assistant":
            continue
        if now != role:
            yield from _turn(role, said)
            role, said = now, []
        said.append(line)
    yield from _turn(role, said)


def _turn(role: str, said: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    text = "\n".join(said).strip()
    if role and text:
        yield {"role": role, "text": text}
