"""How early timers have to wake, as every worker reports it."""

from __future__ import annotations

from datetime import timedelta

from ledger import Ledger, seconds

from minoots_platform.records import wake_leads
from minoots_platform.records.wake_leads import FRESH_FOR


async def report(ledger: Ledger, worker: str, lead: float) -> None:
    """Tell the records."""
    async with ledger.writing() as connection:
        await wake_leads.report(
            connection, worker, lead=seconds(lead), observed=seconds(lead / 2), now=ledger.now
        )


async def current(ledger: Ledger) -> timedelta | None:
    """Ask the records."""
    async with ledger.database.read() as connection:
        return await wake_leads.current(connection, ledger.now)


async def test_the_slowest_worker_decides_and_its_newest_word_holds(ledger: Ledger) -> None:
    assert await current(ledger) is None
    await report(ledger, "a", 0.3)
    await report(ledger, "b", 1.25)
    assert await current(ledger) == seconds(1.25)
    await report(ledger, "b", 0.25)
    assert await current(ledger) == seconds(0.3)


async def test_old_words_are_not_heard_and_are_cleared_away(ledger: Ledger) -> None:
    await report(ledger, "a", 2)
    ledger.now += FRESH_FOR
    assert await current(ledger) == seconds(2)
    ledger.pass_time(0.001)
    assert await current(ledger) is None
    await report(ledger, "b", 0.5)
    ledger.now -= FRESH_FOR
    assert await current(ledger) == seconds(0.5), "the old row is gone, not only unheard"
