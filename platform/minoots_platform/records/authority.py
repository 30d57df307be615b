"""In whose name something begins that was set long ago, and whether they still may.

A timer, a schedule, a plan or an escalation keeps who has set it. What they start is theirs, and so is looked
at when it starts: a key that was revoked meanwhile starts nothing any more. Decides and reads; what follows
from a refusal is the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import AgentJob, AgentTool, ExecJob, JobKind, LlmJob
from minoots.errors import Failure, FailureKind
from minoots_platform.identity import Principal, Scope

from . import schema

LOCAL: Final = Principal("dev", "local", frozenset({Scope.ADMIN}))
"""Whoever uses a development stack from its own machine, without a key."""
_BEGUN_BY: Final = {"escalation": schema.escalations, "heartbeat": schema.heartbeats}
"""What begins something itself, in the name of whoever has set it."""
NEEDED: Final = {
    AgentTool.SET_TIMER: (Scope.TIMERS_WRITE,),
    AgentTool.CONTEXT: (Scope.SESSIONS_READ, Scope.SOURCES_READ),
}
"""What somebody has to be allowed for an agent of theirs to have a tool."""
_MOST_STEPS: Final = 4
"""From a notice over its escalation and the heartbeat that began it to a key, and one to spare."""


async def behind(
    connection: AsyncConnection, tenant: str, subject: str, *, now: datetime, local: bool
) -> Principal:
    """Return the principal that stands behind ``subject``, as they are now.

    Args:
        connection: of a transaction, in which what follows is done.
        tenant: whose it is; nobody of another tenant stands behind it.
        subject: who has set it: a key's id, ``local``, or ``escalation/ID`` and ``heartbeat/ID``, which act
            for whoever has set these.
        now: the time.
        local: whether programs of this machine get in without a key.

    Raises:
        Failure: denied, with why nobody does any more.
    """
    named = subject
    for _ in range(_MOST_STEPS):
        kind, separator, name = named.partition("/")
        table = _BEGUN_BY.get(kind) if separator else None
        if table is None:
            break
        query = sa.select(table.c.created_by).where(table.c.tenant == tenant, table.c.id == name)
        found = (await connection.execute(query)).scalar_one_or_none()
        if found is None:
            raise _nobody(f"the {kind} {name} is gone")
        named = found
    if named == LOCAL.subject:
        if tenant == LOCAL.tenant and local:
            return LOCAL
        raise _nobody("it was set without a key, and gateway.allow_dev_tenant is off")
    keys = schema.api_keys
    row = (
        await connection.execute(sa.select(keys).where(keys.c.tenant == tenant, keys.c.id == named))
    ).one_or_none()
    if row is None:
        raise _nobody(f"{named} is no key")
    if row.revoked_at is not None:
        raise _nobody(f"the key {named} is revoked")
    if row.expires_at is not None and row.expires_at <= now:
        raise _nobody(f"the key {named} has expired")
    return Principal(row.tenant, row.id, frozenset(Scope(scope) for scope in row.scopes), row.acts_as)


def scopes_for(job: LlmJob | ExecJob | AgentJob) -> tuple[Scope, ...]:
    """Return what whoever submits a job has to be allowed: what the job itself may do, too."""
    tools = [rule.name for rule in job.tools or ()] if isinstance(job, AgentJob) else []
    standing = isinstance(job, ExecJob) and job.sandbox is not None
    return (
        Scope.JOBS_WRITE,
        *(scope for tool in tools for scope in NEEDED.get(tool, ())),
        *((Scope.SANDBOXES_WRITE,) if standing else ()),
    )


def scopes_to_see(kind: str, spec: Mapping[str, Any]) -> tuple[Scope, ...]:
    """Return what somebody has to be allowed, beside ``jobs:read``, to see what a job has seen and made.

    What an agent has looked up stands in its events, its words and its files: nobody can tell which of them
    are free of it.
    """
    tools = [rule["name"] for rule in spec.get("tools") or ()] if kind == JobKind.AGENT.value else []
    return NEEDED[AgentTool.CONTEXT] if AgentTool.CONTEXT.value in tools else ()


async def require_behind(
    connection: AsyncConnection,
    tenant: str,
    subject: str,
    needed: tuple[Scope, ...],
    *,
    now: datetime,
    local: bool,
) -> Principal:
    """Return who stands behind ``subject``, if they may do all that is needed. See `behind`.

    Raises:
        Failure: denied.
    """
    principal = await behind(connection, tenant, subject, now=now, local=local)
    for scope in needed:
        principal.require(scope)
    return principal


def _nobody(why: str) -> Failure:
    return Failure(
        FailureKind.DENIED,
        f"nobody stands behind it any more: {why}",
        remedy="Set it again, with a key that is valid and has the scopes that it needs.",
    )
