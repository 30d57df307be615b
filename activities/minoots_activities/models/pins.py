"""Pinned digests: a model that must be a certain one is that one, or is not used.

Owns what is said then. What is not known does not hold: a provider that tells no digest has no pinned model.
"""

from __future__ import annotations

import asyncio

from minoots.contracts.models import ModelErrorKind
from minoots_platform.settings import ProviderSpec
from minoots_workflows.models.failures import ModelFailure

from .providers.provider import Provider


def require_pinned(spec: ProviderSpec, name: str, digest: str | None) -> None:
    """Refuse a model of another digest than its pinned one, and one whose digest nobody tells.

    Raises:
        ModelFailure: denied.
    """
    pin = spec.pin_of(name)
    if pin is None or spec.is_pinned(name, digest):
        return
    if digest is None:
        raise ModelFailure(
            ModelErrorKind.DENIED,
            f"expected {name} of the digest {pin}, which is pinned; {spec.name} tells no digest of it",
            remedy="Take it out of the setting models.pins, or ask it of a provider of the kind ollama.",
        )
    raise ModelFailure(
        ModelErrorKind.DENIED,
        f"expected {name} of the digest {pin}, which is pinned; {spec.name} has "
        f"{digest.removeprefix('sha256:')[:12]}",
        remedy="Pull what is pinned, or change the setting models.pins if the other one is meant.",
    )


async def require_still_pinned(provider: Provider, name: str) -> None:
    """Refuse an answer of a pinned model that is another one by now: nobody knows which of them gave it.

    Asked of the provider itself, after the answer: what it said to others may be of before.

    Raises:
        ModelFailure: denied; or why the provider does not tell.
    """
    spec = provider.spec
    pin = spec.pin_of(name)
    if pin is None:
        return
    try:
        async with asyncio.timeout(provider.patience.connect * 4):
            found = await provider.look(name)
    except TimeoutError:
        raise ModelFailure(
            ModelErrorKind.TIMEOUT, f"{spec.name} did not say in time whether {name} is still what is pinned"
        ) from None
    digest = None if found is None else found.digest
    if not spec.is_pinned(name, digest):
        now = "none" if digest is None else digest.removeprefix("sha256:")[:12]
        raise ModelFailure(
            ModelErrorKind.DENIED,
            f"{name} of {spec.name} was changed while it answered: expected the pinned digest {pin}; "
            f"got {now}. Its answer is not used",
            remedy="Pull what is pinned, or change the setting models.pins if the other one is meant.",
        )
