"""Escalations: keep, look up, list, and what people and agents do about them.

Locks are taken in one order: the escalation, its timers by id, the timer that it is for, the tenant's newest
event last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    Acknowledgement,
    AcknowledgeTimes,
    Act,
    Escalation,
    EscalationCreate,
    EscalationState,
    EventType,
    Ladder,
    Notice,
    Page,
    Policy,
    Terms,
)
from minoots.errors import Failure, FailureKind
from minoots_platform.identity import Principal
from minoots_platform.ids import new_id

from . import awaiting, children, documents, events, schema, tellable, timers
from .escalation_progress import advance, event_of, first_at
from .paging import newest_first

TABLE = schema.escalations
_TIMES: Final = 100_000
"""Notices that one account of times looks at."""
_ACTS = schema.escalation_acts
_NOTICES = schema.notices


@dataclass(frozen=True)
class Doing:
    """Who does something about an escalation, and how it reached us."""

    who: str
    """``agent:…``, ``person:…``, or the subject of a key that is bound to nobody."""
    via: str
    """``api``, ``inbox``, ``link`` or ``socket``."""
    now: datetime
    reason: str | None = None

    @classmethod
    def of(
        cls, principal: Principal, by: str | None, *, via: str, now: datetime, reason: str | None = None
    ) -> Doing:
        """Return as whom a principal does something.

        Raises:
            Failure: denied, when its key is bound to somebody else than ``by``.
        """
        bound = principal.acts_as
        if bound is not None and by not in (None, bound):
            raise Failure(
                FailureKind.DENIED,
                f"this key acts as {bound}, not as {by}",
                remedy=f"Leave by out, or use a key made with: minoots keys create --as {by}",
            )
        return cls(by or bound or principal.subject, via, now, reason)


async def accept(
    connection: AsyncConnection,
    tenant: str,
    spec: EscalationCreate,
    *,
    now: datetime,
    actor: str,
    traceparent: str | None,
) -> Escalation:
    """Keep a new escalation, and have the first be told.

    Raises:
        Failure: invalid, when it names a policy, agent, person or rotation that does not exist.
    """
    ladder = spec.ladder or await _ladder_of(connection, tenant, spec.policy or "")
    await tellable.require(connection, tenant, ladder, spec.terms, field="body")
    wire = spec.model_dump(mode="json", include={"payload", "labels", "metadata"})
    row = await _insert(
        connection,
        tenant,
        name=spec.name,
        payload=wire["payload"],
        labels=wire["labels"],
        meta=wire["metadata"],
        policy=spec.policy,
        ladder=ladder,
        terms=spec.terms,
        timer_id=None,
        next_at=first_at(ladder, now),
        now=now,
        actor=actor,
        traceparent=traceparent,
    )
    told = [event_of(row, EventType.ESCALATION_TRIGGERED, now, by=actor)]
    await advance(connection, tenant, row.id, now=now, told=told)
    return await get(connection, tenant, row.id)


async def open_for(
    connection: AsyncConnection, timer: sa.Row[Any], *, now: datetime
) -> tuple[str, events.NewEvent]:
    """Await the acknowledgement of a timer that fires now; return the escalation's id and its event."""
    asked = Acknowledgement.model_validate(timer.acknowledge)
    ladder = asked.ladder
    if asked.policy is not None:
        policy = await documents.find(connection, timer.tenant, "policy", asked.policy)
        ladder = None if policy is None else Policy.model_validate(_document(policy)).ladder
    row = await _insert(
        connection,
        timer.tenant,
        name=timer.name,
        payload=timer.payload,
        labels=timer.labels,
        meta={},
        policy=asked.policy,
        ladder=ladder,
        terms=Terms.model_validate(asked.model_dump(include=set(Terms.model_fields))),
        timer_id=timer.id,
        next_at=first_at(ladder, now + asked.within),
        now=now,
        actor=timer.created_by,
        traceparent=timer.traceparent,
    )
    return row.id, event_of(row, EventType.ESCALATION_AWAITED, now, timer_id=timer.id)


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
        sa.select(_NOTICES)
        .where(_NOTICES.c.escalation_id == escalation_id)
        .order_by(_NOTICES.c.due_at, _NOTICES.c.timer_id)
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
    notices = (await connection.execute(sa.select(_NOTICES).where(_NOTICES.c.escalation_id.in_(ids)))).all()
    views = [
        _view(
            row,
            sorted((one for one in acts if one.escalation_id == row.id), key=lambda one: one.number),
            sorted((one for one in notices if one.escalation_id == row.id), key=lambda one: one.due_at),
        )
        for row in rows.items
    ]
    return Page[Escalation](items=tuple(views), next_cursor=rows.next_cursor)


