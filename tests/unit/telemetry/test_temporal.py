"""One trace from caller through workflow to activity, and Temporal's own metrics in ours."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from minoots_platform.settings import Settings
from minoots_platform.telemetry import (
    Telemetry,
    render_metrics,
    start_telemetry,
    temporal_interceptors,
    temporal_runtime,
)


def _ancestors(span: ReadableSpan, spans: Sequence[ReadableSpan]) -> list[str]:
    by_id = {one.context.span_id: one for one in spans}
    names = []
    parent = span.parent
    while parent is not None:
        names.append(by_id[parent.span_id].name)
        parent = by_id[parent.span_id].parent
    return names


async def _until_metric(telemetry: Telemetry, name: str) -> dict[str, str]:
    deadline = time.monotonic() + 30
    while True:
        text = render_metrics(telemetry).decode()
        families = {family.name: family.type for family in text_string_to_metric_families(text)}
        if name in families:
            return families
        assert time.monotonic() < deadline, f"{name} never came out; there is {sorted(families)}"
        await asyncio.sleep(0.05)


async def test_one_trace_joins_caller_workflow_and_activity_and_core_metrics_come_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The sandbox imports the workflow's module again by its name, so it must be found on the path.
    monkeypatch.syspath_prepend(Path(__file__).parent)
    traced = importlib.import_module("trace_workflow")
    exporter = InMemorySpanExporter()
    binary = Path(sys.executable).with_name("temporal")
    with start_telemetry(Settings(), "worker", span_processors=[SimpleSpanProcessor(exporter)]) as telemetry:
        async with (
            temporal_runtime(telemetry) as runtime,
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=str(binary), dev_server_startup_timeout=timedelta(seconds=90)
            ) as environment,
        ):
            client = await Client.connect(
                environment.client.service_client.config.target_host,
                runtime=runtime,
                interceptors=temporal_interceptors(telemetry),
            )
            queue = f"trace-{uuid4()}"
            # The sandbox is on: it is the default runner, and no module is passed through.
            worker = Worker(
                client, task_queue=queue, workflows=[traced.TraceWorkflow], activities=[traced.current_trace]
            )
            async with worker:
                with telemetry.tracer.start_as_current_span("POST /v1/timers") as gateway:
                    handle = await client.start_workflow(
                        "TestTrace", id=queue, task_queue=queue, result_type=str
                    )
                seen = await handle.result()
            families = await _until_metric(telemetry, "temporal_request_latency_seconds")
    assert seen == f"{gateway.get_span_context().trace_id:032x}"
    spans = exporter.get_finished_spans()
    ran = next(span for span in spans if span.name == "RunActivity:test.trace")
    assert _ancestors(ran, spans) == [
        "StartActivity:test.trace",
        "StartWorkflow:TestTrace",
        "POST /v1/timers",
    ]
    run = next(span for span in spans if span.name == "RunWorkflow:TestTrace")
    assert _ancestors(run, spans) == ["StartWorkflow:TestTrace", "POST /v1/timers"]
    assert families["temporal_request_latency_seconds"] == "histogram"
    assert {name for name in families if name.startswith("temporal_workflow")}
