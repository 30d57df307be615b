"""What happens while a job runs: it is begun, tells what it does, and ends once.

Whoever works on a job does so in an attempt, which has a number. Everything is written under that number, and
refused when another attempt has begun meanwhile: a worker that was thought dead cannot write beside the one
that took over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    AgentJob,
    AgentResult,
    EventType,
    ExecJob,
    ExecResult,
    JobEventType,
    JobKind,
    JobProblem,
    JobState,
    LlmJob,
    LlmResult,
)

from . import job_problems, sandboxes, schema
from .inserting import insert_new
from .jobs import FINAL, REQUEST, TABLE, row_of, tell

_EVENTS: Final = schema.job_events
_TOLD: Final = {
    JobState.SUCCEEDED: EventType.JOB_SUCCEEDED,
    JobState.FAILED: EventType.JOB_FAILED,
    JobState.CANCELLED: EventType.JOB_CANCELLED,
}


@dataclass(frozen=True)
class NewJobEvent:
    """An event of a job to append."""

    type: JobEventType
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """How a job stands, for whoever decides what is next.

    Attributes:
        kind: what it does; ``None`` when it has ended.
        sandbox_id: the sandbox that stands and that its program runs in.
    """

    state: JobState
    kind: JobKind | None
    deadline: datetime
    attempt: int
    sandbox_id: str | None = None


@dataclass(frozen=True)
class Begun:
    """An attempt at a job.

    Attributes:
        first_event: the number of the event with which it begins; what it says comes after that.
        actor: who has submitted it.
        tries: how many attempts there were with this one, without those that only waited for a model.
        waited: seconds from when it was accepted; ``None`` for one that was begun before.
    """

    tenant: str
    job_id: str
    attempt: int
    first_event: int
    request: LlmJob | ExecJob | AgentJob
    deadline: datetime
    actor: str
    tries: int
    waited: float | None = None


@dataclass(frozen=True)
class Waiting:
    """A job that may be begun.

    Attributes:
        since: when it was accepted.
    """

    request: LlmJob | ExecJob | AgentJob
    since: datetime


@dataclass(frozen=True)
class Told:
    """What became of events that were to be appended.

    Attributes:
        goes_on: whether the attempt may go on; not so when it is to stop, or another has begun.
        bytes: of all events of the job.
    """

    goes_on: bool
    bytes: int


@dataclass(frozen=True)
class Made:
    """A content that a job has made."""

    name: str
    sha256: str
    bytes: int
    media_type: str


@dataclass(frozen=True)
class Outcome:
    """How a job ends."""

    state: JobState
    result: LlmResult | ExecResult | AgentResult | None = None
    problem: JobProblem | None = None
    made: Sequence[Made] = field(default=())


async def look(connection: AsyncConnection, tenant: str, job_id: str, now: datetime) -> Look:
    """Return how a job stands; end one that was cancelled, or whose deadline has passed.

    Nobody may be at work on it then, or their work is lost.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, job_id, lock=True)
    if row.state not in FINAL:
        outcome = None
        if row.cancel_requested_at is not None:
            outcome = Outcome(JobState.CANCELLED)
        elif now >= row.deadline_at:
            outcome = Outcome(JobState.FAILED, problem=job_problems.too_late(row.deadline_at))
        if outcome is not None:
            row = await end(connection, row, outcome, now)
    state = JobState(row.state)
    kind = None if state.final else JobKind(row.kind)
    return Look(state, kind, row.deadline_at, row.attempt, row.sandbox_id)


async def stop(connection: AsyncConnection, tenant: str, job_id: str, now: datetime) -> Look:
    """End a job as cancelled unless it has ended; return how it stands.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, job_id, lock=True)
    if row.state not in FINAL:
        row = await end(connection, row, Outcome(JobState.CANCELLED), now)
    return Look(JobState(row.state), None, row.deadline_at, row.attempt)


async def waiting(connection: AsyncConnection, tenant: str, job_id: str) -> Waiting | None:
    """Return what a job wants done that may be begun; ``None`` for one that is over, or is to be.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, job_id)
    if row.state in FINAL or row.cancel_requested_at is not None:
        return None
    return Waiting(REQUEST.validate_python(row.spec), row.created_at)


