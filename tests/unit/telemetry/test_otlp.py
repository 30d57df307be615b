"""Spans and metrics reach an OTLP collector over HTTP."""

from __future__ import annotations

from collectors import collecting

from minoots_platform.settings import Settings, TelemetrySettings
from minoots_platform.telemetry import start_telemetry


def test_closing_sends_spans_and_metrics() -> None:
    with collecting() as collector:
        settings = Settings(
            telemetry=TelemetrySettings(otlp_endpoint=f"{collector.url}/", service_name="shop")
        )
        with start_telemetry(settings, "gateway") as telemetry:
            with telemetry.tracer.start_as_current_span("work"):
                telemetry.metrics.timer_created()
        assert [span.name for span in collector.spans()] == ["work"]
        assert "minoots.timers.created" in collector.metrics()
