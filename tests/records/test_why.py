"""The plain account of a timer, in every state, late or not."""

from __future__ import annotations

import pytest
from ledger import URL, Ledger, seconds

from minoots.contracts import TimerState
from minoots_platform.records import commands

S = TimerState
NOON = "2027-03-01T12:00:00.000+00:00"
DUE = "2027-03-01T12:01:00.000+00:00"

SENTENCES: dict[TimerState, str] = {
    S.SCHEDULED: f"It is accepted and kept, but the engine has not been told yet. It is due at {DUE}.",
    S.ARMED: f"It is waiting. It will fire at {DUE}, in 1m.",
    S.PAUSED: f"It is paused. It was due at {DUE}; nothing happens until it is resumed.",
    S.FIRED: f"It fired at {DUE}, on time; its actions are being delivered now.",
    S.SETTLED: f"It fired at {DUE}, on time, and every action succeeded by {DUE}.",
    S.FAILED: (
        f"It fired at {DUE}, on time, but failed: could not deliver action 0. "
        "The dead letters (GET /v1/dead-letters) can be replayed."
    ),
    S.CANCELLED: f"It was cancelled at {NOON} by tester: cancelled on request.",
}


def test_there_is_a_sentence_for_every_state() -> None:
    assert SENTENCES.keys() == set(S)


@pytest.mark.parametrize("state", S)
async def test_the_sentence_of_each_state(ledger: Ledger, state: TimerState) -> None:
    timer = await ledger.in_state(state)
    account = await ledger.why(timer)
    assert (account.id, account.state, account.summary) == (timer.id, state, SENTENCES[state])
    assert account.late_because is None
    expected = timer.fire_at if state in (S.SCHEDULED, S.ARMED) else None
    assert account.next_at == expected
    assert account.history[0].what == f"accepted by tester, due {timer.fire_at.isoformat()}"


async def test_a_failing_receiver_is_named_with_the_next_attempt(ledger: Ledger) -> None:
    timer = await ledger.in_state(S.ARMED, actions=[{"url": URL}, {"url": f"{URL}/2"}])
    ledger.now = timer.fire_at
    first, second = await ledger.fire(timer)
    await ledger.record(ledger.failed(first, again_in=90), ledger.failed(second, again_in=30))
    account = await ledger.why(timer)
    assert account.next_at == ledger.now + seconds(30)
    assert account.summary == (
        f"It fired at {DUE}, on time, but {URL}/2 is failing (answered 500) after 1 attempt. "
        "The next attempt is at 2027-03-01T12:01:30.000+00:00."
    )
    retried = (
        f"action 1: attempt 1 failed (answered 500); next attempt at {(ledger.now + seconds(30)).isoformat()}"
    )
    assert account.history[-1].what == retried


async def test_cancelled_while_retrying_it_says_that_it_had_fired(ledger: Ledger) -> None:
    timer = await ledger.in_state(S.ARMED)
    ledger.now = timer.fire_at
    (claim,) = await ledger.fire(timer)
    await ledger.record(ledger.failed(claim, again_in=90))
    await ledger.cancel(timer, "enough")
    summary = (await ledger.why(timer)).summary
    assert summary == (
        f"It was cancelled at {DUE} by tester: enough. It had fired at {DUE}; its retries were stopped."
    )


async def test_skipped_it_says_by_how_much_it_was_late(ledger: Ledger) -> None:
    timer = await ledger.in_state(S.ARMED, misfire={"policy": "skip", "grace": "5s"})
    ledger.now = timer.fire_at
    ledger.pass_time(90)
    overdue = await ledger.why(timer)
    assert overdue.summary == (
        f"It is overdue: it was due at {DUE}; it will be skipped if it is more than 5s late."
    )
    await ledger.claim(await ledger.spec(timer))
    account = await ledger.why(timer)
    assert "by misfire: skipped: 90.0 s late, more than its grace." in account.summary
    assert account.history[-1].what == "skipped: 90.0 s late, more than its grace"


async def test_overdue_it_says_what_keeps_it(ledger: Ledger) -> None:
    unknown, known, paused = [await ledger.accept() for _ in range(3)]
    await ledger.arm(known)
    await ledger.change(paused, commands.Pause())
    ledger.now = known.fire_at
    ledger.pass_time(0.25)
    for timer in (unknown, known):
        assert (await ledger.why(timer)).late_because is None, "a quarter of a second is on time"
    ledger.pass_time(1.75)
    account = await ledger.why(known)
    assert (
        account.summary == f"It is overdue: it was due at {DUE}; it will fire as soon as a worker takes it."
    )
    assert account.late_by_ms == 2000
    reasons = {
        unknown.id: "the engine (Temporal) could not be told of it in time",
        known.id: "no worker was free to fire it at the due time",
        paused.id: "it is paused",
    }
    for timer in (unknown, known, paused):
        because = (await ledger.why(timer)).late_because
        assert because is not None
        assert because.startswith(reasons[timer.id])


@pytest.mark.parametrize("how", ["engine", "worker", "paused", "past"])
async def test_fired_late_it_says_why(ledger: Ledger, how: str) -> None:
    timer = await ledger.accept(-5 if how == "past" else 60)
    if how != "engine":
        await ledger.arm(timer)
    if how == "paused":
        timer = await ledger.change(timer, commands.Pause())
    if how != "past":
        ledger.pass_time(65)
    if how == "engine":
        await ledger.arm(timer)
    if how == "paused":
        await ledger.change(timer, commands.Resume())
    (claim,) = await ledger.fire(timer)
    await ledger.record(ledger.succeeded(claim))
    account = await ledger.why(timer)
    assert account.late_by_ms == 5000
    assert "5s late, and every action succeeded" in account.summary
    assert account.late_because is not None
    assert account.late_because.startswith(
        {
            "engine": "the engine (Temporal) could not be told",
            "worker": "no worker was free",
            "paused": "it was paused until 2027-03-01T12:01:05.000+00:00, past its due time",
            "past": "it was asked for with a due time in the past",
        }[how]
    )


async def test_the_history_tells_everything_in_order(ledger: Ledger) -> None:
    timer = await ledger.in_state(S.ARMED)
    ledger.pass_time(1)
    moved = await ledger.change(timer, commands.SnoozeBy(seconds(600)))
    await ledger.change(timer, commands.Reschedule(payload=1, labels={}))
    await ledger.change(timer, commands.Pause())
    await ledger.change(timer, commands.Resume())
    await ledger.change(timer, commands.FireNow())
    (claim,) = await ledger.fire(timer)
    await ledger.record(ledger.failed(claim))
    again = await ledger.replay(claim.delivery_id)
    await ledger.record(ledger.succeeded(again))
    history = (await ledger.why(timer)).history
    was, now = moved.fire_at.isoformat(), ledger.now.isoformat()
    assert [line.what for line in history] == [
        f"accepted by tester, due {timer.fire_at.isoformat()}",
        "armed: the engine holds it",
        f"moved by tester from {timer.fire_at.isoformat()} to {was}",
        "changed by tester: labels, payload",
        "paused by tester",
        "resumed by tester",
        f"asked by tester to fire now instead of at {was}",
        "fired, 0 ms after its due time",
        "action 0: given up after attempt 1 (answered 500)",
        "could not deliver action 0",
        f"action 0: replayed by tester as {again.delivery_id}",
        "action 0: attempt 1 succeeded with status 204",
        "settled",
    ]
    assert [line.at for line in history] == sorted(line.at for line in history)
    assert history[-1].at.isoformat() == now
