"""The file of the outbox: requests in order, and those that the service refused.

Owns the SQLite file. Every operation is one short transaction on a connection of its own, so that threads,
forks and other processes can use the same file. Sends nothing.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from minoots.call import invalid
from minoots.contracts.problems import Problem
from minoots.errors import MinootsError

SCHEMA_VERSION: Final = 1
BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for another process's transaction, which takes milliseconds."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS queued (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE, asked TEXT NOT NULL, body TEXT NOT NULL, queued_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rejected (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL, body TEXT NOT NULL, queued_at TEXT NOT NULL, rejected_at TEXT NOT NULL,
    problem TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Entry:
    """One queued request."""

    position: int
    key: str
    asked: Mapping[str, Any]
    """The body as the caller asked; the gateway may have got it before the connection broke."""
    body: Mapping[str, Any]
    """The body to send: due at a moment, and to fire even when late."""
    queued_at: datetime


@dataclass(frozen=True)
class Rejected:
    """One request that the service refused for good."""

    key: str
    body: Mapping[str, Any]
    queued_at: datetime
    rejected_at: datetime
    problem: Problem


class Outbox:
    """A queue of requests in one SQLite file (WAL), safe with several processes."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def add(self, key: str, asked: Mapping[str, Any], body: Mapping[str, Any]) -> Entry:
        """Keep a request; when this returns it is on disk. The same key with the same request is kept once.

        Raises:
            InvalidRequest: the key is queued with another request.
        """
        now = datetime.now(UTC)
        with self._transaction() as db:
            row = db.execute("SELECT * FROM queued WHERE key = ?", (key,)).fetchone()
            if row is not None:
                if json.loads(row["asked"]) != asked:
                    got = "the key of another request in the outbox"
                    raise invalid("header.Idempotency-Key", "a key that is not used by another request", got)
                return _entry(row)
            cursor = db.execute(
                "INSERT INTO queued (key, asked, body, queued_at) VALUES (?, ?, ?, ?) RETURNING position",
                (key, json.dumps(asked), json.dumps(body), now.isoformat()),
            )
            return Entry(cursor.fetchone()[0], key, asked, body, now)

    def first(self) -> Entry | None:
        """Return the request that is sent next."""
        with self._transaction() as db:
            row = db.execute("SELECT * FROM queued ORDER BY position LIMIT 1").fetchone()
            return None if row is None else _entry(row)

    def queued(self) -> tuple[Entry, ...]:
        """Return what waits to be sent, in order."""
        with self._transaction() as db:
            return tuple(_entry(row) for row in db.execute("SELECT * FROM queued ORDER BY position"))

    def ahead_of(self, position: int) -> int:
        """Return how many requests are sent before the one at ``position``."""
        with self._transaction() as db:
            return int(
                db.execute("SELECT count(*) FROM queued WHERE position < ?", (position,)).fetchone()[0]
            )

    def count(self) -> int:
        """Return how many requests wait."""
        with self._transaction() as db:
            return int(db.execute("SELECT count(*) FROM queued").fetchone()[0])

    def remove(self, entry: Entry) -> None:
        """Forget a request that the service has answered."""
        with self._transaction() as db:
            db.execute("DELETE FROM queued WHERE position = ?", (entry.position,))

    def reject(self, entry: Entry, problem: Problem) -> Rejected:
        """Move a request to the rejected ones."""
        rejected = Rejected(entry.key, entry.body, entry.queued_at, datetime.now(UTC), problem)
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO rejected VALUES (?, ?, ?, ?, ?, ?)",
                (
                    entry.position,
                    rejected.key,
                    json.dumps(rejected.body),
                    rejected.queued_at.isoformat(),
                    rejected.rejected_at.isoformat(),
                    problem.model_dump_json(),
                ),
            )
            db.execute("DELETE FROM queued WHERE position = ?", (entry.position,))
        return rejected

    def rejected(self) -> tuple[Rejected, ...]:
        """Return what the service refused, oldest first."""
        with self._transaction() as db:
            rows = db.execute("SELECT * FROM rejected ORDER BY position").fetchall()
        return tuple(
            Rejected(
                row["key"],
                json.loads(row["body"]),
                datetime.fromisoformat(row["queued_at"]),
                datetime.fromisoformat(row["rejected_at"]),
                Problem.model_validate_json(row["problem"]),
            )
            for row in rows
        )

    def forget_rejected(self) -> int:
        """Drop the rejected ones and return how many they were."""
        with self._transaction() as db:
            return db.execute("DELETE FROM rejected").rowcount

    def try_lock(self) -> sqlite3.Connection | None:
        """Return the right to flush until it is closed, or ``None`` when somebody else has it.

        It is an exclusive lock on a second SQLite file: the system drops it when the process dies, however.
        """
        self._make_files()
        # It is closed by another thread of an async client's pool than the one that opened it.
        lock = sqlite3.connect(self._lock_path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if _busy(error):
                return None
            raise
        except BaseException:
            lock.close()
            raise
        return lock

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + "-flush")

    def _make_files(self) -> None:
        # Payloads may be private: made here for this user only, before SQLite makes them for everybody.
        for path in (self.path, self._lock_path):
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._make_files()
        with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > SCHEMA_VERSION:
                raise MinootsError(
                    f"expected an outbox of version {SCHEMA_VERSION} or older in {self.path}; got {version}\n"
                    "  upgrade minoots, or name another file"
                )
            if version == 0:
                _switch_to_wal(db)
            # FULL: what create has promised must survive a power cut, not only a crash.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                if version == 0:
                    for statement in _SCHEMA.split(";"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def _switch_to_wal(db: sqlite3.Connection) -> None:
    # The one statement that fails at once instead of waiting when another process makes the same new file.
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _busy(error: sqlite3.OperationalError) -> bool:
    # The low byte; the rest tells kinds of busy apart.
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        row["position"],
        row["key"],
        json.loads(row["asked"]),
        json.loads(row["body"]),
        datetime.fromisoformat(row["queued_at"]),
    )
