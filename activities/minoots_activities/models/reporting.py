"""Spans and metrics of attempts, by the GenAI semantic conventions."""

from __future__ import annotations

from typing import Final

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from minoots_platform.telemetry.model_metrics import ModelMetrics
from minoots_workflows.models.failures import ModelFailure

from .answering import Answering
from .attempts import Attempt

_SYSTEMS: Final = {"openai": "openai", "anthropic": "anthropic"}
"""What the semantic conventions call providers; the others go by the name of their kind."""


class Reporting:
    """Tells those who watch."""

    def __init__(self, tracer: Tracer, metrics: ModelMetrics) -> None:
        self._tracer = tracer
        self._metrics = metrics

    def span(self, attempt: Attempt) -> trace.Span:
        """Begin the span of an attempt, below whatever span it is made in."""
        spec = attempt.candidate.provider.spec
        job_id = attempt.caller.job_id
        of_job = {} if job_id is None else {"minoots.job.id": job_id, "gen_ai.conversation.id": job_id}
        return self._tracer.start_span(
            f"{attempt.operation} {attempt.key[1]}",
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": attempt.operation,
                "gen_ai.provider.name": _SYSTEMS.get(spec.kind, spec.kind),
                "gen_ai.request.model": attempt.key[1],
                "minoots.models.provider": spec.name,
                "minoots.models.attempt": attempt.number,
                "minoots.models.local": attempt.candidate.local,
                **of_job,
            },
        )

    def report(
        self,
        attempt: Attempt,
        span: trace.Span | None,
        failure: ModelFailure | None,
        answering: Answering,
        ended: float,
    ) -> None:
        """Tell what an attempt took, and end its span. Not a word of what was said stands in either."""
        took = attempt.usage
        error = None if failure is None else failure.kind.value
        self._metrics.answered(
            ended - attempt.sent_at,
            operation=attempt.operation,
            provider=attempt.label[0],
            model=attempt.label[1],
            error=error,
            first=None if attempt.first_at is None else attempt.first_at - attempt.sent_at,
            input_tokens=took.input_tokens,
            output_tokens=took.output_tokens,
            cost_micros=took.cost_micros,
        )
        done = answering.done
        if span is None:
            return
        span.set_attribute("gen_ai.usage.input_tokens", took.input_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", took.output_tokens)
        span.set_attribute("minoots.models.cost_micros", took.cost_micros)
        if done is not None:
            span.set_attribute("gen_ai.response.finish_reasons", (done.finish.value,))
            span.set_attribute("gen_ai.response.model", done.model or attempt.key[1])
        if attempt.first_at is not None:
            span.set_attribute("minoots.models.first_token_ms", (attempt.first_at - attempt.sent_at) * 1000)
        if error is not None:
            span.set_attribute("error.type", error)
            # Not what the provider said: that may repeat words of the request.
            span.set_status(Status(StatusCode.ERROR, error))
        span.end()
