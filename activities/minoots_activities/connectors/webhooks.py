"""Webhooks: signed CloudEvents over guarded HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from opentelemetry import trace

from minoots.contracts import AttemptError, WebhookAction
from minoots.contracts.actions import MAX_TIMEOUT
from minoots_activities.http import OutgoingWebhook
from minoots_activities.result import Result
from minoots_platform.envelope import body_of
from minoots_platform.records import signing_secrets
from minoots_platform.signing import SigningKey
from minoots_platform.telemetry.trace_context import current_traceparent
from minoots_platform.template_faults import TemplateFault

from .sender import Message, NotSent, Sender


@dataclass(frozen=True, repr=False)
class Keyring:
    """Signing keys by the name of their secret."""

    keys: dict[str, tuple[SigningKey, ...]]


class Webhooks(Sender[WebhookAction]):
    """Sends webhooks."""

    timeout: ClassVar[float] = MAX_TIMEOUT.total_seconds() + 1
    """Those of the actions end first, and say at which stage."""

    async def prepare(self, tenant: str, configs: Sequence[WebhookAction]) -> Keyring:
        """Fetch signing keys."""
        names = {config.secret or signing_secrets.DEFAULT for config in configs}
        world, now = self.world, self.world.clock()
        async with world.database.read() as connection:
            keys = await signing_secrets.keys(connection, world.vault, tenant, names, now)
        if signing_secrets.DEFAULT in names and signing_secrets.DEFAULT not in keys:
            async with world.database.write() as connection:
                await signing_secrets.ensure_default(connection, world.vault, tenant, now=now)
                keys |= await signing_secrets.keys(
                    connection, world.vault, tenant, [signing_secrets.DEFAULT], now
                )
        return Keyring(keys)

    async def warm(self, config: WebhookAction) -> None:
        """Open a connection to the receiver, if it can be reached."""
        await self.world.http.warm(config.url)

    async def send(self, message: Message, config: WebhookAction) -> Result:
        """Sign and send once."""
        keyring: Keyring = message.prepared
        keys = keyring.keys.get(config.secret or signing_secrets.DEFAULT, ())
        if not keys:
            raise _no_secret(config)
        headers, body = _filled_in(message, config)
        attributes: dict[str, str | int] = {
            "minoots.timer_id": message.timer_id,
            "minoots.attempt": message.attempt,
        }
        with self.world.tracer.start_as_current_span(
            "webhook.deliver", kind=trace.SpanKind.CLIENT, attributes=attributes
        ) as span:
            result = await self.world.http.send(
                OutgoingWebhook(
                    url=config.url,
                    method=config.method,
                    headers=headers,
                    body=body,
                    timeout=config.timeout,
                    webhook_id=message.id,
                    keys=keys,
                    # Of this span, not of what surrounds it.
                    traceparent=current_traceparent(),
                )
            )
            if result.status is not None:
                span.set_attribute("http.response.status_code", result.status)
            if result.error is not None:
                span.set_status(trace.StatusCode.ERROR, result.error)
        return result

    async def check(self, tenant: str, config: WebhookAction) -> None:
        """Make sure that there is a key to sign with, and that the receiver takes connections."""
        keyring = await self.prepare(tenant, [config])
        if not keyring.keys.get(config.secret or signing_secrets.DEFAULT):
            raise _no_secret(config)
        fault = await self.world.http.unreachable(config.url)
        if fault is not None:
            raise NotSent(*fault)


def _no_secret(config: WebhookAction) -> NotSent:
    name = config.secret or signing_secrets.DEFAULT
    return NotSent(AttemptError.SECRET, f"there is no signing secret {name}; make it and retry")


def _filled_in(message: Message, config: WebhookAction) -> tuple[dict[str, str], bytes]:
    """Return headers and body: of the user's template, or else the CloudEvent.

    Raises:
        NotSent: the template cannot be filled in.
    """
    if config.body is None:
        return config.headers, body_of(message.event)
    # The library is only loaded by who uses it.
    from minoots_platform import templates

    try:
        body = templates.render(config.body, message.event).encode()
    except TemplateFault as fault:
        raise NotSent(AttemptError.REFUSED, str(fault)) from fault
    return config.headers | {"content-type": config.body.content_type}, body
