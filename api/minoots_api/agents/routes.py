"""``/v1/agents``: register agents, command them, hand commands out and take answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import (
    Acknowledge,
    Agent,
    AgentRegister,
    Command,
    CommandCreate,
    Commands,
    CommandState,
    Decline,
    Extend,
    Page,
    Progress,
)
from minoots.contracts.agents import AGENT_ID_PATTERN, MAX_LEASE, MIN_LEASE
from minoots.contracts.base import Duration, Matching
from minoots.errors import Failure, FailureKind
from minoots_api.commands import run_once
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import Cursor, IdempotencyKey, Limit, known_form
from minoots_api.principals import AgentsReader, AgentsWriter
from minoots_api.routing import Router
from minoots_platform.identity import Principal
from minoots_platform.records import agents, inboxes
from minoots_platform.telemetry.trace_context import current_traceparent

from .stream import CommandStream
from .waiting import Wanted, commands_for

router = Router(prefix="/v1/agents", tags=["agents"])

_LEASE = timedelta(seconds=60)


def agent_id(id: Annotated[str, Path(examples=["builder"])]) -> str:
    """Return the id of an agent from the path; what cannot be one is not there."""
    try:
        Matching(AGENT_ID_PATTERN, "an id").check(id)
    except ValueError:
        raise agents.unknown(id) from None
    return id


def command_id(command: Annotated[str, Path(examples=["cmd_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"])]) -> str:
    """Return the id of a command from the path."""
    return known_form(command, "cmd", "command")


def lease_length(
    lease: Annotated[
        Duration | None, Query(description="How long each command is kept for whoever got it: 1s to 1h.")
    ] = None,
) -> timedelta:
    """Return how long a command is handed out for.

    Raises:
        Failure: invalid, when that is too short or too long.
    """
    length = _LEASE if lease is None else lease
    if not MIN_LEASE <= length <= MAX_LEASE:
        raise Failure(FailureKind.INVALID, "the lease is too short or too long", remedy="Give 1s to 1h.")
    return length


AgentPath = Annotated[str, Depends(agent_id)]
CommandPath = Annotated[str, Depends(command_id)]
LeaseLength = Annotated[timedelta, Depends(lease_length)]


@router.post("", response_model=Agent)
async def register_agent(spec: AgentRegister, gateway: Here, principal: AgentsWriter) -> Agent:
    """Register an agent; registering it again changes what is given."""
    async with gateway.database.write() as connection:
        return await agents.register(
            connection, principal.tenant, spec, now=gateway.clock(), actor=principal.subject
        )


@router.get("", response_model=Page[Agent])
async def list_agents(
    gateway: Here, principal: AgentsReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Agent]:
    """List agents with how full their inboxes are, the newest first."""
    async with gateway.database.read() as connection:
        return await agents.page(connection, principal.tenant, limit=limit, cursor=cursor)


@router.get("/{id}", response_model=Agent)
async def get_agent(id: AgentPath, gateway: Here, principal: AgentsReader) -> Agent:
    """Get an agent and how full its inbox is."""
    async with gateway.database.read() as connection:
        return await agents.get(connection, principal.tenant, id)


@router.post("/{id}/commands", status_code=201, response_model=Command)
async def command_agent(
    id: AgentPath,
    spec: CommandCreate,
    request: Request,
    gateway: Here,
    principal: AgentsWriter,
    key: IdempotencyKey = None,
) -> Response:
    """Put a command into an agent's inbox."""
    now = gateway.clock()
    new = inboxes.NewCommand(
        agent_id=id,
        name=spec.name,
        payload=spec.payload,
        actor=principal.subject,
        expires_at=None if spec.expires_in is None else now + spec.expires_in,
        traceparent=current_traceparent(),
    )

    async def work(connection: AsyncConnection) -> Command:
        return await inboxes.queue(connection, principal.tenant, new, now=now)

    answered = await run_once(gateway, request, principal, key, work, status=201)
    gateway.tailer.look()
    return answered.response(Location=f"/v1/agents/{id}/commands/{answered.answer['id']}")


