"""Where a job stands in its queue, and when it will probably begin.

Workers are everybody's, so a place counts the jobs of all tenants. A tenant is told that number and a coarse
guess, which follow from what others do and cannot be told without it; how many of others are at work, and how
long theirs take, is not told.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import JobKind, JobQueue, JobState

from . import schema

_JOBS: Final = schema.jobs
_WORKERS: Final = (
    (JobKind.LLM.value, JobKind.AGENT.value),
    (JobKind.EXEC.value, JobKind.VM.value),
)
"""Kinds that wait for the same workers; an agent first asks its model."""
_STEPS: Final = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1200, 1800, 2700, 3600)
"""Seconds to which a guess is rounded up, beyond an hour to hours: a finer one would time others."""
_LAST: Final = 20
"""Jobs by which it is guessed how long one takes."""


async def standing(connection: AsyncConnection, row: sa.Row[Any]) -> JobQueue | None:
    """Return what stands before a job; ``None`` for one that a worker has begun."""
    if row.state != JobState.QUEUED.value:
        return None
    kinds = next(kinds for kinds in _WORKERS if row.kind in kinds)
    same = (
        _JOBS.c.kind.in_(kinds),
        _JOBS.c.ended_at.is_(None),
        # In a sandbox that stands, programs wait for one another and for nobody else.
        _JOBS.c.sandbox_id.is_not_distinct_from(row.sandbox_id),
    )
    before = sa.or_(
        _JOBS.c.priority < row.priority,
        sa.and_(
            _JOBS.c.priority == row.priority,
            sa.or_(
                _JOBS.c.created_at < row.created_at,
                sa.and_(_JOBS.c.created_at == row.created_at, _JOBS.c.id < row.id),
            ),
        ),
    )
    waits = _JOBS.c.state == JobState.QUEUED.value
    runs = _JOBS.c.state == JobState.RUNNING.value
    counted = sa.select(
        sa.func.count().filter(waits, before),
        sa.func.count().filter(runs),
        sa.func.count().filter(runs, _JOBS.c.tenant == row.tenant),
    ).where(*same)
    ahead, running, own = (await connection.execute(counted)).one()
    took = await _took(connection, kinds)
    # So many have to end before it is its turn, and as many work at it as do now.
    starts_in = (ahead + 1) * took.total_seconds() / running if took is not None and running else None
    return JobQueue(ahead=ahead, running=own, starts_in=None if starts_in is None else _coarse(starts_in))


def _coarse(seconds: float) -> float:
    """Return so many seconds, rounded up to a step."""
    hours = math.ceil(seconds / _STEPS[-1]) * _STEPS[-1]
    return float(next((step for step in _STEPS if seconds <= step), hours))


async def _took(connection: AsyncConnection, kinds: tuple[str, ...]) -> timedelta | None:
    """Return how long the last jobs took, on average."""
    last = (
        sa.select(_JOBS.c.started_at, _JOBS.c.ended_at)
        .where(_JOBS.c.kind.in_(kinds), _JOBS.c.started_at.is_not(None), _JOBS.c.ended_at.is_not(None))
        .order_by(_JOBS.c.ended_at.desc())
        .limit(_LAST)
    )
    times = [one.ended_at - one.started_at for one in await connection.execute(last)]
    return sum(times, timedelta()) / len(times) if times else None
