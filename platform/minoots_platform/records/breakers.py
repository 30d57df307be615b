"""Breakers of language models, shared by every process: which one is left alone, and until when.

Owns the rows. They are written only when something is unwell, tried again or well again: a healthy model has
none, and costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import CircuitPolicy
from minoots_platform.circuits import open_for, trips

from . import schema
from .inserting import insert_new

TABLE: Final = schema.model_breakers
CLOSED: Final = "closed"
OPEN: Final = "open"
LONGEST: Final = timedelta(minutes=1)
"""However often it failed: jobs wait for it, and to try it costs one of them a moment."""
_KEPT: Final = timedelta(days=1)
_SLICES: Final = 12
"""Of the window: attempts are counted by these, so that a row has a bounded size."""


@dataclass(frozen=True)
class Held:
    """A model that is left alone, or was unwell lately."""

    provider: str
    model: str
    state: str
    reason: str | None
    probe_at: datetime | None
    probe_until: datetime | None
    trips: int


async def held(connection: AsyncConnection) -> tuple[Held, ...]:
    """Return every model that is left alone."""
    columns = [TABLE.c[name] for name in Held.__dataclass_fields__]
    rows = await connection.execute(sa.select(*columns).where(TABLE.c.state == OPEN))
    return tuple(Held(*row) for row in rows)


async def unwell(
    connection: AsyncConnection,
    provider: str,
    model: str,
    *,
    well: int,
    reason: str,
    probe: bool,
    policy: CircuitPolicy,
    now: datetime,
) -> Held | None:
    """Count a failure, and ``well`` attempts that went well since the last one; return it when it opens.

    A failed ``probe`` has it left alone for twice as long as before.
    """
    at = (TABLE.c.provider == provider, TABLE.c.model == model)
    new = {
        "provider": provider,
        "model": model,
        "state": CLOSED,
        "changed_at": now,
        "trips": 0,
        "slices": {},
    }
    row = None
    while row is None:
        # Again where another process forgets a row of long ago between the two.
        await insert_new(connection, TABLE, new)
        row = (await connection.execute(sa.select(TABLE).where(*at).with_for_update())).one_or_none()
    slices = _counted(row.slices, policy.window, now, well=well)
    attempts = sum(one[0] for one in slices.values())
    failed = sum(one[1] for one in slices.values())
    values: dict[str, Any] = {"slices": slices}
    opens = False
    if row.state == CLOSED:
        opens = trips(policy, attempts, failed)
        told = f"{failed} of {attempts} attempts failed lately, at last because {reason}"
    elif probe:
        opens = True
        told = f"it is still failing: {reason}"
    if opens:
        count = row.trips + 1
        values |= {
            "state": OPEN,
            "reason": told[:1000],
            "changed_at": now,
            "probe_at": now + open_for(policy, count, max(LONGEST, policy.open_for)),
            "probe_until": None,
            "trips": count,
            # What opened it is answered for: after it closes, others count.
            "slices": {},
        }
    changed = (await connection.execute(sa.update(TABLE).where(*at).values(**values).returning(TABLE))).one()
    return Held(*(changed._mapping[name] for name in Held.__dataclass_fields__)) if opens else None


async def claim_probe(
    connection: AsyncConnection, provider: str, model: str, now: datetime, until: datetime
) -> bool:
    """Be the one who tries again; return whether nobody else is."""
    free = sa.or_(TABLE.c.probe_until.is_(None), TABLE.c.probe_until <= now)
    claimed = await connection.execute(
        sa.update(TABLE)
        .where(
            TABLE.c.provider == provider,
            TABLE.c.model == model,
            TABLE.c.state == OPEN,
            TABLE.c.probe_at <= now,
            free,
        )
        # Since when it is tried: by it others know for how long.
        .values(probe_at=now, probe_until=until)
        .returning(TABLE.c.provider)
    )
    return claimed.one_or_none() is not None


async def keep_probing(connection: AsyncConnection, provider: str, model: str, until: datetime) -> None:
    """Say that the one who tries is alive."""
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.provider == provider, TABLE.c.model == model, TABLE.c.probe_until.is_not(None))
        .values(probe_until=until)
    )


async def let_probe(connection: AsyncConnection, provider: str, model: str) -> None:
    """Let another one try: the one who was to has not found anything out."""
    await connection.execute(
        sa.update(TABLE).where(TABLE.c.provider == provider, TABLE.c.model == model).values(probe_until=None)
    )


async def close(connection: AsyncConnection, provider: str, model: str, now: datetime) -> bool:
    """Ask it again as usual; return whether it was left alone."""
    closed = await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.provider == provider, TABLE.c.model == model, TABLE.c.state == OPEN)
        .values(
            state=CLOSED,
            reason=None,
            changed_at=now,
            probe_at=None,
            probe_until=None,
            trips=0,
            slices={},
        )
        .returning(TABLE.c.provider)
    )
    return closed.one_or_none() is not None


async def forget(connection: AsyncConnection, now: datetime) -> None:
    """Let go of rows of a day ago: of models that are well, and of those that nobody has tried again since.

    Without it every name that somebody invents while a provider is away would be a row for ever.
    """
    old = now - _KEPT
    gone = sa.or_(
        sa.and_(TABLE.c.state == CLOSED, TABLE.c.changed_at < old),
        sa.and_(
            TABLE.c.state == OPEN,
            TABLE.c.probe_at < old,
            sa.or_(TABLE.c.probe_until.is_(None), TABLE.c.probe_until < old),
        ),
    )
    await connection.execute(sa.delete(TABLE).where(gone))


def _counted(
    slices: dict[str, list[int]], window: timedelta, now: datetime, *, well: int
) -> dict[str, list[int]]:
    """Return the slices of the window that ends now, with one more failure and ``well`` others."""
    length = window.total_seconds() / _SLICES
    current = int(now.timestamp() / length)
    kept = {name: list(one) for name, one in slices.items() if int(name) > current - _SLICES}
    attempts, failed = kept.get(str(current), [0, 0])
    kept[str(current)] = [attempts + well + 1, failed + 1]
    return kept
