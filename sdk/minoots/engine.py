"""Runs calls, flows and streams in the thread that asks.

Owns the HTTP client of `minoots.client.Minoots`; what to send and when is decided by flows and feeds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx

from . import answers, feed
from .call import Call, ModelT
from .connection import Connection
from .contracts.events import Event
from .contracts.pages import Page
from .flow import Flow, Send, Sleep, following, perform

T = TypeVar("T")


class Engine:
    """The driver of flows for the sync client."""

    def __init__(
        self, connection: Connection, client: httpx.Client | None, transport: httpx.BaseTransport | None
    ) -> None:
        self.connection = connection
        self._owned = client is None
        self._client = client or httpx.Client(transport=transport, **connection.client_options)

    def call(self, call: Call[ModelT]) -> ModelT:
        """Return the result of one call."""
        return self.run(perform(self.connection, call))

    def run(self, flow: Flow[T]) -> T:
        """Return the result of ``flow``."""
        value: Any = None
        error: BaseException | None = None
        try:
            while True:
                effect = flow.send(value) if error is None else flow.throw(error)
                value = error = None
                try:
                    if isinstance(effect, Send):
                        value = self._client.send(effect.request)
                    elif isinstance(effect, Sleep):
                        time.sleep(effect.seconds)
                    else:
                        value = effect.run()
                except Exception as problem:
                    error = problem
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def items(self, call: Call[Page[T]]) -> Iterator[T]:
        """Yield the items of all pages; a page is fetched when the one before is used up."""
        following_call: Call[Page[T]] | None = call
        while following_call is not None:
            page = self.call(following_call)
            yield from page.items
            following_call = following(following_call, page)

    def stream(self, events: feed.Feed) -> Iterator[Event]:
        """Yield events for ever."""
        while True:
            response: httpx.Response | None = None
            try:
                response = self._client.send(events.request(), stream=True)
                if response.is_success:
                    feed.check_stream(response)
                    events.connected()
                    for chunk in response.iter_bytes():
                        yield from events.events(chunk)
                        if events.cut:
                            break
                    wait = events.ended()
                else:
                    response.read()
                    wait = events.refused(answers.error_of(response))
            except httpx.TransportError as error:
                wait = events.broken(error)
            finally:
                if response is not None:
                    response.close()
            time.sleep(wait)

    def close(self) -> None:
        """Close the connections, unless the HTTP client is the caller's."""
        if self._owned:
            self._client.close()
