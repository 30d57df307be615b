"""One trace from whoever asks to the receiver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from receivers import Receiver
from stacks import Stack, eventually

from minoots.contracts import TimerState
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry, render_metrics, start_telemetry


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """What was traced."""
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(spans: InMemorySpanExporter) -> Iterator[Telemetry]:
    """Telemetry that keeps its spans."""
    with start_telemetry(Settings(), "test", span_processors=[SimpleSpanProcessor(spans)]) as telemetry:
        yield telemetry


async def test_one_trace_leads_from_the_gateway_through_the_workflow_to_the_receiver(
    stack: Stack, receiver: Receiver, telemetry: Telemetry, spans: InMemorySpanExporter
) -> None:
    with telemetry.tracer.start_as_current_span("POST /v1/timers") as asked:
        timer = await stack.set(receiver.url)
    await stack.workflow(timer).result()
    await stack.reaches(timer, TimerState.SETTLED)
    trace_id = asked.get_span_context().trace_id

    async def names() -> set[str]:
        return {span.name for span in spans.get_finished_spans() if span.context.trace_id == trace_id}

    wanted = {"StartWorkflow:Timer", "RunWorkflow:Timer", "RunActivity:timers.fire", "webhook.deliver"}
    await eventually(names, lambda seen: wanted <= seen)
    [request] = receiver.requests
    assert request.headers["traceparent"].split("-")[1] == trace.format_trace_id(trace_id)


async def test_a_timer_armed_by_the_reconciler_still_belongs_to_the_trace_that_asked(
    stack: Stack, receiver: Receiver
) -> None:
    asked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    timer = await stack.accept(receiver.url, traceparent=asked)
    await eventually(stack.handover.reconcile, lambda taken: taken == 1)
    await stack.reaches(timer, TimerState.SETTLED)
    [request] = receiver.requests
    assert request.headers["traceparent"].split("-")[1] == asked.split("-")[1]


async def test_lateness_is_measured_and_exposed(
    stack: Stack, receiver: Receiver, telemetry: Telemetry
) -> None:
    await stack.reaches(await stack.set(receiver.url), TimerState.SETTLED)
    text = render_metrics(telemetry).decode()
    assert "minoots_timers_lateness_seconds_count 1.0" in text
    assert 'minoots_deliveries_attempts_total{error="",outcome="succeeded"} 1.0' in text
