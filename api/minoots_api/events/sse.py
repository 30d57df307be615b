"""What every stream of server-sent events does: the reader sets the pace, and one that is too slow is cut."""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from minoots_api.gateway import Gateway
from minoots_api.key_watch import ENDED
from minoots_platform.identity import Principal


class TooSlowError(Exception):
    """The socket took nothing for longer than allowed."""


class ServerSentEvents(Response):
    """A response that streams until the reader goes, is cut, their key ends, or the gateway stops."""

    media_type = "text/event-stream"

    def __init__(self, gateway: Gateway, principal: Principal) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self.gateway = gateway
        self.principal = principal

    @abstractmethod
    async def stream(self, send: Send) -> None:
        """Write until the gateway stops."""

    @abstractmethod
    def resume(self) -> dict[str, Any]:
        """Return where a reader goes on that is cut off."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the reader goes, is cut, their key ends, or the gateway stops."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        metrics = self.gateway.telemetry.metrics
        metrics.subscriber_joined()
        streaming = asyncio.create_task(self._run(send))
        leaving = asyncio.create_task(_gone(receive))
        ending = asyncio.create_task(self.gateway.key_watch.ended(self.principal))
        tasks = (streaming, leaving, ending)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done() and not streaming.done():
                return
            if ending.done() and not streaming.done():
                streaming.cancel()
                await asyncio.wait([streaming])
                with suppress(TooSlowError):
                    await self.write(send, message("cut", {"reason": ENDED, **self.resume()}))
            else:
                await streaming
            await send({"type": "http.response.body", "body": b""})
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            metrics.subscriber_left()

    async def write(self, send: Send, data: bytes) -> None:
        """Send bytes.

        Raises:
            TooSlowError: when the socket takes nothing for too long.
        """
        try:
            async with asyncio.timeout(self.gateway.settings.gateway.stream_send_timeout):
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            raise TooSlowError from None

    async def _run(self, send: Send) -> None:
        try:
            await self.stream(send)
            await self.write(send, message("closing", self.resume()))
        except TooSlowError:
            reason = f"nothing was taken for {self.gateway.settings.gateway.stream_send_timeout:g} s"
            # One more wait for a reader that is merely slow; one that is dead never learns of it.
            with suppress(TooSlowError):
                await self.write(send, message("cut", {"reason": reason, **self.resume()}))


def message(kind: str, data: dict[str, Any]) -> bytes:
    """Return one event without an id."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
