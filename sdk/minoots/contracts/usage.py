"""Models and their usage on the wire: which there are, and what they took."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from .base import Instant, View
from .models import Capability


class UsageBy(StrEnum):
    """What usage is summed up by."""

    DAY = "day"
    """In UTC."""
    PROVIDER = "provider"
    MODEL = "model"
    KEY = "key"
    JOB = "job"
    OUTCOME = "outcome"
    """``answered``, ``lost`` with the worker that asked, or what went wrong."""


class UsageSum(View):
    """What calls took together that are alike in what was asked for."""

    day: str | None = None
    provider: str | None = None
    model: str | None = None
    key: str | None = None
    job: str | None = None
    outcome: str | None = None
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """Of the input."""
    cost_micros: int
    """Millionths of the currency."""


class BudgetState(View):
    """How a budget stands."""

    of: str
    """``key`` for that of the request, or ``tenant``."""
    day: str
    tokens: int | None = None
    """The most; none for no limit."""
    tokens_left: int | None = None
    cost_micros: int | None = None
    cost_micros_left: int | None = None


class Usage(View):
    """What a tenant's calls took, and what they still may take today."""

    since: date
    until: date
    """The last day that counts."""
    currency: str
    total: UsageSum
    items: tuple[UsageSum, ...]
    """The dearest first."""
    budgets: tuple[BudgetState, ...] = ()


class ModelPrice(View):
    """What a million tokens cost, in the currency of the catalogue."""

    since: date
    input: float
    output: float
    cached: float | None = None


class ModelInfo(View):
    """A model that can be asked."""

    provider: str
    name: str
    local: bool
    """Whether what is sent to it stays with the operator."""
    capabilities: frozenset[Capability] | None = None
    """None where it is not known."""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    digest: str | None = None
    pinned: bool | None = None
    """Whether it is what a pin says it must be; None where it is not pinned. When false it is not used."""
    price: ModelPrice | None = None
    default: bool = False
    """Whether its provider is asked for it when none is named."""
    breaker: str = "closed"
    """``open``: it is left alone for a while."""
    reason: str | None = None
    seen_at: Instant | None = None


class ProviderInfo(View):
    """A provider that is set up, and how it was when a worker last looked."""

    name: str
    kind: str
    local: bool
    well: bool | None = None
    """None where nobody has looked yet."""
    problem: str | None = None
    models: tuple[ModelInfo, ...] = ()
    seen_at: Instant | None = None


class Models(View):
    """Providers in the order in which they are asked, each with its models."""

    locality: str
    """Where requests may go that do not say it themselves."""
    providers: tuple[ProviderInfo, ...]
