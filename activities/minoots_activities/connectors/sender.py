"""The port of a connector: one message, sent once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from opentelemetry import trace
from pydantic import BaseModel
from temporalio.client import Client

from minoots.contracts import AttemptError
from minoots_activities.http import WebhookSender
from minoots_activities.result import Result
from minoots_platform.clock import Clock
from minoots_platform.records import Database
from minoots_platform.settings import Settings
from minoots_platform.vault import Vault

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
    timer_id: str
    title: str
    """The name of the timer."""
    payload: Any
    event: dict[str, Any]
    """The CloudEvent that a webhook gets."""
    fired_at: datetime
    attempt: int
    """From 1."""
    link: str | None
    """Of a notice that somebody can acknowledge."""
    traceparent: str | None
    prepared: Any = None
    """What `Sender.prepare` returned."""
    progress: Report = _nobody
    """Called with what the receiver says of its progress."""


@dataclass(frozen=True)
class World:
    """What senders may use."""

    settings: Settings
    temporal: Client
    http: WebhookSender
    database: Database
    vault: Vault
    tracer: trace.Tracer
    clock: Clock


class NotSent(Exception):
    """The message was not taken, or would not be.

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

    timeout: ClassVar[float] = 25.0
    """Seconds for one attempt; the activity that makes it has 45, and waits for the moment within them."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def prepare(self, tenant: str, configs: Sequence[ConfigT]) -> Any:
        """Fetch ahead of time whatever sending to ``configs`` will need."""
        return None

    async def warm(self, config: ConfigT) -> None:
        """Open ahead of time what sending will need; what goes wrong goes wrong again in `send`."""

    @abstractmethod
    async def send(self, message: Message, config: ConfigT) -> Result | str | None:
        """Send once.

        Returns:
            What the receiver answered, if that is worth keeping; a `Result` where the sender knows by itself
            at which moment it wrote the request.

        Raises:
            NotSent: it was not taken.
        """

    async def health(self) -> None:
        """Make sure that the one server behind all messages answers (of a connector that is ``watched``).

        Raises:
            NotSent: it does not.
        """

    async def check(self, tenant: str, config: ConfigT) -> None:
        """Make sure, without sending anything, that a message to ``config`` could be sent now.

        Raises:
            NotSent: it could not.
        """
        await self.health()

    async def close(self) -> None:
        """Let go of connections."""
