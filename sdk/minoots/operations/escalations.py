"""Operations on escalations, and on who can be told: people, rotations, policies, heartbeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Required, TypedDict, TypeVar

from pydantic import BaseModel

from minoots.call import Call, Nothing, body_of, checked, get, key_header, pairs, path, post
from minoots.contracts.base import Part
from minoots.contracts.escalations import (
    AcknowledgeEscalation,
    AcknowledgeTimes,
    DeclineEscalation,
    Escalation,
    EscalationCreate,
    EscalationState,
    HandOn,
    Ladder,
    Policy,
    PolicySave,
    ResolveEscalation,
    SnoozeEscalation,
    Terms,
)
from minoots.contracts.events import Event
from minoots.contracts.heartbeats import Heartbeat, HeartbeatSave
from minoots.contracts.pages import Page
from minoots.contracts.rotations import OnCall, Person, PersonSave, Rotation, RotationSave
from minoots.contracts.timers import Cancel

from .timers import Length, Moment

DocumentT = TypeVar("DocumentT", bound=BaseModel)


class NewEscalation(TypedDict, total=False):
    """Arguments of ``escalations.create``."""

    name: Required[str]
    policy: str
    """A ladder that is saved; give this or ``ladder``."""
    ladder: Ladder | Mapping[str, Any]
    terms: Terms | Mapping[str, Any]
    payload: Any
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    idempotency_key: str | None
    """The same key with the same arguments begins one; default: a random one for each call."""


class EscalationFilter(TypedDict, total=False):
    """Arguments of ``escalations.list``; every one that is given must match."""

    state: EscalationState | str | Sequence[EscalationState | str] | None
    timer: str | None
    page_size: int | None


@dataclass(frozen=True)
class Documents(Generic[DocumentT]):
    """Where documents of a kind are, and what they are."""

    route: str
    save_as: type[Part]
    view: type[DocumentT]

    def save(self, fields: Mapping[str, Any]) -> Call[DocumentT]:
        """POST: keep one, or replace the one of that id."""
        return post(self.route, self.view, body_of(checked(self.save_as, **fields)))

    def read(self, document_id: str) -> Call[DocumentT]:
        """GET one."""
        return get(path(f"{self.route}/{{id}}", id=document_id), self.view)

    def listing(self) -> Call[Page[DocumentT]]:
        """GET a page, the newest first."""
        page: type[Page[DocumentT]] = Page[self.view]  # type: ignore[name-defined]  # a model made at run time
        return get(self.route, page)

    def remove(self, document_id: str) -> Call[Nothing]:
        """DELETE one."""
        return Call("DELETE", path(f"{self.route}/{{id}}", id=document_id), Nothing)


PEOPLE = Documents("/v1/people", PersonSave, Person)
ROTATIONS = Documents("/v1/rotations", RotationSave, Rotation)
POLICIES = Documents("/v1/policies", PolicySave, Policy)
HEARTBEATS = Documents("/v1/heartbeats", HeartbeatSave, Heartbeat)


def create(fields: NewEscalation) -> Call[Escalation]:
    """POST /v1/escalations."""
    wanted: dict[str, Any] = dict(fields)
    key = wanted.pop("idempotency_key", None)
    body = body_of(checked(EscalationCreate, **wanted))
    return Call("POST", "/v1/escalations", Escalation, body=body, headers=key_header(key))


def read(escalation_id: str) -> Call[Escalation]:
    """GET /v1/escalations/{id}."""
    return get(path("/v1/escalations/{id}", id=escalation_id), Escalation)


def listing(fields: EscalationFilter) -> Call[Page[Escalation]]:
    """GET /v1/escalations."""
    wanted: dict[str, Any] = dict(fields)
    limit = wanted.pop("page_size", None)
    return Call("GET", "/v1/escalations", Page[Escalation], query=pairs({**wanted, "limit": limit}))


def acknowledge(public_id: str, by: str | None, result: Any) -> Call[Escalation]:
    """POST /v1/escalations/{id}/acknowledge, or that of a timer."""
    given = _given(by=by) | ({} if result is None else {"result": result})
    timer = public_id.startswith("tmr_")
    route = path(f"/v1/{'timers' if timer else 'escalations'}/{{id}}/acknowledge", id=public_id)
    return post(route, Escalation, body_of(checked(AcknowledgeEscalation, **given)))


def decline(escalation_id: str, by: str | None, reason: str | None) -> Call[Escalation]:
    """POST /v1/escalations/{id}/decline."""
    return _act(escalation_id, "decline", checked(DeclineEscalation, **_given(by=by, reason=reason)))


def hand_on(escalation_id: str, to: str, by: str | None, reason: str | None) -> Call[Escalation]:
    """POST /v1/escalations/{id}/hand-on."""
    return _act(escalation_id, "hand-on", checked(HandOn, to=to, **_given(by=by, reason=reason)))


def snooze(escalation_id: str, after: Length, by: str | None) -> Call[Escalation]:
    """POST /v1/escalations/{id}/snooze."""
    return _act(escalation_id, "snooze", checked(SnoozeEscalation, after=after, **_given(by=by)))


def resolve(escalation_id: str, by: str | None, reason: str | None) -> Call[Escalation]:
    """POST /v1/escalations/{id}/resolve."""
    return _act(escalation_id, "resolve", checked(ResolveEscalation, **_given(by=by, reason=reason)))


def cancel(escalation_id: str, reason: str | None) -> Call[Escalation]:
    """POST /v1/escalations/{id}/cancel."""
    return _act(escalation_id, "cancel", checked(Cancel, **_given(reason=reason)))


def events(escalation_id: str) -> Call[Page[Event]]:
    """GET /v1/escalations/{id}/events."""
    return get(_verb(escalation_id, "events"), Page[Event])


def times(since: Moment | None) -> Call[Page[AcknowledgeTimes]]:
    """GET /v1/escalations/times."""
    return get("/v1/escalations/times", Page[AcknowledgeTimes], since=since)


def shifts(rotation_id: str, since: Moment | None, until: Moment | None) -> Call[OnCall]:
    """GET /v1/rotations/{id}/shifts."""
    return get(path("/v1/rotations/{id}/shifts", id=rotation_id), OnCall, since=since, until=until)


def beat(heartbeat_id: str) -> Call[Heartbeat]:
    """POST /v1/heartbeats/{id}."""
    return post(path("/v1/heartbeats/{id}", id=heartbeat_id), Heartbeat)


def _act(escalation_id: str, verb: str, asked: Part) -> Call[Escalation]:
    return post(_verb(escalation_id, verb), Escalation, body_of(asked))


def _given(**values: str | None) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _verb(escalation_id: str, verb: str) -> str:
    return path("/v1/escalations/{id}/", id=escalation_id) + verb
