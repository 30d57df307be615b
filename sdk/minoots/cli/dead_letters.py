"""``minoots dead-letters``: deliveries that were given up."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from minoots.contracts.deliveries import AttemptError

from . import output
from .arguments import given
from .moments import local
from .session import Session, group, remote

app = group("Read and replay deliveries that were given up.")

TimerId = Annotated[str | None, typer.Option("--timer", help="Only those of this timer.", show_default=False)]
TimerName = Annotated[str | None, typer.Option("--timer-name", help="Only those of timers of this name.")]
UrlPrefix = Annotated[
    str | None, typer.Option("--url-prefix", help="Only those whose receiver begins with this.")
]
Error = Annotated[AttemptError | None, typer.Option("--error", help="Only those that died of this.")]
DiedAfter = Annotated[str | None, typer.Option("--died-after", help="Only those that died after this.")]
DiedBefore = Annotated[str | None, typer.Option("--died-before", help="Only those that died before this.")]


@remote(app, "list")
def list_dead_letters(
    session: Session,
    timer: TimerId = None,
    timer_name: TimerName = None,
    url_prefix: UrlPrefix = None,
    error: Error = None,
    died_after: DiedAfter = None,
    died_before: DiedBefore = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List dead letters."""
    wanted = _filter(timer, timer_name, url_prefix, error, died_after, died_before)
    found = islice(session.client.dead_letters.list(wanted or None), limit or None)
    if session.json:
        for letter in found:
            output.json_line(letter)
        return
    now = datetime.now(UTC)
    rows = [
        (
            letter.id,
            letter.timer_name,
            letter.url,
            letter.attempts,
            letter.error,
            local(letter.died_at, now),
            letter.replayed_by or "",
        )
        for letter in found
    ]
    output.table(("ID", "TIMER", "RECEIVER", "TRIES", "ERROR", "DIED", "REPLAYED BY"), rows)


@remote(app)
def replay(
    session: Session,
    letter: Annotated[str | None, typer.Argument(metavar="[ID]", help="One dead letter: dlv_…")] = None,
    timer: TimerId = None,
    timer_name: TimerName = None,
    url_prefix: UrlPrefix = None,
    error: Error = None,
    died_after: DiedAfter = None,
    died_before: DiedBefore = None,
) -> None:
    """Send one dead letter again, or all that match the options."""
    wanted = _filter(timer, timer_name, url_prefix, error, died_after, died_before)
    if (letter is None) == (not wanted):
        raise typer.BadParameter("expected either an ID or options that choose; got both or neither")
    if letter is not None:
        one = session.client.dead_letters.replay(letter)
        if session.json:
            output.json_line(one)
        else:
            output.line(f"{one.replay_of} is sent again as {one.delivery_id}")
        return
    many = session.client.dead_letters.replay_all(wanted)
    if session.json:
        output.json_line(many)
    else:
        output.line(f"{many.id}: {many.total} dead letters match; {many.state}")


def _filter(
    timer: str | None,
    timer_name: str | None,
    url_prefix: str | None,
    error: AttemptError | None,
    died_after: str | None,
    died_before: str | None,
) -> dict[str, Any]:
    return given(
        timer_id=timer,
        timer_name=timer_name,
        url_prefix=url_prefix,
        error=error,
        died_after=died_after,
        died_before=died_before,
    )
