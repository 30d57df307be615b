"""Receivers that are gone, and open again."""

from __future__ import annotations

import pytest
from ledger import URL, Ledger

from minoots.contracts import Destination
from minoots.errors import Failure, FailureKind
from minoots_platform.records import destinations


async def mark(ledger: Ledger, url: str = URL) -> int:
    """Mark a receiver gone; return how many events that makes."""
    async with ledger.writing() as connection:
        told = await destinations.mark_gone(connection, ledger.tenant, url, status=410, now=ledger.now)
    return len(told)


async def known(ledger: Ledger, limit: int = 50) -> list[Destination]:
    """Every receiver that Minoots has an opinion on."""
    found: list[Destination] = []
    cursor = None
    while True:
        async with ledger.database.read() as connection:
            page = await destinations.page(connection, ledger.tenant, limit=limit, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def reopen(ledger: Ledger, destination_id: str) -> Destination:
    """Let deliveries go there again."""
    async with ledger.writing() as connection:
        return await destinations.reopen(
            connection, ledger.tenant, destination_id, now=ledger.now, actor="tester"
        )


async def test_a_receiver_is_gone_until_it_is_reopened(ledger: Ledger) -> None:
    assert await known(ledger) == []
    assert await mark(ledger) == 1
    assert await mark(ledger) == 0, "it was gone already"
    (gone,) = await known(ledger)
    assert (gone.url, gone.state, gone.status, gone.changed_at) == (URL, "gone", 410, ledger.now)
    ledger.pass_time(5)
    opened = await reopen(ledger, gone.id)
    assert (opened.id, opened.state, opened.status, opened.changed_at) == (gone.id, "open", None, ledger.now)
    assert await known(ledger) == [opened]
    (event,) = await ledger.events(types=("destination.reopened",))
    assert (event.subject, event.data) == (gone.id, {"url": URL, "by": "tester"})
    with pytest.raises(Failure, match="is open already") as caught:
        await reopen(ledger, gone.id)
    assert caught.value.kind is FailureKind.CONFLICT
    assert await mark(ledger) == 1
    assert [one.id for one in await known(ledger)] == [gone.id]


async def test_a_receiver_of_another_tenant_does_not_exist(ledger: Ledger) -> None:
    await mark(ledger)
    (gone,) = await known(ledger)
    other = ledger.of("globex")
    assert await known(other) == []
    with pytest.raises(Failure, match="there is no destination") as caught:
        await reopen(other, gone.id)
    assert caught.value.kind is FailureKind.NOT_FOUND
    assert await known(ledger) == [gone]


async def test_pages_hold_every_receiver_once_the_last_changed_first(ledger: Ledger) -> None:
    for number in range(7):
        ledger.pass_time(number % 2)
        await mark(ledger, f"{URL}/{number}")
    found = await known(ledger, limit=2)
    assert len({one.id for one in found}) == 7
    assert found == sorted(found, key=lambda one: (one.changed_at, one.id), reverse=True)


async def test_the_longest_url_is_told_from_one_that_differs_at_its_end(ledger: Ledger) -> None:
    stem = URL + "/" + "x" * (2047 - len(URL) - 1)
    await mark(ledger, stem + "1")
    async with ledger.database.read() as connection:
        gone = await destinations.gone_among(connection, ledger.tenant, [stem + "1", stem + "2"])
    assert gone == {stem + "1"}