@router.get("/{id}/commands", response_model=Commands)
async def next_commands(
    id: AgentPath,
    gateway: Here,
    principal: AgentsWriter,
    lease: LeaseLength,
    limit: Annotated[int, Query(ge=1, le=16, description="Commands at a time.")] = 1,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for a command.")] = 0,
) -> Commands:
    """Hand out the next commands on lease; one that is not answered before its lease ends comes again."""
    wanted = Wanted(principal.tenant, id, lease, limit)
    return Commands(items=await commands_for(gateway, wanted, wait))


@router.get(
    "/{id}/commands/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_commands(
    id: AgentPath, gateway: Here, principal: AgentsWriter, lease: LeaseLength
) -> Response:
    """Stream commands as they are handed out, the next when the one before is answered."""
    async with gateway.database.read() as connection:
        await agents.get(connection, principal.tenant, id)
    return CommandStream(gateway, principal, Wanted(principal.tenant, id, lease, 1))


@router.get("/{id}/history", response_model=Page[Command])
async def list_commands(
    id: AgentPath,
    gateway: Here,
    principal: AgentsReader,
    state: Annotated[list[CommandState] | None, Query(max_length=6)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Command]:
    """List an agent's commands, the newest first; nothing is handed out."""
    async with gateway.database.read() as connection:
        return await inboxes.page(
            connection, principal.tenant, id, states=tuple(state or ()), limit=limit, cursor=cursor
        )


@router.get("/{id}/commands/{command}", response_model=Command)
async def get_command(id: AgentPath, command: CommandPath, gateway: Here, principal: AgentsReader) -> Command:
    """Get a command as it stands."""
    async with gateway.database.read() as connection:
        return await inboxes.get(connection, principal.tenant, id, command)


@dataclass(frozen=True)
class Answering:
    """Takes the answer to a command, and has the next one handed out."""

    gateway: Gateway
    principal: Principal
    now: datetime

    async def __call__(self, work: Callable[[AsyncConnection], Awaitable[Command]]) -> Command:
        """Return the command as it stands after ``work``."""
        async with self.gateway.database.write() as connection:
            answered = await work(connection)
        if answered.timer_id is not None and answered.closed_at is not None:
            self.gateway.in_background(self.gateway.handover.after_command(answered.timer_id))
        self.gateway.tailer.look()
        return answered


def answering(gateway: Here, principal: AgentsWriter) -> Answering:
    """Return what takes the answer of this request."""
    return Answering(gateway, principal, gateway.clock())


Answer = Annotated[Answering, Depends(answering)]


@router.post("/{id}/commands/{command}/acknowledge", response_model=Command)
async def acknowledge_command(
    id: AgentPath, command: CommandPath, asked: Acknowledge, answer: Answer
) -> Command:
    """Close a command as done. The same lease may say so again; 409 when somebody else has it by now."""
    return await answer(
        lambda connection: inboxes.acknowledge(
            connection, answer.principal.tenant, id, command, asked.lease, asked.result, now=answer.now
        )
    )


@router.post("/{id}/commands/{command}/extend", response_model=Command)
async def extend_command(id: AgentPath, command: CommandPath, asked: Extend, answer: Answer) -> Command:
    """Keep a command for longer."""
    return await answer(
        lambda connection: inboxes.extend(
            connection, answer.principal.tenant, id, command, asked.lease, asked.by, now=answer.now
        )
    )


@router.post("/{id}/commands/{command}/progress", response_model=Command)
async def progress_command(id: AgentPath, command: CommandPath, asked: Progress, answer: Answer) -> Command:
    """Tell how far a command is, and keep it for longer."""
    return await answer(
        lambda connection: inboxes.extend(
            connection,
            answer.principal.tenant,
            id,
            command,
            asked.lease,
            asked.by,
            now=answer.now,
            progress=asked.progress,
            progressed=True,
        )
    )


@router.post("/{id}/commands/{command}/decline", response_model=Command)
async def decline_command(id: AgentPath, command: CommandPath, asked: Decline, answer: Answer) -> Command:
    """Close a command as not done, or give it back with ``requeue``."""
    return await answer(
        lambda connection: inboxes.decline(
            connection,
            answer.principal.tenant,
            id,
            command,
            asked.lease,
            asked.reason,
            requeue=asked.requeue,
            now=answer.now,
        )
    )
