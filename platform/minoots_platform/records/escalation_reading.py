"""Reading escalations: one, a page of them, the notice behind a link, and how quickly people acknowledge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    AcknowledgeTimes,
    Act,
    Escalation,
    EscalationState,
    Notice,
    NoticeState,
    Page,
    TimerState,
)
from minoots.errors import Failure, FailureKind

from . import schema, timers
from .paging import newest_first

TABLE = schema.escalations
_ACTS = schema.escalation_acts
_NOTICES = schema.notices
# The timer that has to be acknowledged comes before the first trigger; it is kept for its link.
_OF_THE_LADDER = _NOTICES.c.trigger > 0
_TOLD = (
    sa.select(_NOTICES, timers.TABLE.c.state.label("timer_state"))
    .outerjoin(timers.TABLE, timers.TABLE.c.id == _NOTICES.c.timer_id)
    .where(_OF_THE_LADDER)
)
_STATES: Final = {
    TimerState.SCHEDULED: NoticeState.PLANNED,
    TimerState.ARMED: NoticeState.PLANNED,
    TimerState.PAUSED: NoticeState.PLANNED,
    TimerState.FIRED: NoticeState.SENDING,
    TimerState.SETTLED: NoticeState.TOLD,
    TimerState.FAILED: NoticeState.FAILED,
    TimerState.CANCELLED: NoticeState.CANCELLED,
}
_TIMES: Final = 100_000
"""Notices that one account of times looks at."""


async def get(connection: AsyncConnection, tenant: str, escalation_id: str) -> Escalation:
    """Return an escalation with what was done about it.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    row = await row_of(connection, tenant, escalation_id)
    acts = await connection.execute(
        sa.select(_ACTS).where(_ACTS.c.escalation_id == escalation_id).order_by(_ACTS.c.number)
    )
    notices = await connection.execute(
        _TOLD.where(_NOTICES.c.escalation_id == escalation_id).order_by(
            _NOTICES.c.due_at, _NOTICES.c.timer_id
        )
    )
    return _view(row, acts.all(), notices.all())


@dataclass(frozen=True)
class EscalationQuery:
    """Which escalations; the newest first."""

    states: tuple[EscalationState, ...] = ()
    timer_id: str | None = None
    limit: int = 50
    cursor: str | None = None


async def page(connection: AsyncConnection, tenant: str, wanted: EscalationQuery) -> Page[Escalation]:
    """Return one page of escalations."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant)
    if wanted.states:
        query = query.where(TABLE.c.state.in_([state.value for state in wanted.states]))
    if wanted.timer_id is not None:
        query = query.where(TABLE.c.timer_id == wanted.timer_id)
    rows = await newest_first(
        connection,
        query,
        TABLE.c.created_at,
        "escalations",
        lambda row: row,
        limit=wanted.limit,
        cursor=wanted.cursor,
    )
    ids = [row.id for row in rows.items]
    acts = (await connection.execute(sa.select(_ACTS).where(_ACTS.c.escalation_id.in_(ids)))).all()
    notices = (await connection.execute(_TOLD.where(_NOTICES.c.escalation_id.in_(ids)))).all()
    views = [
        _view(
            row,
            sorted((one for one in acts if one.escalation_id == row.id), key=lambda one: one.number),
            sorted((one for one in notices if one.escalation_id == row.id), key=lambda one: one.due_at),
        )
        for row in rows.items
    ]
    return Page[Escalation](items=tuple(views), next_cursor=rows.next_cursor)


async def of_timer(connection: AsyncConnection, timer_id: str) -> str | None:
    """Return the escalation that a timer tells of, or that awaits it; ``None`` for any other timer."""
    query = sa.select(timers.TABLE.c.parent_id, timers.TABLE.c.escalation_id)
    row = (await connection.execute(query.where(timers.TABLE.c.id == timer_id))).one_or_none()
    if row is None:
        return None
    if row.parent_id is not None and row.parent_id.startswith("esc_"):
        return str(row.parent_id)
    return None if row.escalation_id is None else str(row.escalation_id)


async def notice_of(connection: AsyncConnection, timer_id: str) -> sa.Row[Any] | None:
    """Return the notice that a timer carries."""
    return (
        await connection.execute(sa.select(_NOTICES).where(_NOTICES.c.timer_id == timer_id))
    ).one_or_none()


async def times(connection: AsyncConnection, tenant: str, *, since: datetime) -> tuple[AcknowledgeTimes, ...]:
    """Return how quickly each has acknowledged what they were told since then, the busiest first.

    Of several notices of one trigger the first one counts.
    """
    columns = (_NOTICES.c.who, _NOTICES.c.escalation_id, _NOTICES.c.trigger)
    query = (
        sa.select(
            *columns,
            sa.func.min(_NOTICES.c.due_at, type_=schema.Moment).label("told_at"),
            sa.func.min(_NOTICES.c.acknowledged_at, type_=schema.Moment).label("acknowledged_at"),
        )
        .where(_NOTICES.c.tenant == tenant, _NOTICES.c.due_at >= since, _NOTICES.c.who != "webhook")
        .group_by(*columns)
        .limit(_TIMES)
    )
    told: dict[str, list[float | None]] = {}
    for row in await connection.execute(query):
        took = None
        if row.acknowledged_at is not None:
            took = (row.acknowledged_at - row.told_at).total_seconds()
        told.setdefault(row.who, []).append(took)
    found = []
    for who, all_of_them in sorted(told.items(), key=lambda pair: -len(pair[1])):
        took_all = sorted(took for took in all_of_them if took is not None)
        found.append(
            AcknowledgeTimes(
                who=who,
                notices=len(all_of_them),
                acknowledged=len(took_all),
                median_s=_quantile(took_all, 0.5),
                p95_s=_quantile(took_all, 0.95),
            )
        )
    return tuple(found)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least ``share`` of them do not exceed."""
    return None if not ordered else round(ordered[math.ceil(len(ordered) * share) - 1], 3)


async def row_of(
    connection: AsyncConnection, tenant: str, escalation_id: str, *, for_update: bool = False
) -> sa.Row[Any]:
    """Return the row of an escalation, locked where asked.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == escalation_id)
    row = (await connection.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"there is no escalation {escalation_id[:60]}",
            remedy="GET /v1/escalations lists the escalations of this key's tenant.",
        )
    return row


def _view(row: sa.Row[Any], acts: Sequence[sa.Row[Any]], notices: Sequence[sa.Row[Any]]) -> Escalation:
    names = (
        "id name state state_reason generation trigger payload policy ladder terms labels timer_id next_at"
    )
    names += " created_at updated_at ended_at created_by"
    acknowledged = [act.who for act in acts if act.act == "acknowledged" and act.trigger == row.trigger]
    return Escalation(
        **{name: getattr(row, name) for name in names.split()},
        metadata=row.meta,
        acknowledged_by=tuple(acknowledged),
        acts=tuple(
            Act(
                at=act.at,
                act=act.act,
                who=act.who,
                via=act.via,
                trigger=act.trigger,
                reason=act.reason,
                result=act.result,
            )
            for act in acts
        ),
        notices=tuple(
            Notice(
                who=notice.who,
                state=None if notice.timer_state is None else _STATES[TimerState(notice.timer_state)],
                trigger=notice.trigger,
                round=notice.round,
                rung=notice.rung,
                timer_id=notice.timer_id,
                due_at=notice.due_at,
                acknowledged_at=notice.acknowledged_at,
            )
            for notice in notices
        ),
    )
