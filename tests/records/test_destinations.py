"""Destinations: limits, lines, circuits, and who goes when."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from ledger import URL, Ledger, seconds

from minoots.contracts import (
    AttemptError,
    DeliveryState,
    Destination,
    DestinationSave,
    DestinationState,
    Timer,
    TimerState,
)
from minoots.errors import Failure, FailureKind
from minoots_platform.records import deliveries, destination_commands, destinations, handovers, schema
from minoots_platform.records.admission import LOOK_AGAIN
from minoots_platform.records.attempts import Claim, Standing

FIFO = [{"url": URL, "fifo_key": "orders"}]
QUICK = {"minimum": 4, "failure_rate": 0.5, "window": "60s", "open_for": "10s"}


class House:
    """One tenant's destinations."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def save(self, url: str = URL, **settings: Any) -> Destination:
        """Keep the limits of a destination."""
        async with self.ledger.writing() as connection:
            wanted = DestinationSave.model_validate({"url": url, **settings})
            saved, _ = await destination_commands.save(
                connection, self.ledger.tenant, wanted, now=self.ledger.now, actor="tester"
            )
        return saved

    async def known(self, limit: int = 50) -> list[Destination]:
        """Every destination that has a row."""
        found: list[Destination] = []
        cursor = None
        while True:
            async with self.ledger.database.read() as connection:
                page = await destinations.page(connection, self.ledger.tenant, limit=limit, cursor=cursor)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def one(self) -> Destination:
        """The only one."""
        (found,) = await self.known()
        return found

    async def open(self, reason: str | None = None) -> Destination:
        """Open its circuit by hand."""
        async with self.ledger.writing() as connection:
            return await destination_commands.open_circuit(
                connection,
                self.ledger.tenant,
                (await self.one()).id,
                reason=reason,
                now=self.ledger.now,
                actor="tester",
            )

    async def close(self) -> tuple[Destination, tuple[str, ...]]:
        """Close its circuit by hand."""
        async with self.ledger.writing() as connection:
            return await destination_commands.close_circuit(
                connection, self.ledger.tenant, (await self.one()).id, now=self.ledger.now, actor="tester"
            )

    async def fire(self, **spec: Any) -> tuple[Timer, Claim | None]:
        """Fire a timer with one action; return the claim, if it may go."""
        timer = await self.ledger.accept(0, **spec)
        claims = await self.ledger.fire(timer)
        return timer, claims[0] if claims else None

    async def of(self, timer: Timer) -> sa.Row[Any]:
        """The row of its delivery."""
        async with self.ledger.database.read() as connection:
            (row,) = await deliveries.of_timer(connection, timer.id)
        return row

    async def ask(self, timer: Timer, *, when_planned: bool = False) -> Claim | Standing:
        """Ask again for the delivery of a timer: now, or at the time at which it would by itself."""
        row = await self.of(timer)
        return await self.ledger.attempt(row.id, row.planned_at if when_planned else self.ledger.now)

    async def told_to_ask(self) -> set[str]:
        """The timers whose deliveries somebody has to be told of."""
        async with self.ledger.database.read() as connection:
            found = await handovers.deliveries_behind(
                connection, before=self.ledger.now + seconds(1), limit=1000
            )
            rows = await connection.execute(
                sa.select(schema.deliveries.c.timer_id).where(
                    schema.deliveries.c.id.in_([one.delivery_id for one in found])
                )
            )
        return {row.timer_id for row in rows}

    async def fail(self, times: int, status: int = 503) -> None:
        """Let so many attempts fail, each of a timer of its own."""
        for _ in range(times):
            _, claim = await self.fire()
            assert claim is not None
            await self.ledger.record(self.ledger.failed(claim, status=status, again_in=3600))


@pytest.fixture
def house(ledger: Ledger) -> House:
    return House(ledger)


async def test_without_settings_nothing_is_kept_of_a_destination(house: House) -> None:
    timer, claim = await house.fire()
    assert claim is not None
    await house.ledger.record(house.ledger.succeeded(claim))
    assert await house.known() == []
    assert (await house.ledger.get(timer)).state is TimerState.SETTLED


