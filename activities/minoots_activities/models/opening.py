"""Opening the router of a process, with everything that runs beside it, and closing it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from minoots.contracts.models import ModelErrorKind
from minoots.errors import Failure, FailureKind
from minoots_platform.clock import Clock, utc_now
from minoots_platform.models import Catalogue, load_catalogue
from minoots_platform.records import Database
from minoots_platform.settings import ModelsSettings, Settings
from minoots_platform.telemetry import Telemetry, get_logger
from minoots_workflows.models.failures import ModelFailure
from minoots_workflows.models.ports import Contents

from .asking import Asking
from .breakers import Breakers
from .calibrating import Calibrating
from .choosing import Chooser
from .providers.installed import provider_kinds
from .providers.ollama import OllamaServer
from .providers.ollama_models import warm_up
from .providers.provider import Patience, Provider, ProviderKind
from .router import Router
from .shelf import Shelf
from .spending import Spending
from .tokens import Estimates

_FLUSH = 0.5
"""Seconds that the usage of local models waits to be written: a killed process loses no more."""
_SWEEP = 5.0
_PROBES = 5.0
_FORGET = 3600.0


class NoContents(Contents):
    """For those who name no contents."""

    async def read(self, tenant: str, sha256: str) -> bytes:
        """Refuse.

        Raises:
            ModelFailure: invalid.
        """
        raise ModelFailure(
            ModelErrorKind.INVALID, f"no content {sha256} is kept", remedy="Send the text itself."
        )


@dataclass(frozen=True)
class Opened:
    """A router, and what is behind it."""

    router: Router
    providers: dict[str, Provider]
    shelf: Shelf
    spending: Spending
    breakers: Breakers


@asynccontextmanager
async def open_router(
    settings: Settings,
    database: Database,
    telemetry: Telemetry,
    contents: Contents | None = None,
    clock: Clock = utc_now,
    *,
    look: bool = True,
    kinds: Mapping[str, ProviderKind] | None = None,
) -> AsyncIterator[Opened]:
    """Yield the router of this process. No provider is asked before it is needed, but for its list of models.

    ``kinds`` are in place of the plug-ins that are installed.

    Raises:
        Failure: invalid, for a catalogue that cannot be read; unavailable, for a plug-in that is broken.
    """
    models = settings.models
    catalogue = load_catalogue(models.catalogue)
    async with AsyncExitStack() as stack:
        providers = await _providers(settings, catalogue, stack, kinds or provider_kinds())
        estimates = Estimates()
        calibrating = Calibrating(estimates, database, clock)
        await calibrating.read()
        stack.push_async_callback(calibrating.write)
        shelf = Shelf(providers, models, database, clock)
        stack.push_async_callback(shelf.close)
        breakers = Breakers(database, models, clock)
        stack.push_async_callback(breakers.close)
        spending = Spending(database, models, clock, catalogue.currency)
        stack.push_async_callback(spending.flush)
        asking = Asking(
            breakers,
            spending,
            estimates,
            catalogue,
            models,
            telemetry.tracer,
            telemetry.metrics.models,
            clock,
        )
        router = Router(Chooser(shelf, estimates, models), asking, contents or NoContents(), models, clock)

        async def sweep() -> None:
            telemetry.metrics.models.lost(await spending.sweep())

        beside: list[tuple[str, float, Callable[[], Awaitable[None]]]] = [
            ("usage", _FLUSH, spending.flush),
            ("reservations", min(models.budget.hold_seconds / 4, 5.0), spending.keep),
            ("reservations of the dead", _SWEEP, sweep),
            ("probes", _PROBES, breakers.keep),
            ("what tokens are", _SWEEP, calibrating.write),
            ("tokens of long ago", _FORGET, calibrating.forget),
            ("accounts of long ago", _FORGET, spending.forget),
            ("breakers of long ago", _FORGET, breakers.forget),
        ]
        if models.warm:
            beside.append(("warm models", models.look_seconds, lambda: _keep_warm(providers, shelf, models)))
        if look:
            beside.append(("models", models.look_seconds, shelf.look))
        tasks = [
            asyncio.create_task(_every(seconds, what, work), name=f"models: {what}")
            for what, seconds, work in beside
        ]
        try:
            yield Opened(router, providers, shelf, spending, breakers)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _providers(
    settings: Settings, catalogue: Catalogue, stack: AsyncExitStack, kinds: Mapping[str, ProviderKind]
) -> dict[str, Provider]:
    models = settings.models
    patience = Patience(models.connect_seconds, models.first_seconds, models.stall_seconds)
    found: dict[str, Provider] = {}
    for spec in models.specs():
        if spec.kind not in kinds:
            raise Failure(
                FailureKind.INVALID,
                f"models.providers: expected a kind of {', '.join(sorted(kinds))}; got {spec.kind}",
                remedy=f"Write {spec.name}:<kind>=<address>.",
            )
        provider = kinds[spec.kind].open(spec, catalogue, patience)
        stack.push_async_callback(provider.close)
        found[spec.name] = provider
    return found


async def _keep_warm(providers: Mapping[str, Provider], shelf: Shelf, models: ModelsSettings) -> None:
    """Have the models in memory that are to be there, and keep them there until this is done again."""
    # The time of the machine: it is held against what Ollama tells.
    until = utc_now() + timedelta(seconds=2 * models.look_seconds)
    for name, _, model in (one.partition("=") for one in models.warm):
        provider = providers[name]
        if not isinstance(provider, OllamaServer):
            continue
        try:
            found = await shelf.find(provider, model)
            # Not more than it has: a call asks for no more either, and another context loads it anew.
            least = min(models.min_context, (found and found.context) or models.min_context)
            await warm_up(provider, model, least, until=until)
        except ModelFailure as failure:
            # One that cannot be had must not keep the others cold.
            get_logger("minoots.models").warning(
                "models.not_warm", model=f"{name}/{model}", error=failure.detail, remedy=failure.remedy
            )


async def _every(seconds: float, what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again; what fails is told and tried again."""
    log = get_logger("minoots.models")
    while True:
        try:
            await work()
        except (sa.exc.SQLAlchemyError, ModelFailure, OSError) as error:
            log.warning("models.upkeep_failed", what=what, error=type(error).__name__)
        await asyncio.sleep(seconds)
