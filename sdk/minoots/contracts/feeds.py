"""Messages of the WebSocket ``/v1/ws``, as clients send them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, TypeAdapter

from .base import Duration, Labels, Part
from .escalations import Somebody
from .events import EventType
from .payloads import Note

SubscriptionId = Annotated[str, Field(min_length=1, max_length=63)]
"""What the client calls a subscription or a command; answers repeat it."""


class Authenticate(Part):
    """The first message of a client that sent no key in a header."""

    type: Literal["authenticate"]
    key: Annotated[SecretStr, Field(max_length=200)]


class Subscribe(Part):
    """Send events that match every given field, from after a number on."""

    type: Literal["subscribe"]
    id: SubscriptionId
    after: Annotated[int, Field(ge=0, le=2**62)] | None = None
    """Start after this number; without it, with what comes next."""
    types: Annotated[tuple[EventType, ...], Field(max_length=100)] = ()
    subject: Annotated[str, Field(max_length=80)] | None = None
    labels: Labels = Field(default_factory=dict)


class Unsubscribe(Part):
    """Send no more events of a subscription."""

    type: Literal["unsubscribe"]
    id: SubscriptionId


class Ping(Part):
    """Answer with a pong."""

    type: Literal["ping"]
    id: SubscriptionId = "ping"


class AcknowledgeMessage(Part):
    """Acknowledge an escalation, or a timer that requires it."""

    type: Literal["acknowledge"]
    id: SubscriptionId
    target: Annotated[str, Field(min_length=1, max_length=40)]
    """``esc_…`` or ``tmr_…``."""
    by: Somebody | None = None
    result: Note = None


class SnoozeMessage(Part):
    """Put a timer off: it fires ``after`` from now."""

    type: Literal["snooze"]
    id: SubscriptionId
    timer: Annotated[str, Field(min_length=1, max_length=40)]
    after: Duration


ClientMessage = Authenticate | Subscribe | Unsubscribe | Ping | AcknowledgeMessage | SnoozeMessage
_MESSAGES: Final[TypeAdapter[ClientMessage]] = TypeAdapter(
    Annotated[ClientMessage, Field(discriminator="type")]
)


def parse_message(value: Any) -> ClientMessage:
    """Return a message from its JSON.

    Raises:
        ValidationError: for what is none.
    """
    return _MESSAGES.validate_python(value)