async def test_settings_are_kept_replaced_and_told(house: House) -> None:
    first = await house.save(rate={"requests": 5, "per": "2s"}, concurrency=3)
    assert (first.state, first.concurrency) == (DestinationState.CLOSED, 3)
    assert first.rate is not None
    assert (first.rate.requests, first.rate.per) == (5, seconds(2))
    second = await house.save(circuit={"enabled": False})
    assert second.id == first.id
    assert (second.rate, second.concurrency, second.circuit.enabled) == (None, None, False)
    told = await house.ledger.events(types=("destination.saved",))
    assert [event.subject for event in told] == [first.id, first.id]
    assert told[0].data["rate"] == {"requests": 5, "per": "2s"}


async def test_a_rate_gives_every_delivery_its_own_moment(house: House) -> None:
    await house.save(rate={"requests": 2, "per": "10s"})
    start = house.ledger.now
    waits: list[datetime] = []
    for _ in range(6):
        timer, claim = await house.fire()
        if claim is None:
            row = await house.of(timer)
            assert (row.state, row.held_by) == ("waiting", "rate")
            waits.append(row.planned_at)
    assert waits == [start + seconds(count) for count in (10, 10, 20, 20)]
    assert (await house.one()).waiting == 4


async def test_a_delivery_goes_at_the_moment_that_the_rate_gave_it(house: House) -> None:
    await house.save(rate={"requests": 1, "per": "10s"})
    _, going = await house.fire()
    timer, claim = await house.fire()
    assert going is not None
    assert claim is None
    why = await house.ledger.why(timer)
    assert "the moment that its rate limit gives it" in why.summary
    assert why.next_at == house.ledger.now + seconds(10)
    house.ledger.pass_time(10)
    again = await house.ask(timer)
    assert isinstance(again, Claim)
    assert again.number == 1, "waiting is no attempt"
    assert again.planned_at == house.ledger.now
    await house.ledger.record(house.ledger.succeeded(again))
    assert (await house.ledger.get(timer)).state is TimerState.SETTLED
    assert (await house.ledger.told(timer))[1:] == [
        "timer.fired",
        "delivery.held",
        "delivery.succeeded",
        "timer.settled",
    ]


async def test_no_stretch_of_time_holds_more_requests_than_the_rate_allows(house: House) -> None:
    await house.save(rate={"requests": 3, "per": "1s"})
    moments: list[datetime] = []
    for number in range(40):
        house.ledger.pass_time([0, 0.05, 0.3, 0, 1.7][number % 5])
        timer, claim = await house.fire()
        moments.append(house.ledger.now if claim else (await house.of(timer)).planned_at)
    moments.sort()
    assert all(later - earlier >= seconds(1) for earlier, later in zip(moments, moments[3:], strict=False))


async def test_other_limits_give_other_moments(house: House) -> None:
    await house.save(rate={"requests": 1, "per": "1h"})
    timers = [(await house.fire())[0] for _ in range(4)]
    house.ledger.pass_time(1)
    await house.save(rate={"requests": 100, "per": "1s"})
    assert await house.told_to_ask() == {timer.id for timer in timers[1:]}
    for timer in timers[1:]:
        assert isinstance(await house.ask(timer), Claim)


async def test_no_more_are_under_way_than_allowed_and_the_first_goes_next(house: House) -> None:
    await house.save(concurrency=2)
    fired = []
    for _ in range(5):
        fired.append(await house.fire())
        house.ledger.pass_time(0.01)
    claims = [claim for _, claim in fired if claim is not None]
    assert claims == [fired[0][1], fired[1][1]]
    assert [(await house.of(timer)).held_by for timer, _ in fired[2:]] == ["queue"] * 3
    one = await house.one()
    assert (one.sending, one.waiting) == (2, 3)
    await house.ledger.record(house.ledger.succeeded(claims[0]))
    assert await house.told_to_ask() == {fired[2][0].id}
    _, newcomer = await house.fire()
    assert newcomer is None, "one that was there before goes first"
    assert isinstance(await house.ask(fired[2][0]), Claim)
    later = await house.ask(fired[3][0], when_planned=True)
    assert isinstance(later, Standing), "two are under way"


async def test_one_that_died_while_under_way_still_counts_until_somebody_took_it_over(house: House) -> None:
    await house.save(concurrency=1)
    timer, claim = await house.fire()
    _, other = await house.fire()
    assert other is None
    (taken_over,) = await house.ledger.fire(timer, execution=2)
    assert claim is not None
    assert taken_over.delivery_id == claim.delivery_id


