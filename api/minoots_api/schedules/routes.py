"""``/v1/schedules``: look up, list and change what recurs. One is set with ``POST /v1/timers``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import (
    Backfill,
    Backfilled,
    Cancel,
    Event,
    Page,
    Schedule,
    SchedulePatch,
    SchedulePreview,
    SchedulePreviewRequest,
    ScheduleState,
    Timer,
)
from minoots_api.commands import run_once
from minoots_api.events.about import After, events_about
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import Cursor, IdempotencyKey, Limit, Text, known_form
from minoots_api.principals import TimersReader, TimersWriter
from minoots_api.routing import Router
from minoots_api.timers.destinations import require_words_allowed
from minoots_platform.identity import Principal
from minoots_platform.records import schedules
from minoots_platform.recurrence import preview

from .checking import require_possible

router = Router(prefix="/v1/schedules", tags=["schedules"])


def schedule_id(id: Annotated[str, Path(examples=["sch_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"])]) -> str:
    """Return the id of a schedule from the path."""
    return known_form(id, "sch", "schedule")


ScheduleId = Annotated[str, Depends(schedule_id)]


@dataclass(frozen=True)
class Runner:
    """Runs a command on a schedule once for each idempotency key, and hands over what it changed."""

    request: Request
    gateway: Gateway
    principal: Principal
    key: str | None
    now: datetime

    async def __call__(
        self, schedule_id: str, work: Callable[[AsyncConnection], Awaitable[BaseModel]], status: int = 200
    ) -> Response:
        """Answer with what ``work`` returns."""
        answered = await run_once(self.gateway, self.request, self.principal, self.key, work, status=status)
        if not answered.replayed:
            tenant, handover = self.principal.tenant, self.gateway.handover
            await self.gateway.hand_over(handover.schedule(tenant, schedule_id))
            self.gateway.in_background(handover.timers_of(schedule_id))
        return answered.response()


def runner(request: Request, gateway: Here, principal: TimersWriter, key: IdempotencyKey = None) -> Runner:
    """Return what runs the command of this request."""
    return Runner(request, gateway, principal, key, gateway.clock())


Run = Annotated[Runner, Depends(runner)]


@router.post("/preview", response_model=SchedulePreview)
async def preview_schedule(
    asked: SchedulePreviewRequest, gateway: Here, principal: TimersReader
) -> SchedulePreview:
    """Show the next times of a schedule, with what daylight saving time does to them."""
    now = gateway.clock()
    await require_possible(asked.schedule, now)
    return preview(asked.schedule, asked.after or now, now, asked.limit)


@router.get("", response_model=Page[Schedule])
async def list_schedules(
    gateway: Here,
    principal: TimersReader,
    state: Annotated[list[ScheduleState] | None, Query(max_length=4)] = None,
    name: Annotated[Text | None, Query(max_length=200)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List schedules, the newest first."""
    wanted = schedules.ScheduleQuery(states=tuple(state or ()), name=name, limit=limit, cursor=cursor)
    async with gateway.database.read() as connection:
        page = await schedules.page(connection, principal.tenant, wanted)
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/{id}", response_model=Schedule)
async def get_schedule(schedule_id: ScheduleId, gateway: Here, principal: TimersReader) -> Schedule:
    """Get a schedule."""
    async with gateway.database.read() as connection:
        return await schedules.get(connection, principal.tenant, schedule_id)


@router.patch("/{id}", response_model=Schedule)
async def change_schedule(schedule_id: ScheduleId, patch: SchedulePatch, run: Run) -> Response:
    """Change rules, payload or labels; the timers that wait are made anew."""
    if patch.schedule is not None:
        await require_possible(patch.schedule, run.now)
    if "payload" in patch.model_fields_set:
        async with run.gateway.database.read() as connection:
            schedule = await schedules.get(connection, run.principal.tenant, schedule_id)
        require_words_allowed(schedule.actions, run.gateway.settings, run.principal)
    return await run(schedule_id, _work(schedules.update, run, schedule_id, patch))


@router.post("/{id}/pause", response_model=Schedule)
async def pause_schedule(schedule_id: ScheduleId, run: Run) -> Response:
    """Hold a schedule, and its timers that wait."""
    return await run(schedule_id, _work(schedules.pause, run, schedule_id))


@router.post("/{id}/resume", response_model=Schedule)
async def resume_schedule(schedule_id: ScheduleId, run: Run) -> Response:
    """Let a paused schedule go on from now; times that passed meanwhile are left out."""
    return await run(schedule_id, _work(schedules.resume, run, schedule_id))


@router.post("/{id}/cancel", response_model=Schedule)
async def cancel_schedule(schedule_id: ScheduleId, run: Run, asked: Cancel | None = None) -> Response:
    """End a schedule for good, with its timers that wait; what has fired goes on."""
    return await run(schedule_id, _work(schedules.cancel, run, schedule_id, asked.reason if asked else None))


@router.post("/{id}/trigger", response_model=Timer, status_code=201)
async def trigger_schedule(schedule_id: ScheduleId, run: Run) -> Response:
    """Make an occurrence that is due now."""
    return await run(schedule_id, _work(schedules.trigger, run, schedule_id), 201)


@router.post("/{id}/backfill", response_model=Backfilled, status_code=201)
async def backfill_schedule(schedule_id: ScheduleId, asked: Backfill, run: Run) -> Response:
    """Make occurrences, due now, for the times that the rules give in a range of the past."""
    return await run(schedule_id, _work(schedules.backfill, run, schedule_id, asked), 201)


@router.get("/{id}/events", response_model=Page[Event])
async def schedule_events(
    schedule_id: ScheduleId,
    gateway: Here,
    principal: TimersReader,
    cursor: After = 0,
    limit: Limit = 100,
) -> Page[Event]:
    """List what happened to a schedule, the oldest first; its timers have events of their own."""
    async with gateway.database.read() as connection:
        await schedules.row_of(connection, principal.tenant, schedule_id)
        return await events_about(connection, principal.tenant, schedule_id, after=cursor, limit=limit)


def _work(
    command: Callable[..., Awaitable[BaseModel]], run: Runner, schedule_id: str, *arguments: Any
) -> Callable[[AsyncConnection], Awaitable[BaseModel]]:
    async def work(connection: AsyncConnection) -> BaseModel:
        return await command(
            connection,
            run.principal.tenant,
            schedule_id,
            *arguments,
            now=run.now,
            actor=run.principal.subject,
        )

    return work
