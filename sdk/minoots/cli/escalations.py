"""``minoots escalations``: begin, read and answer escalations."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from minoots.contracts.escalations import Escalation, EscalationState, NoticeState

from . import output
from .arguments import duration, given, json_value, mapping
from .events import show_event
from .moments import local
from .session import Session, group, remote

app = group("Begin, read and answer escalations.")

EscalationId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the escalation: esc_…", show_default=False)
]
By = Annotated[str | None, typer.Option("--by", help="As whom: agent:builder, person:ada.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; it is kept.")]


@remote(app)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="What it is about.", show_default=False)],
    policy: Annotated[str | None, typer.Option(help="The ladder of this policy.")] = None,
    ladder: Annotated[str | None, typer.Option(help="Or this one: JSON, @file or -.")] = None,
    terms: Annotated[str | None, typer.Option(help="What acknowledging takes: JSON, @file or -.")] = None,
    payload: Annotated[str | None, typer.Option(help="JSON, @file, or - for standard input.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key begins one.")] = None,
) -> None:
    """Begin an escalation: the first on the ladder are told at once."""
    if (policy is None) == (ladder is None):
        raise typer.BadParameter(
            "give exactly one of --policy and --ladder", param_hint="--policy / --ladder"
        )
    wanted: dict[str, Any] = given(
        policy=policy, labels=mapping(label, "--label", "=:"), idempotency_key=idempotency_key
    )
    for option, text in (("ladder", ladder), ("terms", terms), ("payload", payload)):
        if text is not None:
            wanted[option] = json_value(text, f"--{option}")
    _show(session, session.client.escalations.create(name=name, **wanted))


@remote(app, "list")
def list_escalations(
    session: Session,
    state: Annotated[list[EscalationState] | None, typer.Option(help="Only those in this state.")] = None,
    timer: Annotated[str | None, typer.Option(help="Only that of this timer.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List escalations, the newest first."""
    wanted: dict[str, Any] = given(state=state, timer=timer)
    found = islice(session.client.escalations.list(**wanted), limit or None)
    if session.json:
        for one in found:
            output.json_line(one)
        return
    now = datetime.now(UTC)
    rows = [
        (
            one.id,
            one.name,
            one.state,
            sum(notice.state is NoticeState.TOLD for notice in one.notices),
            ", ".join(one.acknowledged_by),
            local(one.next_at, now),
        )
        for one in found
    ]
    output.table(("ID", "NAME", "STATE", "TOLD", "ACKNOWLEDGED BY", "NEXT"), rows)


@remote(app)
def show(session: Session, escalation_id: EscalationId) -> None:
    """Show an escalation: who was told, and who did what."""
    _show(session, session.client.escalations.get(escalation_id))


@remote(app)
def acknowledge(
    session: Session,
    public_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="Of an escalation (esc_…) or a timer (tmr_…).", show_default=False),
    ],
    by: By = None,
    result: Annotated[str | None, typer.Option(help="Anything to hand back: JSON, @file or -.")] = None,
) -> None:
    """Take it on: when enough have, nobody else is told."""
    value = None if result is None else json_value(result, "--result")
    _show(session, session.client.escalations.acknowledge(public_id, by=by, result=value))


@remote(app)
def decline(session: Session, escalation_id: EscalationId, by: By = None, reason: Reason = None) -> None:
    """Not me: when all that were told have declined, the next are told at once."""
    _show(session, session.client.escalations.decline(escalation_id, by=by, reason=reason))


@remote(app)
def hand_on(
    session: Session,
    escalation_id: EscalationId,
    to: Annotated[str, typer.Argument(help="agent:builder, person:ada, rotation:primary.")],
    by: By = None,
    reason: Reason = None,
) -> None:
    """Have somebody else told at once, who may acknowledge from now on."""
    _show(session, session.client.escalations.hand_on(escalation_id, to, by=by, reason=reason))


@remote(app)
def snooze(
    session: Session,
    escalation_id: EscalationId,
    after: Annotated[str, typer.Argument(help="How long: 30s, 10m.")],
    by: By = None,
) -> None:
    """Tell nobody for a while; then the ladder begins anew."""
    length = duration(after, "AFTER")
    _show(session, session.client.escalations.snooze(escalation_id, length, by=by))


@remote(app)
def resolve(session: Session, escalation_id: EscalationId, by: By = None, reason: Reason = None) -> None:
    """End it: it is dealt with."""
    _show(session, session.client.escalations.resolve(escalation_id, by=by, reason=reason))


@remote(app)
def cancel(session: Session, escalation_id: EscalationId, reason: Reason = None) -> None:
    """End it for another reason; a timer that awaited it has failed then."""
    _show(session, session.client.escalations.cancel(escalation_id, reason=reason))


@remote(app)
def times(
    session: Session, since: Annotated[str | None, typer.Option(help="Told then or later.")] = None
) -> None:
    """Show how quickly each acknowledges what they are told."""
    found = session.client.escalations.times(since=since)
    if session.json:
        for one in found:
            output.json_line(one)
        return
    rows = [
        (one.who, one.notices, one.acknowledged, _seconds(one.median_s), _seconds(one.p95_s)) for one in found
    ]
    output.table(("WHO", "TOLD", "ACKNOWLEDGED", "MEDIAN", "P95"), rows)


@remote(app)
def events(session: Session, escalation_id: EscalationId) -> None:
    """List the events of an escalation."""
    for event in session.client.escalations.events(escalation_id):
        show_event(session, event)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:g} s"


def _show(session: Session, escalation: Escalation) -> None:
    if session.json:
        output.json_line(escalation)
        return
    now = datetime.now(UTC)
    output.fields(
        (
            ("id", escalation.id),
            ("name", escalation.name),
            ("state", escalation.state),
            ("because", escalation.state_reason),
            ("policy", escalation.policy),
            ("timer", escalation.timer_id),
            ("acknowledged", ", ".join(escalation.acknowledged_by) or None),
            ("quorum", escalation.terms.quorum if escalation.terms.quorum > 1 else None),
            ("may", ", ".join(escalation.terms.by) or None),
            ("next", None if escalation.next_at is None else local(escalation.next_at, now)),
            ("created", f"{local(escalation.created_at, now)} by {escalation.created_by}"),
        )
    )
    told = [
        (
            one.who,
            f"{one.trigger}.{one.round}.{one.rung}",
            local(one.due_at, now),
            "" if one.state is None else one.state,
            local(one.acknowledged_at, now),
        )
        for one in escalation.notices
    ]
    if told:
        output.table(("WHO", "TRIGGER.ROUND.RUNG", "AT", "STATE", "ACKNOWLEDGED"), told)
    for act in escalation.acts:
        output.line(
            f"{local(act.at, now)}  {act.who} {act.act} by {act.via}{': ' + act.reason if act.reason else ''}"
        )
