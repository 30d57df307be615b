"""Server-sent events: the log as it grows, from any number on.

The reader sets the pace: each page is read from the records when the one before has been taken. A reader
whose socket takes nothing for too long is cut, with a last event that says where to resume.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from minoots.contracts import Event
from minoots_api.gateway import Gateway
from minoots_platform.records import events
from minoots_platform.records.events import EventFilter

_PAGE: Final = 100


class _TooSlowError(Exception):
    """The socket took nothing for longer than allowed."""


class EventStream(Response):
    """The response that streams a tenant's events."""

    media_type = "text/event-stream"

    def __init__(self, gateway: Gateway, tenant: str, position: int, wanted: EventFilter) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._gateway = gateway
        self._tenant = tenant
        self._position = position
        self._wanted = wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the reader goes, is cut, or the gateway stops."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        metrics = self._gateway.telemetry.metrics
        metrics.subscriber_joined()
        streaming = asyncio.create_task(self._stream(send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait([streaming, leaving], return_when=asyncio.FIRST_COMPLETED)
            if leaving.done() and not streaming.done():
                return
            await streaming
            await send({"type": "http.response.body", "body": b""})
        finally:
            for task in (streaming, leaving):
                task.cancel()
            await asyncio.gather(streaming, leaving, return_exceptions=True)
            metrics.subscriber_left()

    async def _stream(self, send: Send) -> None:
        settings = self._gateway.settings.gateway
        try:
            # An id without data is no event, but a reader that is cut off before the first one resumes from
            # it.
            await self._write(send, self._place("connected"))
            with self._gateway.tailer.following(self._tenant) as following:
                while not self._gateway.stopping.is_set():
                    await self._catch_up(send)
                    if not await following.wait(self._position, settings.stream_heartbeat):
                        await self._write(send, self._place("alive"))
            await self._write(send, _message("closing", {"resume_from": self._position}))
        except _TooSlowError:
            reason = f"nothing was taken for {settings.stream_send_timeout:g} s"
            # One more wait for a reader that is merely slow; one that is dead never learns of it.
            with suppress(_TooSlowError):
                await self._write(send, _message("cut", {"reason": reason, "resume_from": self._position}))

    async def _catch_up(self, send: Send) -> None:
        more = True
        while more and not self._gateway.stopping.is_set():
            async with self._gateway.database.read() as connection:
                page = await events.read(
                    connection, self._tenant, after=self._position, limit=_PAGE, wanted=self._wanted
                )
            if page.events:
                await self._write(send, _frames(page.events))
            self._position, more = page.position, page.more

    def _place(self, comment: str) -> bytes:
        return f": {comment}\nid: {self._position}\n\n".encode()

    async def _write(self, send: Send, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._gateway.settings.gateway.stream_send_timeout):
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            raise _TooSlowError from None


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _frames(page: Sequence[Event]) -> bytes:
    return "".join(
        f"id: {event.sequence}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n" for event in page
    ).encode()


def _message(kind: str, data: dict[str, object]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
