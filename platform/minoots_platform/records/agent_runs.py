"""How far the agent of a job is: steps that are begun, and count once; calls, and who approves of them.

A step is one question to the model, one call of a tool, or one waiting. Whoever works on one has begun it
under its number; what comes of it is kept in one transaction with everything that it changes, and refused
when something else was kept under that number, or when another worker has begun it meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType, JobEventType, JobState, Message, ModelUsage

from . import agent_words, authority, job_problems, job_progress, schema
from .job_progress import Begun, NewJobEvent, Outcome
from .jobs import FINAL, TABLE, row_of, tell

RUNS: Final = schema.agent_runs
CALLS: Final = schema.agent_calls
_TOLD: Final = 500
"""Characters of what a call was made with that an event has."""


class CallState(StrEnum):
    """Where a call of a tool stands."""

    READY = "ready"
    """It may be made."""
    ASKED = "asked"
    """Somebody has to approve of it."""
    DENIED = "denied"
    """By somebody; the model is yet to be told."""
    REFUSED = "refused"
    """By the policy, or for what the model sent; the model is yet to be told."""
    SLEEPING = "sleeping"
    ENDED = "ended"


class Next(StrEnum):
    """What is next for an agent."""

    THINK = "think"
    ACT = "act"
    WAIT = "wait"


@dataclass(frozen=True)
class Due:
    """What is next for an agent, and under which number.

    Attributes:
        wake_at: of `Next.WAIT`: until when; ``None`` while it waits for somebody.
    """

    does: Next
    step: int
    wake_at: datetime | None = None


@dataclass(frozen=True)
class NewCall:
    """A call that the model wants to make.

    Attributes:
        preview: what it is made with: all of it where somebody is asked, else the beginning.
        state: ready, asked or refused.
        reason: of one that is refused: what the model is told.
        audited: whether it was refused by the policy.
    """

    tool: str
    preview: str
    state: CallState
    reason: str | None = None
    audited: bool = False


@dataclass(frozen=True)
class Step:
    """A step that was begun.

    Attributes:
        begun: under which attempt of the job, as whatever is told of it needs to know.
        run: how far the agent is.
        call: the call that it is about; ``None`` where the model is asked.
        again: whether somebody has begun it before, and what came of that is not known.
    """

    begun: Begun
    run: sa.Row[Any]
    number: int
    call: sa.Row[Any] | None
    again: bool


@dataclass(frozen=True)
class Done:
    """What came of a call.

    Attributes:
        message: what the model is told.
        signature: what was called and what it brought, as one hash; ``None`` for what says nothing about
            whether the agent gets on.
        tree: the listing of its files after it.
        contents: that have to stay for as long as the job does.
        events: what is told of it.
    """

    message: Message
    signature: str | None = None
    tree: str | None = None
    contents: Sequence[str] = ()
    events: Sequence[NewJobEvent] = field(default=())


async def run_of(connection: AsyncConnection, job_id: str) -> sa.Row[Any]:
    """Return how far an agent is."""
    return (await connection.execute(sa.select(RUNS).where(RUNS.c.job_id == job_id))).one()


async def open_calls(connection: AsyncConnection, job_id: str) -> Sequence[sa.Row[Any]]:
    """Return the calls that have not ended, in order."""
    query = sa.select(CALLS).where(CALLS.c.job_id == job_id, CALLS.c.state != CallState.ENDED.value)
    return (await connection.execute(query.order_by(CALLS.c.number))).all()


async def due(connection: AsyncConnection, job_id: str, now: datetime) -> Due:
    """Return what is next for an agent whose job has not ended. The job's row is locked.

    One that sleeps goes on when its time has come, or when there is a message for it.
    """
    run = await run_of(connection, job_id)
    pending = await open_calls(connection, job_id)
    if not pending:
        # Before its model is asked the first time, its servers are asked what they offer.
        return Due(Next.ACT if run.offers == "" else Next.THINK, run.step)
    call = pending[0]
    if call.state == CallState.ASKED.value:
        return Due(Next.WAIT, run.step)
    if call.state == CallState.SLEEPING.value and now < call.wakes_at and run.told <= run.heard:
        return Due(Next.WAIT, run.step, call.wakes_at)
    return Due(Next.ACT, run.step)


async def begin(
    connection: AsyncConnection,
    tenant: str,
    job_id: str,
    step: int,
    *,
    most_tries: int,
    now: datetime,
    only_new: bool = False,
) -> Step | None:
    """Begin a step; ``None`` when it is not next any more, or the job has ended or is to.

    A step that was begun before without coming to an end raises the attempt of the job: whoever began it
    cannot keep anything any more. With ``only_new`` it is left to them. One that was begun ``most_tries``
    times fails the job.
    """
    row = await row_of(connection, tenant, job_id, lock=True)
    run = await run_of(connection, job_id)
    if row.state in FINAL or row.cancel_requested_at is not None or now >= row.deadline_at:
        return None
    again = run.begun_step == step
    if run.step != step or (again and only_new):
        return None
    if again and run.tries >= most_tries:
        failed = Outcome(JobState.FAILED, problem=job_problems.too_often(run.tries))
        await job_progress.end(connection, row, failed, now)
        return None
    begun = await _begun(connection, row, run, again=again, now=now)
    tries = {"begun_step": step, "tries": run.tries + 1 if again else 1}
    run = await _change(connection, job_id, tries)
    pending = await open_calls(connection, job_id)
    if not pending and run.tree is not None:
        run = await _hear(connection, run, now)
    return Step(begun, run, step, pending[0] if pending else None, again)


async def only_waited(connection: AsyncConnection, step: Step) -> None:
    """Note that a step has asked no model, for all were left alone: the next one is no further try."""
    if await _mine(connection, step) is not None:
        await _change(connection, step.begun.job_id, {"tries": step.run.tries - 1})


async def _begun(
    connection: AsyncConnection, row: sa.Row[Any], run: sa.Row[Any], *, again: bool, now: datetime
) -> Begun:
    first = row.state == JobState.QUEUED.value
    changes: dict[str, Any] = {"state": JobState.RUNNING.value, "updated_at": now}
    changes |= {"started_at": row.started_at or now, "attempt": row.attempt + (first or again)}
    status: dict[str, Any] = {"state": JobState.RUNNING.value, "turn": run.turns}
    if again:
        status |= {"restarted": True, "drop_after": row.attempt_from}
    else:
        changes["attempt_from"] = row.last_event
    changed = sa.update(TABLE).where(TABLE.c.id == row.id).values(**changes).returning(TABLE)
    begun = (await connection.execute(changed)).one()
    if first or again:
        event = EventType.JOB_RESTARTED if again else EventType.JOB_STARTED
        await tell(connection, begun, event, now, {"attempt": begun.attempt})
        begun = await job_progress.append_to(
            connection, begun, [NewJobEvent(JobEventType.STATUS, status)], now
        )
    found = job_progress.begun_of(begun)
    # An attempt has many steps, and has waited before the first.
    return found if first else replace(found, waited=None)


async def _hear(connection: AsyncConnection, run: sa.Row[Any], now: datetime) -> sa.Row[Any]:
    """Put the messages to an agent into its conversation."""
    unread = await agent_words.unread(connection, run)
    if not unread:
        return run
    said = await agent_words.say(connection, run, unread, now)
    return await _change(connection, run.job_id, {**said, "heard": run.told})


async def prepare(
    connection: AsyncConnection,
    step: Step,
    messages: Sequence[Message],
    tree: str,
    named: Sequence[str],
    now: datetime,
) -> Step | None:
    """Keep what an agent begins with; ``None`` when it is not this step's to do any more."""
    if await _mine(connection, step) is None:
        return None
    # What was said to it before it began comes after its task.
    run = await _change(connection, step.run.job_id, {"first_tree": tree, "tree": tree})
    await agent_words.name(connection, run.tenant, run.job_id, [tree, *named])
    said = await agent_words.say(connection, run, messages, now)
    run = await _change(connection, run.job_id, said)
    return replace(step, run=await _hear(connection, run, now))