async def test_one_fifo_key_goes_one_by_one_in_the_order_of_firing(house: House) -> None:
    fired = []
    for _ in range(4):
        fired.append(await house.fire(actions=FIFO))
        house.ledger.pass_time(0.01)
    other, free = await house.fire(actions=[{"url": URL, "fifo_key": "letters"}])
    elsewhere, also_free = await house.fire(actions=[{"url": URL + "/2", "fifo_key": "orders"}])
    assert free is not None
    assert also_free is not None
    order = [fired[0][0].id]
    claim = fired[0][1]
    assert claim is not None
    assert all(claim is None for _, claim in fired[1:])
    for _ in range(3):
        await house.ledger.record(house.ledger.succeeded(claim))
        (next_id,) = await house.told_to_ask()
        order.append(next_id)
        timer = next(timer for timer, _ in fired if timer.id == next_id)
        asked = await house.ask(timer)
        assert isinstance(asked, Claim)
        claim = asked
    assert order == [timer.id for timer, _ in fired]
    assert {other.id, elsewhere.id}.isdisjoint(order)


async def test_actions_of_one_timer_with_one_key_go_in_their_order(house: House) -> None:
    timer = await house.ledger.accept(0, actions=FIFO * 3)
    (first,) = await house.ledger.fire(timer)
    assert first.action == 0
    await house.ledger.record(house.ledger.succeeded(first))
    async with house.ledger.database.read() as connection:
        rows = await deliveries.of_timer(connection, timer.id)
    released = [row.action for row in rows if row.state == "waiting" and row.held_by is None]
    assert released == [1]


async def test_a_retry_holds_its_line_up_and_a_dead_letter_lets_it_go(house: House) -> None:
    _, claim = await house.fire(actions=FIFO)
    house.ledger.pass_time(0.01)
    second, _ = await house.fire(actions=FIFO)
    assert claim is not None
    await house.ledger.record(house.ledger.failed(claim, again_in=60))
    assert await house.told_to_ask() == set()
    assert isinstance(await house.ask(second, when_planned=True), Standing)
    house.ledger.pass_time(60)
    again = await house.ledger.attempt(claim.delivery_id, house.ledger.now)
    assert isinstance(again, Claim)
    await house.ledger.record(house.ledger.failed(again))
    assert await house.told_to_ask() == {second.id}
    assert isinstance(await house.ask(second), Claim)


async def test_a_cancelled_timer_makes_way(house: House) -> None:
    first, claim = await house.fire(actions=FIFO)
    house.ledger.pass_time(0.01)
    second, _ = await house.fire(actions=FIFO)
    house.ledger.pass_time(0.01)
    third, _ = await house.fire(actions=FIFO)
    assert claim is not None
    await house.ledger.record(house.ledger.failed(claim, again_in=60))
    cancelled = await house.ledger.cancel(first)
    assert cancelled.state is TimerState.CANCELLED
    assert await house.told_to_ask() == {second.id}
    await house.ledger.cancel(second)
    assert await house.told_to_ask() == {third.id}


async def test_nobody_is_told_twice_of_a_plan_that_has_moved(house: House) -> None:
    await house.save(concurrency=1)
    _, claim = await house.fire()
    timer, _ = await house.fire()
    assert claim is not None
    await house.ledger.record(house.ledger.succeeded(claim))
    async with house.ledger.database.read() as connection:
        due = await handovers.delivery(connection, (await house.of(timer)).id)
    assert due is not None
    assert not due.start, "its timer's workflow starts it"
    house.ledger.pass_time(1)
    await house.fire()
    await house.ask(timer)
    async with house.ledger.writing() as connection:
        await handovers.confirm_delivery(connection, due)
    assert (await house.of(timer)).state == "sending"


# Circuits.


async def test_a_circuit_opens_at_its_rate_and_not_before_its_minimum(house: House) -> None:
    await house.save(circuit=QUICK)
    await house.fail(3)
    assert (await house.one()).state is DestinationState.CLOSED
    await house.fail(1)
    one = await house.one()
    assert (one.state, one.trips) == (DestinationState.OPEN, 1)
    assert one.probe_at == house.ledger.now + seconds(10)
    assert one.reason == "4 of 4 attempts failed within 1m"
    (event,) = await house.ledger.events(types=("destination.opened",))
    assert event.data["trips"] == 1


async def test_successes_keep_a_circuit_closed(house: House) -> None:
    await house.save(circuit=QUICK)
    for _ in range(5):
        _, claim = await house.fire()
        assert claim is not None
        await house.ledger.record(house.ledger.succeeded(claim))
    await house.fail(4)
    assert (await house.one()).state is DestinationState.CLOSED
    await house.fail(1)
    assert (await house.one()).state is DestinationState.OPEN, "5 of 10"


