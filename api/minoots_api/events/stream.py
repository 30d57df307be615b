"""The log of a tenant as server-sent events, as it grows, from any number on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.types import Send

from minoots_api.gateway import Gateway
from minoots_platform.identity import Principal
from minoots_platform.records.events import EventFilter

from .reading import LogReader
from .sse import ServerSentEvents
from .tailer import Entry, Following


class EventStream(ServerSentEvents):
    """The response that streams a tenant's events."""

    def __init__(self, gateway: Gateway, principal: Principal, position: int, wanted: EventFilter) -> None:
        super().__init__(gateway, principal)
        self._tenant = principal.tenant
        self._reader = LogReader(gateway, self._tenant, position, wanted)

    async def stream(self, send: Send) -> None:
        """Write every event that matches, and a comment when there is none for a while."""
        # An id without data is no event, but a reader that is cut off before the first one resumes from it.
        await self.write(send, self._place("connected"))
        with self.gateway.tailer.following(self._tenant, reading=True) as following:
            while not self.gateway.stopping.is_set():
                await self._catch_up(send, following)
                if not await self._reader.wait(following):
                    await self.write(send, self._place("alive"))

    def resume(self) -> dict[str, Any]:
        """Return the number to go on after."""
        return {"resume_from": self._reader.position}

    async def _catch_up(self, send: Send, following: Following) -> None:
        more = True
        while more and not self.gateway.stopping.is_set():
            before = self._reader.position
            batch = await self._reader.next(following)
            more = batch.more
            if batch.entries:
                after, self._reader.position = self._reader.position, before
                await self.write(send, _frames(batch.entries))
                self._reader.position = after

    def _place(self, comment: str) -> bytes:
        return f": {comment}\nid: {self._reader.position}\n\n".encode()


def _frames(entries: Iterable[Entry]) -> bytes:
    return "".join(
        f"id: {entry.sequence}\nevent: {entry.type}\ndata: {entry.json}\n\n" for entry in entries
    ).encode()
