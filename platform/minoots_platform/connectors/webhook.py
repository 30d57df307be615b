"""Webhooks: signed CloudEvents over HTTP."""

from __future__ import annotations

from typing import Final

from minoots.contracts import WebhookAction

from .guarded import refused_address
from .spec import ConnectorSpec

SPEC: Final = ConnectorSpec(
    kind="webhook",
    title="Webhooks: signed CloudEvents, or a body of your own",
    config=WebhookAction,
    sender="minoots_activities.connectors.webhooks:Webhooks",
    destination=lambda action: str(action["url"]),
    refusal=lambda settings, action: refused_address(settings, action.url),
)
