"""``minoots people``, ``rotations``, ``policies`` and ``heartbeats``: what ladders are made of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from minoots.contracts.heartbeats import Heartbeat
from minoots.contracts.rotations import Person, Rotation

from . import output
from .arguments import json_value
from .moments import local
from .session import Session, group, remote

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, which you choose.", show_default=False)]
Fields = Annotated[
    str, typer.Argument(help="Its fields: JSON, @file, or - for standard input.", show_default=False)
]


def _group(help: str, of: Callable[[Session], Any]) -> typer.Typer:
    """Return a group of commands that save, list, show and remove documents of one kind."""
    app = group(help)

    @remote(app)
    def save(session: Session, id: Id, fields: Fields) -> None:
        """Save one, or replace the one of that id."""
        found = json_value(fields, "FIELDS")
        if not isinstance(found, dict):
            raise typer.BadParameter(
                f"expected a JSON object; got {type(found).__name__}", param_hint="FIELDS"
            )
        _show(session, of(session).save(id, **found))

    @remote(app, "list")
    def list_all(session: Session) -> None:
        """List all, the newest first."""
        for one in of(session).list():
            if session.json:
                output.json_line(one)
            else:
                output.line(f"{one.id}: {_summary(one)}")

    @remote(app)
    def show(session: Session, id: Id) -> None:
        """Show one."""
        _show(session, of(session).get(id))

    @remote(app)
    def remove(session: Session, id: Id) -> None:
        """Remove one; ladders pass over who is not there."""
        of(session).remove(id)
        if not session.json:
            output.line(f"{id} is removed")

    return app


people = _group(
    "Save, list and remove people who can be told.", lambda session: session.client.escalations.people
)
rotations = _group(
    "Save, list and remove rotations: who is on call when.",
    lambda session: session.client.escalations.rotations,
)
policies = _group(
    "Save, list and remove policies: ladders under a name.",
    lambda session: session.client.escalations.policies,
)
heartbeats = _group("Expect calls, and call in.", lambda session: session.client.heartbeats)


@remote(rotations)
def shifts(
    session: Session,
    id: Id,
    since: Annotated[str | None, typer.Option(help="Default: now.")] = None,
    until: Annotated[str | None, typer.Option(help="Default: four weeks later.")] = None,
) -> None:
    """Show who is on call when."""
    found = session.client.escalations.rotations.shifts(id, since=since, until=until)
    if session.json:
        for shift in found:
            output.json_line(shift)
        return
    now = datetime.now(UTC)
    rows = [(local(one.since, now), local(one.until, now), one.who or "nobody") for one in found]
    output.table(("SINCE", "UNTIL", "WHO"), rows)


@remote(heartbeats)
def beat(session: Session, id: Id) -> None:
    """Call in: all is well."""
    _show(session, session.client.heartbeats.beat(id))


def _show(session: Session, document: BaseModel) -> None:
    if session.json:
        output.json_line(document)
        return
    fields = document.model_dump(mode="json", exclude_defaults=True)
    output.fields(tuple((name.replace("_", " "), value) for name, value in fields.items()))


def _summary(document: Any) -> str:
    if isinstance(document, Person):
        return document.name
    if isinstance(document, Rotation):
        return f"{document.on_call or 'nobody'} is on call"
    if isinstance(document, Heartbeat):
        return f"{document.state}, last call {local(document.last_at, datetime.now(UTC)) or 'never'}"
    return ", ".join(str(target) for target in document.ladder.rungs[0].targets) + ", …"