async def offered(
    connection: AsyncConnection, step: Step, offers: str, events: Sequence[NewJobEvent], now: datetime
) -> Due | None:
    """Keep what the servers of an agent offer, by its hash; as `acted`."""
    row = await _mine(connection, step)
    if row is None:
        return None
    await agent_words.name(connection, row.tenant, row.id, [offers])
    await _change(connection, row.id, {"offers": offers, "step": step.number + 1})
    await job_progress.append_to(connection, row, events, now)
    return await due(connection, row.id, now)


async def thought(
    connection: AsyncConnection,
    step: Step,
    message: Message,
    calls: Sequence[NewCall],
    usage: ModelUsage,
    outcome: Outcome | None,
    now: datetime,
) -> Due | None:
    """Keep what the model has answered; end the job with ``outcome`` unless there is something left to do.

    Return what is next; ``None`` when the job has ended, or when it is not this step's to say any more.
    """
    row = await _mine(connection, step)
    if row is None:
        return None
    run = await run_of(connection, row.id)
    changes = await agent_words.say(connection, run, [message], now)
    refused = sum(call.state is CallState.REFUSED for call in calls)
    changes |= {
        "step": run.step + 1,
        "turns": run.turns + 1,
        "calls": run.calls + len(calls),
        "refused": run.refused + refused,
        "faults": run.faults + 1 if refused else 0,
        "usage": usage.model_dump(mode="json"),
    }
    for number, call in enumerate(calls, start=run.calls + 1):
        values = {"job_id": row.id, "number": number, "turn": run.turns + 1, "tool": call.tool}
        values |= {"state": call.state.value, "preview": call.preview, "reason": call.reason}
        await connection.execute(sa.insert(CALLS).values(**values, created_at=now))
    run = await _change(connection, row.id, changes)
    if calls:
        await _tell_of(connection, row, calls, run, now)
    elif outcome is not None and run.told <= run.heard:
        await job_progress.keep_made(connection, row, outcome.made, now)
        await job_progress.end(connection, row, outcome, now)
        return None
    return await due(connection, row.id, now)


