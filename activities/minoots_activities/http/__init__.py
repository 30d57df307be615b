"""HTTP to receivers that nobody vouches for: guarded transport, webhook sender.

Owns what leaves over HTTP. Retries, rows and workflows are not here.
"""

from .answers import shown
from .names import Resolver
from .transport import GuardedTransport
from .webhook import OutgoingWebhook, WebhookSender

__all__ = [
    "GuardedTransport",
    "OutgoingWebhook",
    "Resolver",
    "WebhookSender",
    "shown",
]
