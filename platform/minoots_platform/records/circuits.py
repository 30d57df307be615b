"""The circuits of destinations: what attempts teach about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import AttemptError, CircuitPolicy, DestinationState, EventType
from minoots.durations import format_duration
from minoots_platform.circuits import open_for, silent, trips, unwell

from . import admission, destinations, events, schema
from .attempts import Outcome

_COUNTED: Final = 1000
"""Of a rolling window the last attempts, so that a busy receiver costs no more than this."""

AFTER_A_CHANGE: Final = 10
"""Let go at once when a circuit closes; every success lets two more go, so that nobody is run over."""


@dataclass
class Learnt:
    """What follows from attempts: events to append, deliveries that may ask again."""

    told: list[events.NewEvent] = field(default_factory=list)
    released: list[str] = field(default_factory=list)


async def observe(
    connection: AsyncConnection, tenant: str, outcomes: Sequence[Outcome], now: datetime
) -> Learnt:
    """Open and close circuits by what came of attempts, and let the next deliveries go."""
    by_hash: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        url_hash = destinations.hash_of(outcome.claim.url)
        if url_hash is not None:
            by_hash[url_hash].append(outcome)
    rows = await destinations.lock(connection, tenant, by_hash) if by_hash else {}
    learnt = Learnt()
    for url_hash in sorted(by_hash):
        row = rows.get(url_hash)
        for outcome in by_hash[url_hash]:
            row = await _learn(connection, tenant, row, outcome, now, learnt)
        if row is not None:
            if destinations.limits_of(row).rate is not None:
                for outcome in by_hash[url_hash]:
                    await admission.begun(connection, outcome.claim.delivery_id, outcome.started_at)
            most = sum(2 if outcome.error is None else 1 for outcome in by_hash[url_hash])
            learnt.released += await admission.release(connection, row, now, most=most)
    return learnt


async def _learn(
    connection: AsyncConnection,
    tenant: str,
    row: sa.Row[Any] | None,
    outcome: Outcome,
    now: datetime,
    learnt: Learnt,
) -> sa.Row[Any] | None:
    """Learn from one attempt; return the destination's row as it is since."""
    state = DestinationState.CLOSED if row is None else DestinationState(row.state)
    claim = outcome.claim
    if claim.refusal is not None:
        return row
    if outcome.error is AttemptError.GONE:
        return await _go(connection, tenant, row, outcome, now, learnt)
    failed = unwell(outcome.error, outcome.status)
    if row is not None and state is DestinationState.HALF_OPEN and silent(outcome.error):
        return await _try_another(connection, row, outcome, now)
    if row is not None and state is DestinationState.HALF_OPEN and row.probe_id == claim.delivery_id:
        if not failed:
            return await close(connection, row, now, by="probe", learnt=learnt)
        return await _open(connection, row, f"it is still failing: {outcome.detail}", now, learnt)
    dead = state in (DestinationState.GONE, DestinationState.DISABLED)
    if row is not None and dead and outcome.error is None and claim.replay_of is not None:
        return await close(connection, row, now, by="replay", learnt=learnt)
    if failed and state is DestinationState.CLOSED:
        policy = destinations.limits_of(row).circuit
        reason = await _tripped(connection, tenant, claim.url, row, policy, outcome.finished_at)
        if reason is not None:
            row = row or await destinations.ensure(connection, tenant, claim.url, now)
            if row.state == DestinationState.CLOSED.value:
                return await _open(connection, row, reason, now, learnt)
    return row


async def _try_another(
    connection: AsyncConnection, row: sa.Row[Any], outcome: Outcome, now: datetime
) -> sa.Row[Any]:
    """Have another delivery try: the one that was to has not asked the receiver."""
    if row.probe_id != outcome.claim.delivery_id:
        return row
    opened = DestinationState.OPEN.value
    row = await destinations.change(
        connection, row, state=opened, probe_at=now, probe_id=None, probe_until=None
    )
    await admission.appoint(connection, row, now)
    return row


