"""The outermost layer: request id, trace, access log, duration, security headers.

Plain ASGI, so that streams stay streams.
"""

from __future__ import annotations

import re
import time
from typing import Final

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minoots_platform.clock import utc_now
from minoots_platform.ids import new_id
from minoots_platform.telemetry import Telemetry, bind_log_context, clear_log_context, get_logger

_REQUEST_ID: Final = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_PROPAGATOR: Final = TraceContextTextMapPropagator()

_SECURITY: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    # The page at /docs has its script and its style in files of its own; nothing else may run.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Any other is an invention of the client, and each would be a series of its own."""
_QUIET: Final = frozenset({"/health", "/ready", "/metrics"})


class RequestContext:
    """Wraps every request."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry
        self._log = get_logger("minoots.access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else new_id("req", utc_now())
        scope["request_id"] = request_id
        clear_log_context()
        bind_log_context(request_id=request_id)
        started = time.monotonic()
        status = 500
        with self._telemetry.tracer.start_as_current_span(
            f"{scope['method']} {scope['path']}"[:100],
            context=_PROPAGATOR.extract({"traceparent": headers.get("traceparent", "")}),
            kind=trace.SpanKind.SERVER,
        ) as span:
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier)

            async def send_with_context(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    answer = MutableHeaders(scope=message)
                    answer["x-request-id"] = request_id
                    answer.update(carrier)
                    for name, value in _SECURITY.items():
                        answer.setdefault(name, value)
                await send(message)

            try:
                await self._app(scope, receive, send_with_context)
            finally:
                duration = time.monotonic() - started
                route = getattr(scope.get("route"), "path", "none")
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.response.status_code", status)
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._telemetry.metrics.http_answered(duration, method=method, route=route, status=status)
                log = self._log.debug if scope["path"] in _QUIET else self._log.info
                log(
                    "request.answered",
                    method=scope["method"],
                    path=scope["path"][:200],
                    status=status,
                    duration_ms=round(duration * 1000, 2),
                    tenant=scope.get("tenant"),
                )
