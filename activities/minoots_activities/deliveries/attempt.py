"""One attempt to deliver one action: prepare it, send it, judge what came of it.

Shared by the first attempt (``timers.fire``) and by those after it (``deliveries.attempt``). Knows nothing of
Temporal; the rows are the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from opentelemetry import trace

from minoots.contracts import Action, AttemptError
from minoots_activities.http import OutgoingWebhook, WebhookResult, WebhookSender
from minoots_platform.clock import Clock
from minoots_platform.records import Database, destinations, signing_secrets
from minoots_platform.records.deliveries import Claim, Outcome
from minoots_platform.records.firing import Spec
from minoots_platform.signing import SigningKey
from minoots_platform.telemetry import Telemetry
from minoots_platform.telemetry.trace_context import current_traceparent
from minoots_platform.vault import Vault
from minoots_workflows.deliveries.retry import next_attempt

from .envelope import body_of


@dataclass(frozen=True, repr=False)
class Keyring:
    """What sending needs besides the spec: signing keys by secret name, and receivers that are gone."""

    keys: dict[str, tuple[SigningKey, ...]]
    gone: frozenset[str]


class Attempts:
    """Makes attempts. One a process; it owns the connections to receivers."""

    def __init__(
        self, database: Database, vault: Vault, sender: WebhookSender, telemetry: Telemetry, clock: Clock
    ) -> None:
        self._database = database
        self._vault = vault
        self._sender = sender
        self._tracer = telemetry.tracer
        self._metrics = telemetry.metrics
        self._clock = clock

    async def prepare(self, spec: Spec, actions: tuple[Action, ...]) -> Keyring:
        """Fetch ahead of time whatever sending ``actions`` will need."""
        names = {action.secret or signing_secrets.DEFAULT for action in actions}
        urls = {action.url for action in actions}
        async with self._database.read() as connection:
            keys = await signing_secrets.keys(connection, self._vault, spec.tenant, names, self._clock())
            gone = await destinations.gone_among(connection, spec.tenant, urls)
        if signing_secrets.DEFAULT in names and signing_secrets.DEFAULT not in keys:
            async with self._database.write() as connection:
                now = self._clock()
                await signing_secrets.ensure_default(connection, self._vault, spec.tenant, now=now)
                keys |= await signing_secrets.keys(
                    connection, self._vault, spec.tenant, [signing_secrets.DEFAULT], now
                )
        return Keyring(keys, gone)

    async def warm(self, action: Action) -> None:
        """Open a connection to the receiver of ``action``, if it can be reached."""
        await self._sender.warm(action.url)

    async def make(self, spec: Spec, claim: Claim, keyring: Keyring, fired_at: datetime) -> Outcome:
        """Send once and say what follows from it."""
        action = spec.actions[claim.action]
        if action.url in keyring.gone and claim.replay_of is None:
            result = self._unsent(
                AttemptError.GONE, "the receiver answered 410 Gone before; reopen it or replay this"
            )
        else:
            result = await self._send(spec, action, claim, keyring, fired_at)
        outcome = "succeeded" if result.error is None else "failed"
        latency = (result.finished_at - result.started_at).total_seconds()
        self._metrics.delivery_attempted(latency, outcome=outcome, error=result.error)
        return Outcome(
            claim=claim,
            started_at=result.started_at,
            finished_at=result.finished_at,
            status=result.status,
            error=result.error,
            detail=result.detail,
            response=result.response,
            next_at=None
            if result.error is None
            else next_attempt(
                spec.retry,
                number=claim.number,
                planned_at=claim.planned_at,
                finished_at=result.finished_at,
                error=result.error,
                status=result.status,
                retry_after=result.retry_after,
            ),
        )

    async def _send(
        self, spec: Spec, action: Action, claim: Claim, keyring: Keyring, fired_at: datetime
    ) -> WebhookResult:
        name = action.secret or signing_secrets.DEFAULT
        keys = keyring.keys.get(name, ())
        if not keys:
            return self._unsent(AttemptError.SECRET, f"there is no signing secret {name}; make it and retry")
        attributes: dict[str, str | int] = {
            "minoots.timer_id": spec.timer_id,
            "minoots.attempt": claim.number,
        }
        with self._tracer.start_as_current_span(
            "webhook.deliver", kind=trace.SpanKind.CLIENT, attributes=attributes
        ) as span:
            result = await self._sender.send(
                OutgoingWebhook(
                    url=action.url,
                    method=action.method,
                    headers=action.headers,
                    body=body_of(spec, claim, fired_at),
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

    def _unsent(self, error: AttemptError, detail: str) -> WebhookResult:
        now = self._clock()
        return WebhookResult(
            started_at=now,
            finished_at=now,
            status=None,
            error=error,
            detail=detail,
            response=None,
            retry_after=None,
        )
