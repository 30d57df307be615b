"""Older shapes of the settings file, and how each becomes the next one.

Owns the registry of pure functions, one a version. Must not touch files: `minoots config migrate` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from .faults import Fault, SettingsError
from .tree import SCHEMA_VERSION

Document = dict[str, Any]


def v1_to_v2(document: Mapping[str, Any]) -> Document:
    """Join ``temporal.host`` and ``port`` into ``address``; rename ``[database]`` to ``[records]``."""
    new = dict(document)
    temporal = new.get("temporal")
    if isinstance(temporal, Mapping):
        table = dict(temporal)
        # In version 1 the port was that of the server to connect to; now it is the embedded server's.
        host, port = table.pop("host", None), table.pop("port", None)
        if host is not None or port is not None:
            table.setdefault("address", f"{host or '127.0.0.1'}:{7233 if port is None else port}")
        new["temporal"] = table
    database, records = new.get("database"), new.get("records", {})
    # What is not a table stays as it is, for validation to name.
    if isinstance(database, Mapping) and isinstance(records, Mapping):
        del new["database"]
        # What already stands in [records] is the newer word.
        new["records"] = {**database, **records}
    return new


MIGRATIONS: Final[dict[int, Callable[[Mapping[str, Any]], Document]]] = {1: v1_to_v2}
"""From version ``n`` to ``n + 1``."""


def migrate(document: Mapping[str, Any], source: str) -> tuple[Document, int]:
    """Return ``document`` in today's shape, and the version it had; one without a version is of today's.

    Raises:
        SettingsError: when the version is newer than this program knows, or no version at all.
    """
    found = document.get("schema_version", SCHEMA_VERSION)
    newest = SCHEMA_VERSION
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= newest:
        newer = isinstance(found, int) and found > newest
        raise SettingsError(
            [
                Fault(
                    key="schema_version",
                    expected=f"integer from 1 to {newest}",
                    got=repr(found)[:80],
                    remedy="Upgrade Minoots: the file was written for a newer version."
                    if newer
                    else f"Set `schema_version = {newest}`.",
                    source=source,
                )
            ]
        )
    result = dict(document)
    for version in range(found, newest):
        result = MIGRATIONS[version](result)
    result["schema_version"] = newest
    return result, found
