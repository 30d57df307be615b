"""Agents at work on the wire: how far one is, what it asks leave for, and what it is told meanwhile."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Instant, Request, View
from .tools import MAX_CALLS


class ToolApproval(View):
    """A call of a tool that waits until somebody approves or denies it."""

    call: int
    """Its number in the job."""
    tool: str
    arguments: str
    """All of them, as JSON."""


class AgentProgress(View):
    """How far an agent is."""

    turns: int
    calls: int
    messages: int
    """Said so far, by everybody."""
    unread: int = 0
    """Messages to it that it has not read yet."""
    awaiting: tuple[ToolApproval, ...] = ()
    wakes_at: Instant | None = None
    """Of one that sleeps."""


class JobDecision(Request):
    """Whether an agent may do what it asks for."""

    call: Annotated[int, Field(ge=1, le=MAX_CALLS * 2)]
    """Which call: whoever decides has seen this one, and no other is meant."""
    reason: Annotated[str, Field(max_length=2000)] | None = None
    """For the agent, and for whoever looks later."""


class JobMessage(Request):
    """Something said to an agent while it works."""

    text: Annotated[str, Field(min_length=1, max_length=64 * 1024)]
