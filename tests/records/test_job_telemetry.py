"""What a program of a job leaves behind for those who watch: spans, and metrics as a scraper reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from stacks import TENANT
from temporalio.testing import ActivityEnvironment

from minoots.contracts import Limits, Tier
from minoots.errors import FailureKind
from minoots_activities.jobs.programs import Programs
from minoots_activities.sandboxes.port import NeverStarted
from minoots_activities.sandboxes.tiers import Tiers
from minoots_activities.sandboxes.watching import Watching
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, jobs
from minoots_platform.settings import JobsSettings, Settings
from minoots_platform.telemetry import Telemetry, start_telemetry
from minoots_workflows.jobs.contracts import StepDue


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def watched(spans: InMemorySpanExporter) -> Iterator[Telemetry]:
    with start_telemetry(Settings(), "test", span_processors=[SimpleSpanProcessor(spans)]) as telemetry:
        yield telemetry


def tiers_for(watched: Telemetry) -> Tiers:
    watching = Watching(watched.tracer, watched.metrics.jobs)
    return Tiers(vm_image=Path("none"), allow_process=True, use_cgroups=False, watching=watching)


async def test_a_program_has_spans_below_its_job_and_metrics(
    sqlite_database: Database, watched: Telemetry, spans: InMemorySpanExporter
) -> None:
    secret = "words-of-the-user"
    body = {"kind": "exec", "tier": "process", "command": ["sh", "-c", f": {secret}; exit 3"]}
    admission = jobs.Admission(10, timedelta(minutes=10))
    async with sqlite_database.write() as connection:
        job = await jobs.accept(
            connection,
            TENANT,
            jobs.REQUEST.validate_python(body),
            admission,
            now=utc_now(),
            actor="test",
            traceparent=None,
        )
    programs = Programs(sqlite_database, tiers_for(watched), JobsSettings(), utc_now)
    with watched.tracer.start_as_current_span("the activity") as parent:
        await ActivityEnvironment().run(programs.run_program, StepDue(tenant=TENANT, job_id=job.id))
    found = {span.name: span for span in spans.get_finished_spans()}
    start, run = found["minoots.sandbox.start"], found["minoots.sandbox.run"]
    assert start.parent is not None
    assert run.parent is not None
    assert start.parent.span_id == run.parent.span_id == parent.get_span_context().span_id
    told = dict(run.attributes or {})
    assert told["minoots.job.id"] == job.id
    assert told["minoots.sandbox.tier"] == "process"
    assert (told["minoots.sandbox.ended"], told["process.exit.code"]) == ("exited", 3)
    assert secret not in start.to_json() + run.to_json()
    value = watched.registry.get_sample_value
    started = {"tier": "process", "outcome": "started"}
    assert value("minoots_sandboxes_start_seconds_count", started) == 1
    assert value("minoots_sandboxes_run_seconds_count", {"tier": "process", "ended": "exited"}) == 1
    assert value("minoots_jobs_queue_wait_seconds_count", {"kind": "exec"}) == 1


async def test_a_sandbox_that_does_not_start_is_counted_as_such(
    watched: Telemetry, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = tiers_for(watched)
    given = tiers._given[Tier.PROCESS]

    async def fails(name: str, limits: Limits, image: str | None = None) -> None:
        raise NeverStarted(FailureKind.UNAVAILABLE, "words of somebody")

    monkeypatch.setattr(given, "create", fails)
    with pytest.raises(NeverStarted):
        await tiers.create(Tier.PROCESS, "x", Limits())
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "NeverStarted"
    assert "words of somebody" not in span.to_json()
    value = watched.registry.get_sample_value
    failed = {"tier": "process", "outcome": "failed"}
    assert value("minoots_sandboxes_start_seconds_count", failed) == 1


async def test_a_call_of_a_tool_has_a_span_by_the_conventions(
    watched: Telemetry, spans: InMemorySpanExporter
) -> None:
    with Watching(watched.tracer, watched.metrics.jobs).tool("read_file", "job_1"):
        pass
    (span,) = spans.get_finished_spans()
    assert span.name == "execute_tool read_file"
    told = dict(span.attributes or {})
    assert told["gen_ai.operation.name"] == "execute_tool"
    assert told["gen_ai.tool.name"] == "read_file"
