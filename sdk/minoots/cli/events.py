"""``minoots events``: the tenant's feed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from minoots.contracts.events import Event

from . import output
from .arguments import given, mapping
from .moments import local
from .session import Session, group, remote

app = group("Read the feed of events.")


@app.callback()
def feed() -> None:
    """Read the feed of events."""


@remote(app)
def tail(
    session: Session,
    after: Annotated[
        int | None, typer.Option(min=0, help="Start after this sequence number; default: now.")
    ] = None,
    type: Annotated[str | None, typer.Option(help="Only this type: timer.fired.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only what happened to this id.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="End after so many; 0 for never.")] = 0,
) -> None:
    """Follow events as they happen; it reconnects and resumes by itself."""
    wanted: dict[str, Any] = given(
        after=after, type=type, subject=subject, label=mapping(label, "--label", "=:")
    )
    for event in islice(session.client.events.stream(**wanted), limit or None):
        show_event(session, event)


def show_event(session: Session, event: Event) -> None:
    """Print one event on one line."""
    if session.json:
        output.json_line(event)
        return
    data = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    moment = local(event.time, datetime.now(UTC))
    output.line(f"{event.sequence:>6}  {moment}  {event.type:<22}  {event.subject}  {data}")
