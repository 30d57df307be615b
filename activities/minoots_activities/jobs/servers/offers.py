"""What servers offer to an agent, as it was when the job began, and under which names its model knows it.

Owns names, rules and the hash by which a change is noticed. What a server says of its tools is for the model
to read and changes no rule.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter

from minoots.contracts import AgentJob, McpServer, McpToolRule, ToolSpec
from minoots.contracts.base import Part
from minoots.contracts.mcp_servers import ANY_TOOL
from minoots.contracts.models import JsonSchema
from minoots.errors import Failure, FailureKind
from minoots_platform.records import Database, contents

SEPARATOR: Final = "__"
MOST_OFFERS: Final = 100
"""Tools of all servers of a job: a request to a model takes 128."""
MOST_DESCRIPTION: Final = 4000
"""Characters of what a server says of a tool that the model is told."""
_LONGEST_NAME: Final = 64
_HASHED: Final = 8
_SHOWN: Final = 20


class Offer(Part):
    """A tool of a server."""

    name: str
    """By which the model knows it."""
    server: str
    tool: str
    """By which the server knows it."""
    description: str = ""
    parameters: JsonSchema
    sha256: str
    """Of all that the server says of it: another one is another tool."""

    def spec(self) -> ToolSpec:
        """Return what the model is told of it."""
        return ToolSpec(name=self.name, description=self.description, parameters=self.parameters)


Offers = Mapping[str, Offer]
"""By the names that the model knows."""

_OFFERS: Final = TypeAdapter(tuple[Offer, ...])


def encode(offers: Sequence[Offer]) -> bytes:
    """Return offers as they are kept."""
    return _OFFERS.dump_json(tuple(offers))


def decode(data: bytes) -> dict[str, Offer]:
    """Return offers as they were kept."""
    return {offer.name: offer for offer in _OFFERS.validate_json(data)}


async def kept_offers(database: Database, run: sa.Row[Any]) -> dict[str, Offer]:
    """Return what the servers of an agent offered when it began; nothing where it has none."""
    if not run.offers:
        return {}
    return decode(await contents.read(database, run.tenant, run.offers))


def hash_of(told: Mapping[str, Any]) -> str:
    """Return the hash of what a server says of a tool."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def name_for(server: str, tool: str, taken: Collection[str]) -> str:
    """Return a name that models take, and that is no other tool's.

    A name that had to be changed ends with a part of the tool's own hash, so that it is the same every time.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", tool)
    name = f"{server}{SEPARATOR}{plain}"
    if plain == tool and len(name) <= _LONGEST_NAME and name not in taken:
        return name
    mark = hashlib.sha256(tool.encode()).hexdigest()[:_HASHED]
    return f"{name[: _LONGEST_NAME - _HASHED - 1]}_{mark}"


def server_of(job: AgentJob, name: str) -> McpServer:
    """Return a server of a job by its name."""
    return next(server for server in job.mcp if server.name == name)


def rule_of(server: McpServer, tool: str) -> McpToolRule | None:
    """Return the rule for a tool of a server; ``None`` for one that the agent does not have."""
    rules = {rule.name: rule for rule in server.tools}
    return rules.get(tool, rules.get(ANY_TOOL))


def require_named(server: McpServer, usable: Collection[str], has: Collection[str]) -> None:
    """Refuse a job with a rule for a tool that its server does not have, or none can be told of.

    Raises:
        Failure: invalid.
    """
    missing = [rule.name for rule in server.tools if rule.name not in {ANY_TOOL, *usable}]
    if missing:
        names = ", ".join(sorted(name[:_LONGEST_NAME] for name in has)[:_SHOWN])
        raise Failure(
            FailureKind.INVALID,
            f"the MCP server {server.name} has no tool {missing[0]} that can be used; "
            f"it has {names or 'none'}",
            remedy=f"Change the rules in mcp for {server.name}.",
        )
