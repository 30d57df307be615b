"""How fast a provider may be asked: one bucket of requests and one of tokens, shared by every process.

A call takes its turn ahead of its time: the bucket goes below zero, and the call waits until it would be full
enough. So every process knows at once how long the queue is, and nobody looks again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots_platform.settings import RateSpec

from . import schema
from .inserting import insert_new

TABLE: Final = schema.model_rates
_BURST: Final = 10
"""A tenth of a minute's worth may be asked at once."""


@dataclass(frozen=True)
class Turn:
    """When a call's turn comes."""

    wait: float
    """Seconds."""
    taken: bool


async def take(
    connection: AsyncConnection, provider: str, rate: RateSpec, tokens: int, now: datetime, patience: float
) -> Turn:
    """Take a turn, unless it comes only after ``patience`` seconds."""
    requests, words = _Bucket(rate.requests), _Bucket(rate.tokens)
    await insert_new(
        connection,
        TABLE,
        {"provider": provider, "requests": requests.most, "tokens": words.most, "at": now},
    )
    at = TABLE.c.provider == provider
    row = (await connection.execute(sa.select(TABLE).where(at).with_for_update())).one()
    passed = max(0.0, (now - row.at).total_seconds())
    left = requests.after(row.requests, passed) - 1
    # More than a bucket holds would never fit: it waits until the bucket is full, and is let go.
    said = words.after(row.tokens, passed) - min(tokens, max(words.most, 1.0))
    wait = max(requests.wait(left), words.wait(said))
    if wait > patience:
        return Turn(wait, taken=False)
    await connection.execute(
        sa.update(TABLE).where(at).values(requests=left, tokens=said, at=max(now, row.at))
    )
    return Turn(wait, taken=True)


async def give_back(
    connection: AsyncConnection, provider: str, rate: RateSpec, tokens: int, *, requests: int = 0
) -> None:
    """Give back what a call took and did not need."""
    words, asked = _Bucket(rate.tokens), _Bucket(rate.requests)
    least = sa.func.min if connection.dialect.name == "sqlite" else sa.func.least
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.provider == provider)
        .values(
            tokens=least(TABLE.c.tokens + tokens, words.most),
            requests=least(TABLE.c.requests + requests, asked.most),
        )
    )


class _Bucket:
    """A limit a minute as a bucket; without a limit it is always full."""

    def __init__(self, a_minute: int | None) -> None:
        self._limited = a_minute is not None
        self.most = max(1.0, (a_minute or 0) / _BURST)
        # What may be asked at once is part of the minute, so that no minute holds more than its limit.
        self._a_second = max((a_minute or 0) - (self.most if self.most > 1 else 0), 0) / 60

    def after(self, level: float, seconds: float) -> float:
        return min(self.most, level + seconds * self._a_second) if self._limited else self.most

    def wait(self, level: float) -> float:
        if not self._limited or level >= 0:
            return 0.0
        return -level / self._a_second