async def test_the_window_rolls(house: House) -> None:
    await house.save(circuit=QUICK)
    await house.fail(3)
    house.ledger.pass_time(61)
    await house.fail(3)
    assert (await house.one()).state is DestinationState.CLOSED


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_what_a_receiver_dislikes_says_nothing_of_its_health(house: House, status: int) -> None:
    await house.save(circuit=QUICK)
    await house.fail(6, status=status)
    assert (await house.one()).state is DestinationState.CLOSED


async def test_without_any_settings_a_circuit_opens_too(house: House) -> None:
    await house.fail(9)
    assert await house.known() == []
    await house.fail(1)
    assert (await house.one()).state is DestinationState.OPEN


async def opened(house: House, waiting: int) -> list[Timer]:
    """Open a circuit; return timers that wait for it, in the order of firing."""
    await house.save(circuit=QUICK)
    await house.fail(4)
    timers = []
    for _ in range(waiting):
        timer, claim = await house.fire()
        assert claim is None
        timers.append(timer)
        house.ledger.pass_time(0.01)
    return timers


async def test_while_it_is_open_one_is_appointed_to_try_and_the_others_wait(house: House) -> None:
    timers = await opened(house, 3)
    one = await house.one()
    rows = [await house.of(timer) for timer in timers]
    assert [row.held_by for row in rows] == ["circuit"] * 3
    assert rows[0].planned_at == one.probe_at
    assert all(row.planned_at >= house.ledger.now + LOOK_AGAIN - seconds(1) for row in rows[1:])
    assert "its circuit, which is open" in (await house.ledger.why(timers[1])).summary


async def test_a_success_closes_it_and_the_others_go_by_and_by(house: House) -> None:
    timers = await opened(house, 30)
    house.ledger.pass_time(10)
    probe = await house.ask(timers[0])
    assert isinstance(probe, Claim)
    assert (await house.one()).state is DestinationState.HALF_OPEN
    assert isinstance(await house.ask(timers[1]), Standing), "one tries at a time"
    await house.ledger.record(house.ledger.succeeded(probe))
    one = await house.one()
    assert (one.state, one.trips, one.reason) == (DestinationState.CLOSED, 0, None)
    released = await house.told_to_ask()
    assert released == {timer.id for timer in timers[1:13]}, "ten, and two for a success"
    claim = await house.ask(timers[1])
    assert isinstance(claim, Claim)
    await house.ledger.record(house.ledger.succeeded(claim))
    assert len(await house.told_to_ask() - released) == 2
    (closed,) = await house.ledger.events(types=("destination.closed",))
    assert closed.data == {"url": URL, "by": "probe"}


async def test_what_failed_before_it_closed_is_forgiven(house: House) -> None:
    timers = await opened(house, 1)
    house.ledger.pass_time(10)
    probe = await house.ask(timers[0])
    assert isinstance(probe, Claim)
    await house.ledger.record(house.ledger.succeeded(probe))
    await house.fail(2)
    assert (await house.one()).state is DestinationState.CLOSED, "2 of 3; it would be 6 of 7"


async def test_a_failure_opens_it_for_twice_as_long_and_appoints_the_next(house: House) -> None:
    timers = await opened(house, 2)
    for trips, wait in ((2, 20), (3, 40)):
        house.ledger.now = (await house.of(timers[trips - 2])).planned_at
        probe = await house.ask(timers[trips - 2])
        assert isinstance(probe, Claim)
        await house.ledger.record(house.ledger.failed(probe, status=500, again_in=7200))
        one = await house.one()
        assert (one.state, one.trips) == (DestinationState.OPEN, trips)
        assert one.probe_at == house.ledger.now + seconds(wait)
    assert one.reason == "it is still failing: answered 500"


async def test_a_probe_that_is_lost_is_not_waited_for_for_ever(house: House) -> None:
    timers = await opened(house, 2)
    house.ledger.pass_time(10)
    assert isinstance(await house.ask(timers[0]), Claim)
    assert isinstance(await house.ask(timers[1], when_planned=True), Claim)


