"""Providers and their models as they are listed: what is set up, what workers found, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from minoots.contracts.usage import ModelInfo, ModelPrice, Models, ProviderInfo
from minoots_platform.records.breakers import Held
from minoots_platform.records.known_models import Seen
from minoots_platform.settings import ModelsSettings, ProviderSpec

from .catalogue import Catalogue


def listing(
    settings: ModelsSettings,
    catalogue: Catalogue,
    seen: Sequence[Seen],
    held: Sequence[Held],
    today: date,
) -> Models:
    """Return everything that can be asked, in the order in which it is."""
    stopped = {(one.provider, one.model): one for one in held}
    providers = []
    for spec in settings.specs():
        found = {one.model: one for one in seen if one.provider == spec.name}
        own = found.pop("", None)
        # What a catalogue knows of a provider that nobody asks: those of the cloud.
        names = [*found, *(model.name for model in catalogue.of(spec.name, spec.kind) if not spec.local)]
        providers.append(
            ProviderInfo(
                name=spec.name,
                kind=spec.kind,
                local=spec.local,
                well=None if own is None else own.about.get("well"),
                problem=None if own is None else own.about.get("problem"),
                models=tuple(
                    _model(spec, name, found.get(name), catalogue, stopped.get((spec.name, name)), today)
                    for name in dict.fromkeys(names)
                ),
                seen_at=None if own is None else own.seen_at,
            )
        )
    return Models(locality=settings.locality, providers=tuple(providers))


def _model(
    spec: ProviderSpec,
    name: str,
    seen: Seen | None,
    catalogue: Catalogue,
    held: Held | None,
    today: date,
) -> ModelInfo:
    about: dict[str, Any] = {} if seen is None else dict(seen.about)
    known = catalogue.find(spec.name, spec.kind, name)
    price = None if spec.local else catalogue.price(spec.name, spec.kind, name, today)
    able = about.get("capabilities")
    if able is None and known is not None:
        able = known.capabilities
    return ModelInfo(
        provider=spec.name,
        name=name,
        local=spec.local and not about.get("remote", False),
        capabilities=None if able is None else frozenset(able),
        context_tokens=about.get("context") or (known.context if known else None),
        max_output_tokens=about.get("max_output") or (known.max_output if known else None),
        digest=about.get("digest"),
        pinned=spec.is_pinned(name, about.get("digest")),
        price=None
        if price is None
        else ModelPrice(since=price.since, input=price.input, output=price.output, cached=price.cached),
        default=spec.default in (name, name.removesuffix(":latest")),
        breaker="closed" if held is None else held.state,
        reason=None if held is None else held.reason,
        seen_at=None if seen is None else seen.seen_at,
    )
