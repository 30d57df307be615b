"""`timers.wait` polls until the end, through outages, and never past its timeout."""

import asyncio
import threading

import pytest

import minoots
from minoots import Minoots, WaitTimeout, retrying, waiting

PATH = "/v1/timers/tmr_1"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(waiting, "SHORTEST_POLL", 0.01)
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.001)


@pytest.mark.parametrize("state", ["settled", "failed", "cancelled"])
def test_wait_returns_when_the_timer_is_final(gateway, make, state):
    gateway.answer(
        "GET",
        PATH,
        make.reply(make.timer(state="armed")),
        make.reply(make.timer(state="fired")),
        make.reply(make.timer(state=state)),
    )
    with Minoots(gateway.url) as client:
        assert client.timers.wait("tmr_1", timeout=30).state == state
    assert len(gateway.seen) == 3
    assert all(1 <= int(dict(seen.query)["wait"]) <= 30 for seen in gateway.seen)


def test_a_poll_is_never_longer_than_the_service_allows(gateway, make):
    gateway.answer("GET", PATH, make.reply(make.timer(state="settled")))
    with Minoots(gateway.url) as client:
        client.timers.wait("tmr_1")
        client.timers.wait("tmr_1", timeout=3600)
    assert [seen.query for seen in gateway.seen] == [[("wait", "60")]] * 2


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_wait_gives_up_and_says_where_the_timer_stands(gateway, make, timeout):
    gateway.answer("GET", PATH, make.reply(make.timer(state="paused")))
    with Minoots(gateway.url) as client, pytest.raises(WaitTimeout, match="it is paused, due 20"):
        client.timers.wait("tmr_1", timeout=timeout)


def test_an_outage_in_the_middle_is_waited_out(gateway, make):
    answered = threading.Event()

    def first(seen):
        answered.set()
        return make.reply(make.timer(state="armed"))(seen)

    gateway.answer("GET", PATH, first)
    result = []
    with Minoots(gateway.url) as client:
        waiter = threading.Thread(target=lambda: result.append(client.timers.wait("tmr_1", timeout=60)))
        waiter.start()
        assert answered.wait(20)
        gateway.stop()
        gateway.answer("GET", PATH, make.problem(503, "unavailable"), make.reply(make.timer(state="settled")))
        gateway.start()
        waiter.join(60)
    assert [timer.state for timer in result] == ["settled"]


def test_nobody_there_from_the_start_is_told_at_once(gateway):
    gateway.stop()
    with Minoots(gateway.url) as client, pytest.raises(minoots.ConnectionFailed):
        client.timers.wait("tmr_1", timeout=3600)


@pytest.mark.timeout(45)
def test_a_long_retry_after_does_not_outlast_the_timeout(gateway, make):
    busy = make.problem(429, "throttled", **{"retry-after": "50"})
    gateway.answer("GET", PATH, make.reply(make.timer()), busy)
    with Minoots(gateway.url) as client, pytest.raises(WaitTimeout):
        client.timers.wait("tmr_1", timeout=0.2)


async def test_many_async_waits_share_a_client(gateway, make):
    ids = [f"tmr_{number}" for number in range(8)]
    for timer_id in ids:
        gateway.answer(
            "GET",
            f"/v1/timers/{timer_id}",
            make.reply(make.timer(timer_id)),
            make.reply(make.timer(timer_id, "settled")),
        )
    async with minoots.AsyncMinoots(gateway.url) as client:
        found = await asyncio.gather(*(client.timers.wait(timer_id, timeout=60) for timer_id in ids))
    assert [timer.id for timer in found] == ids
