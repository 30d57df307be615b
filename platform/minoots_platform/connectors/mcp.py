"""Tools of MCP servers, called over streamable HTTP."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from minoots.contracts.actions import HEADER_VALUE_PATTERN, web_address
from minoots.contracts.base import Matching, Name, Part
from minoots.contracts.payloads import Metadata

from .guarded import refused_address
from .spec import ConnectorSpec


class CallTool(Part):
    """Call a tool, once for each firing; what it answers is the result of the action."""

    url: Annotated[str, Field(min_length=8, max_length=2048)]
    """The endpoint of the MCP server, such as ``https://tools.example.com/mcp``."""
    tool: Name
    arguments: Metadata = Field(default_factory=dict)
    """What it is called with. The fields of the timer's payload come on top; one that is no object is passed
    as ``payload``."""
    token: (
        Annotated[
            str,
            Field(min_length=1, max_length=4096),
            Matching(HEADER_VALUE_PATTERN, "printable ASCII without a line end"),
        ]
        | None
    ) = None
    """Sent as a bearer token; it is a secret, and never shown again."""

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        return web_address(value)


SPEC: Final = ConnectorSpec(
    kind="mcp",
    title="Tools of MCP servers",
    config=CallTool,
    sender="minoots_activities.connectors.mcp:Tools",
    refusal=lambda settings, config: refused_address(settings, config.url),
    destination=lambda config: f"mcp:{urlsplit(config['url']).netloc}{urlsplit(config['url']).path}",
    secret_fields=("token",),
)
