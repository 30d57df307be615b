"""Operations on timers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Required, TypedDict

from minoots.call import Call, Pairs, body_of, checked, get, invalid, key_header, pairs, path, post
from minoots.contracts.actions import Action, WebhookAction
from minoots.contracts.deliveries import Attempt
from minoots.contracts.events import Event
from minoots.contracts.pages import Page
from minoots.contracts.retries import RetryPolicy
from minoots.contracts.schedules import ScheduleSpec
from minoots.contracts.templates import RenderedBody, TemplatePreview
from minoots.contracts.timers import (
    Cancel,
    Misfire,
    Preview,
    PreviewRequest,
    Snooze,
    Timer,
    TimerCreate,
    TimerPatch,
    TimerState,
    Why,
)
from minoots.tracing import explicit

LONGEST_POLL: Final = 60
"""Seconds that the service holds an answer back at most."""

Length = str | float | timedelta
"""A length of time: ``"20m"``, ``"PT20M"``, a number of seconds or a ``timedelta``."""

Moment = str | datetime
"""A moment with its offset: a ``datetime`` or RFC 3339 text."""


class NewTimer(TypedDict, total=False):
    """Arguments of ``timers.create``."""

    name: Required[str]
    after: Length
    """In how long; give this, ``fire_at`` or ``schedule``."""
    fire_at: Moment
    schedule: ScheduleSpec | Mapping[str, Any]
    """It recurs: what comes back is the first occurrence, and ``occurrence.schedule_id`` names the rest."""
    webhook: str | WebhookAction
    """Short for one webhook action; give this or ``actions``."""
    actions: Sequence[Action | Mapping[str, Any]]
    payload: Any
    """Any JSON, at most 256 KiB."""
    retry: RetryPolicy | Mapping[str, Any]
    misfire: Misfire | Mapping[str, Any] | Literal["fire", "skip"]
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    idempotency_key: str | None
    """The same key with the same arguments makes one timer; default: a random one for each call."""
    traceparent: str | None
    """Default: that of the current OpenTelemetry span, if any."""


class TimerFilter(TypedDict, total=False):
    """Arguments of ``timers.list``; every one that is given must match."""

    state: TimerState | str | Sequence[TimerState | str] | None
    label: Mapping[str, str] | None
    name: str | None
    schedule: str | None
    """Id of a schedule: its occurrences."""
    plan: str | None
    """Id of a plan: the timers of its nodes."""
    due_after: Moment | None
    due_before: Moment | None
    sort: Literal["due", "created"]
    descending: bool
    page_size: int | None
    """Timers in one answer; the iterator goes on through all pages whatever it is."""


class TimerChange(TypedDict, total=False):
    """Arguments of ``timers.update``; what is not given stays as it is."""

    fire_at: Moment
    after: Length
    payload: Any
    labels: Mapping[str, str]


def create(fields: NewTimer) -> Call[Timer]:
    """POST /v1/timers."""
    wanted: dict[str, Any] = dict(fields)
    key, traceparent = wanted.pop("idempotency_key", None), wanted.pop("traceparent", None)
    asked = checked(TimerCreate, **_present(spelled_out(wanted)))
    return create_from(with_kinds(body_of(asked), asked.actions), key, explicit(traceparent))


def spelled_out(fields: Mapping[str, Any], where: str = "body") -> dict[str, Any]:
    """Return the arguments of a timer without their short forms ``webhook`` and ``misfire="skip"``."""
    wanted = dict(fields)
    if "webhook" in wanted:
        if "actions" in wanted:
            raise invalid(f"{where}.webhook", "either webhook or actions, not both", "both")
        webhook = wanted.pop("webhook")
        wanted["actions"] = [
            webhook if isinstance(webhook, WebhookAction) else {"kind": "webhook", "url": webhook}
        ]
    if isinstance(wanted.get("misfire"), str):
        wanted["misfire"] = {"policy": wanted["misfire"]}
    return wanted


def with_kinds(body: dict[str, Any], actions: Sequence[Action]) -> dict[str, Any]:
    """Return ``body`` with the kinds of its actions: they tell them apart, although one is the default."""
    sent = zip(actions, body["actions"], strict=True)
    return body | {"actions": [{"kind": action.kind, **one} for action, one in sent]}


def create_from(body: Mapping[str, Any], key: str | None, headers: Pairs = ()) -> Call[Timer]:
    """POST /v1/timers with a body made earlier."""
    return Call("POST", "/v1/timers", Timer, body=body, headers=key_header(key) + headers)


def read(timer_id: str, wait: int | None = None) -> Call[Timer]:
    """GET /v1/timers/{id}; with ``wait``, answered when it is final or that many seconds have passed."""
    call = get(path("/v1/timers/{id}", id=timer_id), Timer, wait=wait)
    return replace(call, patience=float(wait or 0))


def listing(fields: TimerFilter) -> Call[Page[Timer]]:
    """GET /v1/timers."""
    wanted: dict[str, Any] = dict(fields)
    sort, descending = wanted.pop("sort", None), wanted.pop("descending", False)
    if descending:
        sort = f"-{sort or 'due'}"
    limit = wanted.pop("page_size", None)
    return Call("GET", "/v1/timers", Page[Timer], query=pairs({**wanted, "sort": sort, "limit": limit}))


def update(timer_id: str, fields: TimerChange, generation: int | None) -> Call[Timer]:
    """PATCH /v1/timers/{id}."""
    body = body_of(checked(TimerPatch, **_present(fields)))
    headers = key_header(None)
    if generation is not None:
        headers += (("If-Match", f'"{generation}"'),)
    return Call("PATCH", path("/v1/timers/{id}", id=timer_id), Timer, body=body, headers=headers)


def snooze(timer_id: str, after: Length) -> Call[Timer]:
    """POST /v1/timers/{id}/snooze."""
    return post(_verb(timer_id, "snooze"), Timer, body_of(checked(Snooze, after=after)))


def cancel(timer_id: str, reason: str | None) -> Call[Timer]:
    """POST /v1/timers/{id}/cancel."""
    given = {} if reason is None else {"reason": reason}
    return post(_verb(timer_id, "cancel"), Timer, body_of(checked(Cancel, **given)))


def act(timer_id: str, verb: Literal["pause", "resume", "fire"]) -> Call[Timer]:
    """POST /v1/timers/{id}/pause, …/resume or …/fire."""
    return post(_verb(timer_id, verb), Timer)


def why(timer_id: str) -> Call[Why]:
    """GET /v1/timers/{id}/why."""
    return get(_verb(timer_id, "why"), Why)


def events(timer_id: str) -> Call[Page[Event]]:
    """GET /v1/timers/{id}/events."""
    return get(_verb(timer_id, "events"), Page[Event])


def attempts(timer_id: str) -> Call[Page[Attempt]]:
    """GET /v1/timers/{id}/attempts."""
    return get(_verb(timer_id, "attempts"), Page[Attempt])


def preview_body(template: str, content_type: str | None, as_if: Mapping[str, Any]) -> Call[RenderedBody]:
    """POST /v1/templates/preview."""
    body = {"template": template} | ({} if content_type is None else {"content_type": content_type})
    given: dict[str, Any] = {"body": body} | {key: one for key, one in as_if.items() if one is not None}
    return post("/v1/templates/preview", RenderedBody, body_of(checked(TemplatePreview, **given)))


def preview(
    fire_at: Moment | None, after: Length | None, retry: RetryPolicy | Mapping[str, Any] | None
) -> Call[Preview]:
    """POST /v1/timers/preview."""
    given = _present({"fire_at": fire_at, "after": after, "retry": retry})
    return post("/v1/timers/preview", Preview, body_of(checked(PreviewRequest, **given)))


def _verb(timer_id: str, verb: str) -> str:
    return path("/v1/timers/{id}/", id=timer_id) + verb


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is ``None``, except a payload: null is a payload like any other."""
    return {name: value for name, value in fields.items() if value is not None or name == "payload"}
