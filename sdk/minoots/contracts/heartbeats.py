"""Heartbeats on the wire: silence for longer than agreed begins a ladder."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Self

from pydantic import model_validator

from .base import Duration, Instant, Name, Request, View
from .escalations import Slug
from .payloads import Payload


class HeartbeatState(StrEnum):
    """Where a heartbeat stands."""

    NEW = "new"
    """Nobody has called yet; silence does not count."""
    ALIVE = "alive"
    SILENT = "silent"
    """The ladder has begun."""
    PAUSED = "paused"


class HeartbeatSave(Request):
    """A heartbeat to expect; saving it again changes it."""

    id: Slug
    name: Name
    every: Duration
    """How often somebody calls, ..."""
    grace: Duration = timedelta(seconds=30)
    """... and how late they may be."""
    policy: Slug
    """The ladder that begins with silence."""
    payload: Payload = None
    """For the ladder's notices."""

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.every < timedelta(seconds=1):
            raise ValueError("expected every to be at least 1s")
        return self


class Heartbeat(View):
    """A heartbeat as it stands."""

    id: str
    name: str
    state: HeartbeatState
    every: Duration
    grace: Duration
    policy: str
    last_at: Instant | None
    """When somebody called last."""
    silent_at: Instant | None
    """When the next call is too late."""
    escalation_id: str | None
    """The escalation of the present silence."""
    updated_at: Instant
