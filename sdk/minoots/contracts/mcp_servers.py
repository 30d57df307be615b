"""MCP servers of agents on the wire: where they run or stand, and the rules for what they offer."""

from __future__ import annotations

from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from .base import Matching, Part
from .sandboxes import RunTime
from .tools import MAX_CALLS, Approval

MAX_SERVERS: Final = 8
"""Servers of one job."""
ANY_TOOL: Final = "*"
"""The name of the rule for what no other rule names."""

_NAME: Final = r"^[a-z][a-z0-9-]{0,19}$"
_TOOL: Final = r"^[\x21-\x7e]{1,128}$"


class McpToolRule(Part):
    """A tool of a server that an agent may use, and how."""

    name: Annotated[str, Matching(_TOOL, "a tool as its server calls it, or * for the others")]
    approval: Approval = Approval.ALWAYS
    """Whether somebody has to say yes to each call. What a server says of its tools changes nothing here."""
    max_calls: Annotated[int, Field(ge=1, le=MAX_CALLS)] | None = None
    time: RunTime | None = None
    """The longest that one call may take; default: ``limits.time`` with a command, a minute with a URL."""
    idempotent: bool = False
    """Whether a call that a dead worker had begun may be made again. Else the model is told that nobody knows
    what came of it, unless nothing of it can be left: a server in a sandbox without network went with it."""


class McpServer(Part):
    """A server whose tools an agent has: a program in the job's sandbox, or one behind a URL."""

    name: Annotated[str, Matching(_NAME, "a name of 1 to 20 lower-case letters, digits and -")]
    """Models know its tools as ``<name>__<tool>``."""
    command: (
        Annotated[
            tuple[Annotated[str, Matching(r"^[^\x00]{0,4096}$", "text without NUL bytes")], ...],
            Field(min_length=1, max_length=64),
        ]
        | None
    ) = None
    """A program that speaks MCP over its standard input and output. It is started in a sandbox of the job,
    with the agent's files, for each call."""
    url: Annotated[str, Field(min_length=8, max_length=2048)] | None = None
    """The endpoint of a server that speaks MCP over streamable HTTP; its host has to be in ``network``."""
    tools: Annotated[tuple[McpToolRule, ...], Field(min_length=1, max_length=128)] = (
        McpToolRule(name=ANY_TOOL),
    )
    """What the agent may use of it; default: all of it, each call after somebody's yes."""

    @field_validator("url")
    @classmethod
    def _of_a_host(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits or "@" in parts.netloc or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("expected a URL such as https://example.org/mcp, without user, in ASCII")
        return value

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("expected either command or url; got both or neither")
        names = [rule.name for rule in self.tools]
        if len(set(names)) != len(names):
            raise ValueError("expected one rule for each tool; got two for one")
        return self
