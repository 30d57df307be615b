"""Which programs of jobs a worker is at, whatever Temporal knows of that.

Owns the moment until which an attempt is held. Who holds one says so every now and then; who does not is
taken to be gone, and another attempt may begin.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import JobState

from .job_progress import Begun
from .jobs import TABLE, row_of

_RUNNING: Final = TABLE.c.state == JobState.RUNNING.value


async def held_until(connection: AsyncConnection, tenant: str, job_id: str) -> datetime | None:
    """Return until when a worker is taken to be at a job; ``None`` where none is.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, job_id)
    return row.held_until if row.state == JobState.RUNNING.value else None


async def go_on(connection: AsyncConnection, begun: Begun, until: datetime) -> bool:
    """Tell whether an attempt may go on; if so it is held until then."""
    mine = (TABLE.c.id == begun.job_id, TABLE.c.attempt == begun.attempt, _RUNNING)
    wanted = TABLE.c.cancel_requested_at.is_(None)
    changed = sa.update(TABLE).where(*mine, wanted).values(held_until=until).returning(TABLE.c.id)
    return (await connection.execute(changed)).one_or_none() is not None


async def let_go(connection: AsyncConnection, begun: Begun) -> None:
    """Have an attempt held no longer: another one may begin at once."""
    mine = (TABLE.c.id == begun.job_id, TABLE.c.attempt == begun.attempt)
    await connection.execute(sa.update(TABLE).where(*mine).values(held_until=None))
