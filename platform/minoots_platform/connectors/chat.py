"""Messages to chats by their incoming webhooks: Slack, Discord, Teams, and what is compatible with one."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import Field, field_validator

from minoots.contracts.actions import web_address
from minoots.contracts.base import Part
from minoots_platform.addresses import AddressPolicy, parse_address
from minoots_platform.settings import Settings

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


def _refusal(settings: Settings, config: Chat) -> tuple[str, str] | None:
    address = parse_address(httpx.URL(config.url).host)
    policy = AddressPolicy(tuple(settings.delivery.allowed_networks))
    refusal = None if address is None else policy.refusal(address)
    return None if refusal is None else ("url", f"an address that is not {refusal}")


SPEC: Final = ConnectorSpec(
    kind="chat",
    title="Chats by incoming webhook",
    config=Chat,
    sender="minoots_activities.connectors.chat:Chats",
    refusal=_refusal,
    destination=lambda config: f"chat:{urlsplit(config['url']).hostname}",
    secret_fields=("url",),
)
