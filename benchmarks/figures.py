"""Small statistics."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of ``ordered`` lies (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
