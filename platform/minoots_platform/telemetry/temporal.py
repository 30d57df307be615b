"""Temporal's part in telemetry: its own metrics and logs in ours, and one trace through all of it.

Owns the runtime and the interceptors that client and workers get.

Traces use the classic `TracingInterceptor`. The newer `OpenTelemetryPlugin` shows a workflow only when it
ends, which for a timer may be years, loses the span when the worker that began it is gone, and needs a global
tracer provider; the classic one shows each step at once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from temporalio.client import Interceptor
from temporalio.contrib.opentelemetry import MetricsExporter, TracingInterceptor
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    MetricBuffer,
    MetricBufferDurationFormat,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from .start import Telemetry

# Core drops updates when the buffer is full; room for a thousand fires/s with some 30 updates each.
_BUFFERED_UPDATES: Final = 100_000
_POLL_INTERVAL: Final = timedelta(milliseconds=500)


@asynccontextmanager
async def temporal_runtime(telemetry: Telemetry) -> AsyncIterator[Runtime]:
    """Yield the runtime to connect with; while it is open, Temporal's own metrics come out as ``temporal_…``.

    Its core logs go to the logger ``temporalio.core``.
    """
    buffer = MetricBuffer(_BUFFERED_UPDATES, MetricBufferDurationFormat.SECONDS)
    runtime = Runtime(
        telemetry=TelemetryConfig(
            metrics=buffer,
            logging=LoggingConfig(
                filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
                forwarding=LogForwardingConfig(logger=logging.getLogger("temporalio.core")),
            ),
        )
    )
    async with MetricsExporter(buffer, telemetry.meter_provider, poll_interval=_POLL_INTERVAL):
        yield runtime


def temporal_interceptors(telemetry: Telemetry) -> list[Interceptor]:
    """Return the interceptors for ``Client.connect``; workers on that client inherit them."""
    return [TracingInterceptor(telemetry.tracer)]
