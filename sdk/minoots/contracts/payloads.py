"""JSON of the user's own: kept and given back as it came, bounded by its bytes."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, JsonValue

MAX_PAYLOAD_BYTES: Final = 256 * 1024
MAX_METADATA_BYTES: Final = 16 * 1024


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def _small_payload(value: Any) -> Any:
    size = _size(value)
    if size > MAX_PAYLOAD_BYTES:
        raise ValueError(
            f"expected at most {MAX_PAYLOAD_BYTES} bytes of JSON; got {size}; send a reference instead"
        )
    return value


def _small(value: Any) -> Any:
    size = _size(value)
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"expected at most {MAX_METADATA_BYTES} bytes of JSON; got {size}")
    return value


Payload = Annotated[JsonValue, AfterValidator(_small_payload)]
"""Any JSON of at most `MAX_PAYLOAD_BYTES`."""

Metadata = Annotated[dict[str, JsonValue], Field(max_length=64), AfterValidator(_small)]
"""Up to 64 fields of any JSON, `MAX_METADATA_BYTES` together."""

Note = Annotated[JsonValue, AfterValidator(_small)]
"""Any JSON of at most `MAX_METADATA_BYTES`: it also stands in an event."""
