"""Operations on plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, Required, TypedDict

from minoots.call import Call, body_of, checked, get, key_header, pairs, path, post
from minoots.contracts.events import Event
from minoots.contracts.pages import Page
from minoots.contracts.plans import (
    NodeMove,
    NodeTimer,
    Plan,
    PlanCreate,
    PlanGraph,
    PlanNode,
    PlanPatch,
    PlanState,
    PlanSummary,
)
from minoots.contracts.timers import Cancel

from .timers import spelled_out, with_kinds

NodeSpec = PlanNode | Mapping[str, Any]
"""A node: a `PlanNode`, its fields as on the wire, or those with the fields of ``timer`` beside them and
``webhook`` in place of ``actions``: ``{"id": "deploy", "after": ["build"], "webhook": "https://…"}``."""

_OF_TIMER: Final = frozenset(NodeTimer.model_fields) | {"webhook"}


class NewPlan(TypedDict, total=False):
    """Arguments of ``plans.create``."""

    name: Required[str]
    nodes: Required[Sequence[NodeSpec]]
    payload: Any
    """For the expressions of all nodes."""
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    idempotency_key: str | None
    """The same key with the same arguments makes one plan; default: a random one for each call."""


class PlanFilter(TypedDict, total=False):
    """Arguments of ``plans.list``; every one that is given must match."""

    state: PlanState | str | Sequence[PlanState | str] | None
    name: str | None
    page_size: int | None


class PlanChange(TypedDict, total=False):
    """Arguments of ``plans.update``."""

    add: Sequence[NodeSpec]
    move: Sequence[NodeMove | Mapping[str, Any]]
    """``{"id": …, "delay": …}`` or ``{"id": …, "at": …}``."""
    cancel: Sequence[str]


def create(fields: NewPlan) -> Call[Plan]:
    """POST /v1/plans."""
    wanted: dict[str, Any] = dict(fields)
    key = wanted.pop("idempotency_key", None)
    wanted["nodes"] = _nodes(wanted["nodes"], "nodes")
    asked = checked(PlanCreate, **wanted)
    body = body_of(asked) | {"nodes": [_sent(node) for node in asked.nodes]}
    return Call("POST", "/v1/plans", Plan, body=body, headers=key_header(key))


def read(plan_id: str, wait: int | None = None) -> Call[Plan]:
    """GET /v1/plans/{id}; with ``wait``, answered when it has ended or that many seconds have passed."""
    call = get(path("/v1/plans/{id}", id=plan_id), Plan, wait=wait)
    return replace(call, patience=float(wait or 0))


def listing(fields: PlanFilter) -> Call[Page[PlanSummary]]:
    """GET /v1/plans."""
    wanted: dict[str, Any] = dict(fields)
    limit = wanted.pop("page_size", None)
    return Call("GET", "/v1/plans", Page[PlanSummary], query=pairs({**wanted, "limit": limit}))


def graph(plan_id: str) -> Call[PlanGraph]:
    """GET /v1/plans/{id}/graph."""
    return get(_verb(plan_id, "graph"), PlanGraph)


def update(plan_id: str, fields: PlanChange, generation: int | None) -> Call[Plan]:
    """PATCH /v1/plans/{id}."""
    wanted: dict[str, Any] = dict(fields)
    if "add" in wanted:
        wanted["add"] = _nodes(wanted["add"], "add")
    asked = checked(PlanPatch, **wanted)
    body = body_of(asked) | ({"add": [_sent(node) for node in asked.add]} if asked.add else {})
    headers = key_header(None)
    if generation is not None:
        headers += (("If-Match", f'"{generation}"'),)
    return Call("PATCH", path("/v1/plans/{id}", id=plan_id), Plan, body=body, headers=headers)


def act(plan_id: str, verb: Literal["pause", "resume"]) -> Call[Plan]:
    """POST /v1/plans/{id}/pause or …/resume."""
    return post(_verb(plan_id, verb), Plan)


def cancel(plan_id: str, reason: str | None) -> Call[Plan]:
    """POST /v1/plans/{id}/cancel."""
    given = {} if reason is None else {"reason": reason}
    return post(_verb(plan_id, "cancel"), Plan, body_of(checked(Cancel, **given)))


def events(plan_id: str) -> Call[Page[Event]]:
    """GET /v1/plans/{id}/events."""
    return get(_verb(plan_id, "events"), Page[Event])


def _nodes(nodes: Sequence[NodeSpec], field: str) -> list[Any]:
    return [_node(node, f"body.{field}.{index}") for index, node in enumerate(nodes)]


def _node(node: NodeSpec, where: str) -> Any:
    if isinstance(node, PlanNode):
        return node
    given = dict(node)
    beside = {name: given.pop(name) for name in _OF_TIMER & given.keys()}
    if beside:
        given["timer"] = spelled_out(beside | dict(given.get("timer", {})), where)
    return given


def _sent(node: PlanNode) -> dict[str, Any]:
    body = body_of(node)
    return body | {"timer": with_kinds(body["timer"], node.timer.actions)}


def _verb(plan_id: str, verb: str) -> str:
    return path("/v1/plans/{id}/", id=plan_id) + verb
