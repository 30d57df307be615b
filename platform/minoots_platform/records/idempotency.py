"""Idempotency keys: the first answer to a request, given again to its repetitions.

Kept in the transaction of the command itself, so there is never an effect without its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import FieldProblem
from minoots.errors import Failure, FailureKind

from . import schema

KEPT_FOR: Final = timedelta(days=7)
"""Longer than any client retries, short enough to forget."""


@dataclass(frozen=True)
class Stored:
    """The first answer."""

    status: int
    answer: Any


async def find(connection: AsyncConnection, tenant: str, key: str, fingerprint: str) -> Stored | None:
    """Return the first answer to ``key``, or ``None`` when it is new.

    Raises:
        Failure: invalid, when the key came with another request before.
    """
    table = schema.idempotency_keys
    query = sa.select(table).where(table.c.tenant == tenant, table.c.key == key)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise Failure(
            FailureKind.INVALID,
            "this Idempotency-Key was used for another request",
            remedy="Send a new key with a new request; repeat a request unchanged.",
            errors=(
                FieldProblem(
                    field="header.Idempotency-Key",
                    expected="a key that is new or the same request",
                    got=key[:60],
                ),
            ),
        )
    return Stored(row.status, row.answer)


async def keep(
    connection: AsyncConnection,
    tenant: str,
    key: str,
    fingerprint: str,
    *,
    status: int,
    answer: Any,
    now: datetime,
) -> None:
    """Keep the first answer to ``key``."""
    await connection.execute(
        sa.insert(schema.idempotency_keys).values(
            tenant=tenant, key=key, fingerprint=fingerprint, status=status, answer=answer, created_at=now
        )
    )


async def forget_old(connection: AsyncConnection, now: datetime) -> int:
    """Delete keys older than `KEPT_FOR`; return how many."""
    table = schema.idempotency_keys
    result = await connection.execute(sa.delete(table).where(table.c.created_at < now - KEPT_FOR))
    return int(result.rowcount)
