"""Climbing a ladder: who is told next, when an acknowledgement has timed out, and when all was in vain.

Each notice is a timer, made some seconds before it is due, in the transaction that moves the escalation on,
so that it is as punctual as any and is told once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EscalationState, EventType, Ladder, WebhookAction
from minoots_platform.escalating import Step, applies, steps

from . import children, events, schema, settling, tellable, timers

TABLE = schema.escalations
_ACTS = schema.escalation_acts
_NOTICES = schema.notices

AHEAD: Final = timedelta(seconds=10)
"""Notices are made this long before they are due, so that their timers wake in time."""

_LATE: Final = timedelta(seconds=5)
"""A step that comes later than this was kept by an outage: those after it count from when it is told."""


@dataclass(frozen=True)
class Advanced:
    """How an escalation stands after a look at it."""

    state: EscalationState
    generation: int
    over: bool
    """Whether nothing will happen any more by itself."""
    wake_at: datetime | None = None


@dataclass
class _Look:
    """One look at an escalation."""

    connection: AsyncConnection
    row: sa.Row[Any]
    now: datetime
    told: list[events.NewEvent]
    values: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """Return a column as it will be."""
        return self.values.get(name, getattr(self.row, name))

    @property
    def state(self) -> EscalationState:
        """Where it stands."""
        return EscalationState(self.get("state"))

    def tell(self, kind: EventType, **data: Any) -> None:
        """Add an event."""
        self.told.append(event_of(self.row, kind, self.now, **data))


async def advance(
    connection: AsyncConnection,
    tenant: str,
    escalation_id: str,
    *,
    now: datetime,
    told: Sequence[events.NewEvent] = (),
    also: str | None = None,
) -> Advanced:
    """Have those told who are due soon, and note what has passed.

    ``told`` are events of the same transaction, to be appended before its own; ``also`` is somebody to be
    told at once besides.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == escalation_id).with_for_update()
    look = _Look(connection, (await connection.execute(query)).one(), now, list(told))
    if also is not None:
        # Also somebody who declined before: they were asked for by name.
        part = f"also.{look.row.generation}"
        await _tell(look, Step(0, 0, 0, timedelta(0)), (also,), now, part, frozenset())
    due = look.row.next_at is not None and look.row.next_at <= now
    if due and look.state is EscalationState.ACKNOWLEDGED:
        _reopen(look, "its acknowledgement timed out")
    elif due and look.state is EscalationState.SNOOZED:
        _reopen(look, "its snooze is over")
    if look.state is EscalationState.TRIGGERED:
        await _climb(look)
    elif look.state is EscalationState.CANCELLED:
        # Its timer was cancelled: that could not call the notices off, for it holds its own lock.
        look.told += await children.call_off(connection, look.row.id, "cancelled", now, "escalation")
    row = look.row
    if look.values:
        changed = sa.update(TABLE).where(TABLE.c.id == row.id).values(updated_at=now, **look.values)
        row = (await connection.execute(changed.returning(TABLE))).one()
    if look.state is EscalationState.EXHAUSTED:
        look.told += await settling.settle(connection, row, now)
    if look.told:
        await events.append(connection, tenant, look.told)
    over = look.state.final or (look.state is EscalationState.ACKNOWLEDGED and row.next_at is None)
    return Advanced(look.state, row.generation, over, None if over else _wake_at(look))


def event_of(row: sa.Row[Any], kind: EventType, now: datetime, **data: Any) -> events.NewEvent:
    """Return an event about an escalation, with what every such event tells."""
    return events.NewEvent(
        type=kind,
        subject=row.id,
        time=now,
        data={"name": row.name, "trigger": row.trigger}
        | {key: value for key, value in data.items() if value is not None},
        labels=row.labels,
        traceparent=row.traceparent,
    )


def first_at(ladder: Ladder | None, start: datetime) -> datetime:
    """Return when the first are told of something that begins at ``start``."""
    return start if ladder is None else start + ladder.rungs[0].after


def _ladder(row: sa.Row[Any]) -> Ladder | None:
    return None if row.ladder is None else Ladder.model_validate(row.ladder)


def _reopen(look: _Look, reason: str) -> None:
    look.values |= {
        "state": EscalationState.TRIGGERED.value,
        "trigger": look.row.trigger + 1,
        "step": 0,
        "next_at": first_at(_ladder(look.row), look.now),
    }
    look.tell(EventType.ESCALATION_REOPENED, reason=reason)


