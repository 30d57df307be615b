"""``minoots plans``: make, read, draw, change and await timers that follow from one another."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from minoots.contracts.plans import NodeState, Plan, PlanState, PlanSummary

from . import output
from .arguments import duration, given, json_value, mapping
from .events import show_event
from .exits import Exit
from .moments import local
from .session import Session, group, remote

app = group("Make, read, draw and change plans: timers that follow from one another.")

PlanId = Annotated[str, typer.Argument(metavar="ID", help="Id of the plan: pln_…", show_default=False)]
Generation = Annotated[
    int | None, typer.Option("--generation", help="Only if the plan still is at this generation.")
]


@remote(app)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    nodes: Annotated[
        str, typer.Argument(help="A list of nodes: JSON, @file, or - for standard input.", show_default=False)
    ],
    payload: Annotated[str | None, typer.Option(help="For expressions: JSON, @file or -.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key makes one plan.")] = None,
) -> None:
    """Make a plan."""
    wanted: dict[str, Any] = given(labels=mapping(label, "--label", "=:"), idempotency_key=idempotency_key)
    if payload is not None:
        wanted["payload"] = json_value(payload, "--payload")
    _show(session, session.client.plans.create(name=name, nodes=_list(nodes, "NODES"), **wanted))


@remote(app, "list")
def list_plans(
    session: Session,
    state: Annotated[list[PlanState] | None, typer.Option(help="Only those in this state.")] = None,
    name: Annotated[str | None, typer.Option(help="Only those of this name.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List plans, the newest first."""
    wanted: dict[str, Any] = given(state=state, name=name)
    found = islice(session.client.plans.list(**wanted), limit or None)
    if session.json:
        for plan in found:
            output.json_line(plan)
        return
    now = datetime.now(UTC)
    rows = [(one.id, one.name, one.state, _counts(one), local(one.created_at, now)) for one in found]
    output.table(("ID", "NAME", "STATE", "NODES", "CREATED"), rows)


@remote(app)
def show(session: Session, plan_id: PlanId) -> None:
    """Show a plan and how its nodes stand."""
    _show(session, session.client.plans.get(plan_id))


@remote(app)
def graph(
    session: Session,
    plan_id: PlanId,
    dot: Annotated[bool, typer.Option("--dot", help="In DOT, for Graphviz; else in Mermaid.")] = False,
) -> None:
    """Draw a plan."""
    drawn = session.client.plans.graph(plan_id)
    if session.json:
        output.json_line(drawn)
        return
    for line in (drawn.dot if dot else drawn.mermaid).splitlines():
        output.line(line)


@remote(app)
def add(
    session: Session,
    plan_id: PlanId,
    nodes: Annotated[
        str, typer.Argument(help="A list of nodes: JSON, @file, or - for standard input.", show_default=False)
    ],
    generation: Generation = None,
) -> None:
    """Add nodes to a plan that has not ended."""
    _show(session, session.client.plans.update(plan_id, generation=generation, add=_list(nodes, "NODES")))


@remote(app)
def move(
    session: Session,
    plan_id: PlanId,
    node: Annotated[str, typer.Argument(help="Id of the node.", show_default=False)],
    delay: Annotated[str | None, typer.Option(help="So long after the nodes before it.")] = None,
    at: Annotated[str | None, typer.Option(help="Then: RFC 3339 with an offset.")] = None,
    generation: Generation = None,
) -> None:
    """Give a node that has not fired another time."""
    if (delay is None) == (at is None):
        raise typer.BadParameter("give exactly one of --delay and --at", param_hint="--delay / --at")
    time = given(delay=None if delay is None else duration(delay, "--delay"), at=at)
    _show(session, session.client.plans.update(plan_id, generation=generation, move=[{"id": node, **time}]))


@remote(app)
def drop(
    session: Session,
    plan_id: PlanId,
    node: Annotated[list[str], typer.Argument(help="Ids of the nodes.", show_default=False)],
    generation: Generation = None,
) -> None:
    """Call nodes off."""
    _show(session, session.client.plans.update(plan_id, generation=generation, cancel=node))


@remote(app)
def pause(session: Session, plan_id: PlanId) -> None:
    """Let nothing new begin, and hold the timers that wait."""
    _show(session, session.client.plans.pause(plan_id))


@remote(app)
def resume(session: Session, plan_id: PlanId) -> None:
    """Let a paused plan go on."""
    _show(session, session.client.plans.resume(plan_id))


@remote(app)
def cancel(
    session: Session,
    plan_id: PlanId,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the plan.")] = None,
) -> None:
    """End a plan for good, with every node that has not ended."""
    _show(session, session.client.plans.cancel(plan_id, reason=reason))


@remote(app)
def wait(
    session: Session,
    plan_id: PlanId,
    timeout: Annotated[str | None, typer.Option(help="Give up after: 30s, 10m. Default: never.")] = None,
) -> None:
    """Wait until a plan has ended; exit code 8 unless it has settled."""
    seconds = None if timeout is None else duration(timeout, "--timeout").total_seconds()
    plan = session.client.plans.wait(plan_id, timeout=seconds)
    _show(session, plan)
    if plan.state is not PlanState.SETTLED:
        raise typer.Exit(Exit.ENDED_BADLY)


@remote(app)
def events(session: Session, plan_id: PlanId) -> None:
    """List the events of a plan and its nodes."""
    for event in session.client.plans.events(plan_id):
        show_event(session, event)


def _list(text: str, argument: str) -> list[Any]:
    found = json_value(text, argument)
    if not isinstance(found, list):
        raise typer.BadParameter(f"expected a JSON list of nodes; got {type(found).__name__}")
    return found


def _counts(plan: PlanSummary) -> str:
    return ", ".join(f"{plan.counts[state]} {state}" for state in NodeState if plan.counts.get(state))


def _show(session: Session, plan: Plan) -> None:
    if session.json:
        output.json_line(plan)
        return
    now = datetime.now(UTC)
    output.fields(
        (
            ("id", plan.id),
            ("name", plan.name),
            ("state", plan.state),
            ("because", plan.state_reason),
            ("nodes", _counts(plan)),
            ("created", f"{local(plan.created_at, now)} by {plan.created_by}"),
            ("ended", None if plan.ended_at is None else local(plan.ended_at, now)),
            ("generation", plan.generation),
        )
    )
    rows = [
        (
            node.id,
            node.state,
            ", ".join(node.after),
            local(node.due_at, now),
            node.timer_id or "",
            node.state_reason or "",
        )
        for node in plan.nodes
    ]
    output.table(("NODE", "STATE", "AFTER", "DUE", "TIMER", "BECAUSE"), rows)
