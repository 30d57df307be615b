"""What happens to a sandbox that stands: it is opened, used, suspended, lost, closed; it ends once.

Each opening has a number, the epoch. What is told under another number than the newest is refused: a worker
that was thought dead changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import CloseReason, EventType, JobProblem, SandboxCreate, SandboxState
from minoots.errors import FailureKind

from . import sandboxes
from .sandboxes import FINAL, STANDING, TABLE, change, row_of, tell

_GRACE: Final = timedelta(seconds=60)
"""Past its lifetime, a worker ends a sandbox by itself, whatever has become of its workflow."""


class Needs(StrEnum):
    """What is next for a sandbox."""

    NOTHING = "nothing"
    OPENING = "opening"
    HOLDING = "holding"
    CLOSING = "closing"


@dataclass(frozen=True)
class Look:
    """How a sandbox stands, for whoever sees to it.

    Attributes:
        queue: of the worker that holds it.
        wake_at: when to look again, if nothing happens before.
    """

    state: SandboxState
    needs: Needs
    epoch: int
    queue: str = ""
    wake_at: datetime | None = None


@dataclass(frozen=True)
class Opening:
    """One opening of a sandbox: what is wanted, under which number.

    Attributes:
        snapshot: the content that it begins with.
        actor: who has asked for it.
        asked_at: when.
        expires_at: until when it may stand.
        failures: how often this has failed since it last stood, or was asked for.
    """

    tenant: str
    sandbox_id: str
    epoch: int
    spec: SandboxCreate
    snapshot: str | None
    actor: str
    asked_at: datetime
    expires_at: datetime
    failures: int = 0


async def look(connection: AsyncConnection, tenant: str, sandbox_id: str, now: datetime) -> Look:
    """Return what is next for a sandbox; have it closed when it is idle or too old.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, sandbox_id, lock=True)
    if row.state in FINAL:
        return Look(SandboxState(row.state), Needs.NOTHING, row.epoch)
    idle_at = None
    if row.close_requested_at is None:
        reason = CloseReason.LIFETIME if now >= row.expires_at else None
        if reason is None and row.state == SandboxState.OPEN.value:
            idle_at = await _idle_at(connection, row, now)
            reason = CloseReason.IDLE if idle_at is not None and now >= idle_at else None
        if reason is not None:
            row = await sandboxes.ask_to_close(connection, row, reason, now)
    state = SandboxState(row.state)
    if state is SandboxState.OPENING:
        if row.close_requested_at is not None:
            row = await _end(connection, row, SandboxState.CLOSED, now)
        elif now >= row.open_by:
            row = await _end(connection, row, SandboxState.FAILED, now, row.problem or _nobody())
        else:
            return Look(state, Needs.OPENING, row.epoch, wake_at=row.open_by)
        return Look(SandboxState(row.state), Needs.NOTHING, row.epoch)
    if row.close_requested_at is not None:
        return Look(state, Needs.CLOSING, row.epoch, row.queue)
    wake_at = row.expires_at if idle_at is None else min(idle_at, row.expires_at)
    return Look(state, Needs.HOLDING, row.epoch, row.queue, wake_at)


async def begin(connection: AsyncConnection, tenant: str, sandbox_id: str, now: datetime) -> Opening | None:
    """Begin an opening under a new number; ``None`` when it is not wanted any more.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, sandbox_id, lock=True)
    if row.state != SandboxState.OPENING.value or row.close_requested_at is not None:
        return None
    row = await change(connection, row, {"epoch": row.epoch + 1, "updated_at": now})
    spec = SandboxCreate.model_validate(row.spec)
    snapshot = row.snapshot or spec.from_snapshot
    return Opening(
        tenant,
        row.id,
        row.epoch,
        spec,
        snapshot,
        actor=row.created_by,
        asked_at=row.created_at,
        expires_at=row.expires_at,
        failures=row.failures,
    )


async def opened(
    connection: AsyncConnection, opening: Opening, queue: str, held_by: Mapping[str, str], now: datetime
) -> bool:
    """Note that a sandbox stands; ``False`` when another opening has begun, or it has ended meanwhile."""
    row = await row_of(connection, opening.tenant, opening.sandbox_id, lock=True)
    if row.state != SandboxState.OPENING.value or row.epoch != opening.epoch:
        return False
    values = {
        "state": SandboxState.OPEN.value,
        "queue": queue,
        "held_by": dict(held_by),
        "opened": row.opened + 1,
        "failures": 0,
        "problem": None,
        "updated_at": now,
        "opened_at": row.opened_at or now,
        "used_at": now,
    }
    row = await change(connection, row, values)
    told: dict[str, Any] = {"name": row.name, "tier": opening.spec.tier.value}
    if row.opened > 1:
        told["again"] = row.opened - 1
    await tell(connection, row, EventType.SANDBOX_OPENED, now, told)
    return True


async def not_opened(
    connection: AsyncConnection,
    opening: Opening,
    problem: JobProblem,
    now: datetime,
    *,
    final: bool,
    failed: bool = True,
) -> None:
    """Note why a sandbox did not open, for now or for good.

    Args:
        connection: of a writing transaction.
        opening: which opening of it.
        problem: why not.
        now: the time.
        final: whether it is given up.
        failed: whether that counts as a failure; to wait for one's turn is none.
    """
    row = await row_of(connection, opening.tenant, opening.sandbox_id, lock=True)
    if row.state != SandboxState.OPENING.value or row.epoch != opening.epoch:
        return
    if final:
        await _end(connection, row, SandboxState.FAILED, now, problem.model_dump(mode="json"))
    else:
        failures = row.failures + 1 if failed else row.failures
        told = {"problem": problem.model_dump(mode="json"), "failures": failures, "updated_at": now}
        await change(connection, row, told)


async def lost(
    connection: AsyncConnection, tenant: str, sandbox_id: str, epoch: int, problem: JobProblem, now: datetime
) -> None:
    """Note that nothing of a sandbox is left; it begins again where it is to be kept.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, sandbox_id, lock=True)
    if row.state not in STANDING or row.epoch != epoch:
        return
    told = problem.model_dump(mode="json")
    if row.close_requested_at is not None:
        await _end(connection, row, SandboxState.CLOSED, now)
    elif SandboxCreate.model_validate(row.spec).keep and now < row.expires_at:
        again = {
            "state": SandboxState.OPENING.value,
            "queue": None,
            "problem": told,
            "updated_at": now,
            # As long as the first time: what it says there is not kept, but how long it took.
            "open_by": now + (row.open_by - row.created_at if row.opened == 1 else _GRACE),
        }
        row = await change(connection, row, again)
        about = {"name": row.name, "detail": problem.detail, "begins_again": True}
        await tell(connection, row, EventType.SANDBOX_LOST, now, about)
    else:
        await _end(connection, row, SandboxState.LOST, now, told)