async def _climb(look: _Look) -> None:
    ladder = _ladder(look.row)
    path = () if ladder is None else steps(ladder)
    while look.state is EscalationState.TRIGGERED and look.get("next_at") <= look.now + AHEAD:
        number, at = look.get("step"), look.get("next_at")
        if look.now - at > _LATE:
            at = look.now
        if ladder is None or number >= len(path):
            if at > look.now:
                return
            reason = (
                "nobody acknowledged it" if path else "it was not acknowledged in time, and has no ladder"
            )
            ended = {"state_reason": reason, "next_at": None, "ended_at": look.now}
            look.values |= {"state": EscalationState.EXHAUSTED.value, **ended}
            look.tell(EventType.ESCALATION_EXHAUSTED, reason=reason)
            return
        told = await _take(look, ladder, path[number], at, number)
        look.values |= {"step": number + 1, "next_at": _following(ladder, path, number, at, told=told)}


def _following(ladder: Ladder, path: Sequence[Step], number: int, at: datetime, *, told: bool) -> datetime:
    """Return when the step after ``number`` is due. One that told nobody takes no time."""
    if number + 1 == len(path):
        return at + ladder.patience
    following = path[number + 1]
    new_round = following.round > path[number].round
    return at + following.after if told or new_round else at


async def _take(look: _Look, ladder: Ladder, step: Step, at: datetime, number: int) -> bool:
    """Have a rung's targets told at ``at``; return whether anybody is."""
    rung = ladder.rungs[step.rung - 1]
    data = {"payload": look.row.payload, "labels": look.row.labels, "round": step.round}
    if not applies(rung, data, at):
        return False
    part = f"{look.get('trigger')}.{number}"
    return await _tell(look, step, rung.targets, at, part, await _quiet_ones(look))


async def _tell(
    look: _Look,
    step: Step,
    targets: Sequence[str | WebhookAction],
    at: datetime,
    part: str,
    quiet: frozenset[str],
) -> bool:
    told: list[str] = []
    for index, target in enumerate(targets):
        who: str | None
        if isinstance(target, WebhookAction):
            who, actions = "webhook", [target.model_dump(mode="json")]
        else:
            who = await tellable.resolve(look.connection, look.row.tenant, target, at)
            if who is None or who in quiet or who in told:
                continue
            actions = await tellable.contacts(look.connection, look.row.tenant, who, look.row.name)
            if not actions:
                continue
        await _notify(look, step, who, actions, at, f"{part}.{index}")
        told.append(who)
    if told:
        look.tell(
            EventType.ESCALATION_NOTIFIED, who=told, round=step.round, rung=step.rung, at=at.isoformat()
        )
    return bool(told)


async def _notify(
    look: _Look, step: Step, who: str, actions: list[dict[str, Any]], at: datetime, part: str
) -> None:
    row = look.row
    about = {
        "id": row.id,
        "name": row.name,
        "who": who,
        "trigger": look.get("trigger"),
        "round": step.round,
        "rung": step.rung,
    }
    template = {
        "name": row.name,
        "payload": {"escalation": about, "payload": row.payload},
        "actions": actions,
        "retry": {},
        "misfire": {"policy": "fire"},
        "labels": row.labels,
        "meta": {},
    }
    timer = await timers.insert(
        look.connection,
        row.tenant,
        template,
        fire_at=at,
        now=look.now,
        actor=f"escalation/{row.id}",
        traceparent=row.traceparent,
        parent_id=row.id,
        part=part,
    )
    await look.connection.execute(
        sa.insert(_NOTICES).values(
            timer_id=timer.id,
            escalation_id=row.id,
            tenant=row.tenant,
            who=who,
            trigger=look.get("trigger"),
            round=step.round,
            rung=step.rung,
            due_at=at,
        )
    )
    look.told.append(timers.event_of(timer, EventType.TIMER_SCHEDULED, look.now, by=f"escalation/{row.id}"))


async def _quiet_ones(look: _Look) -> frozenset[str]:
    """Return who has acknowledged or declined since it was triggered: they know."""
    query = sa.select(_ACTS.c.who).where(
        _ACTS.c.escalation_id == look.row.id,
        _ACTS.c.trigger == look.get("trigger"),
        _ACTS.c.act.in_(["acknowledged", "declined"]),
    )
    return frozenset((await look.connection.scalars(query)).all())


def _wake_at(look: _Look) -> datetime | None:
    next_at: datetime | None = look.get("next_at")
    if next_at is None:
        return None
    ladder = _ladder(look.row)
    last = ladder is None or look.get("step") >= len(steps(ladder))
    exact = last or look.state is not EscalationState.TRIGGERED
    return next_at if exact else max(next_at - AHEAD, look.now)
