"""Escalations: begin them, and what people and agents do about them.

Locks are taken in one order: the escalation, its timers by id, the timer that it is for, the tenant's newest
event last.

Long because all that somebody may do shares who they are, whether they may, and what it means for notices and
timers; reading is in `escalation_reading`, climbing the ladder in `escalation_progress`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    Acknowledgement,
    Escalation,
    EscalationCreate,
    EscalationState,
    EventType,
    Ladder,
    Policy,
    Terms,
)
from minoots.errors import Failure, FailureKind
from minoots_platform.identity import Principal
from minoots_platform.ids import new_id

from . import children, documents, events, schema, settling, tellable
from .escalation_progress import advance, event_of, first_at
from .escalation_reading import get, row_of

TABLE = schema.escalations
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
    if anybody_may(timer):
        # What the timer itself sends carries a link, too; it comes before the first trigger.
        await connection.execute(
            sa.insert(_NOTICES).values(
                timer_id=timer.id,
                escalation_id=row.id,
                tenant=timer.tenant,
                who="webhook",
                trigger=0,
                round=0,
                rung=0,
                due_at=now,
            )
        )
    return row.id, event_of(row, EventType.ESCALATION_AWAITED, now, timer_id=timer.id)


def anybody_may(timer: sa.Row[Any]) -> bool:
    """Tell whether a timer has to be acknowledged and anybody may, also by a link that its receiver got."""
    return timer.acknowledge is not None and not timer.acknowledge.get("by")


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
            told += await settling.settle(connection, changed, doing.now)
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


async def _end(
    connection: AsyncConnection, row: sa.Row[Any], state: EscalationState, kind: EventType, doing: Doing
) -> Escalation:
    await _note(connection, row, state.value, doing)
    changed = await _change(
        connection, row, doing.now, state, next_at=None, ended_at=doing.now, state_reason=doing.reason
    )
    told = [_event(changed, kind, doing)]
    told += await _quiet(connection, row, f"{state} by {doing.who}", doing)
    told += await settling.settle(connection, changed, doing.now)
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
