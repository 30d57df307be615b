"""``minoots connectors``: what actions can be sent through, and whether one could be sent now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import output
from .arguments import json_value
from .exits import Exit
from .session import Session, group, remote

app = group("See what actions can be sent through, and whether one could be sent now.")


@remote(app, "list")
def list_connectors(session: Session) -> None:
    """List the connectors that are installed."""
    found = session.client.connectors.list()
    if session.json:
        for one in found:
            output.json_line(one)
        return
    rows = [(one.kind, one.title, "ready" if one.configured else one.remedy) for one in found]
    output.table(("KIND", "WHAT", "SET UP"), rows)


@remote(app)
def check(
    session: Session,
    action: Annotated[
        str,
        typer.Argument(
            metavar="ACTION",
            help="An action as JSON, @FILE or - with it; the URL of a webhook; or agent:ID.",
            show_default=False,
        ),
    ],
) -> None:
    """Have a worker look whether an action could be sent now. Nothing is sent."""
    found = session.client.connectors.check(_action(action))
    if session.json:
        output.json_line(found)
    elif found.well:
        output.line(f"{found.destination} could be sent to")
    else:
        output.line(f"{found.destination} could not be sent to: {found.error}: {found.detail}")
    if not found.well:
        raise typer.Exit(Exit.UNAVAILABLE)


def _action(text: str) -> dict[str, Any]:
    if text.lstrip()[:1] in ("{", "@", "-"):
        action: dict[str, Any] = json_value(text, "ACTION")
        return action
    if text.startswith("agent:"):
        return {"kind": "agent", "agent": text.removeprefix("agent:")}
    return {"kind": "webhook", "url": text}
