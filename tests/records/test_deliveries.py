"""What came of attempts, and what that means for their timer."""

from __future__ import annotations

import asyncio

import pytest
from ledger import URL, Ledger, seconds

from minoots.contracts import AttemptError, DeliveryState, DestinationState, TimerState
from minoots.errors import Failure, FailureKind
from minoots_platform.records import attempts, deliveries, destinations
from minoots_platform.records.attempts import Claim, Standing

TWO = [{"url": URL}, {"url": f"{URL}/2"}]
ROUNDS = 15


async def close(ledger: Ledger, delivery_id: str) -> None:
    """Somebody cancelled the delivery's workflow."""
    async with ledger.writing() as connection:
        await deliveries.close(connection, ledger.tenant, delivery_id, by="temporal", now=ledger.now)


async def gone(ledger: Ledger, *urls: str) -> set[str]:
    """Those of ``urls`` that are marked gone."""
    async with ledger.database.read() as connection:
        page = await destinations.page(connection, ledger.tenant, limit=100, cursor=None)
    return {one.url for one in page.items if one.state is DestinationState.GONE} & set(urls)


async def test_a_timer_settles_when_every_action_succeeded(ledger: Ledger) -> None:
    timer = await ledger.accept(actions=TWO)
    first, second = await ledger.fire(timer)
    await ledger.record(ledger.succeeded(first))
    assert (await ledger.get(timer)).state is TimerState.FIRED
    ledger.pass_time(1)
    await ledger.record(ledger.succeeded(second))
    settled = await ledger.get(timer)
    assert (settled.state, settled.settled_at, settled.state_reason) == (
        TimerState.SETTLED,
        ledger.now,
        None,
    )
    assert (await ledger.told(timer))[1:] == [
        "timer.fired",
        "delivery.succeeded",
        "delivery.succeeded",
        "timer.settled",
    ]


async def test_attempts_are_kept_as_they_went(ledger: Ledger) -> None:
    timer = await ledger.accept(5)
    ledger.now = timer.fire_at
    (claim,) = await ledger.fire(timer)
    standing = (await ledger.record(ledger.failed(claim, status=503, again_in=10)))[claim.delivery_id]
    assert standing == Standing(DeliveryState.RETRYING, ledger.now + seconds(10))
    ledger.pass_time(10)
    again = await ledger.attempt(claim.delivery_id, ledger.now)
    assert isinstance(again, Claim)
    assert (again.number, again.webhook_id) == (2, claim.webhook_id)
    await ledger.record(ledger.succeeded(again))
    async with ledger.database.read() as connection:
        first, second = await attempts.of_timer(connection, ledger.tenant, timer.id)
    assert (first.number, first.status, first.succeeded, first.error) == (1, 503, False, AttemptError.STATUS)
    assert (first.planned_at, first.next_attempt_at) == (timer.fire_at, again.planned_at)
    assert (first.latency_ms, first.detail, first.response) == (20, "answered 503", "body")
    assert (second.number, second.status, second.succeeded, second.error) == (2, 204, True, None)
    assert second.next_attempt_at is None


@pytest.mark.parametrize(
    ("outcomes", "state", "reason"),
    [
        ("ss", TimerState.SETTLED, None),
        ("sd", TimerState.FAILED, "could not deliver action 1"),
        ("ds", TimerState.FAILED, "could not deliver action 0"),
        ("dd", TimerState.FAILED, "could not deliver actions 0, 1"),
        ("sr", TimerState.FIRED, None),
        ("dr", TimerState.FIRED, None),
        ("rr", TimerState.FIRED, None),
    ],
)
async def test_what_several_actions_mean_for_the_timer(
    ledger: Ledger, outcomes: str, state: TimerState, reason: str | None
) -> None:
    timer = await ledger.accept(actions=TWO)
    claims = await ledger.fire(timer)
    kinds = {
        "s": ledger.succeeded,
        "d": ledger.failed,
        "r": lambda claim: ledger.failed(claim, again_in=9),
    }
    await ledger.record(*(kinds[kind](claim) for kind, claim in zip(outcomes, claims, strict=True)))
    after = await ledger.get(timer)
    assert (after.state, after.state_reason) == (state, reason)
    names = {"s": "delivery.succeeded", "d": "delivery.died", "r": "delivery.retried"}
    ends = {TimerState.SETTLED: ["timer.settled"], TimerState.FAILED: ["timer.failed"]}.get(state, [])
    assert (await ledger.told(timer))[2:] == [*(names[kind] for kind in outcomes), *ends]