async def begin(
    connection: AsyncConnection,
    tenant: str,
    job_id: str,
    *,
    most_attempts: int,
    now: datetime,
    hold: timedelta | None = None,
) -> Begun | None:
    """Begin an attempt; ``None`` when there is nothing to do: it has ended or is to, or somebody is at it.

    With ``hold``, nobody begins another one for so long (`job_holds`). One that was begun ``most_attempts``
    times fails instead: whatever kills its workers would do so again.
    To wait for a model is none of them.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, job_id, lock=True)
    if row.state in FINAL or row.cancel_requested_at is not None or now >= row.deadline_at:
        return None
    if row.held_until is not None and now < row.held_until:
        return None
    if (tries := row.attempt - row.waits) >= most_attempts:
        await end(connection, row, Outcome(JobState.FAILED, problem=job_problems.too_often(tries)), now)
        return None
    again = row.attempt > 0
    changes: dict[str, Any] = {
        "state": JobState.RUNNING.value,
        "attempt": row.attempt + 1,
        "held_until": None if hold is None else now + hold,
        "attempt_from": row.last_event,
        "updated_at": now,
        "started_at": row.started_at or now,
    }
    changed = sa.update(TABLE).where(TABLE.c.id == job_id).values(**changes).returning(TABLE)
    begun = (await connection.execute(changed)).one()
    status: dict[str, Any] = {"state": JobState.RUNNING.value}
    if again:
        # What came after this number was the dead attempt's; its own first event is part of that.
        status |= {"restarted": True, "drop_after": row.attempt_from}
    begun = await append_to(connection, begun, [NewJobEvent(JobEventType.STATUS, status)], now)
    kind = EventType.JOB_RESTARTED if again else EventType.JOB_STARTED
    await tell(connection, begun, kind, now, {"attempt": begun.attempt})
    return begun_of(begun)


def begun_of(row: sa.Row[Any]) -> Begun:
    """Return the attempt that stands in the row of a job."""
    return Begun(
        tenant=row.tenant,
        job_id=row.id,
        attempt=row.attempt,
        first_event=row.last_event,
        request=REQUEST.validate_python(row.spec),
        deadline=row.deadline_at,
        actor=row.created_by,
        tries=row.attempt - row.waits,
        waited=(row.started_at - row.created_at).total_seconds() if row.attempt == 1 else None,
    )


async def only_waited(connection: AsyncConnection, begun: Begun) -> None:
    """Note that an attempt has asked no model, for all were left alone: the next one is no further try."""
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.id == begun.job_id, TABLE.c.attempt == begun.attempt)
        .values(waits=TABLE.c.waits + 1)
    )


async def append(
    connection: AsyncConnection, begun: Begun, new: Sequence[NewJobEvent], now: datetime
) -> Told:
    """Append events of an attempt, in order."""
    mine = (
        TABLE.c.id == begun.job_id,
        TABLE.c.attempt == begun.attempt,
        TABLE.c.state == JobState.RUNNING.value,
    )
    size = sum(len(json.dumps(one.data)) for one in new)
    counted = {"last_event": TABLE.c.last_event + len(new), "event_bytes": TABLE.c.event_bytes + size}
    row = (
        await connection.execute(sa.update(TABLE).where(*mine).values(**counted).returning(TABLE))
    ).one_or_none()
    if row is None:
        return Told(goes_on=False, bytes=0)
    await _insert(connection, row, new, row.last_event - len(new), now)
    return Told(goes_on=row.cancel_requested_at is None, bytes=row.event_bytes)


async def goes_on(connection: AsyncConnection, begun: Begun) -> bool:
    """Tell whether an attempt may go on."""
    query = sa.select(TABLE.c.id).where(
        TABLE.c.id == begun.job_id,
        TABLE.c.attempt == begun.attempt,
        TABLE.c.state == JobState.RUNNING.value,
        TABLE.c.cancel_requested_at.is_(None),
    )
    return (await connection.execute(query)).one_or_none() is not None


async def begin_effect(connection: AsyncConnection, begun: Begun, key: str, now: datetime) -> int | None:
    """Note that something begins that may not happen twice; return the attempt that began it before, if any.

    Call it before it begins: whoever finds the note knows that it may have happened.
    """
    table = schema.job_effects
    row = {"job_id": begun.job_id, "key": key, "attempt": begun.attempt, "begun_at": now}
    if await insert_new(connection, table, row):
        return None
    query = sa.select(table.c.attempt).where(table.c.job_id == begun.job_id, table.c.key == key)
    return int((await connection.execute(query)).scalar_one())


async def finish(connection: AsyncConnection, begun: Begun, outcome: Outcome, now: datetime) -> bool:
    """End a job with what came of an attempt; ``False`` when it is not this attempt's to end any more."""
    row = await row_of(connection, begun.tenant, begun.job_id, lock=True)
    if row.state != JobState.RUNNING.value or row.attempt != begun.attempt:
        return False
    await keep_made(connection, row, outcome.made, now)
    await end(connection, row, outcome, now)
    return True


