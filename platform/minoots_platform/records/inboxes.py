"""Inboxes of agents: commands are queued, handed out on lease in their order, and answered.

One command of an agent is out at a time, or the few that were handed out together: what comes next is handed
out when they are answered or their lease has ended. Every step happens under the lock of the agent's row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Command, CommandState, Escalation, EventType, Lease, Page
from minoots.contracts.agents import MAX_LEASES
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id

from . import agents, escalation_reading, escalations, events, schema
from .paging import newest_first

TABLE = schema.agent_commands


@dataclass(frozen=True)
class NewCommand:
    """A command to queue. The same ``key`` queues it once."""

    agent_id: str
    name: str
    payload: Any
    actor: str
    key: str | None = None
    timer_id: str | None = None
    expires_at: datetime | None = None
    traceparent: str | None = None


@dataclass(frozen=True)
class HandedOut:
    """What an agent gets, and when it is worth asking again if that is nothing."""

    commands: tuple[Command, ...]
    again_at: datetime | None = None


async def queue(connection: AsyncConnection, tenant: str, new: NewCommand, *, now: datetime) -> Command:
    """Queue a command, once for each key.

    Raises:
        Failure: not_found, when there is no such agent.
    """
    agent = await agents.lock(connection, tenant, new.agent_id)
    if new.key is not None:
        there = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.key == new.key)
        found = (await connection.execute(there)).one_or_none()
        if found is not None:
            return view(found)
    sequence = agent.last_sequence + 1
    await connection.execute(
        sa.update(agents.TABLE)
        .where(agents.TABLE.c.tenant == tenant, agents.TABLE.c.id == new.agent_id)
        .values(last_sequence=sequence)
    )
    row = (
        await connection.execute(
            sa.insert(TABLE)
            .values(
                id=new_id("cmd", now),
                tenant=tenant,
                agent_id=new.agent_id,
                sequence=sequence,
                name=new.name,
                payload=new.payload,
                state=CommandState.QUEUED.value,
                key=new.key,
                timer_id=new.timer_id,
                progress=None,
                result=None,
                created_by=new.actor,
                created_at=now,
                expires_at=new.expires_at,
                traceparent=new.traceparent,
            )
            .returning(TABLE)
        )
    ).one()
    told = event_of(row, EventType.COMMAND_QUEUED, now, by=new.actor, timer_id=new.timer_id)
    await events.append(connection, tenant, [told])
    return view(row)


async def hand_out(
    connection: AsyncConnection,
    tenant: str,
    agent_id: str,
    *,
    lease: timedelta,
    limit: int,
    now: datetime,
) -> HandedOut:
    """Lease the next commands of an agent to whoever asks; none while others are still out.

    Raises:
        Failure: not_found.
    """
    await agents.lock(connection, tenant, agent_id)
    mine = (TABLE.c.tenant == tenant, TABLE.c.agent_id == agent_id, TABLE.c.closed_at.is_(None))
    rows = (await connection.execute(sa.select(TABLE).where(*mine).order_by(TABLE.c.sequence))).all()
    told: list[events.NewEvent] = []
    ready: list[sa.Row[Any]] = []
    for row in rows:
        if row.state == CommandState.LEASED.value and row.leased_until > now:
            # Order is kept: what is behind it waits.
            if told:
                await events.append(connection, tenant, told)
            return HandedOut((), min(one.leased_until for one in rows if one.leased_until is not None))
        end = _end_of(row, now)
        if end is not None:
            told.append(await _close(connection, row, *end, now=now))
            continue
        if row.state == CommandState.LEASED.value:
            told.append(event_of(row, EventType.COMMAND_RETURNED, now, reason="its lease ended"))
        ready.append(row)
        if len(ready) == limit:
            break
    handed: list[Command] = []
    for row in ready:
        leased = await _change(
            connection,
            row,
            state=CommandState.LEASED.value,
            lease_id=new_id("lse", now),
            leased_until=now + lease,
            leases=row.leases + 1,
        )
        told.append(event_of(leased, EventType.COMMAND_LEASED, now, until=leased.leased_until.isoformat()))
        handed.append(view(leased, with_lease=True))
    if handed:
        await agents.seen(connection, tenant, agent_id, now)
    if told:
        await events.append(connection, tenant, told)
    return HandedOut(tuple(handed))


async def acknowledge(
    connection: AsyncConnection,
    tenant: str,
    agent_id: str,
    command_id: str,
    lease_id: str,
    result: Any,
    *,
    now: datetime,
) -> Command:
    """Close a command as done. The same lease may say so again.

    Raises:
        Failure: not_found; conflict, when the command was handed to somebody else since, or is closed.
    """
    row = await _leased(connection, tenant, agent_id, command_id, lease_id, CommandState.ACKNOWLEDGED)
    if row.closed_at is not None:
        return view(row)
    closed = await _change(
        connection, row, state=CommandState.ACKNOWLEDGED.value, result=result, closed_at=now
    )
    await _pass_on(connection, closed, escalations.acknowledge, now, result)
    took = round((now - row.created_at).total_seconds() * 1000, 3)
    await _tell(connection, closed, EventType.COMMAND_ACKNOWLEDGED, now, took_ms=took)
    return view(closed)


async def extend(
    connection: AsyncConnection,
    tenant: str,
    agent_id: str,
    command_id: str,
    lease_id: str,
    by: timedelta,
    *,
    now: datetime,
    progress: Any = None,
    progressed: bool = False,
) -> Command:
    """Let a lease end ``by`` from now; keep what the agent tells of its progress.

    Raises:
        Failure: not_found; conflict, when the command was handed to somebody else since, or is closed.
    """
    row = await _leased(connection, tenant, agent_id, command_id, lease_id, None)
    values = {"leased_until": now + by} | ({"progress": progress} if progressed else {})
    changed = await _change(connection, row, **values)
    await agents.seen(connection, tenant, agent_id, now)
    if progressed:
        await _tell(connection, changed, EventType.COMMAND_PROGRESSED, now, progress=progress)
    return view(changed, with_lease=True)


async def decline(
    connection: AsyncConnection,
    tenant: str,
    agent_id: str,
    command_id: str,
    lease_id: str,
    reason: str | None,
    *,
    requeue: bool,
    now: datetime,
) -> Command:
    """Close a command as not done, or give it back to be handed out again.

    Raises:
        Failure: not_found; conflict, when the command was handed to somebody else since, or is closed.
    """
    row = await _leased(connection, tenant, agent_id, command_id, lease_id, CommandState.DECLINED)
    if row.closed_at is not None:
        return view(row)
    if requeue:
        given_back = await _change(
            connection, row, state=CommandState.QUEUED.value, leased_until=None, reason=reason
        )
        await _tell(
            connection, given_back, EventType.COMMAND_RETURNED, now, reason=reason or "the agent gave it back"
        )
        return view(given_back)
    closed = await _change(connection, row, state=CommandState.DECLINED.value, reason=reason, closed_at=now)
    await _pass_on(connection, closed, escalations.decline, now)
    await _tell(connection, closed, EventType.COMMAND_DECLINED, now, reason=reason)
    return view(closed)


async def get(connection: AsyncConnection, tenant: str, agent_id: str, command_id: str) -> Command:
    """Return a command.

    Raises:
        Failure: not_found, also for another tenant's or agent's.
    """
    return view(await _row(connection, tenant, agent_id, command_id))


async def page(
    connection: AsyncConnection,
    tenant: str,
    agent_id: str,
    *,
    states: Sequence[CommandState],
    limit: int,
    cursor: str | None,
) -> Page[Command]:
    """Return one page of an agent's commands, the newest first.

    Raises:
        Failure: not_found, when there is no such agent.
    """
    await agents.get(connection, tenant, agent_id)
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.agent_id == agent_id)
    if states:
        query = query.where(TABLE.c.state.in_([state.value for state in states]))
    return await newest_first(
        connection, query, TABLE.c.created_at, "commands", view, limit=limit, cursor=cursor
    )


def event_of(row: sa.Row[Any], kind: EventType, now: datetime, **data: Any) -> events.NewEvent:
    """Return an event about a command, with what every such event tells."""
    common = {"name": row.name, "agent_id": row.agent_id, "sequence": row.sequence, "leases": row.leases}
    return events.NewEvent(
        type=kind,
        subject=row.id,
        time=now,
        data=common | {key: value for key, value in data.items() if value is not None},
        traceparent=row.traceparent,
    )


def view(row: sa.Row[Any], *, with_lease: bool = False) -> Command:
    """Return a row as the wire shows it; the lease only to whoever holds it."""
    lease = Lease(id=row.lease_id, expires_at=row.leased_until) if with_lease else None
    return Command(
        id=row.id,
        agent_id=row.agent_id,
        name=row.name,
        payload=row.payload,
        state=row.state,
        sequence=row.sequence,
        created_at=row.created_at,
        expires_at=row.expires_at,
        timer_id=row.timer_id,
        leases=row.leases,
        lease=lease,
        progress=row.progress,
        result=row.result,
        reason=row.reason,
        closed_at=row.closed_at,
    )


async def _pass_on(
    connection: AsyncConnection,
    row: sa.Row[Any],
    act: Callable[..., Awaitable[Escalation]],
    now: datetime,
    *arguments: Any,
) -> None:
    """Let an agent's answer count for the escalation that told it, or that awaits it."""
    if row.timer_id is None:
        return
    escalation_id = await escalation_reading.of_timer(connection, row.timer_id)
    if escalation_id is None:
        return
    doing = escalations.Doing(f"agent:{row.agent_id}", "inbox", now, row.reason)
    # It may be over, or for others to acknowledge; the command is answered all the same.
    with suppress(Failure):
        await act(connection, row.tenant, escalation_id, doing, *arguments)


