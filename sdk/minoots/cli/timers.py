"""``minoots timers``: set, read, change and await timers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from minoots.contracts.actions import Action, AgentAction, ConnectorAction
from minoots.contracts.events import Event, EventType
from minoots.contracts.timers import Timer, TimerState
from minoots.durations import format_duration

from . import output
from .arguments import duration, given, json_value, mapping, text
from .events import show_event
from .exits import Exit
from .moments import local
from .session import Session, group, remote

app = group("Set, read, change and await timers.")

TimerId = Annotated[str, typer.Argument(metavar="ID", help="Id of the timer: tmr_…", show_default=False)]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="KEY=VALUE; repeatable.", show_default=False)
]

_ENDS = frozenset(
    {EventType.TIMER_SETTLED, EventType.TIMER_FAILED, EventType.TIMER_CANCELLED, EventType.TIMER_SKIPPED}
)


class Sort(StrEnum):
    """What lists are sorted by."""

    DUE = "due"
    CREATED = "created"


class Misfires(StrEnum):
    """What to do when it is too late."""

    FIRE = "fire"
    SKIP = "skip"


@remote(app)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    webhook: Annotated[list[str], typer.Option(help="Where to send; repeatable.", show_default=False)],
    after: Annotated[str | None, typer.Option(help="In how long: 90s, 1h30m, PT1H30M, or seconds.")] = None,
    at: Annotated[str | None, typer.Option(help="When: RFC 3339 with an offset.")] = None,
    payload: Annotated[str | None, typer.Option(help="JSON, @file, or - for standard input.")] = None,
    secret: Annotated[str | None, typer.Option(help="Name of the secret that signs.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="Name: value; repeatable.", show_default=False)
    ] = None,
    body: Annotated[str | None, typer.Option(help="Liquid template of the body, @file, or -.")] = None,
    content_type: Annotated[str | None, typer.Option(help="What the template makes.")] = None,
    fifo_key: Annotated[str | None, typer.Option(help="One at a time, in order, with this key.")] = None,
    attempts: Annotated[int | None, typer.Option(help="How often to try at most.")] = None,
    misfire: Annotated[Misfires | None, typer.Option(help="When it is too late.")] = None,
    label: Labels = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key makes one timer.")] = None,
) -> None:
    """Set a timer."""
    if (after is None) == (at is None):
        raise typer.BadParameter("give exactly one of --after and --at", param_hint="--after / --at")
    headers = mapping(header, "--header", ":")
    wanted: dict[str, Any] = given(
        after=None if after is None else duration(after, "--after"),
        fire_at=at,
        retry=given(attempts=attempts),
        misfire=None if misfire is None else misfire.value,
        labels=mapping(label, "--label", "=:"),
        idempotency_key=idempotency_key,
    )
    if payload is not None:
        wanted["payload"] = json_value(payload, "--payload")
    if content_type is not None and body is None:
        raise typer.BadParameter("expected --body with it", param_hint="--content-type")
    made = None if body is None else given(template=text(body, "--body"), content_type=content_type)
    more = given(secret=secret, headers=headers, body=made, fifo_key=fifo_key)
    actions = [{"kind": "webhook", "url": url, **more} for url in webhook]
    show_timer(session, session.client.timers.create(name=name, actions=actions, **wanted))


@remote(app, "list")
def list_timers(
    session: Session,
    state: Annotated[
        list[TimerState] | None, typer.Option(help="Only those in this state; repeat for several.")
    ] = None,
    label: Labels = None,
    name: Annotated[str | None, typer.Option(help="Only those of this name.")] = None,
    due_after: Annotated[str | None, typer.Option(help="Only those due after this moment.")] = None,
    due_before: Annotated[str | None, typer.Option(help="Only those due before this moment.")] = None,
    sort: Annotated[Sort, typer.Option(help="What to sort by.")] = Sort.DUE,
    descending: Annotated[bool, typer.Option("--desc", help="Latest first.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List timers."""
    wanted: dict[str, Any] = given(
        state=state,
        label=mapping(label, "--label", "=:"),
        name=name,
        due_after=due_after,
        due_before=due_before,
        page_size=min(limit, 100) if limit else 100,
    )
    found = islice(
        session.client.timers.list(sort=sort.value, descending=descending, **wanted), limit or None
    )
    if session.json:
        for timer in found:
            output.json_line(timer)
        return
    now = datetime.now(UTC)
    rows = [(timer.id, timer.name, timer.state, local(timer.fire_at, now), _late(timer)) for timer in found]
    output.table(("ID", "NAME", "STATE", "DUE", "LATE"), rows)


@remote(app)
def show(session: Session, timer_id: TimerId) -> None:
    """Show a timer as it stands."""
    show_timer(session, session.client.timers.get(timer_id))


@remote(app)
def why(session: Session, timer_id: TimerId) -> None:
    """Tell what happened or will happen to a timer, and when."""
    account = session.client.timers.why(timer_id)
    if session.json:
        output.json_line(account)
        return
    now = datetime.now(UTC)
    output.line(account.summary)
    # What is on time needs no reason, and gets none.
    late = account.late_because and f"by {account.late_by_ms:g} ms; {account.late_because}"
    next_at = None if account.next_at is None else local(account.next_at, now)
    output.fields((("late", late), ("next", next_at)))
    output.table(("WHEN", "WHAT"), [(local(item.at, now), item.what) for item in account.history])


@remote(app)
def snooze(
    session: Session,
    timer_id: TimerId,
    after: Annotated[str, typer.Argument(help="From now: 10m, 1h30m, or seconds.")],
) -> None:
    """Put a timer off."""
    show_timer(session, session.client.timers.snooze(timer_id, duration(after, "AFTER")))


