"""Webhooks: signed CloudEvents over guarded HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from opentelemetry import trace

from minoots.contracts import AttemptError, WebhookAction
from minoots_activities.http import OutgoingWebhook, WebhookSender
from minoots_activities.result import Result
from minoots_platform.clock import Clock
from minoots_platform.envelope import body_of, event_of
from minoots_platform.links import Links
from minoots_platform.records import Database, signing_secrets
from minoots_platform.signing import SigningKey
from minoots_platform.telemetry.trace_context import current_traceparent
from minoots_platform.template_faults import TemplateFault
from minoots_platform.vault import Vault

from .connector import Connector, Sending


@dataclass(frozen=True, repr=False)
class Keyring:
    """Signing keys by the name of their secret."""

    keys: dict[str, tuple[SigningKey, ...]]


class Webhooks(Connector[WebhookAction]):
    """Sends webhooks. One a process; it owns the connections to receivers."""

    kind: ClassVar[str] = "webhook"

    def __init__(
        self,
        database: Database,
        vault: Vault,
        links: Links,
        sender: WebhookSender,
        tracer: trace.Tracer,
        clock: Clock,
    ) -> None:
        self._database = database
        self._vault = vault
        self._links = links
        self._sender = sender
        self._tracer = tracer
        self._clock = clock

    async def prepare(self, tenant: str, actions: Sequence[WebhookAction]) -> Keyring:
        """Fetch signing keys."""
        names = {action.secret or signing_secrets.DEFAULT for action in actions}
        async with self._database.read() as connection:
            keys = await signing_secrets.keys(connection, self._vault, tenant, names, self._clock())
        if signing_secrets.DEFAULT in names and signing_secrets.DEFAULT not in keys:
            async with self._database.write() as connection:
                now = self._clock()
                await signing_secrets.ensure_default(connection, self._vault, tenant, now=now)
                keys |= await signing_secrets.keys(
                    connection, self._vault, tenant, [signing_secrets.DEFAULT], now
                )
        return Keyring(keys)

    async def warm(self, action: WebhookAction) -> None:
        """Open a connection to the receiver, if it can be reached."""
        await self._sender.warm(action.url)

    async def send(self, sending: Sending[WebhookAction]) -> Result:
        """Sign and send once."""
        action, claim, keyring = sending.action, sending.claim, sending.prepared
        name = action.secret or signing_secrets.DEFAULT
        keys = keyring.keys.get(name, ())
        if not keys:
            why = f"there is no signing secret {name}; make it and retry"
            return Result.unsent(self._clock(), AttemptError.SECRET, why)
        try:
            headers, body = self._filled_in(sending)
        except TemplateFault as fault:
            return Result.unsent(self._clock(), AttemptError.REFUSED, str(fault))
        attributes: dict[str, str | int] = {
            "minoots.timer_id": sending.spec.timer_id,
            "minoots.attempt": claim.number,
        }
        with self._tracer.start_as_current_span(
            "webhook.deliver", kind=trace.SpanKind.CLIENT, attributes=attributes
        ) as span:
            result = await self._sender.send(
                OutgoingWebhook(
                    url=action.url,
                    method=action.method,
                    headers=headers,
                    body=body,
                    timeout=action.timeout,
                    webhook_id=claim.webhook_id,
                    keys=keys,
                    traceparent=current_traceparent(),
                )
            )
            if result.status is not None:
                span.set_attribute("http.response.status_code", result.status)
            if result.error is not None:
                span.set_status(trace.StatusCode.ERROR, result.error)
        return result

    def _filled_in(self, sending: Sending[WebhookAction]) -> tuple[dict[str, str], bytes]:
        """Return headers and body: of the user's template, or else the CloudEvent."""
        action = sending.action
        event = event_of(sending.spec, sending.claim.webhook_id, sending.fired_at, self._links)
        if action.body is None:
            return action.headers, body_of(event)
        # The library is only loaded by who uses it.
        from minoots_platform import templates

        headers = action.headers | {"content-type": action.body.content_type}
        return headers, templates.render(action.body, event).encode()
