"""Talking to an agent at work: what it asks leave for is approved or denied, and it is told things.

Owns commands from outside. What is changed here raises the generation of the job, so that its workflow hears
of it however the process ends that changed it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import AgentProgress, EventType, JobDecision, JobDetail, JobKind, ToolApproval
from minoots.errors import Failure, FailureKind

from . import agent_words
from .agent_runs import CALLS, CallState, open_calls, run_of
from .jobs import FINAL, TABLE, get, how_it_ended, row_of, tell

_DECIDED: Final = {True: CallState.READY, False: CallState.DENIED}


async def decide(
    connection: AsyncConnection,
    tenant: str,
    job_id: str,
    decision: JobDecision,
    *,
    approved: bool,
    now: datetime,
    actor: str,
) -> None:
    """Approve or deny what an agent asks leave for. To say the same of a call again changes nothing.

    Raises:
        Failure: not_found; conflict, when the job has ended, when the call does not wait, or when it was
            decided otherwise.
    """
    row = await _at_work(connection, tenant, job_id)
    asked = {
        call.number: call
        for call in await open_calls(connection, job_id)
        if call.state == CallState.ASKED.value
    }
    call = asked.get(decision.call)
    if call is None:
        if await _said_already(connection, job_id, decision.call, approved):
            return
        raise Failure(
            FailureKind.CONFLICT,
            f"call {decision.call} does not wait for a decision",
            remedy=f"GET /v1/jobs/{job_id} lists under agent.awaiting what does.",
        )
    # A reason marks a call that does not happen.
    reason = None if approved else decision.reason or ""
    decided = {"state": _DECIDED[approved].value, "decided_by": actor, "reason": reason}
    mine = (CALLS.c.job_id == job_id, CALLS.c.number == call.number)
    await connection.execute(sa.update(CALLS).where(*mine).values(**decided))
    event = EventType.JOB_TOOL_APPROVED if approved else EventType.JOB_TOOL_DENIED
    about = {"call": call.number, "tool": call.tool, "by": actor, "reason": decision.reason}
    told = {name: value for name, value in about.items() if value is not None}
    await tell(connection, row, event, now, told)
    await _moved(connection, row, now)


async def send(
    connection: AsyncConnection, tenant: str, job_id: str, text: str, *, now: datetime, actor: str
) -> None:
    """Keep a message to an agent; it reads it before it thinks the next time, and it ends a sleep.

    Raises:
        Failure: not_found; conflict, when the job has ended, or is none of an agent; throttled, when too many
            wait.
    """
    row = await _at_work(connection, tenant, job_id)
    await agent_words.tell(connection, await run_of(connection, job_id), text, by=actor, now=now)
    await tell(connection, row, EventType.JOB_MESSAGE_SENT, now, {"by": actor, "characters": len(text)})
    await _moved(connection, row, now)


async def detail(connection: AsyncConnection, tenant: str, job_id: str) -> JobDetail:
    """Return a job with what it was told, and how far its agent is.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    found = await get(connection, tenant, job_id)
    if found.kind is not JobKind.AGENT:
        return found
    return found.model_copy(update={"agent": await _progress(connection, found)})


async def _progress(connection: AsyncConnection, job: JobDetail) -> AgentProgress:
    run = await run_of(connection, job.id)
    pending = () if job.state.final else await open_calls(connection, job.id)
    sleeping = pending and pending[0].state == CallState.SLEEPING.value
    return AgentProgress(
        turns=run.turns,
        calls=run.calls,
        messages=run.messages,
        unread=run.told - run.heard,
        awaiting=tuple(
            ToolApproval(call=call.number, tool=call.tool, arguments=call.preview)
            for call in pending
            if call.state == CallState.ASKED.value
        ),
        wakes_at=pending[0].wakes_at if sleeping else None,
    )


async def _at_work(connection: AsyncConnection, tenant: str, job_id: str) -> sa.Row[Any]:
    row = await row_of(connection, tenant, job_id, lock=True)
    if row.kind != JobKind.AGENT.value:
        raise Failure(
            FailureKind.CONFLICT,
            f"the job is one of the kind {row.kind}, and nobody listens in it",
            remedy="Only a job of the kind agent takes decisions and messages.",
        )
    if row.state in FINAL or row.cancel_requested_at is not None:
        raise Failure(
            FailureKind.CONFLICT,
            f"the job {how_it_ended(row)}" if row.state in FINAL else "the job is being cancelled",
            remedy="Submit a new one.",
        )
    return row


async def _said_already(connection: AsyncConnection, job_id: str, number: int, approved: bool) -> bool:
    query = sa.select(CALLS).where(CALLS.c.job_id == job_id, CALLS.c.number == number)
    call = (await connection.execute(query)).one_or_none()
    if call is None or call.decided_by is None:
        return False
    return (call.reason is None) == approved


async def _moved(connection: AsyncConnection, row: sa.Row[Any], now: datetime) -> None:
    moved = {"generation": TABLE.c.generation + 1, "updated_at": now}
    await connection.execute(sa.update(TABLE).where(TABLE.c.id == row.id).values(**moved))
