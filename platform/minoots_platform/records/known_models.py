"""Which models there are, as workers found out: the gateway asks no provider."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema

TABLE: Final = schema.known_models


@dataclass(frozen=True)
class Seen:
    """A model, or with an empty name its provider."""

    provider: str
    model: str
    about: Mapping[str, Any]
    seen_at: datetime


async def save(
    connection: AsyncConnection,
    provider: str,
    about: Mapping[str, Any],
    models: Mapping[str, Mapping[str, Any]] | None,
    now: datetime,
) -> None:
    """Keep how a provider is, and its models; ``None``: it could not be asked, and those of before stay."""
    rows = {"": about, **(models or {})}
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(TABLE)
    keep = insert.on_conflict_do_update(
        index_elements=["provider", "model"],
        set_={"about": insert.excluded.about, "seen_at": insert.excluded.seen_at},
    )
    # In one order: two workers that look at the same time cannot wait for each other.
    for name in sorted(rows):
        values = {"provider": provider, "model": name, "about": dict(rows[name]), "seen_at": now}
        await connection.execute(keep, values)
    if models is not None:
        await connection.execute(
            sa.delete(TABLE).where(TABLE.c.provider == provider, TABLE.c.model.not_in([*rows]))
        )


async def seen(connection: AsyncConnection, providers: Collection[str]) -> tuple[Seen, ...]:
    """Return what was found of some providers."""
    query = sa.select(TABLE).where(TABLE.c.provider.in_(providers)).order_by(TABLE.c.provider, TABLE.c.model)
    return tuple(
        Seen(row.provider, row.model, row.about, row.seen_at) for row in await connection.execute(query)
    )