async def test_a_timer_fails_only_when_the_last_retry_is_over(ledger: Ledger) -> None:
    timer = await ledger.accept(actions=TWO)
    first, second = await ledger.fire(timer)
    await ledger.record(ledger.failed(first), ledger.failed(second, again_in=5))
    ledger.pass_time(5)
    again = await ledger.attempt(second.delivery_id, ledger.now)
    assert isinstance(again, Claim)
    assert (await ledger.get(timer)).state is TimerState.FIRED
    await ledger.record(ledger.succeeded(again))
    assert (await ledger.get(timer)).state_reason == "could not deliver action 0"
    assert (await ledger.told(timer)).count("timer.failed") == 1


async def test_the_outcome_of_a_claim_that_was_taken_over_is_dropped(ledger: Ledger) -> None:
    timer = await ledger.accept()
    (old,) = await ledger.fire(timer, execution=1)
    (new,) = await ledger.fire(timer, execution=2)
    events = await ledger.events()
    standings = await ledger.record(ledger.failed(old))
    assert standings == {old.delivery_id: Standing(DeliveryState.SENDING, timer.fire_at)}
    assert await ledger.events() == events
    assert (await ledger.get(timer)).state is TimerState.FIRED
    await ledger.record(ledger.succeeded(new))
    standings = await ledger.record(ledger.failed(old), ledger.failed(new))
    assert standings[old.delivery_id].state is DeliveryState.SUCCEEDED
    assert (await ledger.get(timer)).state is TimerState.SETTLED
    async with ledger.database.read() as connection:
        assert len(await attempts.of_timer(connection, ledger.tenant, timer.id)) == 1


async def test_one_outcome_is_recorded_once(ledger: Ledger) -> None:
    timer = await ledger.accept()
    (claim,) = await ledger.fire(timer)
    outcome = ledger.failed(claim, again_in=5)
    assert await ledger.record(outcome) == await ledger.record(outcome)
    assert (await ledger.told(timer)).count("delivery.retried") == 1


async def test_an_attempt_whose_answer_got_lost_is_not_made_again(ledger: Ledger) -> None:
    timer = await ledger.accept()
    (claim,) = await ledger.fire(timer)
    planned = ledger.now + seconds(5)
    await ledger.record(ledger.failed(claim, again_in=5))
    ledger.now = planned
    second = await ledger.attempt(claim.delivery_id, planned)
    assert isinstance(second, Claim)
    await ledger.record(ledger.failed(second, again_in=30))
    standing = await ledger.attempt(claim.delivery_id, planned, execution=2)
    assert standing == Standing(DeliveryState.RETRYING, planned + seconds(30))
    assert await ledger.states(timer) == [DeliveryState.RETRYING], "nothing was claimed"


async def test_an_attempt_is_taken_over_by_a_later_execution_only(ledger: Ledger) -> None:
    timer = await ledger.accept()
    (claim,) = await ledger.fire(timer, execution=7)
    await ledger.record(ledger.failed(claim, again_in=5))
    planned = ledger.pass_time(5)
    first = await ledger.attempt(claim.delivery_id, planned, execution=1)
    assert isinstance(first, Claim), "executions are counted anew for every attempt"
    third = await ledger.attempt(claim.delivery_id, planned, execution=3)
    assert isinstance(third, Claim)
    assert (third.number, third.execution) == (2, 3)
    frozen = await ledger.attempt(claim.delivery_id, planned, execution=2)
    assert frozen == Standing(DeliveryState.SENDING, planned)
    assert (await ledger.record(ledger.failed(first)))[claim.delivery_id].state is DeliveryState.SENDING
    assert (await ledger.record(ledger.succeeded(third)))[claim.delivery_id].state is DeliveryState.SUCCEEDED


