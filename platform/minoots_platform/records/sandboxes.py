"""Sandboxes that stand: keep, look up, list, have closed. What happens to one is `sandbox_progress`'s."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    CloseReason,
    EventType,
    FieldProblem,
    JobProblem,
    Page,
    Sandbox,
    SandboxCreate,
    SandboxState,
)
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id

from . import contents, events, schema, tenants
from .paging import newest_first

TABLE: Final = schema.sandboxes
FINAL: Final = tuple(state.value for state in SandboxState if state.final)
FORGOTTEN_AT_ONCE: Final = 200
STANDING: Final = (SandboxState.OPEN.value, SandboxState.SUSPENDED.value)


@dataclass(frozen=True)
class Admission:
    """What is asked before a sandbox is opened.

    Attributes:
        most: sandboxes of one tenant at a time.
        idle: how long one that says nothing else may stand unused.
        lifetime: how long one that says nothing else may stand.
        longest: the most that one may ask for.
        open_within: how long a worker has to open it.
    """

    most: int
    idle: timedelta
    lifetime: timedelta
    longest: timedelta
    open_within: timedelta


@dataclass(frozen=True)
class SandboxQuery:
    """Which sandboxes; the newest first."""

    states: tuple[SandboxState, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    limit: int = 50
    cursor: str | None = None


async def accept(
    connection: AsyncConnection,
    tenant: str,
    request: SandboxCreate,
    admission: Admission,
    *,
    now: datetime,
    actor: str,
    traceparent: str | None,
) -> Sandbox:
    """Keep a sandbox that is to be opened.

    Raises:
        Failure: throttled, when too many of the tenant's stand; invalid, for a lifetime that is too long, and
            for a snapshot that is not kept.
    """
    lifetime = request.lifetime or min(admission.lifetime, admission.longest)
    if lifetime > admission.longest:
        most = f"at most {admission.longest.total_seconds():g} s"
        problem = FieldProblem(field="body.lifetime", expected=most, got=f"{lifetime.total_seconds():g} s")
        raise Failure(
            FailureKind.INVALID,
            "no sandbox may stand for so long here",
            remedy="Ask for less, or have the operator raise sandbox.standing.max_lifetime.",
            errors=(problem,),
        )
    named = frozenset() if request.from_snapshot is None else frozenset({request.from_snapshot})
    await contents.require(connection, tenant, named, now)
    await _require_room(connection, tenant, admission.most)
    idle = request.idle_timeout or admission.idle
    row = (
        await connection.execute(
            sa.insert(TABLE)
            .values(
                id=new_id("sbx", now),
                tenant=tenant,
                name=request.name or request.tier.value,
                state=SandboxState.OPENING.value,
                spec=request.model_dump(mode="json", exclude_unset=True),
                labels=dict(request.labels),
                idle_seconds=idle.total_seconds(),
                open_by=now + admission.open_within,
                expires_at=now + lifetime,
                created_at=now,
                updated_at=now,
                created_by=actor,
                traceparent=traceparent,
            )
            .returning(TABLE)
        )
    ).one()
    for sha256 in named:
        size = await contents.size(connection, tenant, sha256)
        await name_content(connection, row, sha256, size, now)
    told = {"name": row.name, "tier": request.tier.value, "by": actor}
    await tell(connection, row, EventType.SANDBOX_ACCEPTED, now, told)
    return await view(connection, row)


async def get(connection: AsyncConnection, tenant: str, sandbox_id: str) -> Sandbox:
    """Return a sandbox as it stands.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    return await view(connection, await row_of(connection, tenant, sandbox_id))


