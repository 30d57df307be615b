"""``minoots schedules``: set, read, change and bring over what recurs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from minoots.contracts.recurrence import Dst
from minoots.contracts.schedules import Overlap, Schedule, ScheduleState
from minoots.importers import Imported, NotImported, read_crontab, read_temporal_schedule

from . import output
from .arguments import given, json_value, mapping
from .events import show_event
from .exits import Exit
from .moments import local
from .session import Session, group, remote
from .timers import show_timer

app = group("Set, read, change and bring over what recurs.")

ScheduleId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the schedule: sch_…", show_default=False)
]
Crons = Annotated[
    list[str] | None,
    typer.Option("--cron", help="Five fields, six with seconds first, or @daily; repeatable."),
]
Everys = Annotated[
    list[str] | None, typer.Option("--every", help="An interval: 15m, or 15m/5m with a phase; repeatable.")
]
Rrules = Annotated[
    list[str] | None, typer.Option("--rrule", help="RFC 5545, such as FREQ=MONTHLY;BYDAY=1FR; repeatable.")
]
Zone = Annotated[str | None, typer.Option("--zone", help="IANA time zone. Default: UTC.")]
DstRule = Annotated[
    Dst | None, typer.Option("--dst", help="For local times that a change of the clocks takes or repeats.")
]
Start = Annotated[str | None, typer.Option("--start", help="No time before this one.")]
End = Annotated[str | None, typer.Option("--end", help="No time at or after this one.")]
Count = Annotated[int | None, typer.Option("--count", min=1, help="At most this many times.")]
Webhook = Annotated[str, typer.Option("--webhook", help="Where to send.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be set, and set nothing.")]


class CatchUpPolicy(StrEnum):
    """What to do with what was missed."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


@remote(app)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    webhook: Webhook,
    cron: Crons = None,
    every: Everys = None,
    rrule: Rrules = None,
    zone: Zone = None,
    dst: DstRule = None,
    start: Start = None,
    end: End = None,
    count: Count = None,
    overlap: Annotated[Overlap | None, typer.Option(help="When an earlier one is not finished.")] = None,
    catch_up: Annotated[CatchUpPolicy | None, typer.Option(help="Which of those that were missed.")] = None,
    younger_than: Annotated[str | None, typer.Option(help="Of those, only the ones missed by less.")] = None,
    payload: Annotated[str | None, typer.Option(help="JSON, @file, or - for standard input.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key makes one schedule.")] = None,
) -> None:
    """Set a schedule; what comes back is its first occurrence."""
    schedule = _spec(cron, every, rrule, zone, dst, start, end, count)
    caught_up = given(policy=catch_up and catch_up.value, younger_than=younger_than)
    schedule |= given(overlap=overlap and overlap.value, catch_up=caught_up)
    wanted: dict[str, Any] = given(labels=mapping(label, "--label", "=:"), idempotency_key=idempotency_key)
    if payload is not None:
        wanted["payload"] = json_value(payload, "--payload")
    show_timer(session, session.client.timers.create(name=name, webhook=webhook, schedule=schedule, **wanted))


@remote(app)
def preview(
    session: Session,
    cron: Crons = None,
    every: Everys = None,
    rrule: Rrules = None,
    zone: Zone = None,
    dst: DstRule = None,
    start: Start = None,
    end: End = None,
    count: Count = None,
    after: Annotated[str | None, typer.Option(help="Times after this one. Default: now.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many.")] = 10,
) -> None:
    """Show the next times, with what a change of the clocks does to them; nothing is saved."""
    spec = _spec(cron, every, rrule, zone, dst, start, end, count)
    found = session.client.schedules.preview(spec, after=after, limit=limit)
    if session.json:
        output.json_line(found)
        return
    output.table(
        ("LOCAL", "UTC", "NOTE"), [(one.local, one.at.isoformat(), one.note or "") for one in found.times]
    )
    for one in found.left_out:
        output.line(one.note)


