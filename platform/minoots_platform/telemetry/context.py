"""What every log line says about where it was written: request, tenant, workflow, trace.

Owns the binding and the look-up. Must not import Temporal or OpenTelemetry: it only asks them when the
process has imported them already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars
from structlog.typing import EventDict, WrappedLogger


def bind_log_context(**values: str | None) -> None:
    """Put ``request_id``, ``tenant`` and the like on every further line of this task."""
    bind_contextvars(**values)


def clear_log_context() -> None:
    """Forget what was bound in this task."""
    clear_contextvars()


@contextmanager
def log_context(**values: str | None) -> Iterator[None]:
    """Put values on every line within the block, and restore what was there before."""
    with bound_contextvars(**values):
        yield


def add_trace_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the id of the current OpenTelemetry trace."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None and event.get("trace_id") is None:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            event["trace_id"] = f"{context.trace_id:032x}"
    return event


def add_workflow_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the id of the workflow whose activity or workflow code writes the line."""
    if event.get("workflow_id") is not None:
        return event
    # Temporal's own loggers bring it along; a dict under either name, depending on who wrote.
    for name in ("temporal_activity", "temporal_workflow"):
        details = event.get(name)
        if isinstance(details, dict) and details.get("workflow_id"):
            event["workflow_id"] = details["workflow_id"]
            return event
    activity = sys.modules.get("temporalio.activity")
    if activity is not None and activity.in_activity():
        event["workflow_id"] = activity.info().workflow_id
    return event
