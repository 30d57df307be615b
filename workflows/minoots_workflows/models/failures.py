"""What can go wrong between us and a model, and what follows of it: one closed set, one table.

Every provider's own errors are one of these before anybody else sees them. Pure: no clock, no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from minoots.contracts.models import ModelAttempt, ModelErrorKind
from minoots.errors import FailureKind, MinootsError


@dataclass(frozen=True)
class ModelErrorRule:
    """One row of the table."""

    next: bool
    """Whether another provider is asked, where the request allows one."""
    unwell: bool
    """Whether it counts against the provider and model: their breaker hears of it."""
    again: bool
    """Whether the very same request may succeed later without anybody changing anything."""
    kind: FailureKind
    """What it is to who asked."""
    remedy: str


class ModelFailure(MinootsError):
    """A model could not be asked, or gave no answer.

    Attributes:
        kind: what went wrong.
        detail: what was expected and what came, without a word of the request.
        remedy: what to do about it.
        retry_after: seconds after which another try makes sense, where the provider said so.
        attempts: every provider that was asked or passed over until then.
        status: what the provider answered by HTTP, where it was that.
    """

    def __init__(
        self,
        kind: ModelErrorKind,
        detail: str,
        *,
        remedy: str | None = None,
        retry_after: float | None = None,
        attempts: tuple[ModelAttempt, ...] = (),
        status: int | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.remedy = remedy or MODEL_ERRORS[kind].remedy
        self.retry_after = retry_after
        self.attempts = attempts
        self.status = status

    @property
    def asked_nobody(self) -> bool:
        """Whether all models were passed over: left alone, or busy for so long that nobody waited."""
        return bool(self.attempts) and all(one.number == 0 for one in self.attempts)

    @property
    def rule(self) -> ModelErrorRule:
        """What follows of it."""
        return MODEL_ERRORS[self.kind]


def _rule(kind: FailureKind, remedy: str, *marks: str) -> ModelErrorRule:
    return ModelErrorRule("next" in marks, "unwell" in marks, "again" in marks, kind, remedy)


MODEL_ERRORS: Final[dict[ModelErrorKind, ModelErrorRule]] = {
    ModelErrorKind.INVALID: _rule(FailureKind.INVALID, "Change the request as the provider says."),
    ModelErrorKind.UNSUPPORTED: _rule(
        FailureKind.INVALID, "Name a model that can do it, or ask for less.", "next"
    ),
    ModelErrorKind.UNKNOWN_MODEL: _rule(
        FailureKind.INVALID, "Use a name that GET /v1/models lists, or pull the model.", "next"
    ),
    ModelErrorKind.UNKNOWN_PROVIDER: _rule(
        FailureKind.INVALID, "Use a provider of the setting models.providers."
    ),
    ModelErrorKind.CONTEXT_TOO_LONG: _rule(
        FailureKind.TOO_LARGE, "Shorten the conversation, or choose a model of a longer context.", "next"
    ),
    ModelErrorKind.NOT_CONFIGURED: _rule(
        FailureKind.UNAVAILABLE, "Give the provider its key, or install its package.", "next"
    ),
    ModelErrorKind.UNAUTHENTICATED: _rule(
        FailureKind.UNAVAILABLE, "Give the provider a key that is valid.", "next"
    ),
    ModelErrorKind.DENIED: _rule(
        FailureKind.UNAVAILABLE, "Have the provider allow its key to use this model.", "next"
    ),
    ModelErrorKind.OUT_OF_FUNDS: _rule(
        FailureKind.UNAVAILABLE, "Fill up the account at the provider.", "next"
    ),
    ModelErrorKind.OVER_BUDGET: _rule(
        FailureKind.EXHAUSTED, "Raise the budget, wait for the next day, or use a local model.", "next"
    ),
    ModelErrorKind.RATE_LIMITED: _rule(
        FailureKind.THROTTLED, "Try again later, or raise the limit.", "next", "again"
    ),
    ModelErrorKind.OVERLOADED: _rule(FailureKind.UNAVAILABLE, "Try again later.", "next", "unwell", "again"),
    ModelErrorKind.PROVIDER_FAULT: _rule(
        FailureKind.UNAVAILABLE, "Try again later; look at the provider's log.", "next", "unwell", "again"
    ),
    ModelErrorKind.UNREACHABLE: _rule(
        FailureKind.UNAVAILABLE, "Start the provider, or correct its address.", "next", "unwell", "again"
    ),
    ModelErrorKind.TIMEOUT: _rule(
        FailureKind.UNAVAILABLE, "Give it more time, or choose a faster model.", "next", "unwell", "again"
    ),
    ModelErrorKind.BROKEN_STREAM: _rule(
        FailureKind.UNAVAILABLE,
        "Try again; on_break=restart or continue does so by itself.",
        "next",
        "unwell",
        "again",
    ),
    ModelErrorKind.BAD_ANSWER: _rule(
        FailureKind.UNAVAILABLE, "Try again, or choose another model.", "next", "again"
    ),
    ModelErrorKind.TRUNCATED: _rule(
        FailureKind.TOO_LARGE, "Give the model a longer context, or shorten the conversation.", "next"
    ),
    ModelErrorKind.FILTERED: _rule(FailureKind.INVALID, "Change what is asked: the provider refuses it."),
    ModelErrorKind.CIRCUIT_OPEN: _rule(
        FailureKind.UNAVAILABLE, "Wait: it is tried again by itself.", "next", "again"
    ),
    ModelErrorKind.NOT_ALLOWED: _rule(
        FailureKind.DENIED, "Set up a local provider, or send locality=allow_cloud."
    ),
    ModelErrorKind.CANCELLED: _rule(FailureKind.CANCELLED, "Nothing: it was called off."),
}
