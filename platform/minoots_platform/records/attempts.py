"""Attempts: what is known of one before it is made, and the row that is kept afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Attempt, AttemptError, DeliveryState
from minoots_platform.circuits import unwell

from . import destinations, schema, timers


@dataclass(frozen=True)
class Refusal:
    """Why an attempt is not to be made at all."""

    error: AttemptError
    detail: str


@dataclass(frozen=True)
class Claim:
    """The right to make one attempt. It ends when another execution claims the same delivery."""

    delivery_id: str
    timer_id: str
    action: int
    webhook_id: str
    url: str
    number: int
    """Of the attempt, from 1."""
    planned_at: datetime
    execution: int
    replay_of: str | None = None
    refusal: Refusal | None = None
    """Nothing is to be sent; this is what came of it."""


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt."""

    claim: Claim
    started_at: datetime
    finished_at: datetime
    status: int | None
    error: AttemptError | None
    detail: str | None
    response: str | None
    next_at: datetime | None
    """When the next attempt is planned; ``None`` after a success or to give up."""

    @property
    def state(self) -> DeliveryState:
        """Where the delivery stands after it."""
        if self.error is None:
            return DeliveryState.SUCCEEDED
        return DeliveryState.DEAD if self.next_at is None else DeliveryState.RETRYING


@dataclass(frozen=True)
class Standing:
    """Where a delivery stands that could not be claimed."""

    state: DeliveryState
    planned_at: datetime


async def keep(connection: AsyncConnection, tenant: str, outcome: Outcome) -> None:
    """Keep what came of an attempt."""
    claim = outcome.claim
    await connection.execute(
        sa.insert(schema.attempts).values(
            delivery_id=claim.delivery_id,
            number=claim.number,
            tenant=tenant,
            timer_id=claim.timer_id,
            action=claim.action,
            planned_at=claim.planned_at,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at,
            status=outcome.status,
            succeeded=outcome.error is None,
            error=outcome.error.value if outcome.error else None,
            detail=outcome.detail,
            response=outcome.response,
            next_attempt_at=outcome.next_at,
            url_hash=destinations.hash_of(claim.url),
            unwell=unwell(outcome.error, outcome.status),
        )
    )


async def of_timer(connection: AsyncConnection, tenant: str, timer_id: str) -> tuple[Attempt, ...]:
    """Return every attempt for a timer, in the order they were made.

    Raises:
        Failure: not_found.
    """
    await timers.row_of(connection, tenant, timer_id)
    table = schema.attempts
    query = (
        sa.select(table)
        .where(table.c.timer_id == timer_id)
        .order_by(table.c.started_at, table.c.delivery_id, table.c.number)
    )
    return tuple(
        Attempt(
            **{name: row._mapping[name] for name in Attempt.model_fields if name != "latency_ms"},
            latency_ms=round((row.finished_at - row.started_at).total_seconds() * 1000, 3),
        )
        for row in await connection.execute(query)
    )
