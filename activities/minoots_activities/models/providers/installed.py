"""Which kinds of providers are installed."""

from __future__ import annotations

from collections.abc import Mapping

from minoots_platform.plugins import classes

from .provider import ProviderKind


def provider_kinds() -> Mapping[str, ProviderKind]:
    """Return the plug-ins of the entry point group ``minoots.providers``, by their kind.

    Raises:
        Failure: unavailable, for one that is broken.
    """
    return classes("minoots.providers", "provider", ProviderKind, lambda kind: kind.kind)  # type: ignore[type-abstract]