async def page(connection: AsyncConnection, tenant: str, wanted: SandboxQuery) -> Page[Sandbox]:
    """Return one page of sandboxes."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant)
    if wanted.states:
        query = query.where(TABLE.c.state.in_([state.value for state in wanted.states]))
    for key, value in wanted.labels:
        query = query.where(TABLE.c.labels[key].as_string() == value)
    found = await newest_first(
        connection,
        query,
        TABLE.c.created_at,
        "sandboxes",
        lambda row: row,
        limit=wanted.limit,
        cursor=wanted.cursor,
    )
    return Page[Sandbox](
        items=tuple([await view(connection, row) for row in found.items]), next_cursor=found.next_cursor
    )


async def close(
    connection: AsyncConnection, tenant: str, sandbox_id: str, *, now: datetime, actor: str
) -> tuple[Sandbox, bool]:
    """Have a sandbox closed; return it, and whether the engine has to be told. May be repeated.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, sandbox_id, lock=True)
    if row.state in FINAL:
        return await view(connection, row), False
    if row.close_requested_at is None:
        row = await ask_to_close(connection, row, CloseReason.REQUESTED, now)
        await tell(connection, row, EventType.SANDBOX_CLOSE_REQUESTED, now, {"by": actor})
    return await view(connection, row), True


async def ask_to_close(
    connection: AsyncConnection, row: sa.Row[Any], reason: CloseReason, now: datetime
) -> sa.Row[Any]:
    """Note that a sandbox is to be closed, whose row is locked; the first reason counts."""
    asked = {
        "close_requested_at": now,
        "reason": reason.value,
        "updated_at": now,
        "generation": row.generation + 1,
    }
    return await change(connection, row, asked)


async def change(connection: AsyncConnection, row: sa.Row[Any], values: dict[str, Any]) -> sa.Row[Any]:
    """Change a row that is locked; return it."""
    changed = sa.update(TABLE).where(TABLE.c.id == row.id).values(**values).returning(TABLE)
    found: sa.Row[Any] = (await connection.execute(changed)).one()
    return found


async def name_content(
    connection: AsyncConnection, row: sa.Row[Any], sha256: str, size: int, now: datetime
) -> None:
    """Keep a content from being forgotten for as long as the sandbox is remembered."""
    table = schema.sandbox_contents
    known = sa.select(table.c.sha256).where(table.c.sandbox_id == row.id, table.c.sha256 == sha256)
    if (await connection.execute(known)).one_or_none() is not None:
        return
    values = {
        "sandbox_id": row.id,
        "sha256": sha256,
        "tenant": row.tenant,
        "bytes": size,
        "created_at": now,
    }
    await connection.execute(sa.insert(table).values(**values))


async def row_of(
    connection: AsyncConnection, tenant: str, sandbox_id: str, *, lock: bool = False
) -> sa.Row[Any]:
    """Return the row of a sandbox.

    Raises:
        Failure: not_found.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == sandbox_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"there is no sandbox {sandbox_id}",
            remedy="GET /v1/sandboxes lists them.",
        )
    return row


async def states_among(connection: AsyncConnection, tenant: str, ids: Collection[str]) -> dict[str, str]:
    """Return the states of those sandboxes that there are, by their ids."""
    query = sa.select(TABLE.c.id, TABLE.c.state).where(TABLE.c.tenant == tenant, TABLE.c.id.in_(ids))
    return {row.id: row.state for row in await connection.execute(query)}


async def require_standing(
    connection: AsyncConnection, tenant: str, sandbox_id: str, now: datetime
) -> sa.Row[Any]:
    """Return the row of a sandbox that can be used, and note that somebody does.

    Raises:
        Failure: not_found; conflict, when it does not stand.
    """
    row = await row_of(connection, tenant, sandbox_id, lock=True)
    if row.state not in STANDING or row.close_requested_at is not None:
        raise not_standing(row)
    return await change(connection, row, {"used_at": now})


def not_standing(row: sa.Row[Any]) -> Failure:
    """Return the error of a sandbox that cannot be used as it stands."""
    if row.state == SandboxState.OPENING.value:
        remedy = "Wait until it is open: GET /v1/sandboxes/{id}?wait=30."
        return Failure(FailureKind.CONFLICT, "the sandbox is not open yet", remedy=remedy)
    how = row.state if row.state in FINAL else "about to be closed"
    remedy = "Open another: POST /v1/sandboxes; from_snapshot begins with the files of a snapshot."
    return Failure(FailureKind.CONFLICT, f"the sandbox is {how}", remedy=remedy)


async def unfinished_jobs(connection: AsyncConnection, sandbox_id: str) -> tuple[int, datetime | None]:
    """Return how many jobs in a sandbox have not ended, and when the last one did."""
    jobs = schema.jobs
    waiting = sa.select(sa.func.count()).where(jobs.c.sandbox_id == sandbox_id, jobs.c.ended_at.is_(None))
    last = sa.select(jobs.c.ended_at).where(jobs.c.sandbox_id == sandbox_id, jobs.c.ended_at.is_not(None))
    count = int((await connection.execute(waiting)).scalar_one())
    return count, (await connection.execute(last.order_by(jobs.c.ended_at.desc()).limit(1))).scalar()


async def program_ended(connection: AsyncConnection, sandbox_id: str, now: datetime) -> None:
    """Have whoever sees to a sandbox told that the last program in it has ended: from now on it is idle.

    In the transaction in which the program ends, so that the engine hears of it whatever happens next.
    """
    query = sa.select(TABLE).where(TABLE.c.id == sandbox_id, TABLE.c.ended_at.is_(None)).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    # Counted under the lock: of two that end together, the later one is the last.
    if row is None or (await unfinished_jobs(connection, sandbox_id))[0]:
        return
    await change(connection, row, {"updated_at": now, "generation": row.generation + 1})


async def tell(
    connection: AsyncConnection, row: sa.Row[Any], kind: EventType, now: datetime, data: dict[str, Any]
) -> None:
    """Tell the tenant's log of a sandbox."""
    await events.append(
        connection, row.tenant, [events.NewEvent(kind, row.id, now, data, row.labels, row.traceparent)]
    )


