"""Changing only what was seen: the generation that a client sends has to be the one that stands."""

from __future__ import annotations

from minoots.contracts import FieldProblem
from minoots.errors import Failure, FailureKind


def require_generation(noun: str, stands: int, wanted: int | None) -> None:
    """Refuse a change to something that has changed since its author looked.

    Raises:
        Failure: stale, when ``wanted`` is given and is not the generation that stands.
    """
    if wanted is None or stands == wanted:
        return
    raise Failure(
        FailureKind.STALE,
        f"the {noun} is at generation {stands}, not {wanted}",
        remedy=f"Get the {noun} again, look at what changed, and send its generation as If-Match.",
        errors=(FieldProblem(field="header.If-Match", expected=f'"{stands}"', got=f'"{wanted}"'),),
    )
