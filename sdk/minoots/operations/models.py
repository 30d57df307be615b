"""Operations on language models and their usage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypedDict

from minoots.call import Call, get
from minoots.contracts.usage import Models, Usage, UsageBy


class UsageQuery(TypedDict, total=False):
    """What usage is summed up."""

    since: date | None
    """The first day, in UTC; default: 30 days ago."""
    until: date | None
    """The last day; default: today."""
    by: Sequence[UsageBy | str]
    """Default: by day."""
    job: str | None
    key: str | None
    provider: str | None
    model: str | None


def listing() -> Call[Models]:
    """GET /v1/models."""
    return get("/v1/models", Models)


def usage(query: UsageQuery) -> Call[Usage]:
    """GET /v1/usage."""
    wanted = dict(query)
    by = wanted.pop("by", ())
    groups = [by] if isinstance(by, str) else list(by)  # type: ignore[call-overload]  # a sequence of words
    return get("/v1/usage", Usage, **wanted, by=[str(one) for one in groups] or None)