async def acknowledge(
    connection: AsyncConnection, tenant: str, escalation_id: str, doing: Doing, result: Any = None
) -> Escalation:
    """Count somebody as having acknowledged; the same one may say so again.

    Raises:
        Failure: not_found; denied, when they may not; conflict, when it is over.
    """
    row = await _open_row(connection, tenant, escalation_id, "acknowledged")
    await _require_entitled(connection, row, doing)
    before = await _acknowledged_by(connection, row)
    if doing.who in before:
        return await get(connection, tenant, escalation_id)
    await _note(connection, row, "acknowledged", doing, result)
    await connection.execute(
        sa.update(_NOTICES)
        .where(
            _NOTICES.c.escalation_id == row.id,
            _NOTICES.c.trigger == row.trigger,
            _NOTICES.c.who == doing.who,
            _NOTICES.c.due_at <= doing.now,
            _NOTICES.c.acknowledged_at.is_(None),
        )
        .values(acknowledged_at=doing.now)
    )
    terms = Terms.model_validate(row.terms)
    missing = terms.quorum - len(before) - 1
    told = [_event(row, EventType.ESCALATION_ACKNOWLEDGED, doing, missing=max(missing, 0))]
    if missing <= 0 and row.state != EscalationState.ACKNOWLEDGED.value:
        until = None if terms.resolve_within is None else doing.now + terms.resolve_within
        changed = await _change(connection, row, doing.now, EscalationState.ACKNOWLEDGED, next_at=until)
        told += await _quiet(connection, row, f"acknowledged by {doing.who}", doing)
        if until is None:
            told += await awaiting.settle(connection, changed, doing.now)
    await events.append(connection, tenant, told)
    return await get(connection, tenant, escalation_id)


async def decline(connection: AsyncConnection, tenant: str, escalation_id: str, doing: Doing) -> Escalation:
    """Leave somebody out; when all that the last step told have declined, the next are told at once.

    Raises:
        Failure: not_found; conflict, when it is over or acknowledged.
    """
    row = await _open_row(connection, tenant, escalation_id, "declined", EscalationState.TRIGGERED)
    await _note(connection, row, "declined", doing)
    told = [_event(row, EventType.ESCALATION_DECLINED, doing)]
    if await _all_declined(connection, row):
        row = await _change(connection, row, doing.now, EscalationState.TRIGGERED, next_at=doing.now)
    await advance(connection, tenant, escalation_id, now=doing.now, told=told)
    return await get(connection, tenant, escalation_id)


async def hand_on(
    connection: AsyncConnection, tenant: str, escalation_id: str, doing: Doing, to: str
) -> Escalation:
    """Have somebody else told at once; from now on they may acknowledge. The ladder goes on.

    Raises:
        Failure: not_found; invalid, when there is nobody of that name; conflict, when it is over.
    """
    row = await _open_row(connection, tenant, escalation_id, "handed on")
    await tellable.require_who(connection, tenant, [to], "body.to")
    await _note(connection, row, "handed_on", doing, {"to": to})
    terms = Terms.model_validate(row.terms)
    entitled = [*row.terms["by"], to] if terms.by and to not in terms.by else row.terms["by"]
    row = await _change(
        connection, row, doing.now, EscalationState(row.state), terms=row.terms | {"by": entitled}
    )
    told = [_event(row, EventType.ESCALATION_HANDED_ON, doing, to=to)]
    await advance(connection, tenant, escalation_id, now=doing.now, told=told, also=to)
    return await get(connection, tenant, escalation_id)


