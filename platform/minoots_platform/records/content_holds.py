"""Contents that jobs name which begin later: they stay for as long as something may begin such a job.

Owns who holds what: timers, schedules, plans, and contacts of people. A job that has begun names its contents
itself. What nobody holds any more is forgotten by `contents`, a day after somebody has wanted it last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Action, PlanState, ScheduleState, TimerState

from . import contents, schema
from .inserting import insert_new
from .jobs import REQUEST, contents_of

TABLE: Final = schema.content_holds
Kind = Literal["timer", "schedule", "plan", "person"]

# In these states they may still begin jobs.
_TIMERS: Final = tuple(state.value for state in TimerState if not state.final)
_SCHEDULES: Final = (ScheduleState.ACTIVE.value, ScheduleState.PAUSED.value)
_PLANS: Final = tuple(state.value for state in PlanState if not state.final)

FAILED_FOR: Final = timedelta(days=30)
"""So long a timer holds its contents that has failed: somebody may replay its dead letter."""


async def hold(
    connection: AsyncConnection,
    tenant: str,
    kind: Kind,
    holder: str,
    actions: Iterable[Action | Mapping[str, Any]],
) -> None:
    """Have ``holder`` hold what its actions name, beside what it holds already."""
    for sha256 in sorted(named(actions)):
        await insert_new(
            connection, TABLE, {"tenant": tenant, "sha256": sha256, "kind": kind, "holder": holder}
        )


async def require(
    connection: AsyncConnection,
    tenant: str,
    actions: Iterable[Action | Mapping[str, Any]],
    now: datetime,
) -> None:
    """Refuse actions that name contents which are not kept. See `contents.require`.

    Raises:
        Failure: invalid, naming the first one.
    """
    await contents.require(connection, tenant, named(actions), now)


async def let_go(connection: AsyncConnection, tenant: str, kind: Kind, holder: str) -> None:
    """Have ``holder`` hold nothing any more."""
    mine = (TABLE.c.tenant == tenant, TABLE.c.kind == kind, TABLE.c.holder == holder)
    await connection.execute(sa.delete(TABLE).where(*mine))


async def release(connection: AsyncConnection, now: datetime) -> int:
    """Let go of what is held by something that begins no job any more; return how much."""
    timers = schema.timers
    replayable = sa.and_(timers.c.state == TimerState.FAILED.value, timers.c.updated_at > now - FAILED_FOR)
    holding: tuple[tuple[Kind, sa.Table, sa.ColumnElement[bool]], ...] = (
        ("timer", timers, sa.or_(timers.c.state.in_(_TIMERS), replayable)),
        ("schedule", schema.schedules, schema.schedules.c.state.in_(_SCHEDULES)),
        ("plan", schema.plans, schema.plans.c.state.in_(_PLANS)),
    )
    released = 0
    for kind, table, goes_on in holding:
        there = sa.exists().where(table.c.id == TABLE.c.holder, goes_on)
        gone = await connection.execute(sa.delete(TABLE).where(TABLE.c.kind == kind, ~there))
        released += int(gone.rowcount)
    return released


def named(actions: Iterable[Action | Mapping[str, Any]]) -> frozenset[str]:
    """Return the contents that the jobs of actions name."""
    found: frozenset[str] = frozenset()
    for action in actions:
        if (action.get("kind") if isinstance(action, Mapping) else action.kind) == "job":
            wire = action if isinstance(action, Mapping) else action.model_dump(mode="json")
            found |= contents_of(REQUEST.validate_python(wire["config"]["job"]))
    return found
