"""Operations on dead letters and their replays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minoots.call import Call, body_of, checked, get, path, post
from minoots.contracts.deliveries import DeadLetter, Replay, Replayed, ReplayFilter
from minoots.contracts.pages import Page

Filter = ReplayFilter | Mapping[str, Any]
"""A `ReplayFilter`, or its fields: ``{"timer_name": "tea", "error": "timeout"}``."""


def listing(filter: Filter | None, page_size: int | None) -> Call[Page[DeadLetter]]:
    """GET /v1/dead-letters."""
    fields = {} if filter is None else body_of(_filter(filter))
    return get("/v1/dead-letters", Page[DeadLetter], **fields, limit=page_size)


def replay(dead_letter_id: str) -> Call[Replayed]:
    """POST /v1/dead-letters/{id}/replay."""
    return post(path("/v1/dead-letters/{id}/replay", id=dead_letter_id), Replayed)


def replay_all(filter: Filter) -> Call[Replay]:
    """POST /v1/dead-letters/replay."""
    return post("/v1/dead-letters/replay", Replay, body_of(_filter(filter)))


def replay_status(replay_id: str) -> Call[Replay]:
    """GET /v1/replays/{id}."""
    return get(path("/v1/replays/{id}", id=replay_id), Replay)


def _filter(filter: Filter) -> ReplayFilter:
    return filter if isinstance(filter, ReplayFilter) else checked(ReplayFilter, **filter)