async def test_a_circuit_that_opens_again_and_again_is_disabled(house: House) -> None:
    await house.save(circuit={**QUICK, "disable_after": 2})
    await house.fail(4)
    timers = [(await house.fire())[0] for _ in range(3)]
    house.ledger.pass_time(10)
    probe = await house.ask(timers[0])
    assert isinstance(probe, Claim)
    await house.ledger.record(house.ledger.failed(probe, again_in=60))
    one = await house.one()
    assert (one.state, one.probe_at, one.trips) == (DestinationState.DISABLED, None, 2)
    (event,) = await house.ledger.events(types=("destination.disabled",))
    assert event.data["reason"] == (
        "its circuit opened 2 times in a row, at last because it is still failing: answered 500"
    )
    assert await house.told_to_ask() == {timer.id for timer in timers[1:]}
    refused = await house.ask(timers[1])
    assert isinstance(refused, Claim)
    assert refused.refusal is not None
    assert refused.refusal.error is AttemptError.DISABLED
    outcome = house.ledger.failed(refused, status=None, error=AttemptError.DISABLED)
    await house.ledger.record(outcome)
    assert (await house.ledger.get(timers[1])).state is TimerState.FAILED
    closed, _ = await house.close()
    assert (closed.state, closed.trips) == (DestinationState.CLOSED, 0)
    again = await house.ledger.replay(refused.delivery_id)
    assert again.refusal is None


async def test_a_replay_goes_to_a_disabled_destination_and_closes_it(house: House) -> None:
    await house.save(circuit={**QUICK, "disable_after": 1})
    (dead,) = await house.ledger.dead()
    await house.fail(3)
    assert (await house.one()).state is DestinationState.DISABLED
    again = await house.ledger.replay(dead.delivery_id)
    assert again.refusal is None
    await house.ledger.record(house.ledger.succeeded(again))
    assert (await house.one()).state is DestinationState.CLOSED


async def test_by_hand_it_stays_open_until_it_is_closed_by_hand(house: House) -> None:
    await house.save()
    one = await house.open("maintenance")
    assert (one.state, one.reason, one.probe_at) == (DestinationState.OPEN, "maintenance", None)
    with pytest.raises(Failure, match="open already") as caught:
        await house.open()
    assert caught.value.kind is FailureKind.CONFLICT
    timer, claim = await house.fire()
    assert claim is None
    house.ledger.pass_time(86_400)
    assert isinstance(await house.ask(timer, when_planned=True), Standing)
    closed, released = await house.close()
    assert closed.state is DestinationState.CLOSED
    assert released == ((await house.of(timer)).id,)
    assert isinstance(await house.ask(timer), Claim)
    with pytest.raises(Failure, match="closed already"):
        await house.close()


async def test_a_destination_of_another_tenant_does_not_exist(house: House) -> None:
    await house.save()
    other = House(house.ledger.of("globex"))
    assert await other.known() == []
    one = await house.one()
    async with other.ledger.writing() as connection:
        with pytest.raises(Failure, match="there is no destination") as caught:
            await destination_commands.close_circuit(
                connection, "globex", one.id, now=other.ledger.now, actor="tester"
            )
    assert caught.value.kind is FailureKind.NOT_FOUND


async def test_pages_hold_every_destination_once_the_last_changed_first(house: House) -> None:
    for number in range(7):
        house.ledger.pass_time(number % 2)
        await house.save(f"{URL}/{number}")
    found = await house.known(limit=2)
    assert len({one.id for one in found}) == 7
    assert found == sorted(found, key=lambda one: (one.changed_at, one.id), reverse=True)


async def test_the_longest_url_is_told_from_one_that_differs_at_its_end(house: House) -> None:
    stem = URL + "/" + "x" * (2047 - len(URL) - 1)
    await house.save(stem + "1", concurrency=1)
    await house.save(stem + "2", concurrency=1)
    assert len(await house.known()) == 2


async def test_a_cancelled_delivery_gives_its_moment_to_the_next(house: House) -> None:
    await house.save(rate={"requests": 1, "per": "1h"})
    timers = [(await house.fire())[0] for _ in range(5)]
    for timer in timers[1:]:
        await house.ledger.cancel(timer)
    for hours in (1, 2):
        timer, claim = await house.fire()
        assert claim is None
        assert (await house.of(timer)).planned_at == house.ledger.now + seconds(hours * 3600)


async def test_those_that_begin_late_put_off_those_behind_them(house: House) -> None:
    await house.save(rate={"requests": 1, "per": "10s"})
    _, first = await house.fire()
    second, _ = await house.fire()
    assert first is not None
    house.ledger.pass_time(4)
    await house.ledger.record(house.ledger.succeeded(first))
    house.ledger.pass_time(6)
    assert isinstance(await house.ask(second), Standing), (
        "ten seconds after it was planned, six after it began"
    )
    row = await house.of(second)
    assert (row.held_by, row.planned_at) == ("rate", house.ledger.now + seconds(4))
    house.ledger.pass_time(4)
    assert isinstance(await house.ask(second), Claim)