async def closed(
    connection: AsyncConnection,
    tenant: str,
    sandbox_id: str,
    now: datetime,
    reason: CloseReason = CloseReason.OPERATOR,
) -> None:
    """Note that a sandbox is closed. ``reason`` counts where nobody has given one before.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, sandbox_id, lock=True)
    if row.state in FINAL:
        return
    if row.close_requested_at is None:
        row = await sandboxes.ask_to_close(connection, row, reason, now)
    await _end(connection, row, SandboxState.CLOSED, now)


async def paused(
    connection: AsyncConnection, tenant: str, sandbox_id: str, epoch: int, now: datetime, *, pause: bool
) -> None:
    """Note that a sandbox was suspended, or resumed. May be repeated."""
    row = await row_of(connection, tenant, sandbox_id, lock=True)
    wanted = SandboxState.SUSPENDED if pause else SandboxState.OPEN
    if row.state not in STANDING or row.epoch != epoch or row.state == wanted.value:
        return
    row = await change(connection, row, {"state": wanted.value, "updated_at": now, "used_at": now})
    kind = EventType.SANDBOX_SUSPENDED if pause else EventType.SANDBOX_RESUMED
    await tell(connection, row, kind, now, {"name": row.name})


async def snapshot_taken(
    connection: AsyncConnection,
    tenant: str,
    sandbox_id: str,
    epoch: int,
    sha256: str,
    size: int,
    now: datetime,
) -> None:
    """Note a snapshot of a sandbox."""
    row = await row_of(connection, tenant, sandbox_id, lock=True)
    await sandboxes.name_content(connection, row, sha256, size, now)
    if row.state not in STANDING or row.epoch != epoch:
        return
    row = await change(connection, row, {"snapshot": sha256, "updated_at": now, "used_at": now})
    told = {"name": row.name, "sha256": sha256, "bytes": size}
    await tell(connection, row, EventType.SANDBOX_SNAPSHOT_TAKEN, now, told)


async def wanted(connection: AsyncConnection, held: Mapping[str, int], now: datetime) -> frozenset[str]:
    """Return which of the sandboxes that a worker holds, under these numbers, are still to be held."""
    query = sa.select(TABLE.c.id, TABLE.c.epoch).where(
        TABLE.c.id.in_(held), TABLE.c.ended_at.is_(None), TABLE.c.expires_at > now - _GRACE
    )
    return frozenset(row.id for row in await connection.execute(query) if row.epoch == held[row.id])


async def _idle_at(connection: AsyncConnection, row: sa.Row[Any], now: datetime) -> datetime | None:
    """Return when an open sandbox will have been idle for too long, if nobody uses it before.

    ``None`` as long as a program waits or runs in it: the end of the last one is told
    (`sandboxes.program_ended`), and to look again and again would make a history without end.
    """
    idle = timedelta(seconds=row.idle_seconds)
    waiting, last = await sandboxes.unfinished_jobs(connection, row.id)
    if waiting:
        return None
    return max(moment for moment in (row.used_at or now, last) if moment is not None) + idle


async def _end(
    connection: AsyncConnection,
    row: sa.Row[Any],
    state: SandboxState,
    now: datetime,
    problem: Mapping[str, Any] | None = None,
) -> sa.Row[Any]:
    values = {
        "state": state.value,
        "queue": None,
        "problem": None if problem is None else dict(problem),
        "updated_at": now,
        "ended_at": now,
    }
    row = await change(connection, row, values)
    told: dict[str, Any] = {"name": row.name}
    if problem is not None:
        told |= {"problem": problem["detail"], "remedy": problem.get("remedy")}
    kind = {
        SandboxState.CLOSED: EventType.SANDBOX_CLOSED,
        SandboxState.LOST: EventType.SANDBOX_LOST,
        SandboxState.FAILED: EventType.SANDBOX_FAILED,
    }[state]
    if state is SandboxState.CLOSED:
        told["reason"] = row.reason
    await tell(connection, row, kind, now, told)
    return row


def _nobody() -> dict[str, Any]:
    problem = JobProblem(
        kind=FailureKind.UNAVAILABLE,
        detail="no worker has opened it in time",
        remedy="See that a worker serves the queue sandbox and has room: sandbox.standing.per_worker.",
        outcome="never_started",
    )
    return problem.model_dump(mode="json")