@pytest.mark.parametrize("end", ["succeeded", "dead", "cancelled"])
async def test_a_delivery_that_is_over_is_not_attempted(ledger: Ledger, end: str) -> None:
    timer = await ledger.accept()
    (claim,) = await ledger.fire(timer)
    if end == "cancelled":
        await close(ledger, claim.delivery_id)
    else:
        await ledger.record(ledger.succeeded(claim) if end == "succeeded" else ledger.failed(claim))
    standing = await ledger.attempt(claim.delivery_id, ledger.now + seconds(1))
    assert isinstance(standing, Standing)
    assert standing.state == end


async def test_410_marks_the_receiver_gone_once(ledger: Ledger) -> None:
    first, second = [await ledger.fire(await ledger.accept()) for _ in range(2)]
    for (claim,) in (first, second):
        await ledger.record(ledger.failed(claim, status=410, error=AttemptError.GONE))
    assert await gone(ledger, URL, "https://other.example/") == {URL}
    assert await gone(ledger.of("globex"), URL) == set()
    (event,) = await ledger.events(types=("destination.gone",))
    assert event.data == {"url": URL, "status": 410}
    assert event.subject.startswith("dst_")


async def test_a_receiver_that_was_not_asked_again_is_not_marked_again(ledger: Ledger) -> None:
    (claim,) = await ledger.fire(await ledger.accept())
    await ledger.record(ledger.failed(claim, status=None, error=AttemptError.GONE))
    assert await gone(ledger, URL) == set()


async def test_a_replay_that_succeeds_settles_the_timer_and_closes_the_circuit(ledger: Ledger) -> None:
    timer = await ledger.accept()
    (claim,) = await ledger.fire(timer)
    await ledger.record(ledger.failed(claim, status=410, error=AttemptError.GONE))
    assert (await ledger.get(timer)).state is TimerState.FAILED
    ledger.pass_time(60)
    again = await ledger.replay(claim.delivery_id)
    assert again.webhook_id == claim.webhook_id
    await ledger.record(ledger.succeeded(again))
    settled = await ledger.get(timer)
    assert (settled.state, settled.settled_at, settled.state_reason) == (
        TimerState.SETTLED,
        ledger.now,
        None,
    )
    assert await gone(ledger, URL) == set()
    assert [event.type for event in await ledger.events()][-4:] == [
        "delivery.replayed",
        "delivery.succeeded",
        "destination.closed",
        "timer.settled",
    ]


async def test_a_replay_of_one_action_of_two_lost_ones_does_not_settle(ledger: Ledger) -> None:
    timer = await ledger.accept(actions=TWO)
    claims = await ledger.fire(timer)
    await ledger.record(*map(ledger.failed, claims))
    await ledger.record(ledger.succeeded(await ledger.replay(claims[0].delivery_id)))
    assert (await ledger.get(timer)).state is TimerState.FAILED
    await ledger.record(ledger.succeeded(await ledger.replay(claims[1].delivery_id)))
    assert (await ledger.get(timer)).state is TimerState.SETTLED


async def test_a_replay_that_dies_leaves_the_timer_failed_and_is_a_dead_letter(ledger: Ledger) -> None:
    (claim,) = await ledger.dead()
    again = await ledger.replay(claim.delivery_id)
    await ledger.record(ledger.failed(again))
    letters = {letter.id: letter for letter in (await ledger.dead_letters()).items}
    assert letters.keys() == {claim.delivery_id, again.delivery_id}
    assert letters[again.delivery_id].replay_of == claim.delivery_id
    assert len(await ledger.events(types=("timer.failed",))) == 1


