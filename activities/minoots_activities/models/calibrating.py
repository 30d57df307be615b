"""What was learnt of models' tokens is kept for the next worker.

Owns when it is read and written. One that dies loses a few seconds of lessons, which the next call repeats.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from minoots_platform.clock import Clock
from minoots_platform.records import Database, model_ratios

from .remembering import MOST
from .tokens import Estimates, Ratio

_KEPT: Final = timedelta(days=90)


class Calibrating:
    """Keeps what `Estimates` learn."""

    def __init__(self, estimates: Estimates, database: Database, clock: Clock) -> None:
        self._estimates = estimates
        self._database = database
        self._clock = clock

    async def read(self) -> None:
        """Begin with what workers before have learnt."""
        async with self._database.read() as connection:
            found = await model_ratios.latest(connection, MOST)
        self._estimates.know(
            {(one.tenant, one.provider, one.model): Ratio(one.mean, one.least, one.answers) for one in found}
        )

    async def write(self) -> None:
        """Keep what is new."""
        news = self._estimates.news()
        if not news:
            return
        rows = [
            model_ratios.Kept(*key, mean=ratio.mean, least=ratio.least, answers=ratio.answers)
            for key, ratio in news.items()
        ]
        async with self._database.write() as connection:
            await model_ratios.save(connection, rows, self._clock())

    async def forget(self) -> None:
        """Let go of models that nobody has asked for long."""
        async with self._database.write() as connection:
            await model_ratios.forget(connection, self._clock() - _KEPT)
