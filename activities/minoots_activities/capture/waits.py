"""Why a command waits: what it needs cannot be read now, and may well be sound."""

from __future__ import annotations

from minoots.errors import Failure, FailureKind

from .registry import Registry


class Waits(Exception):
    """What was typed cannot be obeyed now, through nobody's mistake."""

    def __init__(self, failure: Failure, alias: str | None) -> None:
        super().__init__(failure.detail)
        self.alias = alias
        """Whose file cannot be read; ``None``: the registry."""


def require(registry: Registry, *aliases: str | None) -> None:
    """Make sure that the registry and the files of workspaces can be read.

    Raises:
        Waits: one cannot now, and may well be sound.
    """
    try:
        registry.roots()
    except Failure as failure:
        raise Waits(failure, None) from failure
    for alias in aliases:
        try:
            if alias is not None:
                registry.get(alias)
        except Failure as failure:
            # Others are told to whoever typed it.
            if failure.kind is FailureKind.UNAVAILABLE:
                raise Waits(failure, alias) from failure
