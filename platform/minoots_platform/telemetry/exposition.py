"""Metrics as Prometheus reads them: this process's own, those of several merged, and a small server.

Owns the text format. A worker whose answer is broken is left out with a log line; the others are served.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from .start import Telemetry

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of what `render_metrics` and `merge_expositions` return."""

_log: Final = logging.getLogger("minoots.telemetry")


def render_metrics(telemetry: Telemetry) -> bytes:
    """Return the metrics of this process in Prometheus' text format."""
    return generate_latest(telemetry.registry)


def merge_expositions(expositions: Mapping[str, str | bytes]) -> bytes:
    """Return one exposition of several processes, each sample labelled with its ``process``.

    A family that several have appears once. A label ``process`` that a sample brings along becomes
    ``exported_process``, as Prometheus itself does. A text that is not an exposition is left out.
    """
    families: dict[str, Metric] = {}
    for process, text in expositions.items():
        for family in _parsed(process, text):
            known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            if known.type != family.type:
                _log.warning(
                    "metric %s of %s is left out: it is a %s there and a %s elsewhere",
                    family.name,
                    process,
                    family.type,
                    known.type,
                )
                continue
            for sample in family.samples:
                labels = dict(sample.labels)
                if "process" in labels:
                    labels["exported_process"] = labels.pop("process")
                known.samples.append(sample._replace(labels={**labels, "process": process}))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families.values()))
    return generate_latest(registry)


def serve_metrics(telemetry: Telemetry, listener: socket.socket) -> None:
    """Serve the metrics of this process on a listening socket until telemetry is closed."""
    server = _Server(listener, make_wsgi_app(telemetry.registry))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    telemetry.on_close(close)


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape every few seconds is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    """A small server on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, app: Any) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__((host, port), _Silent, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = host, port
        self.setup_environ()
        self.set_app(app)


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _parsed(process: str, text: str | bytes) -> list[Metric]:
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        return list(text_string_to_metric_families(decoded))
    except (ValueError, KeyError, IndexError) as error:
        _log.warning("the metrics of %s are left out: not in Prometheus' text format: %s", process, error)
        return []
