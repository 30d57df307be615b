"""Sending one webhook, once.

Owns a single attempt: headers, signature, time limit, and what came of it. Decides nothing about retries and
writes no row. Never puts a header or a key into a result.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

import httpx

from minoots.contracts.actions import OWN_HEADERS
from minoots.contracts.deliveries import AttemptError
from minoots_activities.result import Result
from minoots_platform.addresses import AddressPolicy, Network
from minoots_platform.signing import SigningKey, signature_headers

from .answers import KEPT_BYTES, readable, retry_after, status_detail, status_error
from .faults import ClosedUnanswered, explain
from .names import Resolver
from .transport import EXCHANGE, Exchange, GuardedTransport

_BODY_PATIENCE: Final = 2.0
"""Seconds for the body once the status is known: the outcome is decided, the body is only shown to people."""
_DEFAULT_TYPE: Final = "application/cloudevents+json"

_SENT_TWICE: Final = (
    "the receiver closed a kept connection without an answer, so the request was sent again on a new one "
    "with the same webhook-id"
)


@dataclass(frozen=True)
class OutgoingWebhook:
    """One webhook to send. ``headers`` are the user's; those that Minoots owns are left out of them."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes
    timeout: timedelta
    """For the whole attempt, from resolving the name to the answer."""
    webhook_id: str
    keys: tuple[SigningKey, ...]
    traceparent: str | None = None
    signed: bool = True
    """Whether it is a webhook of ours; a chat takes no signature."""

    def __repr__(self) -> str:
        # Header values and the path of a URL may be credentials.
        return f"OutgoingWebhook({self.webhook_id}, {self.method}, {len(self.body)} bytes)"


class WebhookSender:
    """Sends webhooks over guarded, pooled connections: an async context manager, one for each process."""

    def __init__(
        self,
        *,
        allowed_networks: Iterable[Network],
        user_agent: str,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._user_agent = user_agent
        self._transport = GuardedTransport(
            AddressPolicy(tuple(allowed_networks)), resolver=resolver, ssl_context=ssl_context
        )

    @property
    def transport(self) -> GuardedTransport:
        """What reaches allowed addresses only, for those who speak another protocol over HTTP."""
        return self._transport

    async def __aenter__(self) -> Self:
        await self._transport.prepare()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def warm(self, url: str) -> None:
        """Open a connection to ``url`` ahead of `send`, so that connecting is no part of the lateness.

        Best effort: what goes wrong here goes wrong again in `send`, which reports it.
        """
        try:
            await self._transport.warm(httpx.URL(url))
        except (httpx.TransportError, httpx.InvalidURL, TimeoutError):
            return

    async def unreachable(self, url: str) -> tuple[AttemptError, str] | None:
        """Return why no connection to ``url`` can be opened now, or ``None`` if one can."""
        try:
            await self._transport.reach(httpx.URL(url))
        except TimeoutError:
            return AttemptError.TIMEOUT, "no connection could be opened in time"
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError) as error:
            return explain(error)
        return None

    async def send(self, webhook: OutgoingWebhook) -> Result:
        """Make one attempt. Raises nothing for what the receiver or the network does.

        At least once, as ever: an attempt that fails after the request was written may have been processed.
        The receiver tells repetitions by ``webhook-id``. One case is repeated here instead of being reported:
        a kept connection that ends before a byte of the answer. Nearly always the receiver had closed it
        while it was idle and never saw the request; a retry would send the very same, only later.
        """
        return await _Attempt(self._transport, self._user_agent, webhook).make()


class _Attempt:
    def __init__(self, transport: GuardedTransport, user_agent: str, webhook: OutgoingWebhook) -> None:
        self._transport = transport
        self._user_agent = user_agent
        self._webhook = webhook
        self._exchange = Exchange(self._sign)
        self._detail: str | None = None
        self._deadline = asyncio.get_running_loop().time() + webhook.timeout.total_seconds()
        self._mark()

    async def make(self) -> Result:
        if self._webhook.signed and not self._webhook.keys:
            return self._failed(AttemptError.SECRET, "there is no signing key, and nothing is sent unsigned")
        try:
            async with asyncio.timeout_at(self._deadline):
                response = await self._answer()
        except TimeoutError:
            seconds = self._webhook.timeout.total_seconds()
            detail = f"no answer within {seconds:g} s: the time ran out {self._exchange.stage}"
            return self._failed(AttemptError.TIMEOUT, detail)
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError) as error:
            return self._failed(*explain(error))
        # Not under the limit above: from here on the outcome is known, and running out of time cannot undo
        # it.
        return self._answered(response, await self._first_bytes(response))

    async def _answer(self) -> httpx.Response:
        try:
            return await self._transport.handle_async_request(self._request())
        except ClosedUnanswered as error:
            if not error.kept:
                raise
        self._detail = _SENT_TWICE
        self._exchange = Exchange(self._sign, fresh=True)
        return await self._transport.handle_async_request(self._request())

    def _request(self) -> httpx.Request:
        webhook = self._webhook
        headers = httpx.Headers(
            {
                name: value
                for name, value in webhook.headers.items()
                if (lower := name.lower()) == "content-type"
                or not (lower in OWN_HEADERS or lower.startswith("webhook-"))
            }
        )
        headers.setdefault("content-type", _DEFAULT_TYPE)
        headers.setdefault("accept", "*/*")
        headers["accept-encoding"] = "identity"  # and nothing is unpacked: no zip bombs
        headers["user-agent"] = self._user_agent
        if webhook.traceparent is not None:
            headers["traceparent"] = webhook.traceparent
        return httpx.Request(
            webhook.method,
            webhook.url,
            headers=headers,
            content=webhook.body,
            extensions={EXCHANGE: self._exchange},
        )

    def _sign(self) -> Mapping[str, str]:
        self._mark()
        webhook = self._webhook
        if not webhook.signed:
            return {}
        return signature_headers(webhook.webhook_id, self._started_at, webhook.body, webhook.keys)

    async def _first_bytes(self, response: httpx.Response) -> bytes:
        body = bytearray()
        try:
            now = asyncio.get_running_loop().time()
            async with asyncio.timeout_at(min(now + _BODY_PATIENCE, self._deadline)):
                assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - the transport gives no other
                async for chunk in response.stream:
                    body += chunk
                    if len(body) > KEPT_BYTES:
                        break
        except (TimeoutError, httpx.TransportError):
            pass  # the status decides; a body that drips, breaks off or never ends changes nothing
        finally:
            await response.aclose()
        return bytes(body)

    def _answered(self, response: httpx.Response, body: bytes) -> Result:
        finished_at = self._now()
        return Result(
            started_at=self._started_at,
            finished_at=finished_at,
            status=response.status_code,
            error=status_error(response.status_code),
            detail=_joined(status_detail(response.status_code), self._detail),
            response=readable(body),
            retry_after=retry_after(response.headers.get("retry-after"), finished_at),
        )

    def _failed(self, error: AttemptError, detail: str) -> Result:
        return Result(
            started_at=self._started_at,
            finished_at=self._now(),
            status=None,
            error=error,
            detail=_joined(detail, self._detail),
            response=None,
            retry_after=None,
        )

    def _mark(self) -> None:
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()

    def _now(self) -> datetime:
        # By the monotonic clock: a wall clock that steps back must not give a negative latency.
        return self._started_at + timedelta(seconds=time.monotonic() - self._started)


def _joined(*parts: str | None) -> str | None:
    return "; ".join(part for part in parts if part) or None
