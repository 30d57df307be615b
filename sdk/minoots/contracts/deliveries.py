"""Deliveries on the wire: attempts, dead letters, replays."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from .base import Instant, Name, Request, View


class DeliveryState(StrEnum):
    """Where the delivery of one action stands."""

    SENDING = "sending"
    """An attempt is under way, or was when a process died; it will be taken up again."""
    WAITING = "waiting"
    """It is held back by its destination: its limits, its circuit, or another of the same FIFO key."""
    RETRYING = "retrying"
    """The last attempt failed; the next one is planned."""
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    """Given up: a dead letter."""
    CANCELLED = "cancelled"


class AttemptError(StrEnum):
    """Why an attempt failed."""

    DNS = "dns"
    BLOCKED = "blocked"
    """The settings of the service do not allow the receiver."""
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    """The receiver broke off, or did not speak HTTP."""
    STATUS = "status"
    """The receiver answered with something else than 2xx."""
    REDIRECT = "redirect"
    GONE = "gone"
    """The receiver answered 410, now or before."""
    DISABLED = "disabled"
    """The circuit of the destination was opened too often."""
    ABSENT = "absent"
    """There is no such agent."""
    REFUSED = "refused"
    """The receiver, or the connector, will never take it as it is."""
    SECRET = "secret"  # noqa: S105 - the name of an error, not a secret
    """The signing secret is missing or cannot be read."""


class Attempt(View):
    """One attempt to deliver one action."""

    delivery_id: str
    timer_id: str
    action: int
    """Position in the timer's ``actions``, from 0."""
    number: int
    """From 1."""
    planned_at: Instant
    started_at: Instant
    finished_at: Instant
    latency_ms: float
    status: int | None = None
    succeeded: bool
    error: AttemptError | None = None
    detail: str | None = None
    response: str | None = None
    """The first 2 KiB of the answer's body."""
    next_attempt_at: Instant | None = None


class DeadLetter(View):
    """A delivery that was given up."""

    id: str
    timer_id: str
    timer_name: str
    action: int
    url: str
    webhook_id: str
    attempts: int
    error: AttemptError
    detail: str | None = None
    died_at: Instant
    replay_of: str | None = None
    """The dead letter that this delivery replayed, if it was a replay."""
    replayed_by: str | None = None
    """The newest delivery that replays this one."""


class Replayed(View):
    """The new delivery that replays a dead letter."""

    delivery_id: str
    replay_of: str


class ReplayFilter(Request):
    """Which dead letters to replay: all of those that match every given field. At least one is needed."""

    timer_id: Annotated[str, Field(max_length=40)] | None = None
    url_prefix: Annotated[str, Field(min_length=8, max_length=2048)] | None = None
    error: AttemptError | None = None
    died_after: Instant | None = None
    died_before: Instant | None = None
    timer_name: Name | None = None

    @model_validator(mode="after")
    def _some_filter(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(
                "give at least one of timer_id, url_prefix, error, died_after, died_before and timer_name"
            )
        return self


class Replay(View):
    """A replay by filter, and how far it is."""

    id: str
    state: str
    """``running`` or ``done``."""
    total: int
    """Dead letters that matched when it was asked for."""
    replayed: int
    skipped: int
    """Already replayed by somebody else in the meantime."""
    created_at: Instant
    finished_at: Instant | None = None
