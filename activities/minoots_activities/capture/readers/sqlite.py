"""Stores in databases of SQLite, and reading of small files as a whole."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from minoots_activities.capture.compressed import Damaged
from minoots_activities.capture.recovery import decoded, is_swollen

from .store import Open, Store

_ANSWERS: Final = 10.0
"""Seconds that it may take to answer everything that is asked of it."""
_TABLES: Final = frozenset(
    {"session", "session_v2", "sessions", "message", "messages", "part", "session_message"}
)
MOST: Final = 512 << 20
"""Characters of all answers that are held at a time, as of one session."""
_PATIENCE: Final = 5.0
"""Seconds that a database may be busy."""
_LARGE: Final = 1 << 20
"""Characters of a text that may hold more values than memory does."""
_LARGEST: Final = 64 << 20
"""Bytes of a file that is read as a whole."""


class Sqlite(Store):
    """A database of SQLite, which its program may be writing to."""

    def __init__(self, path: Path, open: Open) -> None:
        self._path = path
        self._open = open

    @contextmanager
    def rows(self) -> Iterator[Callable[..., list[dict[str, Any]]]]:
        """Yield a function that asks the database.

        Raises:
            Damaged: it is none, or not as expected.
        """
        # Whether it may be read is judged as for any file; a link would have been followed by then.
        file = self._open(self._path)
        connection = None
        try:
            if file.read(15) not in (b"SQLite format 3", b""):
                raise Damaged(f"{self._path.name} is no database of SQLite")
            # Never made and never written to: it is somebody else's.
            address = f"{self._path.resolve().as_uri()}?mode=ro"
            connection = sqlite3.connect(address, uri=True, timeout=_PATIENCE)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA trusted_schema=OFF")
            # What somebody made to answer for ever, or with gigabytes, is none.
            deadline = time.monotonic() + _ANSWERS
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST)
            if os.stat(self._path).st_ino != os.fstat(file.fileno()).st_ino:
                raise Damaged(f"{self._path.name} was put in the place of another")
            connection.create_aggregate("digest", -1, _Digest)  # type: ignore[arg-type]  # as documented
            connection.execute("BEGIN")
            views = "SELECT name FROM sqlite_master WHERE type = 'view'"
            if _TABLES & {row["name"].lower() for row in connection.execute(views)}:
                raise Damaged(f"{self._path.name} has views where tables should be")

            held = 0

            def ask(query: str, *values: Any) -> list[dict[str, Any]]:
                nonlocal held
                found = []
                for row in connection.execute(query, values):
                    held += sum(len(one) for one in row if isinstance(one, str | bytes))
                    if held > MOST:
                        raise Damaged(f"{self._path.name} answers with more than {MOST} characters at once")
                    found.append(dict(row))
                return found

            yield ask
        except sqlite3.Error as error:
            raise Damaged(f"{self._path.name} cannot be read: {error}") from error
        finally:
            file.close()
            if connection is not None:
                connection.close()


class _Digest:
    """``digest(…)`` of some columns over rows, in whatever order they come."""

    def __init__(self) -> None:
        self._sum = 0

    def step(self, *values: Any) -> None:
        """Take one row."""
        told = hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(told, "big")) % (1 << 128)

    def finalize(self) -> str:
        """Return the same for the same rows."""
        return f"{self._sum:032x}"


def whole(open: Open, path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        Damaged: it is too large.
    """
    with open(path) as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise Damaged(f"{path.name} is larger than {_LARGEST} bytes")
    return data


def json_of(text: Any) -> Any:
    """Return the JSON in a text; ``None`` where there is none, or so much that it fills memory."""
    if isinstance(text, str) and len(text) > _LARGE and is_swollen(text.encode("utf-8", "replace")):
        return None
    try:
        return decoded(text)
    except (ValueError, TypeError, RecursionError):
        return None