async def forget_ended(
    connection: AsyncConnection, before: datetime, *, limit: int = FORGOTTEN_AT_ONCE
) -> int:
    """Forget up to ``limit`` sandboxes that ended before a moment; return how many."""
    long_ago = sa.select(TABLE.c.id).where(TABLE.c.ended_at < before).order_by(TABLE.c.ended_at).limit(limit)
    ids = list(await connection.scalars(long_ago))
    if ids:
        named = schema.sandbox_contents
        await connection.execute(sa.delete(named).where(named.c.sandbox_id.in_(ids)))
        await connection.execute(sa.delete(TABLE).where(TABLE.c.id.in_(ids)))
    return len(ids)


async def view(connection: AsyncConnection, row: sa.Row[Any]) -> Sandbox:
    """Return a sandbox as it is answered."""
    spec = SandboxCreate.model_validate(row.spec)
    programs = 0 if row.state in FINAL else (await unfinished_jobs(connection, row.id))[0]
    return Sandbox(
        id=row.id,
        name=row.name,
        state=row.state,
        tier=spec.tier,
        image=spec.image,
        limits=spec.limits,
        network=spec.network,
        labels=row.labels,
        idle_timeout=timedelta(seconds=row.idle_seconds),
        lifetime=row.expires_at - row.created_at,
        keep=spec.keep,
        from_snapshot=spec.from_snapshot,
        snapshot=row.snapshot,
        opened=row.opened,
        held_by=row.held_by or {},
        programs=programs,
        close_requested=row.close_requested_at is not None,
        reason=row.reason,
        problem=None if row.problem is None else JobProblem.model_validate(row.problem),
        created_at=row.created_at,
        created_by=row.created_by,
        opened_at=row.opened_at,
        used_at=row.used_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )


async def _require_room(connection: AsyncConnection, tenant: str, most: int) -> None:
    await tenants.one_after_the_other(connection, tenant)
    standing = sa.select(sa.func.count()).where(TABLE.c.tenant == tenant, TABLE.c.ended_at.is_(None))
    if (await connection.execute(standing)).scalar_one() >= most:
        raise Failure(
            FailureKind.THROTTLED,
            f"{most} sandboxes stand already",
            remedy="Close some, or have the operator raise sandbox.standing.per_tenant.",
        )