async def test_a_policy_that_is_saved_counts_at_once(house: House) -> None:
    timers = await opened(house, 2)
    await house.save(circuit={**QUICK, "open_for": "2s"})
    assert (await house.of(timers[0])).planned_at <= house.ledger.now + seconds(2)
    await house.save(circuit={"enabled": False})
    assert (await house.one()).state is DestinationState.CLOSED
    assert await house.told_to_ask() == {timer.id for timer in timers}


async def test_one_that_is_opened_by_hand_is_not_closed_by_another_policy(house: House) -> None:
    await house.save()
    await house.open()
    await house.save(circuit={"enabled": False})
    assert (await house.one()).state is DestinationState.OPEN


@pytest.mark.parametrize("error", [AttemptError.SECRET, AttemptError.REFUSED, AttemptError.BLOCKED])
async def test_a_probe_that_asked_nobody_lets_another_try(house: House, error: AttemptError) -> None:
    timers = await opened(house, 2)
    house.ledger.pass_time(10)
    probe = await house.ask(timers[0])
    assert isinstance(probe, Claim)
    await house.ledger.record(house.ledger.failed(probe, status=None, error=error))
    one = await house.one()
    assert (one.state, one.trips) == (DestinationState.OPEN, 1)
    assert await house.told_to_ask() == {timers[1].id}
    assert isinstance(await house.ask(timers[1]), Claim)


async def test_what_is_forgotten_holds_nobody_back(house: House) -> None:
    timers = await opened(house, 3)
    async with house.ledger.writing() as connection:
        one = await house.one()
        released = await destination_commands.remove(
            connection, house.ledger.tenant, one.id, now=house.ledger.now, actor="tester"
        )
    assert len(released) == 3
    assert await house.known() == []
    for timer in timers:
        assert isinstance(await house.ask(timer), Claim)


async def test_spellings_of_one_address_are_one_destination(house: House) -> None:
    await house.save("HTTPS://Receiver.Example:443/hook", concurrency=1)
    assert (await house.fire())[1] is not None
    assert (await house.fire())[1] is None
    assert (await house.fire(actions=[{"url": URL + "?a=1"}]))[1] is not None


async def test_deliveries_at_once_never_exceed_the_concurrency(busy_ledger: Ledger) -> None:
    house = House(busy_ledger)
    await house.save(concurrency=3)
    timers = [await busy_ledger.accept(0) for _ in range(24)]
    claims = await asyncio.gather(*(busy_ledger.fire(timer) for timer in timers))
    assert sum(map(len, claims)) == 3
    left = [claim for claim, *_ in filter(None, claims)]
    done = 0
    while left:
        assert (await house.one()).sending <= 3
        await asyncio.gather(*(busy_ledger.record(busy_ledger.succeeded(claim)) for claim in left))
        done += len(left)
        ids = await house.told_to_ask()
        asked = await asyncio.gather(*(house.ask(timer) for timer in timers if timer.id in ids))
        left = [one for one in asked if isinstance(one, Claim)]
    assert done == 24, "nobody was forgotten"


async def test_a_line_is_kept_when_everything_happens_at_once(busy_ledger: Ledger) -> None:
    house = House(busy_ledger)
    timers = [await busy_ledger.accept(0, actions=FIFO) for _ in range(12)]
    claims = await asyncio.gather(*(busy_ledger.fire(timer) for timer in timers))
    (going,) = [claim for found in claims for claim in found]
    done = 0
    while True:
        await busy_ledger.record(busy_ledger.succeeded(going))
        done += 1
        ids = await house.told_to_ask()
        if not ids:
            break
        asked = await asyncio.gather(*(house.ask(timer) for timer in timers if timer.id in ids))
        (going,) = [one for one in asked if isinstance(one, Claim)]
    assert done == 12


async def test_probes_asked_for_at_once_are_one(busy_ledger: Ledger) -> None:
    house = House(busy_ledger)
    timers = await opened(house, 8)
    busy_ledger.pass_time(10)
    asked = await asyncio.gather(*(house.ask(timer) for timer in timers))
    assert sum(isinstance(one, Claim) for one in asked) == 1
    assert {one.state for one in asked if isinstance(one, Standing)} == {DeliveryState.WAITING}
