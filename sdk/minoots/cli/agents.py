"""``minoots agents``: register agents, command them, take and answer commands by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from minoots.contracts.agents import Command, CommandState, Lease

from . import output
from .arguments import duration, given, json_value, mapping
from .moments import local
from .session import Session, group, remote

app = group("Register agents, command them, take and answer commands.")

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="Id of the agent.", show_default=False)]
CommandArgument = Annotated[
    str, typer.Argument(metavar="COMMAND", help="Id of the command: cmd_…", show_default=False)
]
LeaseOption = Annotated[
    str, typer.Option("--lease", help="The lease that came with it: lse_…", show_default=False)
]


@remote(app)
def register(
    session: Session,
    agent: AgentArgument,
    description: Annotated[str | None, typer.Option(help="What it does.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
) -> None:
    """Register an agent, or change what is given of one."""
    labels = mapping(label, "--label", "=:") or None
    found = session.client.agents.register(agent, description=description, labels=labels)
    output.json_line(found) if session.json else output.line(f"{found.id}: {found.waiting} waiting")


@remote(app, "list")
def list_agents(session: Session) -> None:
    """List agents and how full their inboxes are."""
    found = session.client.agents.list()
    if session.json:
        for agent in found:
            output.json_line(agent)
        return
    now = datetime.now(UTC)
    rows = [
        (agent.id, agent.waiting, local(agent.oldest_at, now), local(agent.last_seen_at, now))
        for agent in found
    ]
    output.table(("AGENT", "WAITING", "OLDEST", "LAST SEEN"), rows)


@remote(app)
def send(
    session: Session,
    agent: AgentArgument,
    name: Annotated[str, typer.Argument(help="What is to be done.", show_default=False)],
    payload: Annotated[str | None, typer.Option(help="JSON, @file, or - for standard input.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="Nobody is to begin it later.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key makes one command.")] = None,
) -> None:
    """Put a command into an agent's inbox."""
    wanted: dict[str, Any] = given(idempotency_key=idempotency_key)
    if payload is not None:
        wanted["payload"] = json_value(payload, "--payload")
    if expires_in is not None:
        wanted["expires_in"] = duration(expires_in, "--expires-in")
    _show(session, session.client.agents.command(agent, name, **wanted))


@remote(app)
def take(
    session: Session,
    agent: AgentArgument,
    lease: Annotated[str, typer.Option(help="How long it is kept for you: 1s to 1h.")] = "60s",
    wait: Annotated[int, typer.Option(min=0, max=60, help="Seconds to wait for one.")] = 0,
) -> None:
    """Take the next command; nothing is printed when there is none."""
    for command in session.client.agents.take(agent, lease=duration(lease, "--lease"), wait=wait):
        _show(session, command)


@remote(app)
def acknowledge(
    session: Session,
    agent: AgentArgument,
    command: CommandArgument,
    lease: LeaseOption,
    result: Annotated[str | None, typer.Option(help="JSON, @file, or - for standard input.")] = None,
) -> None:
    """Close a command as done."""
    taken = _taken(session, agent, command, lease)
    answer = None if result is None else json_value(result, "--result")
    _show(session, session.client.agents.acknowledge(taken, answer))


@remote(app)
def decline(
    session: Session,
    agent: AgentArgument,
    command: CommandArgument,
    lease: LeaseOption,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
    requeue: Annotated[bool, typer.Option("--requeue", help="Have it handed out again.")] = False,
) -> None:
    """Close a command as not done, or give it back."""
    taken = _taken(session, agent, command, lease)
    _show(session, session.client.agents.decline(taken, reason, requeue=requeue))


@remote(app)
def history(
    session: Session,
    agent: AgentArgument,
    state: Annotated[list[CommandState] | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List an agent's commands, the newest first; nothing is handed out."""
    found = islice(session.client.agents.history(agent, state=state), limit or None)
    if session.json:
        for command in found:
            output.json_line(command)
        return
    now = datetime.now(UTC)
    rows = [
        (one.id, one.name, one.state, one.leases, local(one.created_at, now), one.reason or "")
        for one in found
    ]
    output.table(("ID", "NAME", "STATE", "TAKEN", "CREATED", "BECAUSE"), rows)


def _taken(session: Session, agent: str, command: str, lease: str) -> Command:
    found = session.client.agents.look_up(agent, command)
    return found.model_copy(update={"lease": Lease(id=lease, expires_at=datetime.now(UTC))})


def _show(session: Session, command: Command) -> None:
    if session.json:
        output.json_line(command)
        return
    now = datetime.now(UTC)
    lease = command.lease
    output.fields(
        (
            ("id", command.id),
            ("agent", command.agent_id),
            ("name", command.name),
            ("state", command.state),
            ("because", command.reason),
            ("payload", command.payload),
            ("lease", None if lease is None else f"{lease.id}, until {local(lease.expires_at, now)}"),
            ("progress", command.progress),
            ("result", command.result),
            ("timer", command.timer_id),
            ("created", local(command.created_at, now)),
        )
    )
