"""The records of a tenant, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from ledger import Ledger

from minoots_platform.records import Database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """Fresh records, on SQLite and on Postgres."""
    return Ledger(database)


@pytest.fixture
async def busy_ledger(postgres_url: str) -> AsyncIterator[Ledger]:
    """Records on Postgres with connections for many at once: there, races are real."""
    async with Database(postgres_url, pool_size=16) as database:
        yield Ledger(database)
