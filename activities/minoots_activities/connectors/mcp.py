"""MCP: one call of a tool, over a session of its own.

In the ``_meta`` of the call a tool finds ``minoots/id``, the same for every attempt, and ``minoots/name``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

import httpx
import httpx2
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from minoots.contracts import AttemptError
from minoots_activities.http.faults import explain
from minoots_activities.http.few import Few
from minoots_activities.http.guarded import Guarded
from minoots_platform.connectors.mcp import CallTool

from .sender import Message, NotSent, Sender

_TIMEOUT: Final = 20.0
_PAGES: Final = 10
_REQUESTS: Final = 50
"""For one call, whatever its server asks meanwhile; a check has its pages beside it."""
_HOPELESS: Final = frozenset({types.METHOD_NOT_FOUND, types.INVALID_PARAMS, types.INVALID_REQUEST})


class Tools(Sender[CallTool]):
    """Calls tools."""

    async def send(self, message: Message, config: CallTool) -> str | None:
        """Call once; what the tool says of its progress is passed on."""
        own = message.payload if isinstance(message.payload, dict) else {"payload": message.payload}
        async with self._session(config, message.traceparent) as client:
            # A server's own schema is not held against its own answer: a pattern in it can take for ever.
            client.session.validate_tool_result = _taken_as_it_is  # type: ignore[method-assign]
            result = await client.call_tool(
                config.tool,
                {**config.arguments, **({} if message.payload is None else own)},
                read_timeout_seconds=_TIMEOUT,
                progress_callback=message.progress,
                meta=cast(types.RequestParamsMeta, _meta(message)),
            )
        if result.is_error:
            raise NotSent(AttemptError.STATUS, f"the tool failed: {_text(result)[:500]}")
        if result.structured_content is not None:
            return json.dumps(result.structured_content, ensure_ascii=False)
        return _text(result)

    async def check(self, tenant: str, config: CallTool) -> None:
        """Open a session, and look whether the tool is among those on the first pages of its list."""
        names: list[str] = []
        async with self._session(config, None) as client:
            cursor: str | None = None
            for _ in range(_PAGES):
                page = await client.list_tools(cursor=cursor)
                names += [tool.name for tool in page.tools]
                cursor = page.next_cursor
                if cursor is None or config.tool in names:
                    break
        if config.tool not in names:
            where = "" if cursor is None else f" on the first {_PAGES} pages of its list"
            told = f"the server has no tool {config.tool}{where}; it has {_list(names)}"
            raise NotSent(AttemptError.ABSENT, told)

    @asynccontextmanager
    async def _session(self, config: CallTool, traceparent: str | None) -> AsyncIterator[Client]:
        headers = {"accept-encoding": "identity"}
        if config.token is not None:
            headers["authorization"] = f"Bearer {config.token}"
        if traceparent is not None:
            headers["traceparent"] = traceparent
        few = Few(Guarded(self.world.http.transport), _REQUESTS)
        try:
            async with (
                httpx2.AsyncClient(transport=few, headers=headers, timeout=_TIMEOUT) as http,
                # Without a goodbye: a server that does not answer it would hold up what it has answered.
                Client(
                    streamable_http_client(config.url, http_client=http, terminate_on_close=False), cache=None
                ) as client,
            ):
                yield client
        except Exception as error:
            if few.spent:
                told = f"the server took more than {_REQUESTS} requests for one call"
                raise NotSent(AttemptError.PROTOCOL, told) from error
            # Its task groups wrap whatever happens in them.
            raise _not_sent(_first(error)) from error


def _list(names: list[str]) -> str:
    return ", ".join(name[:60] for name in names[:8]) or "none"


async def _taken_as_it_is(name: str, result: types.CallToolResult) -> None:
    """Find nothing wrong with an answer."""


def _meta(message: Message) -> dict[str, str]:
    return {"minoots/id": message.id, "minoots/name": message.title}


def _text(result: types.CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, types.TextContent))


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _not_sent(error: BaseException) -> NotSent:
    """Return what it means for the attempt."""
    if isinstance(error, MCPError):
        if error.message.startswith("Redirect to"):
            return NotSent(AttemptError.REDIRECT, "the server redirects, which is not followed")
        if error.code == types.PARSE_ERROR:
            return NotSent(AttemptError.PROTOCOL, "the server's answer is no JSON of MCP")
        if error.code in _HOPELESS:
            return NotSent(AttemptError.REFUSED, f"the server refused the call: {error.message[:500]}")
        if error.code == types.REQUEST_TIMEOUT:
            return NotSent(AttemptError.TIMEOUT, "the tool did not answer in time")
        return NotSent(AttemptError.PROTOCOL, f"the server answered {error.code}: {error.message[:500]}")
    if isinstance(error, httpx2.HTTPStatusError):
        status = error.response.status_code
        return NotSent(AttemptError.STATUS, f"the server answered {status}", status=status)
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return NotSent(AttemptError.TIMEOUT, "the server did not answer in time")
    if isinstance(error.__cause__, httpx.TransportError):
        return NotSent(*explain(error.__cause__))
    return NotSent(AttemptError.PROTOCOL, f"the server does not speak MCP: {type(error).__name__}")
