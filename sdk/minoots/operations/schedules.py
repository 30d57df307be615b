"""Operations on schedules. One is set with ``timers.create(schedule=…)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from minoots.call import Call, body_of, checked, get, key_header, pairs, path, post
from minoots.contracts.events import Event
from minoots.contracts.pages import Page
from minoots.contracts.schedules import (
    Backfill,
    Backfilled,
    Overlap,
    Schedule,
    SchedulePatch,
    SchedulePreview,
    SchedulePreviewRequest,
    ScheduleSpec,
    ScheduleState,
)
from minoots.contracts.timers import Cancel, Timer

from .timers import Moment

Spec = ScheduleSpec | Mapping[str, Any]
"""When something recurs: a `ScheduleSpec`, or its fields as on the wire."""


class ScheduleFilter(TypedDict, total=False):
    """Arguments of ``schedules.list``; every one that is given must match."""

    state: ScheduleState | str | Sequence[ScheduleState | str] | None
    name: str | None
    page_size: int | None


class ScheduleChange(TypedDict, total=False):
    """Arguments of ``schedules.update``; what is not given stays as it is."""

    schedule: Spec
    payload: Any
    labels: Mapping[str, str]


def read(schedule_id: str) -> Call[Schedule]:
    """GET /v1/schedules/{id}."""
    return get(path("/v1/schedules/{id}", id=schedule_id), Schedule)


def listing(fields: ScheduleFilter) -> Call[Page[Schedule]]:
    """GET /v1/schedules."""
    wanted: dict[str, Any] = dict(fields)
    limit = wanted.pop("page_size", None)
    return Call("GET", "/v1/schedules", Page[Schedule], query=pairs({**wanted, "limit": limit}))


def preview(schedule: Spec, after: Moment | None, limit: int) -> Call[SchedulePreview]:
    """POST /v1/schedules/preview."""
    given = {"schedule": schedule, "limit": limit} | ({} if after is None else {"after": after})
    return post("/v1/schedules/preview", SchedulePreview, body_of(checked(SchedulePreviewRequest, **given)))


def update(schedule_id: str, fields: ScheduleChange) -> Call[Schedule]:
    """PATCH /v1/schedules/{id}."""
    body = body_of(checked(SchedulePatch, **fields))
    route = path("/v1/schedules/{id}", id=schedule_id)
    return Call("PATCH", route, Schedule, body=body, headers=key_header(None))


def act(schedule_id: str, verb: Literal["pause", "resume"]) -> Call[Schedule]:
    """POST /v1/schedules/{id}/pause or …/resume."""
    return post(_verb(schedule_id, verb), Schedule)


def cancel(schedule_id: str, reason: str | None) -> Call[Schedule]:
    """POST /v1/schedules/{id}/cancel."""
    given = {} if reason is None else {"reason": reason}
    return post(_verb(schedule_id, "cancel"), Schedule, body_of(checked(Cancel, **given)))


def trigger(schedule_id: str) -> Call[Timer]:
    """POST /v1/schedules/{id}/trigger."""
    return post(_verb(schedule_id, "trigger"), Timer)


def backfill(
    schedule_id: str, since: Moment, until: Moment, overlap: Overlap | str | None
) -> Call[Backfilled]:
    """POST /v1/schedules/{id}/backfill."""
    given: dict[str, Any] = {"since": since, "until": until}
    if overlap is not None:
        given["overlap"] = overlap
    return post(_verb(schedule_id, "backfill"), Backfilled, body_of(checked(Backfill, **given)))


def events(schedule_id: str) -> Call[Page[Event]]:
    """GET /v1/schedules/{id}/events."""
    return get(_verb(schedule_id, "events"), Page[Event])


def _verb(schedule_id: str, verb: str) -> str:
    return path("/v1/schedules/{id}/", id=schedule_id) + verb
