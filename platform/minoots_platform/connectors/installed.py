"""Finding connectors by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from minoots.errors import Failure, FailureKind

from .spec import ConnectorSpec

GROUP = "minoots.connectors"


@cache
def installed() -> Mapping[str, ConnectorSpec]:
    """Return every connector by its kind.

    Raises:
        Failure: unavailable, for an entry point that cannot be loaded or is none.
    """
    found: dict[str, ConnectorSpec] = {}
    for point in entry_points(group=GROUP):
        try:
            spec = point.load()
        except Exception as error:
            raise _broken(point.value, f"it cannot be loaded: {type(error).__name__}: {error}") from error
        if not isinstance(spec, ConnectorSpec):
            raise _broken(point.value, f"expected a ConnectorSpec; got {type(spec).__name__}")
        if spec.kind in found or spec.kind in ("webhook", "agent"):
            raise _broken(point.value, f"there are two connectors of kind {spec.kind}")
        found[spec.kind] = spec
    return found


def _broken(value: str, why: str) -> Failure:
    return Failure(
        FailureKind.UNAVAILABLE,
        f"the connector {value} is broken: {why}",
        remedy="Correct or uninstall the package that brings it.",
    )
