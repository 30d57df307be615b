"""Asking servers what they offer, and calling their tools: a session each, and nothing that outlives it.

Owns what a server may take of time, and what goes wrong with one, in words for whoever waits. A program gets
a sandbox with the agent's files, like a command of the tool `run`; what it leaves of them is taken over after
a call that brought an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import httpx2
from mcp import Client, types
from mcp.shared.exceptions import MCPError

from minoots.contracts import McpServer
from minoots.contracts.base import check_json
from minoots.errors import Failure, FailureKind
from minoots_activities.http.faults import explain
from minoots_activities.jobs.agents.files import Files
from minoots_activities.jobs.agents.running import ENVIRONMENT, Commands, Hear, Where, how
from minoots_activities.sandboxes.port import Ended, NeverStarted, Program
from minoots_activities.sandboxes.tiers import Network

from .endpoints import first_of, reached
from .offers import hash_of
from .programs import Spoken, spoken_with
from .results import Answer, answer_of

_PAGES: Final = 20
_MOST_TOOLS: Final = 500
_ABOUT: Final = types.Implementation(name="minoots", version="1")
_WORDS: Final = 500


class Unanswered(Failure):
    """A server was asked, and nobody knows what came of it."""


class Servers:
    """Servers of agents.

    Args:
        commands: what gives sandboxes with an agent's files.
        network: what jobs may have of the network.
        token: what a tenant's jobs show to a server behind a URL, if anything.
    """

    def __init__(self, commands: Commands, network: Network, token: Callable[[str, str], str | None]) -> None:
        self._commands = commands
        self._network = network
        self._token = token

    async def offered(self, where: Where, server: McpServer, files: Files, hear: Hear) -> list[types.Tool]:
        """Return what a server offers, in its order.

        Raises:
            Failure: it cannot be started or reached, or does not speak MCP; the error says what it is like.
        """
        async with self._session(where, server, files, hear, keep=False) as client:
            return await _tools(client)

    async def call(
        self,
        where: Where,
        server: McpServer,
        files: Files,
        hear: Hear,
        *,
        tool: str,
        arguments: Mapping[str, Any],
        sha256: str,
    ) -> Answer:
        """Call a tool, if it is still the one of that hash; the files are those that a program leaves.

        Raises:
            Unanswered: it was called, and brought no answer.
            Failure: it was not called: denied, when the server says something else of it by now.
        """
        called = False
        try:
            async with self._session(where, server, files, hear, keep=True) as client:
                now = next((one for one in await _tools(client) if one.name == tool), None)
                if now is None or hash_of(told_of(now)) != sha256:
                    what = "does not offer it any more" if now is None else "says something else of it now"
                    raise Failure(
                        FailureKind.DENIED,
                        f"the server {server.name} has changed its tool {tool} since this job began: "
                        f"it {what}, and is not called",
                    )
                # A server's own schema is not held against its own answer: a pattern in it can take for ever.
                client.session.validate_tool_result = _taken_as_it_is  # type: ignore[method-assign]
                called = True
                return answer_of(await client.call_tool(tool, dict(arguments)))
        except NeverStarted:
            raise
        except Failure as failure:
            if not called:
                raise
            raise Unanswered(failure.kind, failure.detail) from failure

    @asynccontextmanager
    async def _session(
        self, where: Where, server: McpServer, files: Files, hear: Hear, *, keep: bool
    ) -> AsyncIterator[Client]:
        if server.url is not None:
            try:
                way = reached(
                    server.url,
                    where.request.network,
                    self._network,
                    where.heard,
                    max(1.0, where.seconds),
                    self._token(where.tenant, server.url),
                )
                async with _within(where.seconds, way) as client:
                    yield client
            except Exception as error:
                raise _failed(error, server, where, None) from first_of(error)
            return
        async with self._commands.opened(where, files) as sandbox:
            spoken = Spoken()
            program = Program(server.command or (), env=ENVIRONMENT, seconds=where.seconds)
            try:
                async with _within(where.seconds, spoken_with(sandbox, program, spoken, hear)) as client:
                    yield client
            except Exception as error:
                raise _failed(error, server, where, spoken) from first_of(error)
            if keep:
                await self._commands.take_over(sandbox, files)


def told_of(tool: types.Tool) -> dict[str, Any]:
    """Return all that a server says of a tool that whoever uses it may go by."""
    said: dict[str, Any] = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: value for name, value in said.items() if name not in ("_meta", "icons")}


@asynccontextmanager
async def _within(seconds: float, way: Any) -> AsyncIterator[Client]:
    """Yield a session that has so many seconds; its end has its own time."""
    async with asyncio.timeout(seconds) as limit:
        async with Client(way, cache=None, client_info=_ABOUT) as client:
            yield client
            limit.reschedule(None)


async def _tools(client: Client) -> list[types.Tool]:
    found: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None or len(found) > _MOST_TOOLS:
            break
    for tool in found[:_MOST_TOOLS]:
        check_json(told_of(tool), tool.name[:100])
    return found[:_MOST_TOOLS]


async def _taken_as_it_is(name: str, result: types.CallToolResult) -> None:
    """Find nothing wrong with an answer."""


def _failed(error: BaseException, server: McpServer, where: Where, spoken: Spoken | None) -> Failure:
    """Return what went wrong with a server, in words."""
    error = first_of(error)
    if isinstance(error, Failure):
        return error
    who = f"the MCP server {server.name}"
    late = isinstance(error, TimeoutError | httpx2.TimeoutException)
    if spoken is not None and spoken.fault is not None:
        return Failure(spoken.fault.kind, f"{who}: {spoken.fault.detail}", remedy=spoken.fault.remedy)
    words = spoken.last_words() if spoken is not None else ""
    said = f"; it wrote: {words[-_WORDS:]}" if words else ""
    if spoken is not None and spoken.ran is not None and not late:
        ended = how(spoken.ran, where)
        kind = FailureKind.UNAVAILABLE if spoken.ran.ended is Ended.EXITED else FailureKind.EXHAUSTED
        return Failure(kind, f"{who} ended before it answered: {ended}{said}")
    if late:
        return Failure(FailureKind.UNAVAILABLE, f"{who} did not answer within {where.seconds:g} s{said}")
    return Failure(FailureKind.UNAVAILABLE, f"{who} {_why(error)}{said}")


def _why(error: BaseException) -> str:
    if isinstance(error, MCPError):
        if error.code == types.REQUEST_TIMEOUT:
            return "did not answer in time"
        return f"answered {error.code}: {error.message[:_WORDS]}"
    if isinstance(error, httpx2.HTTPStatusError):
        return f"answered with the status {error.response.status_code}"
    if isinstance(error.__cause__, httpx.TransportError):
        return f"cannot be reached: {explain(error.__cause__)[1]}"
    return f"does not speak MCP: {type(error).__name__}"
