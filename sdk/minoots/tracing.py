"""The trace that a call belongs to, where the process has one.

OpenTelemetry is no dependency: it is asked only when the program has imported it by itself.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from .call import Pairs, invalid

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_WANTED: Final = ("traceparent", "tracestate")


def explicit(traceparent: str | None) -> Pairs:
    """Return the header for a ``traceparent`` given by the caller.

    Raises:
        InvalidRequest: when it is no W3C ``traceparent``.
    """
    if traceparent is None:
        return ()
    if not _TRACEPARENT.fullmatch(traceparent):
        raise invalid(
            "header.Traceparent", "a W3C traceparent such as 00-<32 hex>-<16 hex>-01", repr(traceparent)
        )
    # Lower case, as the propagator writes it, so that this one replaces that of the current span.
    return (("traceparent", traceparent),)


def current() -> Pairs:
    """Return the headers of the current OpenTelemetry span; none without OpenTelemetry or a span."""
    # Where nobody imported it there is no current span, and importing it would slow every program's start.
    if "opentelemetry.trace" not in sys.modules:
        return ()
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    # Baggage stays at home: it may hold anything, and the service has no use for it.
    return tuple((name, carrier[name]) for name in _WANTED if name in carrier)
