"""Replays of many dead letters: all of them, once, page by page."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from ledger import Ledger

from minoots.contracts import Replay, ReplayFilter
from minoots.errors import Failure, FailureKind
from minoots_platform.records import replays

EVERY = ReplayFilter(timer_name="t")


async def start(ledger: Ledger, wanted: ReplayFilter = EVERY) -> Replay:
    """Ask for a replay."""
    async with ledger.writing() as connection:
        return await replays.start(connection, ledger.tenant, wanted, now=ledger.now, actor="tester")


async def advance(ledger: Ledger, replay: Replay) -> Replay:
    """Replay one page."""
    async with ledger.writing() as connection:
        return await replays.advance(connection, ledger.tenant, replay.id, now=ledger.now)


async def replayed(ledger: Ledger) -> list[str]:
    """Which dead letters were replayed, each as often as it was."""
    return [str(event.data["replay_of"]) for event in await ledger.events(types=("delivery.replayed",))]


async def test_a_replay_walks_through_everything_that_matches(ledger: Ledger) -> None:
    letters = await ledger.dead(replays.PAGE * 2 + 7)
    await ledger.dead(3, name="other")
    await ledger.of("globex").dead(2)
    ledger.pass_time(1)
    replay = await start(ledger)
    assert (replay.state, replay.total, replay.replayed) == (replays.RUNNING, 107, 0)
    seen = []
    while replay.state == replays.RUNNING:
        replay = await advance(ledger, replay)
        seen.append(replay.replayed)
    assert seen == [50, 100, 107]
    assert (replay.skipped, replay.finished_at) == (0, ledger.now)
    assert sorted(await replayed(ledger)) == sorted(claim.delivery_id for claim in letters)
    assert await ledger.of("globex").events(types=("delivery.replayed",)) == ()
    (finished,) = await ledger.events(types=("replay.finished",))
    assert finished.data == {"total": 107, "replayed": 107, "skipped": 0}
    events = await ledger.events()
    assert await advance(ledger, replay) == replay
    assert await ledger.events() == events, "a finished replay does nothing"


async def test_a_page_that_is_exactly_full_is_followed_by_an_empty_last_one(ledger: Ledger) -> None:
    await ledger.dead(replays.PAGE)
    replay = await start(ledger)
    replay = await advance(ledger, replay)
    assert (replay.state, replay.replayed) == (replays.RUNNING, 50)
    replay = await advance(ledger, replay)
    assert (replay.state, replay.replayed) == (replays.DONE, 50)


async def test_what_others_replay_meanwhile_is_skipped_and_what_dies_later_left_out(ledger: Ledger) -> None:
    letters = await ledger.dead(60)
    replay = await start(ledger)
    replay = await advance(ledger, replay)
    done = set(await replayed(ledger))
    left = [claim.delivery_id for claim in letters if claim.delivery_id not in done]
    for delivery_id in left[:4]:
        await ledger.replay(delivery_id)
    ledger.pass_time(1)
    (late,) = await ledger.dead()
    replay = await advance(ledger, replay)
    assert (replay.state, replay.total, replay.replayed, replay.skipped) == (replays.DONE, 60, 56, 4)
    everything = await replayed(ledger)
    assert len(everything) == len(set(everything)) == 60
    assert late.delivery_id not in everything


async def test_a_replay_of_nothing_is_done_at_once(ledger: Ledger) -> None:
    replay = await advance(ledger, await start(ledger, ReplayFilter(error="dns")))
    assert (replay.state, replay.total, replay.replayed, replay.skipped) == (replays.DONE, 0, 0, 0)


async def test_a_page_that_is_rolled_back_is_replayed_by_the_next_try(ledger: Ledger) -> None:
    await ledger.dead(3)
    replay = await start(ledger)

    async def advance_and_die() -> None:
        async with ledger.writing() as connection:
            await replays.advance(connection, ledger.tenant, replay.id, now=ledger.now)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await advance_and_die()
    assert await replayed(ledger) == []
    assert (await advance(ledger, replay)).replayed == 3


async def test_another_tenants_replay_does_not_exist(ledger: Ledger) -> None:
    replay = await start(ledger)
    async with ledger.database.read() as connection:
        assert await replays.get(connection, ledger.tenant, replay.id) == replay
        with pytest.raises(Failure, match="there is no replay") as caught:
            await replays.get(connection, "globex", replay.id)
    assert caught.value.kind is FailureKind.NOT_FOUND


async def test_two_replays_and_a_hand_at_once_send_each_letter_once(busy_ledger: Ledger) -> None:
    ledger = busy_ledger
    letters = await ledger.dead(120)
    ids = [claim.delivery_id for claim in letters]

    async def walk() -> Replay:
        replay = await start(ledger)
        while replay.state == replays.RUNNING:
            replay = await advance(ledger, replay)
        return replay

    async def by_hand() -> int:
        done = 0
        for delivery_id in ids[::7]:
            with suppress(Failure):
                await ledger.replay(delivery_id)
                done += 1
        return done

    one, other, hand = await asyncio.gather(walk(), walk(), by_hand())
    everything = await replayed(ledger)
    assert sorted(everything) == sorted(ids)
    assert one.replayed + other.replayed + hand == 120
    dead = (await ledger.dead_letters(limit=200)).items
    assert {letter.replayed_by is not None for letter in dead} == {True}
