"""What a receiver says of its progress, passed on as events of the timer."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isfinite
from typing import Final

from minoots.contracts import EventType
from minoots_activities.http import shown
from minoots_platform.clock import Clock
from minoots_platform.records import Database, events, timers
from minoots_platform.records.attempts import Claim
from minoots_platform.records.firing import Spec

_EVERY: Final = timedelta(milliseconds=250)
"""More often nobody reads it; what comes in between is left out."""


class Relay:
    """Passes on what is said during one attempt."""

    def __init__(self, database: Database, spec: Spec, claim: Claim, clock: Clock) -> None:
        self._database = database
        self._spec = spec
        self._claim = claim
        self._clock = clock
        self._told_at: datetime | None = None
        self._over = False

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """Append an event, unless there was one just now and this is not the end."""
        now = self._clock()
        if not (isfinite(progress) and isfinite(total or 0)) or self._over:
            return
        # Told at once, and for once: whoever goes on after the end says nothing new.
        self._over = total is not None and progress >= total
        if self._told_at is not None and now - self._told_at < _EVERY and not self._over:
            return
        self._told_at = now
        spec, claim = self._spec, self._claim
        async with self._database.write() as connection:
            timer = await timers.row_of(connection, spec.tenant, spec.timer_id)
            told = timers.event_of(
                timer,
                EventType.DELIVERY_PROGRESSED,
                now,
                delivery_id=claim.delivery_id,
                action=claim.action,
                attempt=claim.number,
                progress=progress,
                total=total,
                message=None if message is None else shown(message)[:500],
            )
            await events.append(connection, spec.tenant, [told])
