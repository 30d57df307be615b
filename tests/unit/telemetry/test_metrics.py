"""Metrics come out under their names, alone and merged."""

from __future__ import annotations

import io
import socket
import urllib.request
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from minoots_platform.settings import Settings, TelemetrySettings
from minoots_platform.telemetry import (
    Telemetry,
    merge_expositions,
    render_metrics,
    serve_metrics,
    start_logs,
    start_telemetry,
)
from minoots_platform.telemetry.metrics import LATENESS_BUCKETS


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with start_telemetry(Settings(), "worker") as started:
        yield started


def _families(text: bytes) -> dict[str, Metric]:
    families = list(text_string_to_metric_families(text.decode()))
    assert len({family.name for family in families}) == len(families), "a family appears twice"
    return {family.name: family for family in families}


def _values(
    families: dict[str, Metric], family: str, sample: str
) -> dict[tuple[tuple[str, str], ...], float]:
    return {
        tuple(sorted(found.labels.items())): found.value
        for found in families[family].samples
        if found.name == sample
    }


def _record_everything(telemetry: Telemetry) -> None:
    metrics = telemetry.metrics
    metrics.timer_fired(0.012)
    metrics.timer_created()
    metrics.delivery_attempted(0.1, outcome="failed", error="timeout")
    metrics.wake_lead_changed(0.25)
    metrics.dispatched(0.02)
    metrics.subscriber_joined()
    metrics.http_answered(0.003, method="GET", route="/v1/timers/{id}", status=200)


def test_lateness_comes_out_in_seconds_with_its_buckets(telemetry: Telemetry) -> None:
    telemetry.metrics.timer_fired(0.012)
    telemetry.metrics.timer_fired(-1.0)
    families = _families(render_metrics(telemetry))
    buckets = _values(families, "minoots_timers_lateness_seconds", "minoots_timers_lateness_seconds_bucket")
    assert [float(labels[0][1]) for labels in buckets] == [*LATENESS_BUCKETS, float("inf")]
    assert buckets[(("le", "0.01"),)] == 1
    assert buckets[(("le", "0.015"),)] == 2


def test_every_instrument_has_its_name(telemetry: Telemetry) -> None:
    _record_everything(telemetry)
    assert set(_families(render_metrics(telemetry))) >= {
        "minoots_timers_lateness_seconds",
        "minoots_timers_created",
        "minoots_deliveries_attempts",
        "minoots_deliveries_latency_seconds",
        "minoots_timers_wake_lead_seconds",
        "minoots_timers_dispatch_latency_seconds",
        "minoots_events_subscribers",
        "minoots_http_duration_seconds",
    }


def test_attempts_are_counted_by_outcome_and_error(telemetry: Telemetry) -> None:
    telemetry.metrics.delivery_attempted(0.1, outcome="delivered")
    telemetry.metrics.delivery_attempted(0.1, outcome="failed", error="timeout")
    telemetry.metrics.delivery_attempted(0.1, outcome="failed", error="timeout")
    families = _families(render_metrics(telemetry))
    assert _values(families, "minoots_deliveries_attempts", "minoots_deliveries_attempts_total") == {
        (("error", ""), ("outcome", "delivered")): 1.0,
        (("error", "timeout"), ("outcome", "failed")): 2.0,
    }


def test_subscribers_go_up_and_down(telemetry: Telemetry) -> None:
    telemetry.metrics.subscriber_joined()
    telemetry.metrics.subscriber_joined()
    telemetry.metrics.subscriber_left()
    families = _families(render_metrics(telemetry))
    assert _values(families, "minoots_events_subscribers", "minoots_events_subscribers") == {(): 1.0}


def test_nothing_is_put_into_the_global_registry(telemetry: Telemetry) -> None:
    _record_everything(telemetry)
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("minoots")]


def test_merging_joins_families_and_names_the_process(telemetry: Telemetry) -> None:
    _record_everything(telemetry)
    with start_telemetry(Settings(), "gateway") as other:
        _record_everything(other)
        other.metrics.timer_created()
        merged = merge_expositions(
            {"gateway": render_metrics(other), "worker": render_metrics(telemetry).decode()}
        )
    families = _families(merged)
    assert set(families) == set(_families(render_metrics(telemetry)))
    assert _values(families, "minoots_timers_created", "minoots_timers_created_total") == {
        (("process", "gateway"),): 2.0,
        (("process", "worker"),): 1.0,
    }
    assert families["minoots_timers_lateness_seconds"].type == "histogram"
    text = merged.decode()
    for kind in ("# TYPE", "# HELP"):
        headers = [line.split()[2] for line in text.splitlines() if line.startswith(kind)]
        assert len(headers) == len(set(headers)) == len(families)


def test_merging_keeps_a_label_named_process() -> None:
    families = _families(merge_expositions({"worker": '# TYPE x gauge\nx{process="inner"} 1\n'}))
    assert _values(families, "x", "x") == {(("exported_process", "inner"), ("process", "worker")): 1.0}


def test_merging_keeps_odd_label_values() -> None:
    odd = 'a"b\\\\c\\n'
    families = _families(merge_expositions({'w"1\n': f'# TYPE x gauge\nx{{v="{odd[:1]}\\"{odd[2:]}"}} 1\n'}))
    assert _values(families, "x", "x") == {(("process", 'w"1\n'), ("v", 'a"b\\c\n')): 1.0}


@pytest.mark.parametrize("broken", ["x{ 1\n", "<html>not found</html>", "x abc\n"])
def test_a_broken_exposition_is_left_out_and_logged(broken: str) -> None:
    stream = io.StringIO()
    with start_logs(TelemetrySettings(), "gateway", stream=stream):
        families = _families(merge_expositions({"bad": broken, "good": "# TYPE x gauge\nx 1\n"}))
    assert _values(families, "x", "x") == {(("process", "good"),): 1.0}
    assert "bad" in stream.getvalue()


def test_a_family_of_another_type_is_left_out() -> None:
    families = _families(
        merge_expositions({"a": "# TYPE x gauge\nx 1\n", "b": "# TYPE x histogram\nx_count 3\nx_sum 1\n"})
    )
    assert _values(families, "x", "x") == {(("process", "a"),): 1.0}


def test_metrics_are_served_on_a_socket_until_closed() -> None:
    with start_telemetry(Settings(), "worker") as telemetry:
        telemetry.metrics.timer_created()
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"
        serve_metrics(telemetry, listener)
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert "minoots_timers_created" in _families(answer.read())
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=10)


def test_extra_span_processors_see_every_span() -> None:
    exporter = InMemorySpanExporter()
    with start_telemetry(Settings(), "gateway", span_processors=[SimpleSpanProcessor(exporter)]) as telemetry:
        with telemetry.tracer.start_as_current_span("work"):
            pass
        (span,) = exporter.get_finished_spans()
    assert (span.name, span.resource.attributes["service.name"]) == ("work", "minoots")
