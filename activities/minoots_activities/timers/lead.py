"""Watching how long it takes from a workflow's wake to a worker's hand, and telling whoever arms timers."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from minoots_platform.clock import Clock
from minoots_platform.records import Database, wake_leads
from minoots_platform.telemetry import get_logger
from minoots_platform.telemetry.metrics import Metrics
from minoots_workflows.timers.wake import lead_from

WINDOW: Final = timedelta(seconds=30)
"""Older latencies say nothing of the load at present."""
_MOST: Final = 2000
_RENEW: Final = timedelta(seconds=20)
"""A lead that does not change is told again before the records take it for stale."""


class LeadWatch:
    """The latencies that one worker process observes."""

    def __init__(self, worker: str, database: Database, metrics: Metrics, clock: Clock) -> None:
        self._worker = worker
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._seen: deque[tuple[datetime, timedelta]] = deque(maxlen=_MOST)
        self._told: tuple[datetime, timedelta] | None = None
        self._log = get_logger("minoots.lead")

    def observe(self, wake_at: datetime) -> None:
        """Note that a worker took a timer now whose workflow meant to wake at ``wake_at``."""
        now = self._clock()
        latency = max(now - wake_at, timedelta(0))
        self._seen.append((now, latency))
        self._metrics.dispatched(latency.total_seconds())

    async def run(self, interval: timedelta = timedelta(seconds=1)) -> None:
        """Tell the lead whenever it changes, until cancelled."""
        while True:
            await asyncio.sleep(interval.total_seconds())
            try:
                await self.tell()
            except (sa.exc.SQLAlchemyError, OSError) as error:
                self._log.warning("lead.not_told", error=type(error).__name__)

    async def tell(self) -> None:
        """Write the lead into the records if it changed by a tenth, or is about to go stale."""
        now = self._clock()
        while self._seen and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        if not self._seen:
            return
        latencies = [latency for _, latency in self._seen]
        lead = lead_from(latencies)
        if self._told is not None:
            told_at, told = self._told
            if abs(lead - told) < told / 10 and now - told_at < _RENEW:
                return
        async with self._database.write() as connection:
            await wake_leads.report(connection, self._worker, lead=lead, observed=max(latencies), now=now)
        self._told = (now, lead)
        self._metrics.wake_lead_changed(lead.total_seconds())
