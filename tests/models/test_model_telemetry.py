"""What a call leaves behind for those who watch: a span, metrics by the GenAI conventions, rows of usage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from model_servers import asked, caller, entry, model_server, routing
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from stacks import TENANT

from minoots.contracts.models import Locality
from minoots.contracts.usage import UsageBy
from minoots_platform.records import Database, schema, usage
from minoots_platform.records.usage import UsageFilter
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry, start_telemetry
from minoots_workflows.models.failures import ModelFailure


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def watched(spans: InMemorySpanExporter) -> Iterator[Telemetry]:
    with start_telemetry(Settings(), "test", span_processors=[SimpleSpanProcessor(spans)]) as telemetry:
        yield telemetry


async def test_a_call_has_a_span_and_metrics_by_the_conventions(
    sqlite_database: Database, watched: Telemetry, spans: InMemorySpanExporter
) -> None:
    secret = "the words of the user"
    turns = [
        {"when": "fail", "fault": {"kind": "status", "status": 500, "message": secret}},
        {"text": "one two three"},
    ]
    async with (
        model_server(turns=turns) as url,
        routing(sqlite_database, watched, providers=[f"ollama={url}"]) as opened,
    ):
        with watched.tracer.start_as_current_span("the job") as parent:
            await opened.router.complete(asked(secret), caller(job_id="job_1"))
        with pytest.raises(ModelFailure):
            await opened.router.complete(asked("fail"), caller("call-2"))
    done, failed = (span for span in spans.get_finished_spans() if span.kind is SpanKind.CLIENT)
    assert done.name == "chat fake:latest"
    assert done.parent is not None
    assert done.parent.span_id == parent.get_span_context().span_id
    told = dict(done.attributes or {})
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.conversation.id"] == told["minoots.job.id"] == "job_1"
    assert told["gen_ai.provider.name"] == "ollama"
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == "fake:latest"
    assert told["gen_ai.usage.output_tokens"] == 3
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "provider_fault"
    # Not a word of what was said is in either.
    assert secret not in done.to_json() + failed.to_json()
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "ollama",
        "gen_ai_request_model": "fake:latest",
    }
    value = watched.registry.get_sample_value
    assert value("gen_ai_client_operation_duration_seconds_count", {**labels, "error_type": ""}) == 1
    out = {**labels, "gen_ai_token_type": "output"}
    assert value("gen_ai_client_token_usage_sum", out) == 3
    assert value("gen_ai_client_operation_time_to_first_chunk_seconds_count", labels) == 1


async def test_usage_is_summed_up_by_what_is_asked_for(
    database: Database, telemetry: Telemetry, tmp_path: Path
) -> None:
    catalogue = tmp_path / "models.toml"
    catalogue.write_text(
        '[[model]]\nprovider = "openai"\nname = "fake:latest"\n'
        "prices = [{ from = 2026-01-01, input = 2, cached = 1, output = 10 }]\n"
    )
    async with (
        model_server(turns=[{"text": "one two three", "cached": 4}]) as url,
        routing(
            database,
            telemetry,
            providers=[entry("ollama", url), entry("openai", url)],
            keys=["openai=sk-test"],
            catalogue=str(catalogue),
        ) as opened,
    ):
        for number in range(2):
            await opened.router.complete(asked(), caller(f"a{number}"))
        answer = await opened.router.complete(
            asked(provider="openai", model="fake:latest", locality=Locality.ALLOW_CLOUD),
            caller("b", job_id="job_1"),
        )
        took = answer.usage
        assert took.cached_tokens == 4
        assert took.cost_micros == (took.input_tokens - 4) * 2 + 4 + 3 * 10
        value = telemetry.registry.get_sample_value
        priced = {"provider": "openai", "model": "fake:latest"}
        assert value("minoots_models_cost_total", priced) == took.cost_micros
        free = {"provider": "ollama", "model": "fake:latest"}
        assert value("minoots_models_cost_total", free) is None, "what is free is not counted"
    async with database.read() as connection:
        rows = await usage.sums(connection, TENANT, (UsageBy.PROVIDER,), UsageFilter(), 100)
        assert [(row.provider, row.calls, row.output_tokens, row.cost_micros) for row in rows] == [
            ("openai", 1, 3, took.cost_micros),
            ("ollama", 2, 6, 0),
        ]
        [row] = await usage.sums(
            connection, TENANT, (UsageBy.JOB, UsageBy.KEY), UsageFilter(job_id="job_1"), 9
        )
        assert (row.job, row.key, row.calls) == ("job_1", "key_ada", 1)
        assert await usage.sums(connection, "globex", (UsageBy.DAY,), UsageFilter(), 100) == ()
        kept = list(await connection.execute(sa.select(schema.model_usage)))
        assert {row.outcome for row in kept} == {"answered"}
