"""Dead letters: looking them up, and sending them again one by one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ledger import URL, Ledger, seconds

from minoots.contracts import AttemptError, DeadLetter, ReplayFilter
from minoots.errors import Failure, FailureKind
from minoots_platform.records import dead_letters


async def matching(ledger: Ledger, **wanted: Any) -> list[str]:
    """The ids of the dead letters that match."""
    return [letter.id for letter in (await ledger.dead_letters(filter=ReplayFilter(**wanted))).items]


async def test_a_dead_letter_tells_what_was_to_be_sent_and_why_it_was_not(ledger: Ledger) -> None:
    timer = await ledger.accept(name="Nightly")
    (claim,) = await ledger.fire(timer)
    ledger.pass_time(2)
    await ledger.record(ledger.failed(claim, status=404))
    (letter,) = (await ledger.dead_letters()).items
    assert letter == DeadLetter(
        id=claim.delivery_id,
        timer_id=timer.id,
        timer_name="Nightly",
        action=0,
        url=URL,
        webhook_id=claim.webhook_id,
        attempts=1,
        error=AttemptError.STATUS,
        detail="answered 404",
        died_at=ledger.now,
    )
    assert (await ledger.of("globex").dead_letters()).items == ()


async def test_pages_hold_every_dead_letter_once_the_newest_first(ledger: Ledger) -> None:
    made = []
    for number in range(9):
        ledger.pass_time(number % 2)
        made += await ledger.dead()
    found: list[DeadLetter] = []
    cursor = None
    while True:
        page = await ledger.dead_letters(limit=2, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        ledger.pass_time(1)
        await ledger.dead()
    assert {claim.delivery_id for claim in made} == {letter.id for letter in found}
    assert found == sorted(found, key=lambda letter: (letter.died_at, letter.id), reverse=True)


async def test_each_filter_alone_and_all_together(ledger: Ledger) -> None:
    (first,) = await ledger.dead(name="one", actions=[{"url": "https://a.example/x_y"}])
    ledger.pass_time(10)
    middle = ledger.now
    timer = await ledger.accept(name="two", actions=[{"url": "https://b.example/%"}])
    (second,) = await ledger.fire(timer)
    await ledger.record(ledger.failed(second, status=None, error=AttemptError.TIMEOUT))
    assert await matching(ledger, timer_id=timer.id) == [second.delivery_id]
    assert await matching(ledger, timer_name="one") == [first.delivery_id]
    assert await matching(ledger, error="timeout") == [second.delivery_id]
    assert await matching(ledger, died_after=middle) == [second.delivery_id], "inclusive"
    assert await matching(ledger, died_before=middle) == [first.delivery_id], "exclusive"
    together = {
        "timer_id": timer.id,
        "timer_name": "two",
        "error": "timeout",
        "died_after": middle,
        "died_before": middle + seconds(1),
        "url_prefix": "https://b",
    }
    assert await matching(ledger, **together) == [second.delivery_id]
    assert await matching(ledger, **together | {"timer_name": "one"}) == []


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("https://a.example/x_y", True),
        ("https://a.example/", True),
        ("https://a.example/x_y/z", False),
        ("https://a.example/x%", False),
        ("https://a.example/xxy", False),
        ("https://a.example/X", False),
        ("https://_.example/", False),
    ],
)
async def test_the_beginning_of_a_url_is_taken_literally(ledger: Ledger, prefix: str, found: bool) -> None:
    (claim,) = await ledger.dead(actions=[{"url": "https://a.example/x_y"}])
    assert await matching(ledger, url_prefix=prefix) == ([claim.delivery_id] if found else [])


async def test_a_dead_letter_is_replayed_once(ledger: Ledger) -> None:
    (claim,) = await ledger.dead()
    again = await ledger.replay(claim.delivery_id)
    assert (again.replay_of, again.number, again.url) == (claim.delivery_id, 1, URL)
    event = (await ledger.events())[-1]
    assert (event.type, event.data["delivery_id"], event.data["by"]) == (
        "delivery.replayed",
        again.delivery_id,
        "tester",
    )
    (letter,) = (await ledger.dead_letters()).items
    assert letter.replayed_by == again.delivery_id
    with pytest.raises(
        Failure, match=f"replayed already, by {again.delivery_id}, which is sending"
    ) as caught:
        await ledger.replay(claim.delivery_id)
    assert caught.value.kind is FailureKind.CONFLICT
    await ledger.record(ledger.failed(again))
    with pytest.raises(Failure, match="which is dead"):
        await ledger.replay(claim.delivery_id)
    third = await ledger.replay(again.delivery_id)
    assert third.webhook_id == claim.webhook_id


async def test_what_is_not_dead_is_not_replayed(ledger: Ledger) -> None:
    (claim,) = await ledger.fire(await ledger.accept())
    with pytest.raises(Failure, match="that delivery is sending") as caught:
        await ledger.replay(claim.delivery_id)
    assert caught.value.kind is FailureKind.CONFLICT
    await ledger.record(ledger.failed(claim))
    for ledger_of, delivery_id in ((ledger, "dlv_0"), (ledger.of("globex"), claim.delivery_id)):
        with pytest.raises(Failure, match="there is no dead letter") as caught:
            await ledger_of.replay(delivery_id)
        assert caught.value.kind is FailureKind.NOT_FOUND


async def test_of_many_who_replay_one_at_once_one_wins(busy_ledger: Ledger) -> None:
    ledger = busy_ledger
    (claim,) = await ledger.dead()

    async def replay() -> str:
        async with ledger.writing() as connection:
            made = await dead_letters.replay_one(
                connection, ledger.tenant, claim.delivery_id, now=ledger.now, actor="x"
            )
        return made.delivery_id

    results = await asyncio.gather(*(replay() for _ in range(8)), return_exceptions=True)
    assert len([one for one in results if isinstance(one, str)]) == 1, results
    assert len([one for one in results if isinstance(one, Failure)]) == 7, results
