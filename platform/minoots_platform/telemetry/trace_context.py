"""Trace contexts as text (W3C ``traceparent``): how a trace goes on through the records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR: Final = TraceContextTextMapPropagator()


def current_traceparent() -> str | None:
    """Return the ``traceparent`` of the current span, ``None`` outside one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Go on with the trace of ``traceparent`` where no span is current, as in the reconciler."""
    if traceparent is None or trace.get_current_span().get_span_context().is_valid:
        yield
        return
    token = context.attach(_PROPAGATOR.extract({"traceparent": traceparent}))
    try:
        yield
    finally:
        context.detach(token)
