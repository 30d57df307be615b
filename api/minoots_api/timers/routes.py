"""``/v1/timers``: set, look up, list, change."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import (
    AcknowledgeEscalation,
    Attempt,
    Cancel,
    Escalation,
    Event,
    Page,
    Preview,
    PreviewRequest,
    Snooze,
    Timer,
    TimerCreate,
    TimerPatch,
    TimerState,
    Why,
)
from minoots.contracts.base import Instant
from minoots.errors import Failure, FailureKind
from minoots_api.commands import run_once
from minoots_api.escalations.acting import Acting
from minoots_api.events.about import After, events_about
from minoots_api.gateway import Here
from minoots_api.parameters import Cursor, IdempotencyKey, LabelFilter, Limit, Text, TimerId
from minoots_api.principals import TimersReader, TimersWriter
from minoots_api.routing import Router
from minoots_api.schedules.checking import require_possible
from minoots_api.waiting import Wait, when_final
from minoots_platform.records import attempts, commands, escalations, schedules, timers, why
from minoots_platform.records.commands import UNSET
from minoots_platform.telemetry.trace_context import current_traceparent
from minoots_workflows.deliveries.retry import preview

from .accepting import require_open
from .changing import Run
from .destinations import require_allowed, require_ladder_allowed, require_words_allowed
from .due import asked_to_fire_late, due_at
from .templates import require_bodies

router = Router(prefix="/v1/timers", tags=["timers"])

Sort = Literal["due", "-due", "created", "-created"]


@router.post("", status_code=201, response_model=Timer)
async def create_timer(
    spec: TimerCreate, request: Request, gateway: Here, principal: TimersWriter, key: IdempotencyKey = None
) -> Response:
    """Set a timer. It is kept before the answer is sent, and armed right after.

    With ``schedule`` it recurs: the answer is its first occurrence, and names the schedule.
    """
    await require_open(gateway, principal.tenant)
    require_allowed(spec.actions, gateway.settings, principal)
    require_ladder_allowed(spec.acknowledge, gateway.settings, principal, "body.acknowledge")
    now = gateway.clock()
    require_bodies(gateway, principal.tenant, spec, now)
    fire_at = due_at(spec.fire_at, spec.after, now, past_allowed=asked_to_fire_late(_sent_misfire(spec)))
    if spec.schedule is not None:
        await require_possible(spec.schedule, now)
    common: Any = {"now": now, "actor": principal.subject, "traceparent": current_traceparent()}

    async def work(connection: AsyncConnection) -> Timer:
        if fire_at is None:
            return await schedules.accept(connection, principal.tenant, spec, **common)
        return await timers.accept(connection, principal.tenant, spec, fire_at=fire_at, **common)

    answered = await run_once(gateway, request, principal, key, work, status=201)
    timer_id = answered.answer["id"]
    if not answered.replayed:
        gateway.telemetry.metrics.timer_created()
        if occurrence := answered.answer["occurrence"]:
            schedule_id = occurrence["schedule_id"]
            await gateway.hand_over(gateway.handover.schedule(principal.tenant, schedule_id))
            gateway.in_background(gateway.handover.timers_of(schedule_id))
        else:
            await gateway.hand_over(gateway.handover.timer(principal.tenant, timer_id))
    return answered.response(Location=f"/v1/timers/{timer_id}", ETag=f'"{answered.answer["generation"]}"')


@router.get("", response_model=Page[Timer])
async def list_timers(
    gateway: Here,
    principal: TimersReader,
    state: Annotated[list[TimerState] | None, Query(max_length=10)] = None,
    label: Annotated[
        list[LabelFilter] | None,
        Query(max_length=32, description="`key:value`; repeat for several, all must match."),
    ] = None,
    name: Annotated[Text | None, Query(max_length=200)] = None,
    due_after: Annotated[Instant | None, Query(description="Due then or later.")] = None,
    due_before: Annotated[Instant | None, Query(description="Due before then.")] = None,
    schedule: Annotated[Text | None, Query(max_length=40, description="Id of a schedule.")] = None,
    plan: Annotated[Text | None, Query(max_length=40, description="Id of a plan.")] = None,
    sort: Sort = "-created",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List timers, the newest first unless asked otherwise. Pages stay stable while timers come and go."""
    wanted = timers.TimerQuery(
        states=tuple(state or ()),
        labels=tuple((key, value) for key, _, value in (one.partition(":") for one in label or ())),
        name=name,
        schedule_id=schedule,
        plan_id=plan,
        due_after=due_after,
        due_before=due_before,
        sort=sort,
        limit=limit,
        cursor=cursor,
    )
    async with gateway.database.read() as connection:
        page = await timers.page(connection, principal.tenant, wanted)
    return Response(page.model_dump_json(), media_type="application/json")


