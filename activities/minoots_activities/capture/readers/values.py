"""Values as programs write them: counts, bytes in base64. Pure; what is none of it is left out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from minoots.contracts.conversations import Enclosed

from .reader import Blob


def count(values: Mapping[str, Any], name: str) -> int | None:
    """Return a number of tokens; ``None`` where there is none."""
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def as_text(value: Any) -> str:
    """Return what a tool was given or gave as a text: itself, nothing for nothing, JSON of anything else."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    # Not by a faster library: it refuses halves of surrogate pairs and large numbers, which files hold.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def blob(data: Any, media_type: Any) -> list[Blob]:
    """Return the bytes of a base64 text, in a list; an empty one where there are none."""
    if not isinstance(data, str):
        return []
    try:
        found = base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        return []
    kind = str(media_type or "application/octet-stream")[:100]
    return [Blob(Enclosed(sha256=hashlib.sha256(found).hexdigest(), media_type=kind, size=len(found)), found)]


def data_url(url: Any) -> list[Blob]:
    """Return the bytes of a ``data:`` URL in base64."""
    if not isinstance(url, str) or not url.startswith("data:") or ";base64," not in url:
        return []
    head, _, data = url.partition(";base64,")
    return blob(data, head[5:])
