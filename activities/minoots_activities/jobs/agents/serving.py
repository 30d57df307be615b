"""The servers of an agent: what they offer is kept before its model is asked, and their tools are called.

Owns what is kept, and what the model is told. Whether a call may be made again is the rule's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from mcp import types
from pydantic import ValidationError

from minoots.contracts import AgentJob, JobEventType, McpServer, ToolCall
from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.servers.calling import Servers, Unanswered, told_of
from minoots_activities.jobs.servers.offers import (
    MOST_DESCRIPTION,
    MOST_OFFERS,
    Offer,
    encode,
    hash_of,
    name_for,
    require_named,
    rule_of,
    server_of,
)
from minoots_activities.jobs.servers.results import Answer
from minoots_activities.jobs.telling import Teller
from minoots_activities.sandboxes.port import NeverStarted
from minoots_platform.clock import Clock
from minoots_platform.records import Database, agent_runs, contents
from minoots_platform.records.agent_runs import Due, Step
from minoots_platform.records.job_progress import Begun, NewJobEvent

from .files import Files, files_of
from .policy import clean
from .preparing import prepared
from .refusing import audit_denied
from .running import Hear, Where, where_of

LONGEST_START: Final = 60.0
"""Seconds for a server to start and to say what it offers."""
_AWAY: Final = 5.0
"""Seconds in which a server that cannot be reached is asked again."""
_PAUSE: Final = 0.5
MOST_BYTES: Final = 256 * 1024
"""Of what all servers of a job offer: every turn of its model has all of it."""


class Serving:
    """Servers of one agent after the other.

    Args:
        database: the records.
        servers: what speaks to them.
        clock: the time.
    """

    def __init__(self, database: Database, servers: Servers, clock: Clock) -> None:
        self._database = database
        self._servers = servers
        self._clock = clock

    async def introduced(self, step: Step, teller: Teller) -> Due | None:
        """Keep what the servers of an agent offer; without them it is not asked anything.

        Raises:
            NeverStarted: one cannot be used; the error says which, and why.
        """
        job = cast(AgentJob, step.begun.request)
        try:
            begun = await prepared(self._database, step, self._clock)
            if begun is None:
                return None
            files = await files_of(self._database, begun.run, job, self._clock())
            where = where_of(begun, LONGEST_START, teller, self._clock())
            async with teller.telling():
                kept, events = await self._offered(job, where, files, teller.log)
            sha256 = await contents.keep(self._database, step.run.tenant, kept, self._clock())
        except NeverStarted:
            raise
        except Failure as failure:
            remedy = failure.remedy or "Look at mcp of the job: each server has to start, and to speak MCP."
            raise NeverStarted(failure.kind, failure.detail, remedy=remedy) from failure
        async with self._database.write() as connection:
            return await agent_runs.offered(connection, begun, sha256, events, self._clock())

    async def _offered(
        self, job: AgentJob, where: Where, files: Files, hear: Hear
    ) -> tuple[bytes, Sequence[NewJobEvent]]:
        """Ask all servers what they offer; return it as it is kept, and what is told of it."""
        offers: list[Offer] = []
        events = []
        for server in job.mcp:
            tools = await self._tools_of(server, where, files, hear)
            found = _offers(server, tools)
            require_named(server, [offer.tool for offer in found], [tool.name for tool in tools])
            offers += found
            told = {"server": server.name, "tools": [offer.name for offer in found]}
            events.append(NewJobEvent(JobEventType.STATUS, {"mcp": told}))
        kept = encode(offers)
        if len(offers) > MOST_OFFERS or len(kept) > MOST_BYTES:
            raise Failure(
                FailureKind.TOO_LARGE,
                f"the MCP servers offer {len(offers)} tools in {len(kept)} bytes; an agent has no more "
                f"than {MOST_OFFERS} in {MOST_BYTES}",
                remedy="Name the tools that it needs in mcp, for each server.",
            )
        return kept, events

    async def _tools_of(self, server: McpServer, where: Where, files: Files, hear: Hear) -> list[types.Tool]:
        """Ask one server; one behind a URL that is away for a moment is asked again: it was only to tell."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _AWAY
        while True:
            try:
                return await self._servers.offered(where, server, files, hear)
            except Failure as failure:
                away = server.url is not None and failure.kind is FailureKind.UNAVAILABLE
                if not away or loop.time() > until:
                    raise
            await asyncio.sleep(_PAUSE)

    async def call(
        self, begun: Begun, where: Where, offer: Offer, call: ToolCall, files: Files, hear: Hear
    ) -> tuple[str, str]:
        """Call a tool; return what the model is told, and how it ended."""
        server = server_of(where.request, offer.server)
        try:
            answer = await self._servers.call(
                where, server, files, hear, tool=offer.tool, arguments=call.arguments, sha256=offer.sha256
            )
        except Unanswered as unknown:
            outside = server.url is not None
            left = (
                "it may have done something all the same" if outside else "the files are as they were before"
            )
            return f"error: {unknown.detail}; {left}", "failed"
        except NeverStarted:
            raise
        except Failure as failure:
            if failure.kind is FailureKind.DENIED:
                audit_denied(begun, offer.name, failure.detail)
            return f"error: {failure.detail}", "failed"
        text = await _told(answer, call.id, files)
        return (f"error: {text}", "failed") if answer.failed else (text, "done")


def _offers(server: McpServer, tools: Sequence[types.Tool]) -> list[Offer]:
    """Return what of a server's tools its agent has; of two of one name the first."""
    found: dict[str, Offer] = {}
    names: set[str] = set()
    for tool in tools:
        if tool.name in found or rule_of(server, tool.name) is None:
            continue
        name = name_for(server.name, tool.name, names)
        said = " ".join((tool.description or tool.title or "").split())
        try:
            offer = Offer(
                name=name,
                server=server.name,
                tool=tool.name,
                description=clean(said)[:MOST_DESCRIPTION],
                parameters=tool.input_schema,
                sha256=hash_of(told_of(tool)),
            )
            offer.spec()
        except ValidationError:
            # No model could be told of it; a rule that names it says so.
            continue
        if name not in names:
            names.add(name)
            found[tool.name] = offer
    return list(found.values())


async def _told(answer: Answer, call_id: str, files: Files) -> str:
    """Return the text of an answer; what is none is kept in files of the agent."""
    told = []
    for number, part in enumerate(answer.parts, start=1):
        if isinstance(part, str):
            told.append(part)
            continue
        path = f"mcp/{call_id}-{number}{part.ending}"
        try:
            await files.write(path, part.data, executable=False)
        except Failure as failure:
            told.append(f"({part.media_type}, {len(part.data)} bytes: not kept, for {failure.detail})")
        else:
            told.append(f"({part.media_type}, {len(part.data)} bytes: kept as {path})")
    return "\n".join(told) or "(no answer but that it is done)"