@router.post("/preview", response_model=Preview)
async def preview_timer(asked: PreviewRequest, gateway: Here, principal: TimersReader) -> Preview:
    """Show the exact times at which a retry policy would attempt a delivery, before anything is saved."""
    now = gateway.clock()
    return preview(asked.retry, due_at(asked.fire_at, asked.after, now, past_allowed=True) or now)


@router.get("/{id}", response_model=Timer)
async def get_timer(
    timer_id: TimerId,
    gateway: Here,
    principal: TimersReader,
    wait: Wait = 0,
) -> Response:
    """Get a timer; with ``wait``, answer as soon as it is final."""
    tenant = principal.tenant
    timer = await when_final(gateway, tenant, lambda read: timers.get(read, tenant, timer_id), wait)
    etag = {"ETag": f'"{timer.generation}"'}
    return Response(timer.model_dump_json(), headers=etag, media_type="application/json")


@router.patch("/{id}", response_model=Timer)
async def change_timer(timer_id: TimerId, patch: TimerPatch, run: Run) -> Response:
    """Change the due time, payload or labels of a timer that has not fired."""
    fire_at = due_at(patch.fire_at, patch.after, run.now, past_allowed=False)
    payload = patch.payload if "payload" in patch.model_fields_set else UNSET
    if payload is not UNSET:
        async with run.gateway.database.read() as connection:
            timer = await timers.get(connection, run.principal.tenant, timer_id)
        require_words_allowed(timer.actions, run.gateway.settings, run.principal)
    return await run(timer_id, commands.Reschedule(fire_at=fire_at, payload=payload, labels=patch.labels))


@router.post("/{id}/cancel", response_model=Timer)
async def cancel_timer(timer_id: TimerId, run: Run, asked: Cancel | None = None) -> Response:
    """Call a timer off; of one that fired, stop the retries. 409 when it is too late."""
    return await run(timer_id, commands.CancelIt(asked.reason if asked else None))


@router.post("/{id}/snooze", response_model=Timer)
async def snooze_timer(timer_id: TimerId, asked: Snooze, run: Run) -> Response:
    """Put a timer off: it fires ``after`` from now."""
    return await run(timer_id, commands.SnoozeBy(asked.after))


@router.post("/{id}/pause", response_model=Timer)
async def pause_timer(timer_id: TimerId, run: Run) -> Response:
    """Hold a timer; it keeps its due time."""
    return await run(timer_id, commands.Pause())


@router.post("/{id}/resume", response_model=Timer)
async def resume_timer(timer_id: TimerId, run: Run) -> Response:
    """Let a paused timer run again; one whose due time has passed fires at once, or by its misfire policy."""
    return await run(timer_id, commands.Resume())


@router.post("/{id}/fire", response_model=Timer)
async def fire_timer(timer_id: TimerId, run: Run) -> Response:
    """Fire a timer now."""
    return await run(timer_id, commands.FireNow())


@router.get("/{id}/events", response_model=Page[Event])
async def timer_events(
    timer_id: TimerId,
    gateway: Here,
    principal: TimersReader,
    cursor: After = 0,
    limit: Limit = 100,
) -> Page[Event]:
    """List what happened to a timer, the oldest first."""
    async with gateway.database.read() as connection:
        await timers.row_of(connection, principal.tenant, timer_id)
        return await events_about(connection, principal.tenant, timer_id, after=cursor, limit=limit)


@router.get("/{id}/attempts", response_model=Page[Attempt])
async def timer_attempts(timer_id: TimerId, gateway: Here, principal: TimersReader) -> Page[Attempt]:
    """List every attempt to deliver a timer's actions, in the order they were made."""
    async with gateway.database.read() as connection:
        found = await attempts.of_timer(connection, principal.tenant, timer_id)
    return Page[Attempt](items=found)


@router.get("/{id}/why", response_model=Why)
async def timer_why(timer_id: TimerId, gateway: Here, principal: TimersReader) -> Why:
    """Tell in plain words what happened to a timer, or will happen, and when."""
    async with gateway.database.read() as connection:
        return await why.why(connection, principal.tenant, timer_id, gateway.clock())


def _sent_misfire(spec: TimerCreate) -> Any:
    return spec.misfire if "misfire" in spec.model_fields_set else None


@router.post("/{id}/acknowledge", response_model=Escalation)
async def acknowledge_timer(
    timer_id: TimerId, act: Acting, asked: AcknowledgeEscalation | None = None
) -> Response:
    """Acknowledge a timer that fired and requires it: the short way to its escalation."""
    async with act.gateway.database.read() as connection:
        timer = await timers.get(connection, act.principal.tenant, timer_id)
    if timer.escalation_id is None:
        why = "it has not fired yet" if timer.acknowledge else "nobody has to acknowledge it"
        raise Failure(
            FailureKind.CONFLICT,
            f"timer {timer_id}: {why}",
            remedy="Only a timer that was set with acknowledge, and has fired, can be acknowledged.",
        )
    given = asked or AcknowledgeEscalation()
    return await act(timer.escalation_id, escalations.acknowledge, given.by, None, given.result)
