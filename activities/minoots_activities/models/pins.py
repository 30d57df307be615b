"""Pinned digests: a model that must be a certain one is that one, or is not used.

Owns what is said then. What is not known does not hold: a provider that tells no digest has no pinned model.
"""

from __future__ import annotations

from minoots.contracts.models import ModelErrorKind
from minoots_platform.settings import ProviderSpec
from minoots_workflows.models.failures import ModelFailure


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
