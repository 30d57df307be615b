"""What the model calls of an agent have taken so far, and how often not the first choice has answered.

Owns the sum that is kept with its run. Must not know what anything costs: an answer says so.
"""

from __future__ import annotations

from minoots.contracts import ModelAnswer, ModelUsage
from minoots_platform.records.agent_runs import Step


class Taken(ModelUsage):
    """The sum over the turns of a job; one that was kept before a field came has its default."""

    currency: str = "USD"
    """That of the price table at the last answer."""
    fallbacks: int = 0
    """Answers by another model than the first choice."""

    def more(self, answer: ModelAnswer) -> Taken:
        """Return the sum with that of another answer."""
        return Taken(
            input_tokens=self.input_tokens + answer.usage.input_tokens,
            output_tokens=self.output_tokens + answer.usage.output_tokens,
            cached_tokens=self.cached_tokens + answer.usage.cached_tokens,
            cost_micros=self.cost_micros + answer.usage.cost_micros,
            currency=answer.currency,
            fallbacks=self.fallbacks + answer.fell_back,
        )

    def usage(self) -> ModelUsage:
        """Return what a result tells of it."""
        return ModelUsage.model_validate(self.model_dump(include=set(ModelUsage.model_fields)))


def taken_by(step: Step) -> Taken:
    """Return what the model calls of an agent have taken before a step."""
    return Taken.model_validate(step.run.usage)
