"""Names of recordings, from the template of their workspace. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from minoots_platform.writers.markdown import zone_of

_SLUG: Final = 40
_TOKEN: Final = re.compile(r"\{(\w+)\}")
_BYTES: Final = 200
"""Of a name; 255 is what file systems take, and a number and an ending come behind it."""
_MOST: Final = 9999


def name_from(
    template: str,
    *,
    moment: datetime | None,
    timezone: str,
    provider: str,
    session_id: str,
    title: str,
    username: str | None,
    alias: str,
) -> str:
    """Return the name of a recording, without its ending."""
    when = moment or datetime.fromtimestamp(0, UTC)
    with suppress(OverflowError):  # at the ends of the calendar
        when = when.astimezone(zone_of(timezone))
    values = {
        "provider": provider,
        "session": session_id,
        "session_short": session_id.rpartition("/")[2][:8],
        "YYYY": f"{when:%Y}",
        "YY": f"{when:%y}",
        "MM": f"{when:%m}",
        "DD": f"{when:%d}",
        "HH": f"{when:%H}",
        "mm": f"{when:%M}",
        "timestamp": f"{when:%Y-%m-%d_%H%M}" if moment else "unknown-time",
        "snippet": slug(title) or "conversation",
        "username": username or "user",
        "workspace": alias,
    }
    name = _TOKEN.sub(lambda match: values.get(match[1], match[0]), template)
    return _safe(name).encode("utf-8", "replace")[:_BYTES].decode("utf-8", "ignore").strip() or "conversation"


def slug(text: str, most: int = _SLUG) -> str:
    """Return a text as words with dashes between them."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return words[:most].rstrip("-")


def numbered(name: str) -> Iterator[str]:
    """Yield a name, then the same with a number behind it."""
    yield name
    for number in range(2, _MOST + 1):
        yield f"{name}-{number}"


def _safe(text: str) -> str:
    return re.sub(r"[/\\\x00-\x1f\x7f]+", "-", text).strip()
