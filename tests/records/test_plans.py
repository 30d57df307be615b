"""Plans in the records: every node once, whatever ends, races, is late, is moved or called off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from ledger import START, URL, Ledger, seconds

from minoots.contracts import NodeState, Plan, PlanCreate, PlanPatch, PlanState, TimerState
from minoots.errors import Failure, FailureKind
from minoots_platform.records import (
    attempts,
    commands,
    firing,
    looks,
    plan_progress,
    plan_reading,
    plans,
    schema,
    timers,
)
from minoots_platform.records.plan_progress import Advanced


def node(name: str, *after: str, payload: Any = None, **more: Any) -> dict[str, Any]:
    timer = {"actions": [{"url": URL}], "payload": payload}
    return {"id": name, "after": list(after), "timer": timer, **more}


class Book:
    """The plans of one tenant, one transaction a call."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def make(self, *nodes: dict[str, Any], **fields: Any) -> Plan:
        """Make a plan."""
        spec = PlanCreate.model_validate({"name": "release", "nodes": nodes, **fields})
        async with self.ledger.writing() as connection:
            return await plans.accept(
                connection, self.ledger.tenant, spec, now=self.ledger.now, actor="tester", traceparent=None
            )

    async def get(self, plan: Plan) -> Plan:
        """A plan as it stands."""
        async with self.ledger.database.read() as connection:
            return await plan_reading.get(connection, self.ledger.tenant, plan.id)

    async def run(self, command: Any, plan: Plan, *arguments: Any, if_generation: int | None = None) -> Plan:
        """Run a command on a plan."""
        async with self.ledger.writing() as connection:
            changed: Plan = await command(
                connection,
                self.ledger.tenant,
                plan.id,
                *arguments,
                now=self.ledger.now,
                actor="tester",
                if_generation=if_generation,
            )
        return changed

    async def change(self, plan: Plan, if_generation: int | None = None, **patch: Any) -> Plan:
        """Adjust a plan."""
        wanted = PlanPatch.model_validate(patch)
        return await self.run(plans.update, plan, wanted, if_generation=if_generation)

    async def advance(self, plan: Plan) -> Advanced:
        """Look at a plan."""
        async with self.ledger.writing() as connection:
            return await plan_progress.advance(connection, self.ledger.tenant, plan.id, now=self.ledger.now)

    async def fire(self, plan: Plan, name: str) -> tuple[attempts.Claim, ...]:
        """Take the timer of a node for sending, at its time."""
        timer = await self.timer(plan, name)
        self.ledger.now = max(self.ledger.now, timer.fire_at)
        return await self.ledger.fire(timer)

    async def end(self, plan: Plan, name: str, *, ok: bool = True, response: str = "body") -> Advanced:
        """Let the timer of a node fire and end, and look at the plan."""
        claims = await self.fire(plan, name)
        make = self.ledger.succeeded if ok else self.ledger.failed
        outcomes = [make(claim) for claim in claims]
        await self.ledger.record(
            *(attempts.Outcome(**{**vars(one), "response": response}) for one in outcomes)
        )
        return await self.advance(plan)

    async def timer(self, plan: Plan, name: str) -> Any:
        """The timer of a node."""
        timer_id = of(await self.get(plan), name).timer_id
        assert timer_id is not None
        async with self.ledger.database.read() as connection:
            return await timers.get(connection, self.ledger.tenant, timer_id)


def of(plan: Plan, name: str) -> Any:
    """A node of a plan."""
    return next(one for one in plan.nodes if one.id == name)


def states(plan: Plan) -> dict[str, str]:
    """How the nodes of a plan stand."""
    return {one.id: one.state.value for one in plan.nodes}


@pytest.fixture
def book(ledger: Ledger) -> Book:
    """Fresh records, on SQLite and on Postgres."""
    return Book(ledger)


