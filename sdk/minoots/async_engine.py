"""Runs calls, flows and streams on the event loop.

Owns the HTTP client of `minoots.async_client.AsyncMinoots`; the twin of `engine`, effect by effect.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import httpx

from . import answers, feed
from .call import Call, ModelT
from .connection import Connection
from .contracts.events import Event
from .contracts.pages import Page
from .flow import Flow, Send, Sleep, following, perform

T = TypeVar("T")


class AsyncEngine:
    """The driver of flows for the async client."""

    def __init__(
        self,
        connection: Connection,
        client: httpx.AsyncClient | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.connection = connection
        self._owned = client is None
        self._client = client or httpx.AsyncClient(transport=transport, **connection.client_options)

    async def call(self, call: Call[ModelT]) -> ModelT:
        """Return the result of one call."""
        return await self.run(perform(self.connection, call))

    async def run(self, flow: Flow[T]) -> T:
        """Return the result of ``flow``."""
        value: Any = None
        error: BaseException | None = None
        try:
            while True:
                effect = flow.send(value) if error is None else flow.throw(error)
                value = error = None
                try:
                    if isinstance(effect, Send):
                        value = await self._client.send(effect.request)
                    elif isinstance(effect, Sleep):
                        await asyncio.sleep(effect.seconds)
                    else:
                        value = await _finish(effect.run)
                except Exception as problem:
                    error = problem
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    async def items(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """Yield the items of all pages; a page is fetched when the one before is used up."""
        following_call: Call[Page[T]] | None = call
        while following_call is not None:
            page = await self.call(following_call)
            for item in page.items:
                yield item
            following_call = following(following_call, page)

    async def stream(self, events: feed.Feed) -> AsyncIterator[Event]:
        """Yield events for ever."""
        while True:
            response: httpx.Response | None = None
            try:
                response = await self._client.send(events.request(), stream=True)
                if response.is_success:
                    feed.check_stream(response)
                    events.connected()
                    async for chunk in response.aiter_bytes():
                        for event in events.events(chunk):
                            yield event
                        if events.cut:
                            break
                    wait = events.ended()
                else:
                    await response.aread()
                    wait = events.refused(answers.error_of(response))
            except httpx.TransportError as error:
                wait = events.broken(error)
            finally:
                if response is not None:
                    await response.aclose()
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Close the connections, unless the HTTP client is the caller's."""
        if self._owned:
            await self._client.aclose()


async def _finish(run: Callable[[], object]) -> object:
    """Run ``run`` in a thread; when cancelled, wait for it all the same.

    A thread that goes on after its caller has left would take the outbox's lock with nobody to give it back.
    """
    work = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if work.exception() is None:
            result = work.result()
            if isinstance(result, sqlite3.Connection):
                result.close()
        raise
