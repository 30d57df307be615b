"""``client.models`` and ``client.usage``."""

from __future__ import annotations

from typing import Unpack

from minoots.async_engine import AsyncEngine
from minoots.contracts.usage import Models as Listed
from minoots.contracts.usage import Usage as Took
from minoots.engine import Engine
from minoots.operations import models
from minoots.operations.models import UsageQuery


class Models:
    """See which language models there are."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> Listed:
        """Return providers in the order in which they are asked, each with its models."""
        return self._engine.call(models.listing())


class Usage:
    """See what calls of language models took."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, **query: Unpack[UsageQuery]) -> Took:
        """Return tokens and money by day, provider, model, key, job or outcome, and what is left today.

        Raises:
            InvalidRequest: for a first day after the last one.
        """
        return self._engine.call(models.usage(query))


class AsyncModels:
    """See which language models there are."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def list(self) -> Listed:
        """Return providers in the order in which they are asked, each with its models."""
        return await self._engine.call(models.listing())


class AsyncUsage:
    """See what calls of language models took."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, **query: Unpack[UsageQuery]) -> Took:
        """Return tokens and money by day, provider, model, key, job or outcome, and what is left today.

        Raises:
            InvalidRequest: for a first day after the last one.
        """
        return await self._engine.call(models.usage(query))