async def test_nodes_without_predecessors_begin_with_the_plan(book: Book) -> None:
    plan = await book.make(node("a"), node("b", delay="10s"), node("c", "a", at="2027-03-01T13:00:00Z"))
    assert states(plan) == {"a": "running", "b": "running", "c": "waiting"}
    assert of(plan, "b").due_at == START + seconds(10)
    timer = await book.timer(plan, "a")
    assert timer.plan is not None
    assert (timer.plan.plan_id, timer.plan.node, timer.name) == (plan.id, "a", "release/a")
    assert (await book.ledger.outstanding(timer)) is not None, "its hand-over is not forgotten"


async def test_a_node_begins_when_the_one_before_it_has_succeeded_not_when_it_fired(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a", delay="5s"))
    claims = await book.fire(plan, "a")
    await book.advance(plan)
    assert states(await book.get(plan))["b"] == "waiting", "a has fired, and is not done"
    await book.ledger.record(*[book.ledger.failed(claim, again_in=30) for claim in claims])
    await book.advance(plan)
    assert states(await book.get(plan))["b"] == "waiting", "a is tried again"
    book.ledger.pass_time(30)
    claim = await book.ledger.attempt(claims[0].delivery_id, book.ledger.now)
    assert isinstance(claim, attempts.Claim)
    await book.ledger.record(book.ledger.succeeded(claim))
    await book.advance(plan)
    found = await book.get(plan)
    assert states(found) == {"a": "succeeded", "b": "running"}
    assert of(found, "b").due_at == START + seconds(35), "the delay counts from the success"


async def test_a_node_of_before_it_was_kept_who_added_it_is_the_plans(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a"))
    async with book.ledger.writing() as connection:
        await connection.execute(sa.update(schema.plan_nodes).values(created_by=None))
    await book.end(plan, "a")
    assert (await book.timer(plan, "b")).created_by == "tester"


async def test_a_plan_settles_after_its_last_node(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a"))
    assert not (await book.end(plan, "a")).over
    assert (await book.end(plan, "b")).over
    found = await book.get(plan)
    assert (found.state, found.ended_at) == (PlanState.SETTLED, START)
    assert found.counts == {NodeState.SUCCEEDED: 2}
    told = [(event.type, event.data.get("node")) for event in await book.ledger.events(subject=plan.id)]
    assert told == [
        ("plan.created", None),
        ("node.begun", "a"),
        ("node.succeeded", "a"),
        ("node.begun", "b"),
        ("node.succeeded", "b"),
        ("plan.settled", None),
    ]


async def test_a_failure_that_nobody_answers_fails_the_plan(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a"), node("c", "b"))
    assert (await book.end(plan, "a", ok=False)).over
    found = await book.get(plan)
    assert found.state is PlanState.FAILED
    assert found.state_reason == "no node answers to the failure of a"
    assert states(found) == {"a": "failed", "b": "skipped", "c": "skipped"}


async def test_a_failure_that_is_answered_settles_the_plan(book: Book) -> None:
    plan = await book.make(node("a"), node("undo", "a", when="failed"), node("next", "a"))
    await book.end(plan, "a", ok=False)
    assert (await book.end(plan, "undo")).over
    found = await book.get(plan)
    assert (found.state, states(found)["next"]) == (PlanState.SETTLED, "skipped")


async def test_what_came_of_a_node_is_seen_by_later_ones(book: Book) -> None:
    plan = await book.make(
        node("build", payload={"branch": {"$cel": "payload.branch"}}),
        node("deploy", "build", payload={"id": {"$cel": "nodes.build.response.id"}}),
        node("loud", "build", when="nodes.build.response.id > 10 && labels.env == 'prod'"),
        payload={"branch": "main"},
        labels={"env": "prod"},
    )
    assert (await book.timer(plan, "build")).payload == {"branch": "main"}
    await book.end(plan, "build", response='{"id": 7}')
    found = await book.get(plan)
    assert states(found) == {"build": "succeeded", "deploy": "running", "loud": "skipped"}
    assert (await book.timer(plan, "deploy")).payload == {"id": 7}
    assert of(found, "build").result == {
        "response": {"id": 7},
        "actions": [{"state": "succeeded", "status": 204, "response": {"id": 7}, "error": None}],
    }


@pytest.mark.parametrize(
    "response", ["[" * 900 + "]" * 900, '{"a": NaN}', '{"a": 123456789012345678901234567890}', "no JSON", ""]
)
async def test_an_answer_that_is_no_sound_json_is_text(book: Book, response: str) -> None:
    plan = await book.make(node("a"), node("b", "a", payload={"$cel": "nodes.a.response"}))
    await book.end(plan, "a", response=response)
    assert (await book.timer(plan, "b")).payload == response


async def test_an_expression_without_a_value_fails_its_node_and_says_why(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a", payload={"id": {"$cel": "nodes.a.response.id"}}))
    assert (await book.end(plan, "a", response="no JSON")).over
    found = await book.get(plan)
    assert of(found, "b").state is NodeState.FAILED
    assert of(found, "b").state_reason.startswith("payload.id: ")
    assert found.state is PlanState.FAILED


async def test_the_first_that_succeeds_calls_off_those_it_races(book: Book) -> None:
    plan = await book.make(
        node("fast", race="r"),
        node("slow", delay="60s", race="r"),
        node("next", "fast", "slow", join="any"),
    )
    await book.end(plan, "fast")
    found = await book.get(plan)
    assert states(found) == {"fast": "succeeded", "slow": "cancelled", "next": "running"}
    assert (await book.timer(plan, "slow")).state is TimerState.CANCELLED
    assert of(found, "slow").state_reason == "fast has won the race r"


async def test_a_racer_that_is_being_sent_is_called_off_as_soon_as_it_may(book: Book) -> None:
    plan = await book.make(node("a", race="r"), node("b", race="r"))
    claims = await book.fire(plan, "b")
    advanced = await book.end(plan, "a")
    assert advanced.wake_at == book.ledger.now + seconds(1)
    assert states(await book.get(plan))["b"] == "running"
    await book.ledger.record(*[book.ledger.failed(claim, again_in=60) for claim in claims])
    book.ledger.pass_time(1)
    assert (await book.advance(plan)).over
    assert states(await book.get(plan))["b"] == "cancelled"
    assert await book.ledger.states(await book.timer(plan, "b")) == ["cancelled"], "its retries are off"


async def test_a_deadline_that_passes_fails_the_node(book: Book) -> None:
    plan = await book.make(node("a", delay="10s", deadline="20s"), node("b", "a", when="failed"))
    assert (await book.advance(plan)).wake_at == START + seconds(30)
    claims = await book.fire(plan, "a")
    await book.ledger.record(*[book.ledger.failed(claim, again_in=60) for claim in claims])
    book.ledger.now = START + seconds(29)
    assert (await book.advance(plan)).wake_at == START + seconds(30)
    book.ledger.now = START + seconds(30)
    await book.advance(plan)
    found = await book.get(plan)
    assert states(found) == {"a": "failed", "b": "running"}
    assert of(found, "a").state_reason.startswith("its deadline passed at 2027-03-01T12:00:30")
    assert await book.ledger.states(await book.timer(plan, "a")) == ["cancelled"]


async def test_a_node_whose_timer_was_snoozed_by_hand_has_its_deadline_later(book: Book) -> None:
    plan = await book.make(node("a", delay="10s", deadline="20s"))
    await book.ledger.change(await book.timer(plan, "a"), commands.SnoozeBy(seconds(100)))
    assert (await book.advance(plan)).wake_at == START + seconds(120)
    assert of(await book.get(plan), "a").due_at == START + seconds(100)


async def test_a_timer_cancelled_by_hand_cancels_its_node(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a"), node("c", "a", when="always"))
    await book.ledger.cancel(await book.timer(plan, "a"), "not today")
    await book.advance(plan)
    found = await book.get(plan)
    assert states(found) == {"a": "cancelled", "b": "skipped", "c": "running"}
    assert of(found, "a").state_reason == "not today"


async def test_a_paused_plan_begins_nothing_and_holds_its_timers(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a"), node("c", delay="60s", deadline="5s"))
    await book.run(plans.pause, plan)
    assert (await book.timer(plan, "c")).state is TimerState.PAUSED
    book.ledger.pass_time(100)
    assert (await book.advance(plan)).wake_at is None
    resumed = await book.run(plans.resume, plan)
    assert (await book.timer(plan, "c")).state is TimerState.SCHEDULED
    assert states(resumed) == {"a": "running", "b": "waiting", "c": "running"}, "its deadline was put off"
    await book.end(plan, "a")
    assert states(await book.get(plan))["b"] == "running"
    with pytest.raises(Failure, match="cannot be resumed"):
        await book.run(plans.resume, plan)


async def test_what_ended_while_a_plan_was_paused_counts_when_it_goes_on(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a"))
    claims = await book.fire(plan, "a")
    await book.run(plans.pause, plan)
    await book.ledger.record(*[book.ledger.succeeded(claim) for claim in claims])
    await book.advance(plan)
    assert states(await book.get(plan)) == {"a": "succeeded", "b": "waiting"}
    assert states(await book.run(plans.resume, plan)) == {"a": "succeeded", "b": "running"}


async def test_cancelling_a_plan_cancels_what_has_not_ended(book: Book) -> None:
    plan = await book.make(node("a"), node("b"), node("c", "b"), node("d"))
    await book.end(plan, "a")
    claims = await book.fire(plan, "d")
    cancelled = await book.run(plans.cancel, plan, "enough")
    assert (cancelled.state, cancelled.state_reason) == (PlanState.CANCELLED, "enough")
    assert states(cancelled) == {"a": "succeeded", "b": "cancelled", "c": "cancelled", "d": "running"}
    assert not (await book.advance(plan)).over, "d is being sent"
    await book.ledger.record(*[book.ledger.succeeded(claim) for claim in claims])
    assert (await book.advance(plan)).over
    found = await book.get(plan)
    assert (found.state, states(found)["d"]) == (PlanState.CANCELLED, "succeeded")
    with pytest.raises(Failure, match="cannot be cancelled"):
        await book.run(plans.cancel, plan, None)


async def test_nodes_are_added_moved_and_cancelled_while_a_plan_runs(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a", delay="60s"), node("c", delay="60s"), node("d", "c"))
    await book.end(plan, "a")
    changed = await book.change(
        plan,
        if_generation=1,
        add=[node("e", "a"), node("f", "e", when="always")],
        move=[{"id": "b", "delay": "5s"}, {"id": "d", "delay": "7s"}],
        cancel=["c"],
    )
    assert changed.generation == 2
    assert states(changed) == {
        "a": "succeeded", "b": "running", "c": "cancelled", "d": "skipped", "e": "running", "f": "waiting"
    }  # fmt: skip
    assert (await book.timer(plan, "b")).fire_at == START + seconds(5)
    with pytest.raises(Failure) as caught:
        await book.change(plan, if_generation=1, cancel=["b"])
    assert caught.value.kind is FailureKind.STALE


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"add": [node("a")]}, "body.add.0.id"),
        ({"add": [node("x", "nobody")]}, "body.add.0.after.0"),
        ({"add": [node("x", "y"), node("y", "x")]}, "body.add.0.after"),
        ({"add": [node("x", when="1 +")]}, "body.add.0.when"),
        ({"move": [{"id": "nobody", "delay": "1s"}]}, "body.move.0"),
        ({"cancel": ["a", "nobody"]}, "body.cancel.1"),
        ({"add": [node(f"n{number}") for number in range(1000)]}, "body.add"),
    ],
)
async def test_a_change_that_cannot_be_changes_nothing(book: Book, patch: dict[str, Any], field: str) -> None:
    plan = await book.make(node("a"), node("b", "a"))
    with pytest.raises(Failure) as caught:
        await book.change(plan, **patch)
    assert caught.value.kind is FailureKind.INVALID
    assert caught.value.errors[0].field.startswith(field)
    assert await book.get(plan) == plan


async def test_what_has_ended_or_fired_is_not_changed(book: Book) -> None:
    plan = await book.make(node("a"), node("b"), node("c", "a"))
    await book.end(plan, "a")
    await book.fire(plan, "b")
    for patch in ({"move": [{"id": "a", "delay": "1s"}]}, {"cancel": ["a"]}, {"cancel": ["c", "b"]}):
        with pytest.raises(Failure) as caught:
            await book.change(plan, **patch)
        assert caught.value.kind is FailureKind.CONFLICT
    assert states(await book.get(plan))["c"] == "running", "nothing was half done"


async def test_a_thousand_roots_begin_a_hundred_at_a_time(book: Book) -> None:
    plan = await book.make(*[node(f"n{number}") for number in range(250)])
    counts = [plan.counts[NodeState.RUNNING]]
    while (await book.advance(plan)).wake_at == book.ledger.now:
        counts.append((await book.get(plan)).counts[NodeState.RUNNING])
    assert counts == [100, 200]
    assert (await book.get(plan)).counts == {NodeState.RUNNING: 250}


async def test_workers_at_once_begin_each_node_once(busy_ledger: Ledger) -> None:
    book = Book(busy_ledger)
    plan = await book.make(node("a"), *[node(f"n{number}", "a") for number in range(50)])
    claims = await book.fire(plan, "a")
    await busy_ledger.record(*[busy_ledger.succeeded(claim) for claim in claims])
    await asyncio.gather(*(book.advance(plan) for _ in range(8)))
    page = await busy_ledger.page(plan_id=plan.id, limit=100)
    parts = sorted(timer.plan.node for timer in page.items if timer.plan is not None)
    assert parts == sorted(["a", *(f"n{number}" for number in range(50))])


async def test_changes_and_ends_at_once_do_not_wait_for_each_other_for_ever(busy_ledger: Ledger) -> None:
    book = Book(busy_ledger)
    plan = await book.make(*[node(f"n{number}") for number in range(20)])

    async def end(number: int) -> None:
        timer = await book.timer(plan, f"n{number}")
        claimed = await busy_ledger.claim(await busy_ledger.spec(timer))
        if isinstance(claimed, firing.Claimed):
            await busy_ledger.record(*[busy_ledger.succeeded(claim) for claim in claimed.claims])
        await book.advance(plan)

    async def cancel() -> None:
        await book.run(plans.cancel, plan, "enough")

    await asyncio.wait_for(
        asyncio.gather(*(end(number) for number in range(10)), cancel(), *(end(n) for n in range(10, 20))), 30
    )
    assert (await book.advance(plan)).over
    assert all(one.state.final for one in (await book.get(plan)).nodes)


async def test_a_plan_whose_timer_ended_unnoticed_is_left_behind(book: Book) -> None:
    plan = await book.make(node("a"), node("b", "a"))

    async def behind() -> list[str]:
        before = book.ledger.now + seconds(1)
        async with book.ledger.database.read() as connection:
            found = await looks.behind(connection, before=before, limit=10)
        return [one.public_id for one in found]

    assert await behind() == [plan.id], "the engine was not told of it"
    async with book.ledger.writing() as connection:
        await looks.confirm(connection, await looks.one(connection, "plan", plan.id))
    assert await behind() == []
    claims = await book.fire(plan, "a")
    await book.ledger.record(*[book.ledger.succeeded(claim) for claim in claims])
    assert await behind() == [plan.id], "nobody looked at it since"
    await book.advance(plan)
    assert await behind() == []


async def test_another_tenant_sees_no_plan(book: Book) -> None:
    plan = await book.make(node("a"))
    other = Book(book.ledger.of("globex"))
    for work in (other.get(plan), other.run(plans.cancel, plan, None), other.change(plan, cancel=["a"])):
        with pytest.raises(Failure) as caught:
            await work
        assert caught.value.kind is FailureKind.NOT_FOUND