@remote(app, "list")
def list_schedules(
    session: Session,
    state: Annotated[list[ScheduleState] | None, typer.Option(help="Only those in this state.")] = None,
    name: Annotated[str | None, typer.Option(help="Only those of this name.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List schedules, the newest first."""
    wanted: dict[str, Any] = given(state=state, name=name)
    found = islice(session.client.schedules.list(**wanted), limit or None)
    if session.json:
        for schedule in found:
            output.json_line(schedule)
        return
    now = datetime.now(UTC)
    rows = [
        (one.id, one.name, one.state, _rules(one), one.schedule.zone, local(one.next_at, now))
        for one in found
    ]
    output.table(("ID", "NAME", "STATE", "RULES", "ZONE", "NEXT"), rows)


@remote(app)
def show(session: Session, schedule_id: ScheduleId) -> None:
    """Show a schedule as it stands."""
    _show(session, session.client.schedules.get(schedule_id))


@remote(app)
def pause(session: Session, schedule_id: ScheduleId) -> None:
    """Hold a schedule and its timers that wait."""
    _show(session, session.client.schedules.pause(schedule_id))


@remote(app)
def resume(session: Session, schedule_id: ScheduleId) -> None:
    """Let a paused schedule go on from now."""
    _show(session, session.client.schedules.resume(schedule_id))


@remote(app)
def cancel(
    session: Session,
    schedule_id: ScheduleId,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the schedule.")] = None,
) -> None:
    """End a schedule for good, with its timers that wait."""
    _show(session, session.client.schedules.cancel(schedule_id, reason=reason))


@remote(app)
def trigger(session: Session, schedule_id: ScheduleId) -> None:
    """Make an occurrence that is due now."""
    show_timer(session, session.client.schedules.trigger(schedule_id))


@remote(app)
def backfill(
    session: Session,
    schedule_id: ScheduleId,
    since: Annotated[str, typer.Argument(help="From then on: RFC 3339 with an offset.")],
    until: Annotated[str, typer.Argument(help="Up to then.")],
    overlap: Annotated[Overlap | None, typer.Option(help="Default: one after the other.")] = None,
) -> None:
    """Fire now what the rules would have fired in a range of the past."""
    made = session.client.schedules.backfill(schedule_id, since, until, overlap=overlap)
    if session.json:
        output.json_line(made)
        return
    output.line(f"{len(made.timers)} timers made: {', '.join(made.timers)}")


@remote(app)
def events(session: Session, schedule_id: ScheduleId) -> None:
    """List the events of a schedule."""
    for event in session.client.schedules.events(schedule_id):
        show_event(session, event)


@remote(app)
def import_crontab(
    session: Session,
    file: Annotated[Path, typer.Argument(help="The crontab, such as the output of crontab -l.")],
    webhook: Webhook,
    zone: Zone = None,
    system: Annotated[bool, typer.Option("--system", help="The sixth column is a user.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Set a schedule for each line of a crontab; the webhook gets the command."""
    _bring(
        session, read_crontab(_text(file), zone=zone or "UTC", with_users=system), webhook, dry_run=dry_run
    )


@remote(app)
def import_temporal(
    session: Session,
    files: Annotated[list[Path], typer.Argument(help="Output of: temporal schedule describe -o json.")],
    webhook: Webhook,
    dry_run: DryRun = False,
) -> None:
    """Set a schedule for each Temporal Schedule; the webhook gets what the workflow would have got."""
    found = (read_temporal_schedule(_text(file), name=file.stem) for file in files)
    _bring(session, found, webhook, dry_run=dry_run)


def _bring(session: Session, found: Iterable[Imported | NotImported], webhook: str, *, dry_run: bool) -> None:
    left_out = False
    for one in found:
        if isinstance(one, NotImported):
            left_out = True
            typer.echo(f"minoots: {one.source} is left out: {one.reason}: {output.plain(one.text)}", err=True)
            continue
        for note in one.notes:
            typer.echo(f"minoots: {one.source}: {note}", err=True)
        if dry_run:
            session.client.schedules.preview(one.schedule, limit=1)
            output.line(f"{one.name}: {json.dumps(one.schedule, default=str)}")
            continue
        timer = session.client.timers.create(
            name=one.name,
            webhook=webhook,
            schedule=one.schedule,
            payload=one.payload,
            idempotency_key=one.key(webhook),
        )
        if timer.occurrence is not None and one.paused:
            session.client.schedules.pause(timer.occurrence.schedule_id)
        show_timer(session, timer)
    if left_out:
        raise typer.Exit(Exit.REFUSED)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"expected a readable file; {error}") from error


def _spec(
    cron: list[str] | None,
    every: list[str] | None,
    rrule: list[str] | None,
    zone: str | None,
    dst: Dst | None,
    start: str | None,
    end: str | None,
    count: int | None,
) -> dict[str, Any]:
    rules: list[dict[str, str]] = [{"cron": text} for text in cron or ()]
    rules += [{"rrule": text} for text in rrule or ()]
    for text in every or ():
        interval, _, phase = text.partition("/")
        rules.append({"every": interval} | ({"phase": phase} if phase else {}))
    if not rules:
        raise typer.BadParameter("give at least one of --cron, --every and --rrule", param_hint="rules")
    return {
        "rules": rules,
        **given(zone=zone, dst=None if dst is None else dst.value, start=start, end=end, count=count),
    }


def _rules(schedule: Schedule) -> str:
    texts = []
    for rule in schedule.schedule.rules:
        texts.append(rule.cron or rule.rrule or "every " + rule.model_dump(mode="json")["every"])
    return ", ".join(texts)


def _show(session: Session, schedule: Schedule) -> None:
    if session.json:
        output.json_line(schedule)
        return
    now = datetime.now(UTC)
    spec = schedule.schedule
    output.fields(
        (
            ("id", schedule.id),
            ("name", schedule.name),
            ("state", schedule.state),
            ("because", schedule.state_reason),
            ("rules", _rules(schedule)),
            ("zone", f"{spec.zone} (clock changes: {spec.dst})"),
            ("overlap", spec.overlap),
            ("catch up", spec.catch_up.policy),
            ("next", None if schedule.next_at is None else local(schedule.next_at, now)),
            ("made", schedule.occurrences),
            ("missed", schedule.missed or None),
            ("left", schedule.left),
            ("created", f"{local(schedule.created_at, now)} by {schedule.created_by}"),
            ("generation", schedule.generation),
        )
    )
