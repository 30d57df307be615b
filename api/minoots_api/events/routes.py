"""``/v1/events``: the log by page and as a stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response

from minoots.contracts import Event, EventType, FieldProblem, Page
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Here
from minoots_api.parameters import LabelFilter, Limit, Text
from minoots_api.principals import EventsReader
from minoots_api.routing import Router
from minoots_platform.records import events
from minoots_platform.records.events import EventFilter

from .stream import EventStream

router = Router(prefix="/v1/events", tags=["events"])

Types = Annotated[list[EventType] | None, Query(alias="type", max_length=50)]
Subject = Annotated[Text | None, Query(max_length=80, description="Public id, such as a timer's.")]
Labels = Annotated[
    list[LabelFilter] | None,
    Query(max_length=32, description="`key:value`; repeat for several, all must match."),
]
Sequence = Annotated[int, Query(ge=0, le=2**62, description="The sequence number to go on after.")]


def _filter(types: list[EventType] | None, subject: str | None, label: list[str] | None) -> EventFilter:
    return EventFilter(
        types=tuple(types or ()),
        subject=subject,
        labels=tuple((key, value) for key, _, value in (one.partition(":") for one in label or ())),
    )


@router.get("", response_model=Page[Event])
async def list_events(
    gateway: Here,
    principal: EventsReader,
    after: Sequence = 0,
    limit: Limit = 100,
    types: Types = None,
    subject: Subject = None,
    label: Labels = None,
) -> Page[Event]:
    """List events after a sequence number, the oldest first; ``next_cursor`` is the next ``after``."""
    wanted = _filter(types, subject, label)
    async with gateway.database.read() as connection:
        page = await events.read(connection, principal.tenant, after=after, limit=limit, wanted=wanted)
    return Page[Event](items=page.events, next_cursor=str(page.position) if page.more else None)


@router.get(
    "/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_events(
    gateway: Here,
    principal: EventsReader,
    after: Annotated[
        int | None,
        Query(ge=0, le=2**62, description="Start after this number; without it, with what comes next."),
    ] = None,
    types: Types = None,
    subject: Subject = None,
    label: Labels = None,
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", max_length=30, description="Where a reconnecting reader left off."),
    ] = None,
) -> Response:
    """Stream events as they happen (server-sent events); ``id`` is the sequence number to resume from."""
    position = after
    if last_event_id:
        if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 18):
            problem = FieldProblem(
                field="header.Last-Event-ID", expected="a sequence number", got=last_event_id[:30]
            )
            raise Failure(FailureKind.INVALID, "Last-Event-ID is no sequence number", errors=(problem,))
        position = int(last_event_id)
    if position is None:
        async with gateway.database.read() as connection:
            position = await events.last_sequence(connection, principal.tenant)
    return EventStream(gateway, principal, position, _filter(types, subject, label))
