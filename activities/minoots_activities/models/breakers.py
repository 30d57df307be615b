"""Breakers as the router sees them: looked up about four times a second, written only when one is unwell.

Owns what this process knows: which models are left alone, and how many attempts went well since it last
wrote. The state itself is in the records, so that every process leaves the same models alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from minoots.contracts import CircuitPolicy
from minoots_platform.clock import Clock
from minoots_platform.records import Database, breakers
from minoots_platform.settings import ModelsSettings
from minoots_platform.telemetry import get_logger

from .remembering import remember

Key = tuple[str, str]
"""Provider and model."""

LOOK: Final = 0.25
"""Seconds between looks at the records."""
_STALE: Final = 2.0
"""Seconds after which a call waits for a look, instead of having one made beside it."""
PROBE: Final = timedelta(seconds=15)
"""How long one tries before another may; moved on for as long as it waits for an answer."""
_SOON: Final = timedelta(seconds=0.5)
"""The least that others wait while one tries."""


@dataclass(frozen=True)
class Pass:
    """A model may be asked."""

    probe: bool = False
    """It is tried again: what comes of it decides."""


@dataclass(frozen=True)
class Stopped:
    """A model is left alone."""

    reason: str
    until: datetime | None
    """When to ask again."""


class Breakers:
    """Who may be asked."""

    def __init__(self, database: Database, settings: ModelsSettings, clock: Clock) -> None:
        breaker = settings.breaker
        self._database = database
        self._clock = clock
        self._policy = CircuitPolicy(
            window=timedelta(seconds=breaker.window),
            minimum=breaker.minimum,
            failure_rate=breaker.failure_rate,
            open_for=timedelta(seconds=breaker.open_seconds),
        )
        self._held: dict[Key, breakers.Held] = {}
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._well: Counter[Key] = Counter()
        self._probing: set[Key] = set()
        self._log = get_logger("minoots.models")

    async def gate(self, key: Key) -> Pass | Stopped:
        """Tell whether a model may be asked; at most one at a time tries one that was left alone."""
        await self._look()
        held = self._held.get(key)
        if held is None:
            return Pass()
        now = self._clock()
        if held.probe_at is None or held.probe_at > now:
            return Stopped(held.reason or "it failed too often", held.probe_at)
        if held.probe_until is not None and held.probe_until > now:
            # Others wait for as long again as it has taken so far: soon behind one that answers at once, and
            # a few times in all behind one that hangs.
            again = now + max(now - held.probe_at, _SOON)
            return Stopped(f"it is being tried again; {held.reason}", min(again, held.probe_until))
        async with self._database.write() as connection:
            mine = await breakers.claim_probe(connection, *key, now, now + PROBE)
        if not mine:
            await self.refresh()
            return await self.gate(key) if key not in self._held else Stopped("it is being tried again", None)
        self._probing.add(key)
        return Pass(probe=True)

    async def answered(self, key: Key, passed: Pass) -> bool:
        """Take note that a model answered; return whether it had been left alone."""
        remember(self._well, key, self._well[key] + 1)
        if not passed.probe and key not in self._held:
            return False
        self._probing.discard(key)
        async with self._database.write() as connection:
            closed = await breakers.close(connection, *key, self._clock())
        self._held.pop(key, None)
        return closed

    async def failed(
        self, key: Key, passed: Pass, reason: str, *, answered: bool = False
    ) -> breakers.Held | None:
        """Take note that a model is unwell; return it when it is left alone from now on.

        One that had ``answered`` and then broke off has not gone well.
        """
        well = max(0, self._well.pop(key, 0) - answered)
        self._probing.discard(key)
        async with self._database.write() as connection:
            opened = await breakers.unwell(
                connection,
                *key,
                well=well,
                reason=reason,
                probe=passed.probe,
                policy=self._policy,
                now=self._clock(),
            )
        if opened is not None:
            self._held[key] = opened
        return opened

    async def nothing(self, key: Key, passed: Pass) -> None:
        """Take note that an attempt says nothing of the model: another one may try."""
        if not passed.probe or key not in self._probing:
            return
        self._probing.discard(key)
        async with self._database.write() as connection:
            await breakers.let_probe(connection, *key)
        self._looked = float("-inf")

    async def keep(self) -> None:
        """Say that those who try are alive."""
        for key in tuple(self._probing):
            async with self._database.write() as connection:
                await breakers.keep_probing(connection, *key, self._clock() + PROBE)

    async def forget(self) -> None:
        """Let go of the rows of models that nobody has asked for long."""
        async with self._database.write() as connection:
            await breakers.forget(connection, self._clock())

    def held(self) -> frozenset[Key]:
        """Return who is left alone, as far as this process knows."""
        return frozenset(self._held)

    async def refresh(self) -> None:
        """Look at the records."""
        async with self._database.read() as connection:
            found = await breakers.held(connection)
        self._held = {(one.provider, one.model): one for one in found}
        self._looked = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """End what is under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        age = asyncio.get_running_loop().time() - self._looked
        if age < LOOK:
            return
        if self._looking is None or self._looking.done():
            if self._looking is not None and not self._looking.cancelled():
                error = self._looking.exception()
                if error is not None:
                    # What was known stays: without records no call would be settled either, and says so.
                    self._log.warning("models.breakers_unknown", error=type(error).__name__)
            self._looking = asyncio.create_task(self.refresh(), name="breakers of models")
        if age > _STALE:
            await asyncio.shield(self._looking)
