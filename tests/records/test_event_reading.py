"""Reading the event log: filters, pages, and where a reader goes on."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ledger import Ledger

from minoots.contracts import EventType
from minoots_platform.ids import is_id
from minoots_platform.records import events
from minoots_platform.records.events import EventFilter, EventPage, NewEvent

KINDS = (EventType.TIMER_SCHEDULED, EventType.TIMER_FIRED, EventType.TIMER_SETTLED)


async def append(ledger: Ledger, *new: NewEvent) -> int:
    """Append events in one transaction."""
    async with ledger.writing() as connection:
        return await events.append(connection, ledger.tenant, new)


async def read(ledger: Ledger, after: int = 0, limit: int = 100, **wanted: Any) -> EventPage:
    """Read one page."""
    async with ledger.database.read() as connection:
        return await events.read(
            connection, ledger.tenant, after=after, limit=limit, wanted=EventFilter(**wanted)
        )


def event(ledger: Ledger, number: int, **labels: str) -> NewEvent:
    """One of several kinds about one of four subjects."""
    return NewEvent(KINDS[number % 3], f"tmr_{number % 4}", ledger.now, {"number": number}, labels=labels)


async def test_an_event_reads_back_as_it_was_appended(ledger: Ledger) -> None:
    data = {"name": "ü", "deep": {"er": [1, None, "'"]}}
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    new = NewEvent(EventType.TIMER_FIRED, "tmr_1", ledger.now, data, {"team": "ops"}, trace)
    assert await append(ledger, new, new) == 2
    first, second = (await read(ledger)).events
    assert (first.sequence, second.sequence) == (1, 2)
    assert is_id(first.id, "evt")
    assert first.id != second.id
    assert (first.type, first.subject, first.source) == ("timer.fired", "tmr_1", "/tenants/acme")
    assert (first.time, first.data, first.labels, first.traceparent) == (
        ledger.now,
        data,
        {"team": "ops"},
        trace,
    )


async def test_nothing_is_appended_by_mistake(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="at least one event"):
        await append(ledger)
    assert (await read(ledger)).events == ()


async def test_the_newest_numbers_of_several_tenants(ledger: Ledger) -> None:
    await append(ledger, event(ledger, 1), event(ledger, 2))
    await append(ledger.of("globex"), event(ledger, 1))
    async with ledger.database.read() as connection:
        found = await events.last_sequences(connection, ["acme", "globex", "dev", "nobody"])
    assert found == {"acme": 2, "globex": 1, "dev": 0}


async def test_filters_narrow_together(ledger: Ledger) -> None:
    await append(ledger, *(event(ledger, number, parity=str(number % 2)) for number in range(24)))
    page = await read(
        ledger, types=("timer.scheduled", "timer.fired"), subject="tmr_3", labels=(("parity", "1"),)
    )
    assert [found.data["number"] for found in page.events] == [3, 7, 15, 19]
    assert (await read(ledger, types=("timer.unheard_of",))).events == ()


@pytest.mark.parametrize("key", ["a.b", "a/b-c_d", "0", "A", "x" * 63, "a.0", "1e5"])
async def test_a_label_key_is_matched_exactly(ledger: Ledger, key: str) -> None:
    await append(ledger, event(ledger, 1, **{key: "here"}), event(ledger, 2, **{key + "2": "here"}))
    await append(
        ledger, event(ledger, 3, **{key: "there"}), event(ledger, 4, **{key.swapcase() + "_": "here"})
    )
    page = await read(ledger, labels=((key, "here"),))
    assert [found.data["number"] for found in page.events] == [1]


@pytest.mark.parametrize(
    "key", ["", "it's", 'say "hi"', '"', "a\\b", "$", "ü", "[0]", "#-1", "%s", ":x", "a.b"]
)
async def test_a_key_that_no_label_has_matches_nothing(ledger: Ledger, key: str) -> None:
    await append(ledger, event(ledger, 1, a="here"), event(ledger, 2))
    found = await read(ledger, labels=((key, "here"),))
    assert (found.events, found.position) == ((), 2)


async def test_a_label_that_looks_like_a_number_is_text(ledger: Ledger) -> None:
    await append(ledger, event(ledger, 1, n="1"), event(ledger, 2, n="01"), event(ledger, 3, n="true"))
    assert [found.data["number"] for found in (await read(ledger, labels=(("n", "1"),))).events] == [1]
    assert [found.data["number"] for found in (await read(ledger, labels=(("n", "true"),))).events] == [3]


async def test_a_narrow_reader_goes_on_where_the_log_was_looked_through(ledger: Ledger) -> None:
    await append(ledger, *(event(ledger, number) for number in range(12)))
    found = await read(ledger, subject="tmr_2", limit=2)
    assert [one.sequence for one in found.events] == [3, 7]
    assert (found.position, found.more) == (7, True), "the third match is still to come"
    found = await read(ledger, after=found.position, subject="tmr_2", limit=2)
    assert [one.sequence for one in found.events] == [11]
    assert (found.position, found.more) == (12, False), "behind the last event, not the last match"
    found = await read(ledger, after=12, subject="tmr_2")
    assert (found.events, found.position, found.more) == ((), 12, False)


async def test_a_page_that_is_exactly_full_is_not_followed_by_more(ledger: Ledger) -> None:
    await append(ledger, *(event(ledger, number) for number in range(4)))
    found = await read(ledger, limit=4)
    assert (len(found.events), found.position, found.more) == (4, 4, False)


async def test_a_position_beyond_the_end_stays(ledger: Ledger) -> None:
    await append(ledger, event(ledger, 1))
    found = await read(ledger, after=99)
    assert (found.events, found.position, found.more) == ((), 99, False)


@pytest.mark.parametrize("seed", range(4))
async def test_pages_of_any_size_give_what_one_big_page_gives(ledger: Ledger, seed: int) -> None:
    chance = random.Random(seed)
    wanted: dict[str, Any] = {}
    if chance.random() < 0.6:
        wanted["types"] = tuple(kind.value for kind in chance.sample(KINDS, chance.randrange(1, 3)))
    if chance.random() < 0.6:
        wanted["subject"] = f"tmr_{chance.randrange(4)}"
    for _ in range(15):
        await append(ledger, *(event(ledger, chance.randrange(12)) for _ in range(chance.randrange(1, 5))))
    whole = await read(ledger, **wanted)
    pieces: list[int] = []
    position, more = 0, True
    while more:
        page = await read(ledger, after=position, limit=chance.randrange(1, 6), **wanted)
        assert page.position > position
        pieces += [one.sequence for one in page.events]
        position, more = page.position, page.more
    assert pieces == [one.sequence for one in whole.events]
    assert position == whole.position
