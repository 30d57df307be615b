"""Whether the servers behind connectors answer: looked at now and then, told as a metric and in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from minoots_platform.telemetry import get_logger
from minoots_platform.telemetry.metrics import Metrics

from .connector import Connector

EVERY: Final = timedelta(seconds=30)


class HealthWatch:
    """Looks after the connectors of one worker process that have a server of their own."""

    def __init__(self, connectors: Iterable[Connector], metrics: Metrics) -> None:
        self._watched = [connector for connector in connectors if connector.watched]
        self._metrics = metrics
        self._ill: dict[str, str] = {}
        self._log = get_logger("minoots.connectors")

    async def run(self, every: timedelta = EVERY) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(every.total_seconds())

    async def look(self) -> dict[str, str]:
        """Look once; return what ails whom, by kind."""
        for connector in self._watched:
            kind, failure = connector.kind, await connector.health()
            ailment = None if failure is None else failure.detail
            self._metrics.connector_seen(kind, well=ailment is None)
            if ailment is not None and kind not in self._ill:
                self._log.warning("connector.ill", kind=kind, reason=ailment)
            if ailment is None and kind in self._ill:
                self._log.info("connector.well", kind=kind)
            self._ill.pop(kind, None)
            if ailment is not None:
                self._ill[kind] = ailment
        return dict(self._ill)
