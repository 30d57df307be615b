"""The events of a job as server-sent events, from any number on, until it has ended."""

from __future__ import annotations

from typing import Any, Final

from starlette.types import Send

from minoots.contracts import JobEvents
from minoots_api.events.sse import ServerSentEvents, message
from minoots_api.gateway import Gateway
from minoots_platform.identity import Principal
from minoots_platform.records import jobs

_PAGE: Final = 200


class JobStream(ServerSentEvents):
    """The response that streams a job."""

    def __init__(self, gateway: Gateway, principal: Principal, job_id: str, after: int) -> None:
        super().__init__(gateway, principal)
        self._tenant = principal.tenant
        self._job_id = job_id
        self._after = after

    async def stream(self, send: Send) -> None:
        """Write every event, a comment when there is none for a while, and ``end`` after the last one."""
        await self.write(send, f": connected\nid: {self._after}\n\n".encode())
        heartbeat = self.gateway.settings.gateway.stream_heartbeat
        with self.gateway.job_watch.following(self._job_id):
            while not self.gateway.stopping.is_set():
                async with self.gateway.database.read() as connection:
                    found = await jobs.events_after(
                        connection, self._tenant, self._job_id, after=self._after, limit=_PAGE
                    )
                if found.items:
                    await self.write(send, _frames(found))
                    self._after = found.next_after
                if found.state.final:
                    await self.write(send, message("end", {"state": found.state.value}))
                    return
                if not found.items and not await self.gateway.job_watch.wait(
                    self._job_id, self._after, heartbeat
                ):
                    await self.write(send, f": alive\nid: {self._after}\n\n".encode())

    def resume(self) -> dict[str, Any]:
        """Return the number to go on after."""
        return {"resume_from": self._after}


def _frames(found: JobEvents) -> bytes:
    return "".join(
        f"id: {event.sequence}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
        for event in found.items
    ).encode()
