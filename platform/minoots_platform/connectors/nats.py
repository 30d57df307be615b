"""Messages to NATS JetStream."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from minoots.contracts.base import Matching, Part
from minoots_platform.settings import Settings

from .spec import ConnectorSpec

SUBJECT_PATTERN: Final = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,15}$"


class Publish(Part):
    """Publish a message; a stream has to take it."""

    subject: Annotated[
        str,
        Field(max_length=200),
        Matching(SUBJECT_PATTERN, "words of letters, digits, _ and -, with dots between"),
    ]
    """Below the prefix of this service, ``minoots.<tenant>.`` unless it is set otherwise."""


def _missing(settings: Settings) -> str | None:
    if settings.connectors.nats.servers:
        return None
    return "Whoever runs the service sets connectors.nats.servers."


SPEC: Final = ConnectorSpec(
    kind="nats",
    title="NATS JetStream",
    config=Publish,
    sender="minoots_activities.connectors.nats:Nats",
    missing=_missing,
    watched=True,
    destination=lambda config: f"nats:{config['subject']}",
)