async def _tell_of(
    connection: AsyncConnection, row: sa.Row[Any], calls: Sequence[NewCall], run: sa.Row[Any], now: datetime
) -> None:
    first = run.calls - len(calls) + 1
    told = [
        {"call": number, "name": call.tool, "arguments": _beginning(call), "state": call.state.value}
        for number, call in enumerate(calls, start=first)
    ]
    await job_progress.append_to(
        connection, row, [NewJobEvent(JobEventType.TOOL, {"turn": run.turns, "calls": told})], now
    )
    for number, call in enumerate(calls, start=first):
        about = {"call": number, "tool": call.tool}
        if call.state is CallState.ASKED:
            if not authority.scopes_to_see(row.kind, row.spec):
                # Else they may say what was looked up, to whoever reads the tenant's events.
                about["arguments"] = _beginning(call)
            await tell(connection, row, EventType.JOB_APPROVAL_REQUESTED, now, about)
        elif call.audited:
            await tell(connection, row, EventType.JOB_TOOL_DENIED, now, {**about, "by": "policy"})


def _beginning(call: NewCall) -> str:
    """Return of what a call was made with as much as an event has room for, and whether that is all."""
    if len(call.preview) <= _TOLD:
        return call.preview
    return f"{call.preview[:_TOLD]}… ({len(call.preview) - _TOLD} more characters: see agent.awaiting)"


async def acted(connection: AsyncConnection, step: Step, done: Done, now: datetime) -> Due | None:
    """Keep what came of a call: what the model is told, and what has changed, together.

    Return what is next; ``None`` when it is not this step's to say any more.
    """
    row = await _mine(connection, step)
    if row is None or step.call is None:
        return None
    run = await run_of(connection, row.id)
    changes = await agent_words.say(connection, run, [done.message], now)
    changes["step"] = run.step + 1
    if done.tree is not None:
        changes["tree"] = done.tree
    if done.signature is not None:
        changes["stale"] = run.stale + 1 if await seen(connection, row.id, done.signature) else 0
    await agent_words.name(connection, row.tenant, row.id, done.contents)
    ended = {"state": CallState.ENDED.value, "signature": done.signature, "ended_at": now}
    await connection.execute(sa.update(CALLS).where(*_is(step)).values(**ended))
    await _change(connection, row.id, changes)
    if done.events:
        await job_progress.append_to(connection, row, done.events, now)
    return await due(connection, row.id, now)


async def fell_asleep(
    connection: AsyncConnection, step: Step, wakes_at: datetime, events: Sequence[NewJobEvent], now: datetime
) -> Due | None:
    """Keep that an agent sleeps; as `acted`."""
    row = await _mine(connection, step)
    if row is None:
        return None
    sleeping = {"state": CallState.SLEEPING.value, "wakes_at": wakes_at}
    await connection.execute(sa.update(CALLS).where(*_is(step)).values(**sleeping))
    await _change(connection, row.id, {"step": step.number + 1})
    await job_progress.append_to(connection, row, events, now)
    return await due(connection, row.id, now)


async def seen(connection: AsyncConnection, job_id: str, signature: str) -> bool:
    """Tell whether a call before has brought the very same."""
    query = sa.select(CALLS.c.number).where(CALLS.c.job_id == job_id, CALLS.c.signature == signature)
    return (await connection.execute(query.limit(1))).one_or_none() is not None


async def counts(connection: AsyncConnection, job_id: str) -> dict[str, int]:
    """Return how many calls of each tool were made, without those that were refused or denied."""
    query = sa.select(CALLS.c.tool, sa.func.count()).where(CALLS.c.job_id == job_id, CALLS.c.reason.is_(None))
    rows = await connection.execute(query.group_by(CALLS.c.tool))
    return {tool: int(count) for tool, count in rows}


async def _mine(connection: AsyncConnection, step: Step) -> sa.Row[Any] | None:
    """Return the row of the job, locked, if what this step keeps still counts."""
    row = await row_of(connection, step.begun.tenant, step.begun.job_id, lock=True)
    if row.state != JobState.RUNNING.value or row.attempt != step.begun.attempt:
        return None
    if row.cancel_requested_at is not None:
        return None
    run = await run_of(connection, row.id)
    return row if run.step == step.number else None


async def _change(connection: AsyncConnection, job_id: str, changes: dict[str, Any]) -> sa.Row[Any]:
    changed = sa.update(RUNS).where(RUNS.c.job_id == job_id).values(**changes).returning(RUNS)
    run: sa.Row[Any] = (await connection.execute(changed)).one()
    return run


def _is(step: Step) -> tuple[sa.ColumnElement[bool], ...]:
    number = 0 if step.call is None else step.call.number
    return CALLS.c.job_id == step.begun.job_id, CALLS.c.number == number
