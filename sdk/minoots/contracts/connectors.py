"""Connectors on the wire: what is installed, and whether an action could be sent."""

from __future__ import annotations

from typing import Any

from .actions import Action
from .base import Instant, Request, View
from .deliveries import AttemptError


class ConnectorInfo(View):
    """A connector that is installed."""

    kind: str
    title: str
    config: dict[str, Any]
    """JSON Schema of the action's ``config``; of the action itself where its fields stand beside ``kind``, as
    those of ``webhook`` and ``agent`` do."""
    configured: bool
    """Whether the service is set up for it."""
    remedy: str | None = None
    """What is missing."""


class ActionCheck(Request):
    """Look whether an action could be sent, without sending it."""

    action: Action


class Checked(View):
    """Whether an action could be sent at that moment; nothing was."""

    kind: str
    destination: str
    """What attempts and dead letters call its receiver."""
    well: bool
    error: AttemptError | None = None
    """What an attempt would be called that fails of it."""
    detail: str | None = None
    checked_at: Instant