async def snooze(
    connection: AsyncConnection, tenant: str, escalation_id: str, doing: Doing, after: timedelta
) -> Escalation:
    """Tell nobody for a while; then the ladder begins anew.

    Raises:
        Failure: not_found; conflict, when it is over.
    """
    row = await _open_row(connection, tenant, escalation_id, "snoozed")
    await _note(connection, row, "snoozed", doing)
    until = doing.now + after
    await _change(connection, row, doing.now, EscalationState.SNOOZED, next_at=until)
    told = [_event(row, EventType.ESCALATION_SNOOZED, doing, until=until.isoformat())]
    told += await _quiet(connection, row, f"snoozed by {doing.who}", doing)
    await events.append(connection, tenant, told)
    return await get(connection, tenant, escalation_id)


async def resolve(connection: AsyncConnection, tenant: str, escalation_id: str, doing: Doing) -> Escalation:
    """End an escalation as dealt with.

    Raises:
        Failure: not_found; denied, when they may not; conflict, when it is over.
    """
    row = await _open_row(connection, tenant, escalation_id, "resolved")
    await _require_entitled(connection, row, doing)
    return await _end(connection, row, EscalationState.RESOLVED, EventType.ESCALATION_RESOLVED, doing)


async def cancel(connection: AsyncConnection, tenant: str, escalation_id: str, doing: Doing) -> Escalation:
    """End an escalation for another reason. A timer that awaited it has failed then.

    Raises:
        Failure: not_found; conflict, when it is over.
    """
    row = await _open_row(connection, tenant, escalation_id, "cancelled")
    return await _end(connection, row, EscalationState.CANCELLED, EventType.ESCALATION_CANCELLED, doing)


async def of_timer(connection: AsyncConnection, timer_id: str) -> str | None:
    """Return the escalation that a timer tells of, or that awaits it; ``None`` for any other timer."""
    query = sa.select(timers.TABLE.c.parent_id, timers.TABLE.c.escalation_id)
    row = (await connection.execute(query.where(timers.TABLE.c.id == timer_id))).one_or_none()
    if row is None:
        return None
    if row.parent_id is not None and row.parent_id.startswith("esc_"):
        return str(row.parent_id)
    return None if row.escalation_id is None else str(row.escalation_id)


async def use_link(connection: AsyncConnection, tenant: str, timer_id: str, now: datetime) -> str:
    """Use the link of a notice, once; return whom it told.

    Raises:
        Failure: conflict, when it was used before.
    """
    query = (
        sa.update(_NOTICES)
        .where(_NOTICES.c.tenant == tenant, _NOTICES.c.timer_id == timer_id, _NOTICES.c.used_at.is_(None))
        .values(used_at=now)
        .returning(_NOTICES.c.who)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.CONFLICT,
            "this link was used before",
            remedy="GET /v1/escalations/{id} shows who did what about it.",
        )
    return str(row.who)


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


async def _end(
    connection: AsyncConnection, row: sa.Row[Any], state: EscalationState, kind: EventType, doing: Doing
) -> Escalation:
    await _note(connection, row, state.value, doing)
    changed = await _change(
        connection, row, doing.now, state, next_at=None, ended_at=doing.now, state_reason=doing.reason
    )
    told = [_event(changed, kind, doing)]
    told += await _quiet(connection, row, f"{state} by {doing.who}", doing)
    told += await awaiting.settle(connection, changed, doing.now)
    await events.append(connection, row.tenant, told)
    return await get(connection, row.tenant, row.id)


async def _ladder_of(connection: AsyncConnection, tenant: str, policy: str) -> Ladder:
    found = await documents.find(connection, tenant, "policy", policy)
    if found is None:
        raise tellable.missing("body.policy", "the id of a policy", policy, "Save it with POST /v1/policies.")
    return Policy.model_validate(_document(found)).ladder


def _document(row: sa.Row[Any]) -> dict[str, Any]:
    return {"id": row.id, "updated_at": row.updated_at, **row.spec}


async def _insert(
    connection: AsyncConnection,
    tenant: str,
    *,
    ladder: Ladder | None,
    terms: Terms,
    now: datetime,
    actor: str,
    **values: Any,
) -> sa.Row[Any]:
    row: sa.Row[Any] = (
        await connection.execute(
            sa.insert(TABLE)
            .values(
                id=new_id("esc", now),
                tenant=tenant,
                state=EscalationState.TRIGGERED.value,
                generation=1,
                trigger=1,
                step=0,
                ladder=None if ladder is None else ladder.model_dump(mode="json"),
                terms=terms.model_dump(mode="json"),
                created_at=now,
                updated_at=now,
                created_by=actor,
                **values,
            )
            .returning(TABLE)
        )
    ).one()
    return row


