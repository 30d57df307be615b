"""Logs, metrics and traces of gateway and workers.

Owns how they are set up and named. Logs load at once; metrics and traces only when asked for, because a
command that merely logs should not pay for OpenTelemetry and Temporal.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .context import bind_log_context, clear_log_context, log_context
from .logs import Logs, audit, get_logger, start_logs
from .redaction import redact, redact_text

if TYPE_CHECKING:
    from .exposition import merge_expositions, render_metrics, serve_metrics
    from .metrics import Metrics
    from .start import Telemetry, start_telemetry
    from .temporal import temporal_interceptors, temporal_runtime

_LAZY = {
    "Metrics": ".metrics",
    "Telemetry": ".start",
    "merge_expositions": ".exposition",
    "render_metrics": ".exposition",
    "serve_metrics": ".exposition",
    "start_telemetry": ".start",
    "temporal_interceptors": ".temporal",
    "temporal_runtime": ".temporal",
}

__all__ = [
    "Logs",
    "Metrics",
    "Telemetry",
    "audit",
    "bind_log_context",
    "clear_log_context",
    "get_logger",
    "log_context",
    "merge_expositions",
    "redact",
    "redact_text",
    "render_metrics",
    "serve_metrics",
    "start_logs",
    "start_telemetry",
    "temporal_interceptors",
    "temporal_runtime",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