async def test_cancelling_a_fired_timer_stops_its_retries(ledger: Ledger) -> None:
    timer = await ledger.accept(actions=TWO)
    first, second = await ledger.fire(timer)
    await ledger.record(ledger.succeeded(first), ledger.failed(second, again_in=60))
    cancelled = await ledger.cancel(timer, "enough")
    assert (cancelled.state, cancelled.state_reason) == (TimerState.CANCELLED, "enough")
    assert await ledger.states(timer) == [DeliveryState.SUCCEEDED, DeliveryState.CANCELLED]
    standing = await ledger.attempt(second.delivery_id, ledger.now + seconds(60))
    assert isinstance(standing, Standing)
    assert standing.state is DeliveryState.CANCELLED
    outstanding = await ledger.outstanding(timer)
    assert outstanding is not None
    assert outstanding.command == "cancel", "the workflow is still to be told"


async def test_a_timer_that_is_sending_cannot_be_cancelled(ledger: Ledger) -> None:
    timer = await ledger.accept(actions=TWO)
    first, _ = await ledger.fire(timer)
    await ledger.record(ledger.failed(first, again_in=60))
    with pytest.raises(Failure, match="its actions are being delivered") as caught:
        await ledger.cancel(timer)
    assert caught.value.kind is FailureKind.CONFLICT
    assert await ledger.states(timer) == [DeliveryState.RETRYING, DeliveryState.SENDING]


async def test_giving_up_a_delivery_on_request_fails_its_timer(ledger: Ledger) -> None:
    timer = await ledger.accept()
    (claim,) = await ledger.fire(timer)
    await ledger.record(ledger.failed(claim, again_in=60))
    await close(ledger.of("globex"), claim.delivery_id)
    assert await ledger.states(timer) == [DeliveryState.RETRYING], "not another tenant's to give up"
    await close(ledger, claim.delivery_id)
    assert await ledger.states(timer) == [DeliveryState.CANCELLED]
    assert (await ledger.get(timer)).state is TimerState.FAILED
    events = await ledger.events()
    await close(ledger, claim.delivery_id)
    assert await ledger.events() == events
    assert (await ledger.dead_letters()).items == ()


async def test_receivers_that_go_at_once_are_marked_once(busy_ledger: Ledger) -> None:
    ledger = busy_ledger
    for number in range(4):
        url = f"{URL}/{number}"
        claims = [(await ledger.fire(await ledger.accept(actions=[{"url": url}])))[0] for _ in range(8)]
        await asyncio.gather(
            *(ledger.record(ledger.failed(one, status=410, error=AttemptError.GONE)) for one in claims)
        )
    assert len(await ledger.events(types=("destination.gone",))) == 4
    assert len(await ledger.events(types=("timer.failed",))) == 32


async def test_of_cancel_and_the_next_attempt_at_once_exactly_one_holds(busy_ledger: Ledger) -> None:
    ledger = busy_ledger
    for number in range(ROUNDS):
        timer = await ledger.accept()
        (claim,) = await ledger.fire(timer)
        await ledger.record(ledger.failed(claim, status=400, again_in=0))
        both = [ledger.cancel(timer), ledger.attempt(claim.delivery_id, ledger.now)]
        results = await asyncio.gather(*(both if number % 2 else reversed(both)), return_exceptions=True)
        refused = [one for one in results if isinstance(one, Failure)]
        claims = [one for one in results if isinstance(one, Claim)]
        assert len(refused) == len(claims), results
        state = DeliveryState.SENDING if claims else DeliveryState.CANCELLED
        assert await ledger.states(timer) == [state]


async def test_cancel_and_replay_at_once_do_not_wait_for_each_other(busy_ledger: Ledger) -> None:
    ledger = busy_ledger
    for number in range(ROUNDS):
        timer = await ledger.accept(actions=TWO)
        lost, kept = await ledger.fire(timer)
        await ledger.record(ledger.failed(lost, status=400), ledger.failed(kept, status=400, again_in=60))
        both = [ledger.cancel(timer), ledger.replay(lost.delivery_id)]
        await asyncio.gather(*(both if number % 2 else reversed(both)))
        assert (await ledger.get(timer)).state is TimerState.CANCELLED
        assert sorted(await ledger.states(timer)) == ["cancelled", "dead", "sending"]
