"""Chats: a message in the form that each takes, over guarded HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from minoots_activities.http import OutgoingWebhook
from minoots_platform.connectors.chat import Chat

from .sender import Message, NotSent, Sender
from .wording import text_of

_TIMEOUT: Final = timedelta(seconds=10)
_MOST: Final = {"slack": 3000, "discord": 2000, "teams": 3000}


class Chats(Sender[Chat]):
    """Posts to incoming webhooks."""

    async def send(self, message: Message, config: Chat) -> str | None:
        """Post once."""
        text = text_of(message, config.text, _MOST[config.style])
        result = await self.world.http.send(
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
        if result.error is not None:
            raise NotSent(
                result.error, result.detail or "", status=result.status, retry_after=result.retry_after
            )
        return result.response


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
