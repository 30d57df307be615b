"""The shape of a log line, where it comes from and where it goes."""

from __future__ import annotations

import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from minoots_platform.settings import TelemetrySettings
from minoots_platform.telemetry import (
    audit,
    bind_log_context,
    clear_log_context,
    get_logger,
    log_context,
    start_logs,
)
from minoots_platform.telemetry.logs import KEYS


@pytest.fixture(autouse=True)
def _unbound() -> Iterator[None]:
    clear_log_context()
    yield
    clear_log_context()
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def _started(stream: io.StringIO) -> Iterator[None]:
    with start_logs(TelemetrySettings(), "gateway", stream=stream):
        yield


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.usefixtures("_started")
def test_a_line_has_the_fixed_keys_first_and_its_own_after(stream: io.StringIO) -> None:
    get_logger("minoots.timers").warning("timer late", timer="tmr_1", lateness_ms=300)
    (line,) = _lines(stream)
    assert tuple(line)[: len(KEYS)] == KEYS
    assert line["level"] == "warning"
    assert line["service"] == "gateway"
    assert line["event"] == "timer late"
    assert line["request_id"] is None
    assert (line["timer"], line["lateness_ms"], line["logger"]) == ("tmr_1", 300, "minoots.timers")
    assert line["ts"].endswith("Z")


@pytest.mark.usefixtures("_started")
@pytest.mark.parametrize("name", ["uvicorn.error", "temporalio.worker", "sqlalchemy.pool", "anything"])
def test_lines_of_the_standard_library_take_the_same_shape(stream: io.StringIO, name: str) -> None:
    bind_log_context(request_id="req_1", tenant="acme")
    logging.getLogger(name).warning("slow %s", "query", extra={"color_message": "x", "rows": 3})
    (line,) = _lines(stream)
    assert tuple(line)[: len(KEYS)] == KEYS
    assert (line["event"], line["request_id"], line["tenant"]) == ("slow query", "req_1", "acme")
    assert (line["rows"], line["logger"]) == (3, name)
    assert "color_message" not in line


@pytest.mark.usefixtures("_started")
def test_bound_context_ends_with_its_block(stream: io.StringIO) -> None:
    with log_context(request_id="req_2"):
        get_logger("a").info("inside")
    get_logger("a").info("outside")
    assert [line["request_id"] for line in _lines(stream)] == ["req_2", None]


@pytest.mark.usefixtures("_started")
def test_addresses_that_are_asked_are_not_logged(stream: io.StringIO) -> None:
    # Some hold a secret: of a webhook, of an MCP server.
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        client.get("https://example.org/hook?key=secret")
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200))) as other:
        other.get("https://example.org/mcp?key=secret")
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("_started")
def test_the_trace_id_is_that_of_the_current_span(stream: io.StringIO) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("test").start_as_current_span("request") as span:
        get_logger("a").info("inside")
        logging.getLogger("b").info("inside")
    expected = f"{span.get_span_context().trace_id:032x}"
    assert [line["trace_id"] for line in _lines(stream)] == [expected, expected]


@pytest.mark.usefixtures("_started")
async def test_the_workflow_id_is_that_of_the_running_activity(stream: io.StringIO) -> None:
    environment = ActivityEnvironment()

    async def body() -> str | None:
        get_logger("a").info("ours")
        activity.logger.warning("theirs")
        return activity.info().workflow_id

    workflow_id = await environment.run(body)
    assert workflow_id
    assert [line["workflow_id"] for line in _lines(stream)] == [workflow_id, workflow_id]


@pytest.mark.usefixtures("_started")
def test_a_traceback_is_text_without_secrets(stream: io.StringIO) -> None:
    try:
        raise ValueError("cannot use mnt_abcdefgh12345678")
    except ValueError:
        get_logger("a").exception("failed")
        logging.getLogger("b").exception("failed")
    for line in _lines(stream):
        assert line["level"] == "error"
        assert "ValueError: cannot use [redacted]" in line["exception"]


@pytest.mark.usefixtures("_started")
def test_values_that_are_not_json_are_written_as_text(stream: io.StringIO) -> None:
    get_logger("a").info("odd", path=Path("/x"), ratio=float("nan"), raw=b"bytes")
    (line,) = _lines(stream)
    assert (line["path"], line["ratio"], line["raw"]) == ("/x", "nan", "bytes")


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    with start_logs(TelemetrySettings(log_level="WARNING"), "gateway", stream=stream):
        get_logger("a").info("quiet")
        logging.getLogger("b").info("quiet")
        get_logger("a").warning("loud")
    assert [line["event"] for line in _lines(stream)] == ["loud"]


def test_the_terminal_format_is_for_people(stream: io.StringIO) -> None:
    with start_logs(TelemetrySettings(log_format="console"), "gateway", stream=stream):
        get_logger("a").info("timer fired", timer="tmr_1")
    assert "timer fired" in stream.getvalue()
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(stream.getvalue())


def test_audit_goes_to_its_own_file_only_and_is_appended(stream: io.StringIO, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    for _ in range(2):
        # The operational level has no say over the audit trail.
        with start_logs(TelemetrySettings(audit_log=path, log_level="CRITICAL"), "gateway", stream=stream):
            audit("key.create", actor="key_1", tenant="acme", decision="allow", secret="mnt_abcdefgh1234")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["key.create", "key.create"]
    assert (lines[0]["actor"], lines[0]["tenant"], lines[0]["decision"]) == ("key_1", "acme", "allow")
    assert (lines[0]["sink"], lines[0]["secret"]) == ("audit", "[redacted]")
    assert stream.getvalue() == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.usefixtures("_started")
def test_audit_without_a_file_is_marked_in_the_log(stream: io.StringIO) -> None:
    audit("timer.cancel", actor="key_1", tenant="acme", decision="deny")
    get_logger("a").info("ordinary")
    assert [line.get("sink") for line in _lines(stream)] == ["audit", None]


def test_an_audit_line_that_cannot_be_written_raises(stream: io.StringIO) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with (
        start_logs(TelemetrySettings(audit_log=full), "gateway", stream=stream),
        pytest.raises(OSError, match="No space left"),
    ):
        audit("key.create", actor="key_1", tenant="acme", decision="allow")


def test_a_line_that_cannot_be_written_is_reported_without_its_content(
    capfd: pytest.CaptureFixture[str],
) -> None:
    closed = io.StringIO()
    with start_logs(TelemetrySettings(), "gateway", stream=closed):
        closed.close()
        logging.getLogger("a").warning("key mnt_%s", "abcdefgh")
    assert "abcdefgh" not in capfd.readouterr().err


def test_closing_takes_every_sink_away(stream: io.StringIO) -> None:
    before = list(logging.getLogger().handlers), list(logging.getLogger("audit").handlers)
    start_logs(TelemetrySettings(), "gateway", stream=stream).close()
    assert (logging.getLogger().handlers, logging.getLogger("audit").handlers) == before
