"""A collector of OpenTelemetry: what parts of Minoots send to it over HTTP, as they send it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """A span as it came.

    Attributes:
        process: which part of Minoots made it.
    """

    name: str
    process: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: dict[str, list[bytes]] = {}

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Span]:
        """All spans that have come."""
        found = ExportTraceServiceRequest()
        for body in self.bodies.get("/v1/traces", []):
            found.MergeFromString(_plain(body))
        return [
            Span(
                one.name,
                _attributes(resource.resource.attributes).get("minoots.process", ""),
                one.trace_id.hex(),
                one.span_id.hex(),
                one.parent_span_id.hex(),
                _attributes(one.attributes),
                one.status.code == 2,
            )
            for resource in found.resource_spans
            for scope in resource.scope_spans
            for one in scope.spans
        ]

    def metrics(self) -> set[str]:
        """The names of all metrics that have come."""
        found = ExportMetricsServiceRequest()
        for body in self.bodies.get("/v1/metrics", []):
            found.MergeFromString(_plain(body))
        scopes = [scope for resource in found.resource_metrics for scope in resource.scope_metrics]
        return {one.name for scope in scopes for one in scope.metrics}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serve a collector."""
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.setdefault(self.path, []).append(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _attributes(given: Any) -> dict[str, Any]:
    found = {}
    for one in given:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind) if kind else None
        found[one.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def _plain(body: bytes) -> bytes:
    assert not body.startswith(b"\x1f\x8b"), "the exporter is expected to send uncompressed"
    return body
