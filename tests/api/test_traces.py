"""One trace from the request to the receiver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateways import Door
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from receivers import Receiver
from stacks import eventually

from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry, start_telemetry

WANTED = {
    "POST /v1/timers",
    "StartWorkflow:Timer",
    "RunWorkflow:Timer",
    "StartActivity:timers.fire",
    "RunActivity:timers.fire",
    "webhook.deliver",
}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """What was traced."""
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(spans: InMemorySpanExporter) -> Iterator[Telemetry]:
    """Telemetry of gateway and worker alike, which keeps its spans."""
    with start_telemetry(Settings(), "test", span_processors=[SimpleSpanProcessor(spans)]) as telemetry:
        yield telemetry


async def test_the_trace_of_a_request_leads_through_gateway_workflow_and_activity_to_the_receiver(
    full: Door, receiver: Receiver, spans: InMemorySpanExporter
) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    body = {"name": "t", "after": 0.2, "actions": [{"url": receiver.url}]}
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    await full.http.post("/v1/timers", json=body, headers=headers)
    [request] = await receiver.expect(1)
    assert request.headers["traceparent"].split("-")[1] == trace_id

    async def names() -> set[str]:
        return {
            span.name for span in spans.get_finished_spans() if f"{span.context.trace_id:032x}" == trace_id
        }

    await eventually(names, lambda seen: seen >= WANTED)
    told = (await full.http.get("/v1/events", params={"type": "timer.scheduled"})).json()["items"]
    assert told[0]["traceparent"].split("-")[1] == trace_id
