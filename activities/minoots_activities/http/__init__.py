"""HTTP to receivers that nobody vouches for: address policy, guarded transport, webhook sender.

Owns what leaves over HTTP. Retries, rows and workflows are not here.
"""

from .addresses import AddressPolicy
from .names import Resolver
from .transport import GuardedTransport
from .webhook import OutgoingWebhook, WebhookResult, WebhookSender

__all__ = [
    "AddressPolicy",
    "GuardedTransport",
    "OutgoingWebhook",
    "Resolver",
    "WebhookResult",
    "WebhookSender",
]
