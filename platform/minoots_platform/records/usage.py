"""What calls of language models took: one row a call, and sums of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts.usage import UsageBy, UsageSum

from . import schema

TABLE: Final = schema.model_usage


@dataclass(frozen=True)
class NewUsage:
    """A call to be kept."""

    id: str
    tenant: str
    call_id: str
    key: str
    job_id: str | None
    provider: str
    model: str
    local: bool
    outcome: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_micros: int
    first_token_ms: int | None
    total_ms: int
    at: datetime

    @property
    def tokens(self) -> int:
        """What it counts for in a budget."""
        return self.input_tokens + self.output_tokens

    def values(self) -> dict[str, Any]:
        """Return its columns."""
        # Not asdict: it copies deeply, which costs more than all the rest of a call.
        told = dict(vars(self))
        at = told.pop("at")
        return {**told, "created_at": at, "day": day_of(at)}


def day_of(moment: datetime) -> str:
    """Return the day of a moment, in UTC."""
    return moment.astimezone(UTC).date().isoformat()


async def add(
    connection: AsyncConnection, rows: Sequence[NewUsage], charged: Mapping[str, Any] | None = None
) -> None:
    """Keep calls; those that are kept already stay as they are.

    Who is ended while he commits does not know whether it was done, and does it again.
    """
    told = None if charged is None else dict(charged)
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(TABLE)
    await connection.execute(
        insert.on_conflict_do_nothing(), [{**row.values(), "charged": told} for row in rows]
    )


async def so_far(
    connection: AsyncConnection, *, tenant: str | None, key: str | None, job_id: str | None, day: str | None
) -> tuple[int, int]:
    """Return tokens and millionths that calls took which had to be paid for."""
    tokens = sa.func.coalesce(sa.func.sum(TABLE.c.input_tokens + TABLE.c.output_tokens), 0)
    query = sa.select(tokens, sa.func.coalesce(sa.func.sum(TABLE.c.cost_micros), 0)).where(
        TABLE.c.local.is_(False)
    )
    for column, value in (
        (TABLE.c.tenant, tenant),
        (TABLE.c.key, key),
        (TABLE.c.job_id, job_id),
        (TABLE.c.day, day),
    ):
        if value is not None:
            query = query.where(column == value)
    used, micros = (await connection.execute(query)).one()
    return int(used), int(micros)


_COLUMNS: Final = {
    UsageBy.DAY: TABLE.c.day,
    UsageBy.PROVIDER: TABLE.c.provider,
    UsageBy.MODEL: TABLE.c.model,
    UsageBy.KEY: TABLE.c.key,
    UsageBy.JOB: TABLE.c.job_id,
    UsageBy.OUTCOME: TABLE.c.outcome,
}


@dataclass(frozen=True)
class UsageFilter:
    """Which calls are summed up: those that match every given field."""

    since: date | None = None
    until: date | None = None
    """The last day that counts."""
    job_id: str | None = None
    key: str | None = None
    provider: str | None = None
    model: str | None = None


async def sums(
    connection: AsyncConnection, tenant: str, by: Sequence[UsageBy], wanted: UsageFilter, limit: int
) -> tuple[UsageSum, ...]:
    """Return what a tenant's calls took together, by what is asked for, the dearest first."""
    groups = [_COLUMNS[one].label(one.value) for one in by]
    tokens_in, cost = sa.func.sum(TABLE.c.input_tokens), sa.func.sum(TABLE.c.cost_micros)
    query = sa.select(
        *groups,
        sa.func.count().label("calls"),
        sa.func.coalesce(tokens_in, 0).label("input_tokens"),
        sa.func.coalesce(sa.func.sum(TABLE.c.output_tokens), 0).label("output_tokens"),
        sa.func.coalesce(sa.func.sum(TABLE.c.cached_tokens), 0).label("cached_tokens"),
        sa.func.coalesce(cost, 0).label("cost_micros"),
    ).where(TABLE.c.tenant == tenant)
    if wanted.since is not None:
        query = query.where(TABLE.c.day >= wanted.since.isoformat())
    if wanted.until is not None:
        query = query.where(TABLE.c.day <= wanted.until.isoformat())
    for name in ("job_id", "key", "provider", "model"):
        if getattr(wanted, name) is not None:
            query = query.where(TABLE.c[name] == getattr(wanted, name))
    columns = [_COLUMNS[one] for one in by]
    query = query.group_by(*columns).order_by(cost.desc(), tokens_in.desc(), *columns).limit(limit)
    rows = (await connection.execute(query)).all()
    # Sums are decimals on Postgres.
    return tuple(
        UsageSum.model_validate(
            {name: int(value) if name in _NUMBERS else value for name, value in row._mapping.items()}
        )
        for row in rows
        if row.calls
    )


_NUMBERS: Final = frozenset({"calls", "input_tokens", "output_tokens", "cached_tokens", "cost_micros"})