async def _tripped(
    connection: AsyncConnection,
    tenant: str,
    url: str,
    row: sa.Row[Any] | None,
    policy: CircuitPolicy,
    now: datetime,
) -> str | None:
    """Return why the circuit opens, from the attempts in its rolling window; ``None`` if it does not."""
    if not policy.enabled:
        return None
    since = now - policy.window
    if row is not None:
        # What failed before it closed was answered for.
        since = max(since, row.changed_at)
    table = schema.attempts
    window = (
        sa.select(table.c.unwell)
        .where(
            table.c.tenant == tenant,
            table.c.url_hash == destinations.hash_of(url),
            table.c.finished_at > since,
        )
        .order_by(table.c.finished_at.desc())
        .limit(_COUNTED)
        .subquery()
    )
    query = sa.select(sa.func.count(), sa.func.sum(sa.cast(window.c.unwell, sa.Integer)))
    attempts, failed = (await connection.execute(query)).one()
    if not trips(policy, attempts, failed or 0):
        return None
    return f"{failed} of {attempts} attempts failed within {format_duration(policy.window)}"


async def _open(
    connection: AsyncConnection, row: sa.Row[Any], reason: str, now: datetime, learnt: Learnt
) -> sa.Row[Any]:
    policy = destinations.limits_of(row).circuit
    count = row.trips + 1
    disabled = policy.disable_after is not None and count >= policy.disable_after
    probe_at = None if disabled else now + open_for(policy, count)
    if disabled:
        times = "once" if count == 1 else f"{count} times in a row"
        reason = f"its circuit opened {times}, at last because {reason}"
    row = await destinations.change(
        connection,
        row,
        state=(DestinationState.DISABLED if disabled else DestinationState.OPEN).value,
        reason=reason,
        changed_at=now,
        probe_at=probe_at,
        probe_id=None,
        probe_until=None,
        trips=count,
    )
    data = {
        "url": row.url,
        "reason": reason,
        "trips": count,
        "probe_at": probe_at and probe_at.isoformat(),
    }
    kind = EventType.DESTINATION_DISABLED if disabled else EventType.DESTINATION_OPENED
    learnt.told.append(events.NewEvent(kind, row.id, now, data))
    if probe_at is not None:
        await admission.appoint(connection, row, probe_at)
    else:
        # They become dead letters, which can be replayed.
        learnt.released += await admission.release(connection, row, now, most=AFTER_A_CHANGE)
    return row


async def close(
    connection: AsyncConnection, row: sa.Row[Any], now: datetime, *, by: str, learnt: Learnt
) -> sa.Row[Any]:
    """Let deliveries go there again; the row is locked. Return it as it is since."""
    row = await destinations.change(
        connection,
        row,
        state=DestinationState.CLOSED.value,
        reason=None,
        status=None,
        changed_at=now,
        probe_at=None,
        probe_id=None,
        probe_until=None,
        trips=0,
    )
    data = {"url": row.url, "by": by}
    learnt.told.append(events.NewEvent(EventType.DESTINATION_CLOSED, row.id, now, data))
    learnt.released += await admission.release(connection, row, now, most=AFTER_A_CHANGE)
    return row


async def _go(
    connection: AsyncConnection,
    tenant: str,
    row: sa.Row[Any] | None,
    outcome: Outcome,
    now: datetime,
    learnt: Learnt,
) -> sa.Row[Any] | None:
    if outcome.status != 410:
        return row
    # Made and locked first: several may hear it at the same time.
    row = row or await destinations.ensure(connection, tenant, outcome.claim.url, now)
    if row.state == DestinationState.GONE.value:
        return row
    row = await destinations.change(
        connection,
        row,
        state=DestinationState.GONE.value,
        reason="it answered 410 Gone",
        status=410,
        changed_at=now,
        probe_at=None,
        probe_id=None,
        probe_until=None,
    )
    data = {"url": row.url, "status": 410}
    learnt.told.append(events.NewEvent(EventType.DESTINATION_GONE, row.id, now, data))
    learnt.released += await admission.release(connection, row, now, most=AFTER_A_CHANGE)
    return row
