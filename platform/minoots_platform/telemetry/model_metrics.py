"""The metrics of language models: those of the GenAI semantic conventions by their names, and our own.

Labels are providers and models that the settings, the catalogue or the servers name, any other model is
``other``; never a tenant, a key or a job.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.metrics import Meter

DURATION_BUCKETS: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28),
    *(2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
"""Seconds, as the conventions advise."""
OTHER: Final = "other"
"""The label of models that nobody but who asked for them names."""
TOKEN_BUCKETS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)


class ModelMetrics:
    """Every instrument of models."""

    def __init__(self, meter: Meter) -> None:
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="Time a provider took to answer a request.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of a request, and of its answer.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._first = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="Time until the first piece of an answer.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._cost = meter.create_counter(
            "minoots.models.cost", unit="{micro}", description="Millionths of the currency that answers cost."
        )
        self._fallbacks = meter.create_counter(
            "minoots.models.fallbacks", description="Answers by another model than the first choice."
        )
        self._refused = meter.create_counter(
            "minoots.models.passed_over", description="Models that were not asked, by why."
        )
        self._truncated = meter.create_counter(
            "minoots.models.truncated", description="Answers of models that had not read all that was sent."
        )
        self._breaker = meter.create_gauge(
            "minoots.models.breaker", description="Whether a model is left alone: 1 or 0."
        )
        self._lost = meter.create_counter(
            "minoots.models.lost", description="Calls whose worker died; they are charged in full."
        )

    def answered(
        self,
        seconds: float,
        *,
        operation: str,
        provider: str,
        model: str,
        error: str | None,
        first: float | None,
        input_tokens: int,
        output_tokens: int,
        cost_micros: int,
    ) -> None:
        """Record one request to one provider."""
        labels = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }
        self._duration.record(seconds, {**labels, "error.type": error or ""})
        if first is not None:
            self._first.record(first, labels)
        for kind, count in (("input", input_tokens), ("output", output_tokens)):
            if count:
                self._tokens.record(count, {**labels, "gen_ai.token.type": kind})
        if cost_micros:
            self._cost.add(cost_micros, {"provider": provider, "model": model})

    def fell_back(self, provider: str, model: str, why: str) -> None:
        """Count an answer that another model gave than the first choice, which is named."""
        self._fallbacks.add(1, {"provider": provider, "model": model, "error": why})

    def passed_over(self, provider: str, model: str, why: str) -> None:
        """Count a model that was not asked."""
        self._refused.add(1, {"provider": provider, "model": model, "error": why})

    def truncated(self, provider: str, model: str) -> None:
        """Count an answer to something that was not read to its end."""
        self._truncated.add(1, {"provider": provider, "model": model})

    def breaker(self, provider: str, model: str, *, left_alone: bool) -> None:
        """Record whether a model is left alone. Of others nothing: one gauge of many would never be right."""
        if model != OTHER:
            self._breaker.set(int(left_alone), {"provider": provider, "model": model})

    def lost(self, calls: int) -> None:
        """Count calls whose worker died."""
        if calls:
            self._lost.add(calls)
