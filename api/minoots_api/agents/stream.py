"""The inbox of an agent as server-sent events: each command on lease, the next when it is answered."""

from __future__ import annotations

from typing import Any

from starlette.types import Send

from minoots_api.events.sse import ServerSentEvents
from minoots_api.gateway import Gateway
from minoots_platform.identity import Principal

from .waiting import Wanted, commands_for


class CommandStream(ServerSentEvents):
    """The response that streams an agent's commands."""

    def __init__(self, gateway: Gateway, principal: Principal, wanted: Wanted) -> None:
        super().__init__(gateway, principal)
        self._wanted = wanted

    async def stream(self, send: Send) -> None:
        """Write every command as it is handed out, and a comment when there is none for a while."""
        await self.write(send, b": connected\n\n")
        while not self.gateway.stopping.is_set():
            heartbeat = self.gateway.settings.gateway.stream_heartbeat
            commands = await commands_for(self.gateway, self._wanted, heartbeat)
            if not commands and not self.gateway.stopping.is_set():
                await self.write(send, b": alive\n\n")
            for command in commands:
                frame = f"event: command\ndata: {command.model_dump_json()}\n\n"
                await self.write(send, frame.encode())

    def resume(self) -> dict[str, Any]:
        """Return nothing: what was not answered is handed out again."""
        return {}
