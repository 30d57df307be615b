"""Operations on the feed of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from minoots.call import Call, Pairs, get, pairs
from minoots.contracts.events import Event
from minoots.contracts.pages import Page

STREAM_PATH: Final = "/v1/events/stream"


def listing(
    after: int | None,
    limit: int | None,
    type: str | None,
    subject: str | None,
    label: Mapping[str, str] | None,
) -> Call[Page[Event]]:
    """GET /v1/events."""
    return get("/v1/events", Page[Event], after=after, limit=limit, type=type, subject=subject, label=label)


def stream_query(type: str | None, subject: str | None, label: Mapping[str, str] | None) -> Pairs:
    """Return the query of GET /v1/events/stream."""
    return pairs({"type": type, "subject": subject, "label": label})
