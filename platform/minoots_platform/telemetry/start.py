"""Starting and stopping metrics and traces.

Owns the providers of this process. Sets no global provider: two stacks, or a test and a stack, may live in
one process. Code takes `Telemetry` and uses its tracer and metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry

from minoots._version import __version__
from minoots_platform.settings import Settings

from .metrics import LATENCY_BUCKETS, Metrics

_FLUSH_MILLISECONDS: Final = 3000
# Temporal's own durations, which are in seconds here, while the default buckets are for milliseconds.
_TEMPORAL_DURATIONS: Final = ("temporal_*latency*",)

_log: Final = logging.getLogger("minoots.telemetry")


@dataclass
class Telemetry:
    """Metrics and traces of this process; close it at the end.

    Attributes:
        service: which part this is: ``gateway``, ``worker``.
        tracer: makes spans.
        metrics: every instrument of Minoots.
        registry: what Prometheus reads; not the global one of prometheus_client.
        tracer_provider: the provider behind ``tracer``.
        meter_provider: the provider behind ``metrics``.
    """

    service: str
    tracer: Tracer
    metrics: Metrics
    registry: CollectorRegistry
    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    _closers: list[Callable[[], None]] = field(default_factory=list)

    def on_close(self, closer: Callable[[], None]) -> None:
        """Call ``closer`` when this is closed, the last one first."""
        self._closers.append(closer)

    def close(self) -> None:
        """Send what is left to the collector, for three seconds at most, and stop."""
        while self._closers:
            self._closers.pop()()
        if not self.tracer_provider.force_flush(_FLUSH_MILLISECONDS):
            _log.warning("some spans could not be sent before the end")
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown(timeout_millis=_FLUSH_MILLISECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_telemetry(
    settings: Settings, service: str, *, span_processors: Sequence[SpanProcessor] = ()
) -> Telemetry:
    """Start metrics and traces for one part of Minoots; ``span_processors`` see every span as well."""
    endpoint = settings.telemetry.otlp_endpoint
    resource = Resource.create(
        {
            SERVICE_NAME: settings.telemetry.service_name,
            SERVICE_VERSION: __version__,
            "minoots.process": service,
        }
    )
    tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for processor in span_processors:
        tracer_provider.add_span_processor(processor)
    registry = CollectorRegistry(auto_describe=False)
    readers: list[MetricReader] = [
        PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=registry)
    ]
    if endpoint is not None:
        span_processor, reader = _otlp(endpoint)
        tracer_provider.add_span_processor(span_processor)
        readers.append(reader)
    meter_provider = MeterProvider(
        metric_readers=readers,
        resource=resource,
        shutdown_on_exit=False,
        views=[
            View(instrument_name=name, aggregation=ExplicitBucketHistogramAggregation(LATENCY_BUCKETS))
            for name in _TEMPORAL_DURATIONS
        ],
    )
    return Telemetry(
        service=service,
        tracer=tracer_provider.get_tracer("minoots", __version__),
        metrics=Metrics(meter_provider.get_meter("minoots", __version__)),
        registry=registry,
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
    )


def _otlp(endpoint: str) -> tuple[SpanProcessor, MetricReader]:
    # Imported only when a collector is set: requests and protobuf cost every other start a tenth of a second.
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    base = endpoint.rstrip("/")
    return (
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=3)),
        PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=3)),
    )
