"""The log of a tenant as server-sent events, as it grows, from any number on.

Each page is read from the records when the one before has been taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.types import Send

from minoots.contracts import Event
from minoots_api.gateway import Gateway
from minoots_platform.records import events
from minoots_platform.records.events import EventFilter

from .sse import ServerSentEvents

_PAGE: Final = 100


class EventStream(ServerSentEvents):
    """The response that streams a tenant's events."""

    def __init__(self, gateway: Gateway, tenant: str, position: int, wanted: EventFilter) -> None:
        super().__init__(gateway)
        self._tenant = tenant
        self._position = position
        self._wanted = wanted

    async def stream(self, send: Send) -> None:
        """Write every event that matches, and a comment when there is none for a while."""
        # An id without data is no event, but a reader that is cut off before the first one resumes from it.
        await self.write(send, self._place("connected"))
        with self.gateway.tailer.following(self._tenant) as following:
            while not self.gateway.stopping.is_set():
                await self._catch_up(send)
                if not await following.wait(self._position, self.gateway.settings.gateway.stream_heartbeat):
                    await self.write(send, self._place("alive"))

    def resume(self) -> dict[str, Any]:
        """Return the number to go on after."""
        return {"resume_from": self._position}

    async def _catch_up(self, send: Send) -> None:
        more = True
        while more and not self.gateway.stopping.is_set():
            async with self.gateway.database.read() as connection:
                page = await events.read(
                    connection, self._tenant, after=self._position, limit=_PAGE, wanted=self._wanted
                )
            if page.events:
                await self.write(send, _frames(page.events))
            self._position, more = page.position, page.more

    def _place(self, comment: str) -> bytes:
        return f": {comment}\nid: {self._position}\n\n".encode()


def _frames(page: Sequence[Event]) -> bytes:
    return "".join(
        f"id: {event.sequence}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n" for event in page
    ).encode()
