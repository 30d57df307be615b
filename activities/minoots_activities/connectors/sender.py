"""The port of a connector that is installed: one message, sent once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel
from temporalio.client import Client

from minoots.contracts import AttemptError
from minoots_activities.http import WebhookSender
from minoots_platform.settings import Settings

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Report(Protocol):
    """Takes note of a receiver's progress."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """How far, of how much, and a word about it."""
        ...


async def _nobody(progress: float, total: float | None, message: str | None) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Message:
    """What is to be sent."""

    id: str
    """The same for every attempt and replay: the receiver's idempotency key."""
    tenant: str
    title: str
    """The name of the timer."""
    payload: Any
    event: dict[str, Any]
    """The CloudEvent that a webhook would get."""
    link: str | None
    """Of a notice that somebody can acknowledge."""
    traceparent: str | None
    progress: Report = _nobody
    """Called with what the receiver says of its progress."""


@dataclass(frozen=True)
class World:
    """What senders may use."""

    settings: Settings
    temporal: Client
    http: WebhookSender


class NotSent(Exception):
    """The message was not taken.

    Attributes:
        error: the kind of fault; `AttemptError.REFUSED` is not tried again.
        detail: what happened, without secrets.
        status: what the receiver answered, where that is a number.
        retry_after: how long it wants to be left alone.
    """

    def __init__(
        self,
        error: AttemptError,
        detail: str,
        *,
        status: int | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail
        self.status = status
        self.retry_after = retry_after


class Sender(ABC, Generic[ConfigT]):
    """Sends messages of one kind. One a process, made when it is first needed."""

    def __init__(self, world: World) -> None:
        self.world = world

    @abstractmethod
    async def send(self, message: Message, config: ConfigT) -> str | None:
        """Send once; return what the receiver answered, if that is worth keeping.

        Raises:
            NotSent: it was not taken.
        """

    async def health(self) -> None:
        """Make sure that messages could be sent now.

        Raises:
            NotSent: they could not.
        """

    async def close(self) -> None:
        """Let go of connections."""
