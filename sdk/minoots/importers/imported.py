"""What an importer found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Imported:
    """One schedule that can be set."""

    source: str
    """Where it stood, such as ``line 3``."""
    name: str
    schedule: Mapping[str, Any]
    payload: Any
    paused: bool = False
    notes: tuple[str, ...] = field(default=())
    """What is different here."""

    def key(self, webhook: str) -> str:
        """Return an idempotency key: bringing the same over twice sets it once."""
        same = json.dumps([self.name, self.schedule, self.payload, webhook], sort_keys=True, default=str)
        return f"import-{hashlib.sha256(same.encode()).hexdigest()[:40]}"


@dataclass(frozen=True)
class NotImported:
    """Something that cannot be brought over."""

    source: str
    text: str
    reason: str
