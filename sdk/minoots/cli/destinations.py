"""``minoots destinations``: how fast deliveries may go where, and the circuit that guards each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from minoots.contracts.destinations import Destination
from minoots.durations import format_duration

from . import output
from .arguments import duration, given
from .moments import local
from .session import Session, group, remote

app = group("Read destinations, limit them, open and close their circuits.")

Id = Annotated[
    str, typer.Argument(metavar="ID|URL", help="Its id, dst_…, or its URL as listed.", show_default=False)
]


@remote(app, "list")
def list_destinations(session: Session) -> None:
    """List destinations that have settings or had trouble."""
    found = session.client.destinations.list()
    if session.json:
        for one in found:
            output.json_line(one)
        return
    rows = [(one.id, one.url, one.state, one.sending, one.waiting, _limits(one)) for one in found]
    output.table(("ID", "DESTINATION", "CIRCUIT", "SENDING", "WAITING", "LIMITS"), rows)


@remote(app)
def show(session: Session, id: Id) -> None:
    """Show one."""
    _show(session, session.client.destinations.get(_id(session, id)))


@remote(app)
def save(
    session: Session,
    receiver: Annotated[
        str, typer.Argument(metavar="URL", help="Or what attempts show of a connector, such as chat:host.")
    ],
    requests: Annotated[int | None, typer.Option(help="At most so many requests …")] = None,
    per: Annotated[str | None, typer.Option(help="… in any stretch of this length; default 1s.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="At most so many at a time.")] = None,
    window: Annotated[str | None, typer.Option(help="Rolling window of the circuit; default 1m.")] = None,
    minimum: Annotated[int | None, typer.Option(help="Attempts in it before it opens; default 10.")] = None,
    failure_rate: Annotated[float | None, typer.Option(help="Share that failed; default 0.7.")] = None,
    open_for: Annotated[str | None, typer.Option(help="How long it is open at first; default 30s.")] = None,
    disable_after: Annotated[
        int | None, typer.Option(help="Disable it when opened this often in a row; 0 for never; default 100.")
    ] = None,
    circuit: Annotated[bool, typer.Option(help="Whether it has a circuit at all.")] = True,
) -> None:
    """Say how fast deliveries may go there, and when its circuit opens; replaces what was saved."""
    policy: dict[str, Any] = given(
        window=None if window is None else duration(window, "--window"),
        minimum=minimum,
        failure_rate=failure_rate,
        open_for=None if open_for is None else duration(open_for, "--open-for"),
        enabled=None if circuit else False,
    )
    if disable_after is not None:
        policy["disable_after"] = disable_after or None
    wanted: dict[str, Any] = given(concurrency=concurrency, circuit=policy or None)
    if per is not None and requests is None:
        raise typer.BadParameter("expected --requests with it", param_hint="--per")
    if requests is not None:
        wanted["rate"] = {"requests": requests, "per": duration(per or "1s", "--per")}
    _show(session, session.client.destinations.save(url=receiver, **wanted))


@remote(app, "open")
def open_circuit(
    session: Session, id: Id, reason: Annotated[str | None, typer.Option(help="Why.")] = None
) -> None:
    """Open the circuit: deliveries wait until it is closed."""
    _show(session, session.client.destinations.open(_id(session, id), reason=reason))


@remote(app)
def close(session: Session, id: Id) -> None:
    """Close the circuit: deliveries go there again, also to one that was gone or disabled."""
    _show(session, session.client.destinations.close(_id(session, id)))


@remote(app)
def remove(session: Session, id: Id) -> None:
    """Forget its limits and its circuit; what waits for them goes."""
    session.client.destinations.remove(_id(session, id))
    if not session.json:
        output.line(f"{id} is forgotten")


def _id(session: Session, given: str) -> str:
    """Return the id of a destination that may be given by its URL."""
    if given.startswith("dst_"):
        return given
    for one in session.client.destinations.list():
        if one.url == given:
            return one.id
    raise typer.BadParameter(
        f"expected an id or a URL of `minoots destinations list`; got {given}", param_hint="ID"
    )


def _show(session: Session, one: Destination) -> None:
    if session.json:
        output.json_line(one)
        return
    now = datetime.now(UTC)
    why = f": {one.reason}" if one.reason else ""
    output.line(f"{one.id} {one.url}")
    output.line(f"  circuit {one.state} since {local(one.changed_at, now)}{why}")
    if one.probe_at is not None:
        output.line(f"  will be tried at {local(one.probe_at, now)}")
    output.line(f"  {one.sending} under way, {one.waiting} waiting; limits: {_limits(one)}")


def _limits(one: Destination) -> str:
    found = []
    if one.rate is not None:
        found.append(f"{one.rate.requests} per {format_duration(one.rate.per)}")
    if one.concurrency is not None:
        found.append(f"{one.concurrency} at a time")
    return ", ".join(found) or "none"