@remote(app)
def pause(session: Session, timer_id: TimerId) -> None:
    """Keep a timer from firing until it is resumed."""
    show_timer(session, session.client.timers.pause(timer_id))


@remote(app)
def resume(session: Session, timer_id: TimerId) -> None:
    """Let a paused timer go on."""
    show_timer(session, session.client.timers.resume(timer_id))


@remote(app)
def cancel(
    session: Session,
    timer_id: TimerId,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the timer.")] = None,
) -> None:
    """Call a timer off."""
    show_timer(session, session.client.timers.cancel(timer_id, reason=reason))


@remote(app)
def fire(session: Session, timer_id: TimerId) -> None:
    """Fire a timer now."""
    show_timer(session, session.client.timers.fire(timer_id))


@remote(app)
def wait(
    session: Session,
    timer_id: TimerId,
    timeout: Annotated[str | None, typer.Option(help="Give up after: 30s, 10m. Default: never.")] = None,
) -> None:
    """Wait until a timer is settled, failed or cancelled; exit code 8 unless it is settled."""
    seconds = None if timeout is None else duration(timeout, "--timeout").total_seconds()
    timer = session.client.timers.wait(timer_id, timeout=seconds)
    show_timer(session, timer)
    if timer.state is not TimerState.SETTLED:
        raise typer.Exit(Exit.ENDED_BADLY)


@remote(app)
def attempts(session: Session, timer_id: TimerId) -> None:
    """List the attempts to deliver a timer's actions."""
    found = session.client.timers.attempts(timer_id)
    if session.json:
        for attempt in found:
            output.json_line(attempt)
        return
    now = datetime.now(UTC)
    rows = [
        (
            attempt.action,
            attempt.number,
            local(attempt.started_at, now),
            f"{attempt.latency_ms:.0f} ms",
            "ok" if attempt.succeeded else attempt.error or "failed",
            attempt.status or "-",
            local(attempt.next_attempt_at, now),
        )
        for attempt in found
    ]
    output.table(("ACTION", "TRY", "STARTED", "TOOK", "RESULT", "STATUS", "NEXT"), rows)


@remote(app)
def events(session: Session, timer_id: TimerId) -> None:
    """List the events of a timer."""
    for event in session.client.timers.events(timer_id):
        show_event(session, event)


@remote(app)
def watch(session: Session, timer_id: TimerId) -> None:
    """Follow the events of a timer until it ends; exit code 8 unless it is settled."""
    last: Event | None = None
    for last in session.client.timers.events(timer_id):
        show_event(session, last)
    if last is None or last.type not in _ENDS:
        after = last.sequence if last else 0
        for last in session.client.events.stream(after=after, subject=timer_id):
            show_event(session, last)
            if last.type in _ENDS:
                break
    if last is not None and last.type != EventType.TIMER_SETTLED:
        raise typer.Exit(Exit.ENDED_BADLY)


def show_timer(session: Session, timer: Timer) -> None:
    """Print one timer."""
    if session.json:
        output.json_line(timer)
        return
    now = datetime.now(UTC)
    output.fields(
        (
            ("id", timer.id),
            ("name", timer.name),
            ("state", timer.state),
            ("because", timer.state_reason),
            ("due", local(timer.fire_at, now)),
            ("fired", None if timer.fired_at is None else local(timer.fired_at, now)),
            ("late", _late(timer)),
            ("settled", None if timer.settled_at is None else local(timer.settled_at, now)),
            ("created", f"{local(timer.created_at, now)} by {timer.created_by}"),
            ("generation", timer.generation),
            ("occurrence", _occurrence(timer)),
            ("labels", ", ".join(f"{key}={value}" for key, value in timer.labels.items())),
            *(("action", _action(action)) for action in timer.actions),
        )
    )


@remote(app)
def preview_body(
    session: Session,
    template: Annotated[
        str, typer.Argument(help="A Liquid template, @file, or - for standard input.", show_default=False)
    ],
    payload: Annotated[str | None, typer.Option(help="JSON, @file or -.")] = None,
    content_type: Annotated[str, typer.Option(help="What it makes.")] = "application/json",
    name: Annotated[str | None, typer.Option(help="Of the timer.")] = None,
    label: Labels = None,
    recurs: Annotated[bool, typer.Option(help="As an occurrence of a schedule.")] = False,
    plan: Annotated[bool, typer.Option(help="As a node of a plan.")] = False,
    acknowledge: Annotated[bool, typer.Option(help="As what can be acknowledged.")] = False,
) -> None:
    """Fill in a template for the body of a webhook; nothing is sent."""
    wanted = None if payload is None else json_value(payload, "--payload")
    made = session.client.timers.preview_body(
        text(template, "TEMPLATE"),
        content_type=content_type,
        payload=wanted,
        name=name,
        labels=mapping(label, "--label", "=:") or None,
        recurs=recurs,
        plan=plan,
        acknowledge=acknowledge,
    )
    if session.json:
        output.json_line(made)
    else:
        output.line(made.body)


def _occurrence(timer: Timer) -> str | None:
    if timer.occurrence is None:
        return None
    return f"number {timer.occurrence.number} of {timer.occurrence.schedule_id} ({timer.occurrence.kind})"


def _action(action: Action) -> str:
    if isinstance(action, AgentAction):
        return f"command to the agent {action.agent}"
    if isinstance(action, ConnectorAction):
        return f"{action.kind} {json.dumps(action.config, ensure_ascii=False)}"
    signed = f", signed by {action.secret}" if action.secret else ""
    return f"{action.method} {action.url} (timeout {format_duration(action.timeout)}{signed})"


def _late(timer: Timer) -> str:
    return "" if timer.lateness_ms is None else f"{timer.lateness_ms:.1f} ms"
