"""Which models each provider has: asked now and then, and again when somebody wants one that is not known.

Owns the lists of this process, and writes them to the records for those who may not ask a provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minoots.contracts.models import ModelErrorKind
from minoots_platform.clock import Clock
from minoots_platform.records import Database, known_models
from minoots_platform.settings import ModelsSettings
from minoots_workflows.models.failures import ModelFailure

from .providers.provider import FoundModel, Provider

_FRESH: float = 1.0
"""Seconds within which nobody is asked twice, whatever is wanted."""


@dataclass
class _List:
    models: dict[str, FoundModel] = field(default_factory=dict)
    failure: ModelFailure | None = None
    at: float = float("-inf")
    asking: asyncio.Task[None] | None = None


class Shelf:
    """The models of all providers that are set up."""

    def __init__(
        self, providers: Mapping[str, Provider], settings: ModelsSettings, database: Database, clock: Clock
    ) -> None:
        self.providers = providers
        self._settings = settings
        self._database = database
        self._clock = clock
        self._lists = {name: _List() for name in providers}

    async def find(self, provider: Provider, model: str, *, fresh: bool = False) -> FoundModel | None:
        """Return a model; ``None`` where the provider has none of this name.

        Args:
            provider: whose.
            model: its name.
            fresh: whether what was heard before does not do.

        Raises:
            ModelFailure: when the provider cannot be asked, and was not before; with ``fresh``, whenever it
                cannot.
        """
        shelf = self._lists[provider.name]
        if fresh:
            # One question for all who want to know at the same time.
            await self._ask(provider)
            if shelf.failure is not None:
                raise shelf.failure
        shelf = await self._listed(provider)
        found = _named(shelf.models, model)
        if found is None and self._age(shelf) > _FRESH:
            await self._ask(provider)
            found = _named(shelf.models, model)
        # A provider of the cloud may have more than the catalogue knows.
        return found if found is not None else await self._beyond(provider, model)

    async def all(self, provider: Provider) -> tuple[FoundModel, ...]:
        """Return every model of a provider.

        Raises:
            ModelFailure: when the provider cannot be asked, and was not before.
        """
        return tuple((await self._listed(provider)).models.values())

    def names(self) -> tuple[tuple[str, FoundModel], ...]:
        """Return every model that is known, with its provider."""
        return tuple((name, model) for name, shelf in self._lists.items() for model in shelf.models.values())

    async def look(self) -> None:
        """Ask every provider, and write down what there is. Those in the cloud only where requests may go."""
        for name, provider in self.providers.items():
            lacks = provider.lacks()
            about: dict[str, Any] = {
                "well": lacks is None,
                "problem": None if lacks is None else f"lacks {lacks}",
            }
            models: dict[str, dict[str, Any]] | None = None
            if lacks is None and (provider.spec.local or self._settings.locality == "allow_cloud"):
                await self._ask(provider)
                shelf = self._lists[name]
                if shelf.failure is not None:
                    about = {"well": False, "problem": shelf.failure.detail}
                else:
                    models = {model.name: _told(model) for model in shelf.models.values()}
            async with self._database.write() as connection:
                await known_models.save(connection, name, about, models, self._clock())

    async def close(self) -> None:
        """End what is under way."""
        asking = [shelf.asking for shelf in self._lists.values() if shelf.asking is not None]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _listed(self, provider: Provider) -> _List:
        shelf = self._lists[provider.name]
        age = self._age(shelf)
        if shelf.models and age > self._settings.look_seconds:
            # Somebody else is told of what is new; who asks now need not wait for it.
            self._start(provider)
        elif not shelf.models and age > _FRESH:
            await self._ask(provider)
        if shelf.failure is not None and not shelf.models:
            raise shelf.failure
        return shelf

    async def _beyond(self, provider: Provider, model: str) -> FoundModel | None:
        if provider.spec.local or provider.spec.kind in ("ollama", "compatible"):
            return None
        return await provider.look(model)

    async def _ask(self, provider: Provider) -> None:
        """Ask a provider, once for everybody who wants to know."""
        await asyncio.shield(self._start(provider))

    def _start(self, provider: Provider) -> asyncio.Task[None]:
        shelf = self._lists[provider.name]
        if shelf.asking is None or shelf.asking.done():
            shelf.asking = asyncio.create_task(self._fill(provider, shelf), name=f"models of {provider.name}")
        return shelf.asking

    async def _fill(self, provider: Provider, shelf: _List) -> None:
        try:
            async with asyncio.timeout(provider.patience.connect * 4):
                models = await provider.models()
        except ModelFailure as failure:
            shelf.failure = failure
        except TimeoutError:
            shelf.failure = ModelFailure(
                ModelErrorKind.TIMEOUT, f"{provider.name} did not say in time which models it has"
            )
        else:
            shelf.models = {model.name: model for model in models}
            shelf.failure = None
        shelf.at = asyncio.get_running_loop().time()

    def _age(self, shelf: _List) -> float:
        return asyncio.get_running_loop().time() - shelf.at


def _named(models: Mapping[str, FoundModel], name: str) -> FoundModel | None:
    return models.get(name) or models.get(f"{name}:latest")


def _told(model: FoundModel) -> dict[str, Any]:
    return {
        "capabilities": None if model.capabilities is None else sorted(model.capabilities),
        "context": model.context,
        "max_output": model.max_output,
        "digest": model.digest,
        "remote": model.remote,
    }
