"""Operations on agents and their inboxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from minoots.call import Call, body_of, checked, get, invalid, path, post
from minoots.contracts.agents import (
    Acknowledge,
    Agent,
    AgentRegister,
    Command,
    CommandCreate,
    Commands,
    CommandState,
    Decline,
    Extend,
    Progress,
)
from minoots.contracts.pages import Page
from minoots.durations import EXPECTED, format_duration, parse_duration

from .timers import Length


def register(agent_id: str, description: str | None, labels: Mapping[str, str] | None) -> Call[Agent]:
    """POST /v1/agents."""
    given: dict[str, Any] = {"id": agent_id}
    if description is not None:
        given["description"] = description
    if labels is not None:
        given["labels"] = labels
    return post("/v1/agents", Agent, body_of(checked(AgentRegister, **given)))


def read(agent_id: str) -> Call[Agent]:
    """GET /v1/agents/{id}."""
    return get(path("/v1/agents/{id}", id=agent_id), Agent)


def listing() -> Call[Page[Agent]]:
    """GET /v1/agents."""
    return get("/v1/agents", Page[Agent])


def command(
    agent_id: str, name: str, payload: Any, expires_in: Length | None, idempotency_key: str | None
) -> Call[Command]:
    """POST /v1/agents/{id}/commands."""
    given: dict[str, Any] = {"name": name, "payload": payload}
    if expires_in is not None:
        given["expires_in"] = expires_in
    route = path("/v1/agents/{id}/commands", id=agent_id)
    return post(route, Command, body_of(checked(CommandCreate, **given)), idempotency_key=idempotency_key)


def take(agent_id: str, lease: Length, limit: int, wait: int) -> Call[Commands]:
    """GET /v1/agents/{id}/commands."""
    try:
        length = format_duration(parse_duration(lease))
    except ValueError as error:
        raise invalid("lease", EXPECTED, repr(lease)) from error
    route = path("/v1/agents/{id}/commands", id=agent_id)
    call = get(route, Commands, lease=length, limit=limit, wait=wait)
    # Asking again hands out the next ones: what a lost answer held comes back when its lease ends.
    return replace(call, patience=float(wait))


def history(
    agent_id: str, state: CommandState | str | Sequence[CommandState | str] | None
) -> Call[Page[Command]]:
    """GET /v1/agents/{id}/history."""
    return get(path("/v1/agents/{id}/history", id=agent_id), Page[Command], state=state)


def look_up(agent_id: str, command_id: str) -> Call[Command]:
    """GET /v1/agents/{id}/commands/{command}."""
    return get(path("/v1/agents/{id}/commands/{command}", id=agent_id, command=command_id), Command)


def acknowledge(agent_id: str, command_id: str, lease: str, result: Any) -> Call[Command]:
    """POST /v1/agents/{id}/commands/{command}/acknowledge."""
    given = {"lease": lease} | ({} if result is None else {"result": result})
    return _answer(agent_id, command_id, "acknowledge", body_of(checked(Acknowledge, **given)))


def extend(agent_id: str, command_id: str, lease: str, by: Length) -> Call[Command]:
    """POST /v1/agents/{id}/commands/{command}/extend."""
    return _answer(agent_id, command_id, "extend", body_of(checked(Extend, lease=lease, by=by)))


def progress(agent_id: str, command_id: str, lease: str, value: Any, by: Length) -> Call[Command]:
    """POST /v1/agents/{id}/commands/{command}/progress."""
    body = body_of(checked(Progress, lease=lease, progress=value, by=by))
    return _answer(agent_id, command_id, "progress", body)


def decline(
    agent_id: str, command_id: str, lease: str, reason: str | None, *, requeue: bool
) -> Call[Command]:
    """POST /v1/agents/{id}/commands/{command}/decline."""
    given: dict[str, Any] = {"lease": lease, "requeue": requeue}
    if reason is not None:
        given["reason"] = reason
    return _answer(agent_id, command_id, "decline", body_of(checked(Decline, **given)))


def _answer(agent_id: str, command_id: str, verb: str, body: dict[str, Any]) -> Call[Command]:
    route = path("/v1/agents/{id}/commands/{command}/", id=agent_id, command=command_id) + verb
    return post(route, Command, body)