async def _open_row(
    connection: AsyncConnection, tenant: str, escalation_id: str, verb: str, *allowed: EscalationState
) -> sa.Row[Any]:
    row = await row_of(connection, tenant, escalation_id, for_update=True)
    state = EscalationState(row.state)
    if state.final or (allowed and state not in allowed):
        since = f" since {row.ended_at.isoformat(timespec='milliseconds')}" if row.ended_at else ""
        raise Failure(
            FailureKind.CONFLICT,
            f"escalation {escalation_id} is {state}{since}; it can no longer be {verb}",
            remedy="GET /v1/escalations/{id} shows who did what about it.",
        )
    return row


async def _require_entitled(connection: AsyncConnection, row: sa.Row[Any], doing: Doing) -> None:
    entitled: list[str] = row.terms["by"]
    if not entitled or doing.who in entitled:
        return
    on_call = await tellable.resolve_all(connection, row.tenant, entitled, doing.now)
    if doing.who not in on_call:
        raise Failure(
            FailureKind.DENIED,
            f"{doing.who} may not acknowledge or resolve escalation {row.id}",
            remedy=f"It is for {', '.join(entitled)}; they can hand it on.",
        )


async def _acknowledged_by(connection: AsyncConnection, row: sa.Row[Any]) -> frozenset[str]:
    query = sa.select(_ACTS.c.who).where(
        _ACTS.c.escalation_id == row.id, _ACTS.c.trigger == row.trigger, _ACTS.c.act == "acknowledged"
    )
    return frozenset((await connection.scalars(query)).all())


async def _all_declined(connection: AsyncConnection, row: sa.Row[Any]) -> bool:
    """Tell whether everybody whom the last step told has declined."""
    mine = (_NOTICES.c.escalation_id == row.id, _NOTICES.c.trigger == row.trigger)
    latest = sa.select(sa.func.max(_NOTICES.c.due_at)).where(*mine).scalar_subquery()
    last = await connection.scalars(sa.select(_NOTICES.c.who).where(*mine, _NOTICES.c.due_at == latest))
    declined = await connection.scalars(
        sa.select(_ACTS.c.who).where(
            _ACTS.c.escalation_id == row.id, _ACTS.c.trigger == row.trigger, _ACTS.c.act == "declined"
        )
    )
    return set(last.all()) <= set(declined.all())


async def _note(
    connection: AsyncConnection, row: sa.Row[Any], act: str, doing: Doing, result: Any = None
) -> None:
    number = sa.select(sa.func.coalesce(sa.func.max(_ACTS.c.number), 0) + 1)
    await connection.execute(
        sa.insert(_ACTS).values(
            escalation_id=row.id,
            number=number.where(_ACTS.c.escalation_id == row.id).scalar_subquery(),
            at=doing.now,
            act=act,
            who=doing.who,
            via=doing.via,
            trigger=row.trigger,
            reason=doing.reason,
            result=result,
        )
    )


async def _change(
    connection: AsyncConnection, row: sa.Row[Any], now: datetime, state: EscalationState, **values: Any
) -> sa.Row[Any]:
    query = sa.update(TABLE).where(TABLE.c.id == row.id)
    query = query.values(state=state.value, generation=row.generation + 1, updated_at=now, **values)
    changed: sa.Row[Any] = (await connection.execute(query.returning(TABLE))).one()
    return changed


async def _quiet(
    connection: AsyncConnection, row: sa.Row[Any], reason: str, doing: Doing
) -> list[events.NewEvent]:
    """Call off the notices that have not arrived."""
    return await children.call_off(connection, row.id, reason, doing.now, doing.who)


def _event(row: sa.Row[Any], kind: EventType, doing: Doing, **data: Any) -> events.NewEvent:
    return event_of(row, kind, doing.now, by=doing.who, via=doing.via, reason=doing.reason, **data)


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