async def keep_made(
    connection: AsyncConnection, row: sa.Row[Any], everything: Sequence[Made], now: datetime
) -> None:
    """Keep what a job has made, by name."""
    for made in everything:
        await connection.execute(
            sa.insert(schema.job_artifacts).values(
                job_id=row.id,
                tenant=row.tenant,
                name=made.name,
                sha256=made.sha256,
                bytes=made.bytes,
                media_type=made.media_type,
                created_at=now,
            )
        )


async def end(connection: AsyncConnection, row: sa.Row[Any], outcome: Outcome, now: datetime) -> sa.Row[Any]:
    """End a job whose row is locked, without a look at whose it is to end."""
    result = None if outcome.result is None else outcome.result.model_dump(mode="json")
    problem = None if outcome.problem is None else outcome.problem.model_dump(mode="json")
    changes = {
        "state": outcome.state.value,
        "result": result,
        "problem": problem,
        "updated_at": now,
        "ended_at": now,
    }
    changed = sa.update(TABLE).where(TABLE.c.id == row.id).values(**changes).returning(TABLE)
    ended: sa.Row[Any] = (await connection.execute(changed)).one()
    if ended.sandbox_id is not None:
        await sandboxes.program_ended(connection, ended.sandbox_id, now)
    new = []
    if result is not None:
        new.append(NewJobEvent(JobEventType.RESULT, result))
    if problem is not None:
        new.append(NewJobEvent(JobEventType.ERROR, problem))
    new.append(NewJobEvent(JobEventType.STATUS, {"state": outcome.state.value}))
    ended = await append_to(connection, ended, new, now)
    told: dict[str, Any] = {"kind": ended.kind, "name": ended.name, "attempt": ended.attempt}
    if outcome.problem is not None:
        told |= {"problem": outcome.problem.detail, "remedy": outcome.problem.remedy}
    if outcome.made:
        told["artifacts"] = len(outcome.made)
    await tell(connection, ended, _TOLD[outcome.state], now, told)
    return ended


async def append_to(
    connection: AsyncConnection, row: sa.Row[Any], new: Sequence[NewJobEvent], now: datetime
) -> sa.Row[Any]:
    """Append events to a job whose row is locked."""
    counted = {"last_event": TABLE.c.last_event + len(new)}
    changed = sa.update(TABLE).where(TABLE.c.id == row.id).values(**counted).returning(TABLE)
    found: sa.Row[Any] = (await connection.execute(changed)).one()
    await _insert(connection, found, new, found.last_event - len(new), now)
    return found


async def _insert(
    connection: AsyncConnection, row: sa.Row[Any], new: Sequence[NewJobEvent], before: int, now: datetime
) -> None:
    await connection.execute(
        sa.insert(_EVENTS),
        [
            {
                "job_id": row.id,
                "sequence": before + place,
                "time": now,
                "type": one.type.value,
                "attempt": row.attempt,
                "data": dict(one.data),
            }
            for place, one in enumerate(new, start=1)
        ],
    )
