"""Spans and metrics reach an OTLP collector over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from minoots_platform.settings import Settings, TelemetrySettings
from minoots_platform.telemetry import start_telemetry


class _Collector(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: dict[str, list[bytes]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.setdefault(self.path, []).append(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[_Collector]:
    server = _Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_closing_sends_spans_and_metrics(collector: _Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}/"
    settings = Settings(telemetry=TelemetrySettings(otlp_endpoint=endpoint, service_name="shop"))
    with start_telemetry(settings, "gateway") as telemetry:
        with telemetry.tracer.start_as_current_span("work"):
            telemetry.metrics.timer_created()
    traces = ExportTraceServiceRequest()
    for body in collector.bodies["/v1/traces"]:
        traces.MergeFromString(_plain(body))
    assert [s.name for r in traces.resource_spans for scope in r.scope_spans for s in scope.spans] == ["work"]
    metrics = ExportMetricsServiceRequest()
    for body in collector.bodies["/v1/metrics"]:
        metrics.MergeFromString(_plain(body))
    names = {m.name for r in metrics.resource_metrics for scope in r.scope_metrics for m in scope.metrics}
    assert "minoots.timers.created" in names


def _plain(body: bytes) -> bytes:
    assert not body.startswith(b"\x1f\x8b"), "the exporter is expected to send uncompressed"
    return body
