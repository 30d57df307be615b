"""What may be asked of language models. Activities ask it in their own process: answers stream.

A workflow never chooses a provider, and never reads a breaker or a budget: who asks through `ModelRouter`
does so in an activity, and the choice stands in its answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

from minoots.contracts.models import Delta, EmbeddingAnswer, EmbeddingRequest, ModelAnswer, ModelRequest

from .contracts import ModelCaller


class Contents(ABC):
    """Texts and images that messages name by their hash."""

    @abstractmethod
    async def read(self, tenant: str, sha256: str) -> bytes:
        """Return a content of a tenant.

        Raises:
            ModelFailure: invalid, when there is none of this hash.
        """


class ModelRouter(ABC):
    """Models, behind limits, budgets and breakers."""

    @abstractmethod
    def stream(self, request: ModelRequest, caller: ModelCaller) -> AsyncGenerator[Delta | ModelAnswer, None]:
        """Ask a model: yield pieces as they come, and the whole answer last.

        To stop the model, close the generator or cancel the task that awaits it: what was reserved is settled
        by what was used, before that returns.

        Raises:
            ModelFailure: when no answer can be had; it tells every attempt.
        """

    @abstractmethod
    async def complete(self, request: ModelRequest, caller: ModelCaller) -> ModelAnswer:
        """Ask a model and return the whole answer.

        Raises:
            ModelFailure: as `stream`.
        """

    @abstractmethod
    async def embed(self, request: EmbeddingRequest, caller: ModelCaller) -> EmbeddingAnswer:
        """Return a vector of each text.

        Raises:
            ModelFailure: as `stream`.
        """
