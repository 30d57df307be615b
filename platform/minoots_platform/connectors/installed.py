"""Finding connectors by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from minoots_platform.plugins import broken, plugins

from .spec import ConnectorSpec

GROUP: Final = "minoots.connectors"


@cache
def installed() -> Mapping[str, ConnectorSpec]:
    """Return every connector by its kind.

    Raises:
        Failure: unavailable, for an entry point that cannot be loaded or is none.
    """
    found: dict[str, ConnectorSpec] = {}
    for value, spec in plugins(GROUP, "connector"):
        if not isinstance(spec, ConnectorSpec):
            raise broken("connector", value, f"expected a ConnectorSpec; got {type(spec).__name__}")
        if spec.kind in found:
            raise broken("connector", value, f"there are two connectors of kind {spec.kind}")
        found[spec.kind] = spec
    return found
