"""Messages to chats by their incoming webhooks: Slack, Discord, Teams, and what is compatible with one."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from minoots.contracts.actions import web_address
from minoots.contracts.base import Part

from .guarded import refused_address
from .spec import ConnectorSpec


class Chat(Part):
    """Post a message."""

    url: Annotated[str, Field(min_length=8, max_length=2048)]
    """The incoming webhook; it is a secret, and never shown again."""
    style: Literal["slack", "discord", "teams"] = "slack"
    text: Annotated[str, Field(max_length=2000)] | None = None
    """What stands before the payload."""

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        return web_address(value)


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:8]


SPEC: Final = ConnectorSpec(
    kind="chat",
    title="Chats by incoming webhook",
    config=Chat,
    sender="minoots_activities.connectors.chat:Chats",
    refusal=lambda settings, config: refused_address(settings, config.url),
    # One for each webhook, of which nothing but the host may be seen.
    destination=lambda config: f"chat:{urlsplit(config['url']).hostname}#{_digest(config['url'])}",
    secret_fields=("url",),
)
