"""What sandboxes leave behind for those who watch: a span of each start, run and call of a tool, and metrics.

Spans have the names and attributes of the GenAI semantic conventions where these have any. What a program is
called, reads or writes is in none of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import NoOpTracer, Span, SpanKind, Status, StatusCode, Tracer

from minoots.contracts.sandboxes import Tier
from minoots.errors import Failure
from minoots_platform.telemetry.job_metrics import JobMetrics

from .port import Ran


class Watching:
    """Watches sandboxes; by default for nobody.

    Args:
        tracer: who takes spans.
        metrics: who takes numbers.
    """

    def __init__(self, tracer: Tracer | None = None, metrics: JobMetrics | None = None) -> None:
        self._tracer = tracer or NoOpTracer()
        self.metrics = metrics or JobMetrics(NoOpMeter("minoots"))

    @contextmanager
    def starting(self, tier: Tier) -> Iterator[None]:
        """Watch the start of a sandbox."""
        began = time.monotonic()
        failed = True
        with self._span("minoots.sandbox.start", {"minoots.sandbox.tier": tier.value}) as span:
            try:
                yield
                failed = False
            except Exception as error:
                _fail(span, type(error).__name__)
                raise
            finally:
                self.metrics.started(tier.value, time.monotonic() - began, failed=failed)

    @contextmanager
    def running(self, tier: Tier, job_id: str | None = None) -> Iterator[Callable[[Ran], None]]:
        """Watch the run of a program; yields who is told how it ended."""
        attributes = {"minoots.sandbox.tier": tier.value}
        if job_id is not None:
            attributes["minoots.job.id"] = job_id
        with self._span("minoots.sandbox.run", attributes) as span:

            def told(ran: Ran) -> None:
                span.set_attribute("minoots.sandbox.ended", ran.ended.value)
                if ran.exit_code is not None:
                    span.set_attribute("process.exit.code", ran.exit_code)
                self.metrics.ran(tier.value, ran.wall_ms / 1000, ran.ended.value)

            try:
                yield told
            except Exception as error:
                _fail(span, type(error).__name__)
                raise

    @contextmanager
    def tool(self, name: str, job_id: str, call_id: str | None = None) -> Iterator[None]:
        """Watch a call of a tool."""
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
            "gen_ai.conversation.id": job_id,
            "minoots.job.id": job_id,
        }
        if call_id is not None:
            attributes["gen_ai.tool.call.id"] = call_id
        with self._span(f"execute_tool {name}", attributes) as span:
            try:
                yield
            except Failure as failure:
                _fail(span, failure.kind.value)
                raise
            except Exception as error:
                _fail(span, type(error).__name__)
                raise

    @contextmanager
    def _span(self, name: str, attributes: dict[str, str]) -> Iterator[Span]:
        # Without the error's own words, which may be a stranger's.
        with self._tracer.start_as_current_span(
            name,
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
