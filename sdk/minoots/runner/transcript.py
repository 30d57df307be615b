"""Watching a session's transcript grow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from .kinds import is_turn, transcripts
from .settings import Program

_CLOCKS: Final = timedelta(seconds=2)
"""A record may carry a time from just before it was asked for."""

_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class _Mark:
    inode: int
    size: int


class Watch:
    """What of a session's files is new since the watch began."""

    def __init__(self, program: Program, session_id: str) -> None:
        self._program = program
        self._session_id = session_id
        self._began = datetime.now(UTC)
        self._marks = {path: _mark(path) for path in transcripts(program, session_id)}

    @property
    def known(self) -> bool:
        """Whether the session had a transcript at all."""
        return bool(self._marks)

    def turn(self) -> bool:
        """Tell whether the assistant has taken a turn since."""
        return any(
            self._is_new_turn(record)
            for path in transcripts(self._program, self._session_id)
            for record in self._new_records(path)
        )

    def _new_records(self, path: Path) -> Iterator[Mapping[str, Any]]:
        mark = self._marks.get(path)
        try:
            with path.open("rb") as file:
                now = _mark(path)
                # One that was written anew is read from its start; the times of records tell what is new.
                if mark is not None and mark.inode == now.inode and mark.size <= now.size:
                    file.seek(mark.size)
                for line in _lines(file.read(_CHUNK * 64)):
                    yield from _parsed(line)
        except FileNotFoundError:
            return

    def _is_new_turn(self, record: Mapping[str, Any]) -> bool:
        if not is_turn(self._program.kind, record):
            return False
        try:
            moment = datetime.fromisoformat(str(record["timestamp"]))
        except (KeyError, ValueError):
            return True  # without a time, being new is all there is to go by
        return moment.tzinfo is None or moment >= self._began - _CLOCKS


def _mark(path: Path) -> _Mark:
    status = path.stat()
    return _Mark(status.st_ino, status.st_size)


def _lines(data: bytes) -> list[bytes]:
    """Return the complete lines: the last one may still be on its way."""
    return data.split(b"\n")[:-1]


def _parsed(line: bytes) -> Iterator[Mapping[str, Any]]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return
    if isinstance(record, dict):
        yield record
