"""Chats: a message in the form that each takes, over guarded HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from minoots_activities.http import OutgoingWebhook
from minoots_activities.result import Result
from minoots_platform.connectors.chat import Chat

from .sender import Message, NotSent, Sender
from .wording import text_of

_TIMEOUT: Final = timedelta(seconds=10)
_MOST: Final = {"slack": 3000, "discord": 2000, "teams": 3000}


class Chats(Sender[Chat]):
    """Posts to incoming webhooks."""

    async def send(self, message: Message, config: Chat) -> Result:
        """Post once."""
        text = text_of(message, config.text, _MOST[config.style])
        return await self.world.http.send(
            OutgoingWebhook(
                url=config.url,
                method="POST",
                headers={"content-type": "application/json"},
                body=json.dumps(_body(config.style, text), ensure_ascii=False).encode(),
                timeout=_TIMEOUT,
                webhook_id=message.id,
                keys=(),
                signed=False,
            )
        )

    async def check(self, tenant: str, config: Chat) -> None:
        """Make sure that the server takes connections; whether it knows the hook, only a post shows."""
        fault = await self.world.http.unreachable(config.url)
        if fault is not None:
            raise NotSent(*fault)


def _body(style: str, text: str) -> dict[str, Any]:
    if style == "discord":
        # Nobody is pinged by what stands in a payload.
        return {"content": text, "allowed_mentions": {"parse": []}}
    if style == "teams":
        card = {
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [{"type": "TextBlock", "text": text, "wrap": True}],
        }
        kind = "application/vnd.microsoft.card.adaptive"
        return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}
    # Slack reads <, > and & as markup.
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped}