def _end_of(row: sa.Row[Any], now: datetime) -> tuple[CommandState, EventType, str] | None:
    """Tell whether a command that would be handed out is over instead, and why."""
    if row.expires_at is not None and row.expires_at <= now and row.leases == 0:
        return CommandState.EXPIRED, EventType.COMMAND_EXPIRED, "nobody took it in time"
    if row.leases >= MAX_LEASES:
        reason = f"it was handed out {row.leases} times without an answer"
        return CommandState.DEAD, EventType.COMMAND_DIED, reason
    return None


async def _close(
    connection: AsyncConnection,
    row: sa.Row[Any],
    state: CommandState,
    kind: EventType,
    reason: str,
    *,
    now: datetime,
) -> events.NewEvent:
    closed = await _change(connection, row, state=state.value, reason=reason, closed_at=now)
    return event_of(closed, kind, now, reason=reason)


async def _leased(
    connection: AsyncConnection,
    tenant: str,
    agent_id: str,
    command_id: str,
    lease_id: str,
    again: CommandState | None,
) -> sa.Row[Any]:
    """Return the row if ``lease_id`` may still answer it: also after its end, while nobody else has it."""
    await agents.lock(connection, tenant, agent_id)
    row = await _row(connection, tenant, agent_id, command_id)
    if row.lease_id == lease_id and (
        row.state == CommandState.LEASED.value or (again is not None and row.state == again.value)
    ):
        return row
    if row.closed_at is not None:
        why = f"it is {row.state} since {row.closed_at.isoformat(timespec='milliseconds')}"
    elif row.lease_id != lease_id:
        why = "this lease ended, and it was handed out again"
    else:
        why = "it was given back"
    raise Failure(
        FailureKind.CONFLICT,
        f"command {command_id}: {why}",
        remedy="Drop what was done for it, or make it harmless to repeat; a longer lease or extend keeps it.",
    )


async def _row(connection: AsyncConnection, tenant: str, agent_id: str, command_id: str) -> sa.Row[Any]:
    query = sa.select(TABLE).where(
        TABLE.c.tenant == tenant, TABLE.c.agent_id == agent_id, TABLE.c.id == command_id
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"agent {agent_id[:63]!r} has no command {command_id[:60]!r}",
            remedy="GET /v1/agents/{id}/history lists its commands.",
        )
    return row


async def _change(connection: AsyncConnection, row: sa.Row[Any], **values: Any) -> sa.Row[Any]:
    query = sa.update(TABLE).where(TABLE.c.id == row.id).values(**values).returning(TABLE)
    changed: sa.Row[Any] = (await connection.execute(query)).one()
    return changed


async def _tell(
    connection: AsyncConnection, row: sa.Row[Any], kind: EventType, now: datetime, **data: Any
) -> None:
    await events.append(connection, row.tenant, [event_of(row, kind, now, **data)])
