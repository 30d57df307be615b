"""The feed: the event that a timer fired is recorded already, so there is nothing to send."""

from __future__ import annotations

from minoots_platform.connectors.feed import Nothing

from .sender import Message, Sender


class Feed(Sender[Nothing]):
    """Sends nothing."""

    async def send(self, message: Message, config: Nothing) -> str | None:
        """Succeed."""
        return None
