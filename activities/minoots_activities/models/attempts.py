"""One attempt at asking a model, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minoots.contracts.models import ModelUsage
from minoots_workflows.models.contracts import ModelCaller

from .choosing import Candidate
from .tokens import Size


@dataclass(frozen=True)
class Told:
    """That another model answered than the first choice."""

    first: tuple[str, str]
    why: str
    data: Mapping[str, Any]


@dataclass
class Attempt:
    """One attempt, and what became of it."""

    number: int
    candidate: Candidate
    caller: ModelCaller
    size: Size
    operation: str
    deadline: float | None
    """On the clock of the event loop."""
    sent: bool = False
    sent_at: float = 0.0
    first_at: float | None = None
    usage: ModelUsage = field(default_factory=ModelUsage)
    warnings: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """Provider and model."""
        return self.candidate.key

    @property
    def label(self) -> tuple[str, str]:
        """Provider and model, as metrics name them."""
        return self.candidate.label
