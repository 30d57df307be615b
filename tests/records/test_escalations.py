"""Escalations in the records: who is told when, who may stop it, what times out, what timers make of it."""

from __future__ import annotations

from typing import Any

import pytest
from ledger import START, URL, Ledger, seconds

from minoots.contracts import (
    AgentRegister,
    CommandState,
    Escalation,
    EscalationCreate,
    EscalationState,
    HeartbeatSave,
    HeartbeatState,
    NoticeState,
    PersonSave,
    PolicySave,
    RotationSave,
    TimerState,
)
from minoots.errors import Failure, FailureKind
from minoots_platform.records import (
    agents,
    documents,
    escalation_progress,
    escalation_reading,
    escalations,
    heartbeats,
    inboxes,
    looks,
    timers,
)
from minoots_platform.records.escalation_progress import Advanced
from minoots_platform.records.escalations import Doing


class Book:
    """The escalations of one tenant, one transaction a call."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def begin(self, *rungs: dict[str, Any], **fields: Any) -> Escalation:
        """Begin an escalation."""
        terms, ladder = fields.pop("terms", {}), {"rungs": rungs, **fields.pop("ladder", {})}
        spec = EscalationCreate.model_validate(
            {"name": "disk full", "ladder": ladder, "terms": terms, **fields}
        )
        async with self.ledger.writing() as connection:
            return await escalations.accept(
                connection, self.ledger.tenant, spec, now=self.ledger.now, actor="tester", traceparent=None
            )

    async def get(self, escalation: Escalation | str) -> Escalation:
        """An escalation as it stands."""
        public_id = escalation if isinstance(escalation, str) else escalation.id
        async with self.ledger.database.read() as connection:
            return await escalation_reading.get(connection, self.ledger.tenant, public_id)

    async def advance(self, escalation: Escalation | str, after: float = 0) -> Advanced:
        """Look at an escalation after some time."""
        public_id = escalation if isinstance(escalation, str) else escalation.id
        self.ledger.pass_time(after)
        async with self.ledger.writing() as connection:
            return await escalation_progress.advance(
                connection, self.ledger.tenant, public_id, now=self.ledger.now
            )

    async def run(self, command: Any, escalation: Escalation | str, who: str, *arguments: Any) -> Escalation:
        """Let somebody do something."""
        public_id = escalation if isinstance(escalation, str) else escalation.id
        async with self.ledger.writing() as connection:
            done: Escalation = await command(
                connection,
                self.ledger.tenant,
                public_id,
                Doing(who, "api", self.ledger.now),
                *arguments,
            )
        return done

    async def save(self, kind: documents.Kind, spec: Any) -> None:
        """Save a document."""
        async with self.ledger.writing() as connection:
            await documents.save(
                connection,
                self.ledger.tenant,
                kind,
                spec.id,
                spec.model_dump(mode="json", exclude={"id"}),
                now=self.ledger.now,
                actor="tester",
            )

    async def person(self, name: str) -> None:
        """Save a person with a webhook."""
        await self.save(
            "person", PersonSave.model_validate({"id": name, "name": name, "contacts": [{"url": URL}]})
        )

    async def agent(self, name: str) -> None:
        """Register an agent."""
        async with self.ledger.writing() as connection:
            await agents.register(
                connection, self.ledger.tenant, AgentRegister(id=name), now=self.ledger.now, actor="tester"
            )


def told(escalation: Escalation) -> list[tuple[str, float]]:
    """Who was told, and how many seconds after the start."""
    return [(notice.who, (notice.due_at - START).total_seconds()) for notice in escalation.notices]


@pytest.fixture
async def book(ledger: Ledger) -> Book:
    """Fresh records with some people and agents, on SQLite and on Postgres."""
    book = Book(ledger)
    for name in ("ada", "bob", "eve"):
        await book.person(name)
    await book.agent("builder")
    return book


RUNGS = (
    {"targets": ["agent:builder"]},
    {"after": "30s", "targets": ["person:ada"], "repeat": 1, "every": "20s"},
    {"after": "60s", "targets": ["person:bob", {"url": URL}]},
)


async def climb(book: Book, escalation: Escalation | str, most: int = 50) -> Escalation:
    """Look whenever the escalation asks to be looked at, until it is over."""
    for _ in range(most):
        advanced = await book.advance(escalation)
        if advanced.over or advanced.wake_at is None:
            break
        book.ledger.now = max(book.ledger.now, advanced.wake_at)
    return await book.get(escalation)


async def test_a_ladder_is_climbed_in_seconds_until_it_is_exhausted(book: Book) -> None:
    escalation = await book.begin(*RUNGS, ladder={"patience": "90s"})
    assert told(escalation) == [("agent:builder", 0)], "the others are not due soon"
    found = await climb(book, escalation)
    assert told(found) == [
        ("agent:builder", 0),
        ("person:ada", 30),
        ("person:ada", 50),
        ("person:bob", 110),
        ("webhook", 110),
    ]
    assert (found.state, found.state_reason) == (EscalationState.EXHAUSTED, "nobody acknowledged it")
    assert found.ended_at == START + seconds(200)


async def test_the_whole_ladder_is_gone_through_again(book: Book) -> None:
    rungs = ({"targets": ["person:ada"]}, {"after": "10s", "targets": ["person:bob"]})
    escalation = await book.begin(*rungs, ladder={"rounds": 2, "again_after": "60s", "patience": "1s"})
    found = await climb(book, escalation)
    assert told(found) == [("person:ada", 0), ("person:bob", 10), ("person:ada", 70), ("person:bob", 80)]
    assert [notice.round for notice in found.notices] == [1, 1, 2, 2]


async def test_an_acknowledgement_stops_it_and_calls_off_who_was_not_told_yet(book: Book) -> None:
    escalation = await book.begin(*RUNGS)
    await book.advance(escalation, 25)
    before = await book.get(escalation)
    assert told(before)[-1] == ("person:ada", 30)
    assert {notice.state for notice in before.notices} == {NoticeState.PLANNED}
    found = await book.run(escalations.acknowledge, escalation, "agent:builder", {"note": "on it"})
    assert (found.state, found.acknowledged_by) == (EscalationState.ACKNOWLEDGED, ("agent:builder",))
    assert found.notices[0].acknowledged_at == START + seconds(25)
    assert found.acts[0].result == {"note": "on it"}
    assert (await book.advance(escalation, 500)).over
    async with book.ledger.database.read() as connection:
        late = await timers.get(connection, book.ledger.tenant, found.notices[1].timer_id)
    assert (late.state, late.state_reason) == (TimerState.CANCELLED, "acknowledged by agent:builder")
    states = [notice.state for notice in (await book.get(escalation)).notices]
    assert set(states) == {NoticeState.CANCELLED}, "nothing delivers here"


async def test_an_acknowledgement_times_out_back_to_triggered(book: Book) -> None:
    escalation = await book.begin(*RUNGS, terms={"resolve_within": "10m"})
    await book.run(escalations.acknowledge, escalation, "agent:builder")
    assert (await book.advance(escalation, 599)).state is EscalationState.ACKNOWLEDGED
    await book.advance(escalation, 1)
    found = await book.get(escalation)
    assert (found.state, found.trigger, found.acknowledged_by) == (EscalationState.TRIGGERED, 2, ())
    assert told(found)[-1] == ("agent:builder", 600), "the ladder begins anew"
    await book.run(escalations.acknowledge, escalation, "person:ada")
    resolved = await book.run(escalations.resolve, escalation, "person:ada")
    assert resolved.state is EscalationState.RESOLVED
    assert (await book.advance(escalation, 10_000)).over


async def test_a_quorum_takes_several_and_the_same_one_counts_once(book: Book) -> None:
    terms = {"quorum": 2, "by": ["person:ada", "person:bob", "person:eve"]}
    escalation = await book.begin({"targets": ["person:ada", "person:bob"]}, terms=terms)
    await book.run(escalations.acknowledge, escalation, "person:ada")
    again = await book.run(escalations.acknowledge, escalation, "person:ada")
    assert (again.state, len(again.acts)) == (EscalationState.TRIGGERED, 1)
    done = await book.run(escalations.acknowledge, escalation, "person:eve")
    assert (done.state, done.acknowledged_by) == (EscalationState.ACKNOWLEDGED, ("person:ada", "person:eve"))


async def test_somebody_who_is_not_entitled_is_denied_and_nothing_changes(book: Book) -> None:
    escalation = await book.begin(*RUNGS, terms={"by": ["person:ada"]})
    for command in (escalations.acknowledge, escalations.resolve):
        with pytest.raises(Failure) as caught:
            await book.run(command, escalation, "person:bob")
        assert caught.value.kind is FailureKind.DENIED
    assert (await book.get(escalation)) == escalation


async def test_when_all_who_were_told_decline_the_next_are_told_at_once(book: Book) -> None:
    escalation = await book.begin(
        {"targets": ["person:ada", "person:bob"]}, {"after": "1h", "targets": ["person:eve"]}
    )
    book.ledger.pass_time(3)
    await book.run(escalations.decline, escalation, "person:ada")
    assert len((await book.get(escalation)).notices) == 2
    found = await book.run(escalations.decline, escalation, "person:bob")
    assert told(found)[-1] == ("person:eve", 3)


async def test_one_that_is_handed_on_tells_somebody_else_who_may_acknowledge(book: Book) -> None:
    escalation = await book.begin({"targets": ["person:ada"]}, terms={"by": ["person:ada"]})
    book.ledger.pass_time(7)
    found = await book.run(escalations.hand_on, escalation, "person:ada", "person:bob")
    assert told(found)[-1] == ("person:bob", 7)
    assert (await book.run(escalations.acknowledge, escalation, "person:bob")).state == "acknowledged"


async def test_a_snooze_quiets_it_and_begins_anew(book: Book) -> None:
    escalation = await book.begin(*RUNGS)
    await book.run(escalations.snooze, escalation, "person:ada", seconds(100))
    assert (await book.advance(escalation, 99)).state is EscalationState.SNOOZED
    await book.advance(escalation, 1)
    assert told(await book.get(escalation))[-1] == ("agent:builder", 100)


async def test_rungs_are_left_out_by_conditions_and_hours_without_losing_time(book: Book) -> None:
    rungs = (
        {"targets": ["person:ada"], "when": "payload.level > 3"},
        {"after": "10s", "targets": ["person:bob"], "hours": {"since": "20:00", "until": "06:00"}},
        {"after": "10s", "targets": ["person:eve"], "when": "payload.nothing == 1"},
    )
    found = await book.begin(*rungs, payload={"level": 1})
    assert told(found) == [("person:eve", 0)], "a condition without a value is true"
    assert told(await book.begin(*rungs, payload={"level": 4})) == [("person:ada", 0), ("person:eve", 10)]


async def test_a_rotation_is_whoever_is_on_call_when_they_are_told(book: Book) -> None:
    layer = {"participants": ["person:ada", "person:bob"], "start": START.isoformat(), "turn": "1h"}
    await book.save("rotation", RotationSave.model_validate({"id": "primary", "layers": [layer]}))
    escalation = await book.begin(
        {"targets": ["rotation:primary"], "repeat": 1, "every": "1h"}, terms={"by": ["rotation:primary"]}
    )
    await book.advance(escalation, 3600)
    assert told(await book.get(escalation)) == [("person:ada", 0), ("person:bob", 3600)]
    with pytest.raises(Failure, match="may not acknowledge"):
        await book.run(escalations.acknowledge, escalation, "person:ada")
    assert (await book.run(escalations.acknowledge, escalation, "person:bob")).state == "acknowledged"


async def test_after_an_outage_the_ladder_is_climbed_at_its_pace(book: Book) -> None:
    escalation = await book.begin(*RUNGS)
    await book.advance(escalation, 3600)
    assert told(await book.get(escalation)) == [("agent:builder", 0), ("person:ada", 3600)]
    await book.advance(escalation, 15)
    assert told(await book.get(escalation))[-1] == ("person:ada", 3620)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"rungs": [{"targets": ["agent:nobody"]}]}, "body.ladder.rungs.0.targets.0"),
        ({"rungs": [{"targets": ["person:ada", "rotation:nobody"]}]}, "body.ladder.rungs.0.targets.1"),
        ({"rungs": [{"targets": ["person:ada"], "when": "1 +"}]}, "body.ladder.rungs.0.when"),
        (
            {"rungs": [{"targets": ["person:ada"], "hours": {"zone": "Mars"}}]},
            "body.ladder.rungs.0.hours.zone",
        ),
        ({"rungs": RUNGS, "terms": {"by": ["person:nobody"]}}, "body.terms.by.0"),
    ],
)
async def test_a_ladder_that_cannot_be_climbed_is_refused(
    book: Book, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(Failure) as caught:
        await book.begin(*fields["rungs"], **{name: fields[name] for name in fields if name != "rungs"})
    assert caught.value.errors[0].field == field


async def test_what_is_over_can_no_longer_be_answered(book: Book) -> None:
    escalation = await book.begin(*RUNGS)
    await book.run(escalations.resolve, escalation, "person:ada")
    for command in (escalations.acknowledge, escalations.decline, escalations.resolve, escalations.cancel):
        with pytest.raises(Failure) as caught:
            await book.run(command, escalation, "person:bob")
        assert caught.value.kind is FailureKind.CONFLICT


# Timers that require acknowledgement.


async def fired(book: Book, **acknowledge: Any) -> Any:
    """A timer that fired, was delivered and awaits its acknowledgement."""
    timer = await book.ledger.accept(0, acknowledge=acknowledge)
    claims = await book.ledger.fire(timer)
    await book.ledger.record(*[book.ledger.succeeded(claim) for claim in claims])
    return await book.ledger.get(timer)


async def test_a_timer_settles_when_it_is_acknowledged_not_when_it_is_delivered(book: Book) -> None:
    timer = await fired(book, within="60s")
    assert (timer.state, timer.escalation_id is not None) == (TimerState.FIRED, True)
    book.ledger.pass_time(5)
    await book.run(escalations.acknowledge, timer.escalation_id, "person:ada")
    settled = await book.ledger.get(timer)
    assert (settled.state, settled.settled_at) == (TimerState.SETTLED, START + seconds(5))


async def test_a_timer_that_is_acknowledged_before_it_is_delivered_settles_after_both(book: Book) -> None:
    timer = await book.ledger.accept(0, acknowledge={"within": "60s"})
    [claim] = await book.ledger.fire(timer)
    found = await book.ledger.get(timer)
    assert found.escalation_id is not None
    await book.run(escalations.acknowledge, found.escalation_id, "person:ada")
    assert (await book.ledger.get(timer)).state is TimerState.FIRED
    await book.ledger.record(book.ledger.succeeded(claim))
    assert (await book.ledger.get(timer)).state is TimerState.SETTLED


async def test_a_timer_that_nobody_acknowledges_fails_and_its_ladder_is_climbed_first(book: Book) -> None:
    ladder = {"rungs": [{"targets": ["person:ada"]}], "patience": "30s"}
    timer = await fired(book, within="60s", ladder=ladder)
    found = await climb(book, timer.escalation_id)
    assert told(found) == [("person:ada", 60)]
    failed = await book.ledger.get(timer)
    assert (failed.state, failed.state_reason) == (TimerState.FAILED, "nobody acknowledged it in time")
    assert failed.settled_at == START + seconds(90)


async def test_a_timer_without_a_ladder_fails_when_its_time_is_over(book: Book) -> None:
    timer = await fired(book, within="60s")
    assert (await book.advance(timer.escalation_id, 59)).wake_at == START + seconds(60)
    await book.advance(timer.escalation_id, 1)
    assert (await book.ledger.get(timer)).state is TimerState.FAILED


async def test_a_policy_is_looked_up_when_the_timer_fires(book: Book) -> None:
    def policy(who: str) -> PolicySave:
        return PolicySave.model_validate({"id": "ops", "ladder": {"rungs": [{"targets": [who]}]}})

    await book.save("policy", policy("person:ada"))
    timer = await book.ledger.accept(0, acknowledge={"within": "1s", "policy": "ops"})
    await book.save("policy", policy("person:bob"))
    await book.ledger.fire(timer)
    found = await book.ledger.get(timer)
    assert found.escalation_id is not None
    await book.advance(found.escalation_id)
    assert told(await book.get(found.escalation_id)) == [("person:bob", 1)]


async def test_cancelling_a_timer_that_awaits_ends_its_escalation(book: Book) -> None:
    timer = await fired(book, within="5s", ladder={"rungs": [{"targets": ["person:ada"]}]})
    await book.advance(timer.escalation_id)
    await book.ledger.cancel(timer, "never mind")
    assert (await book.advance(timer.escalation_id)).over
    found = await book.get(timer.escalation_id)
    assert (found.state, found.state_reason) == (EscalationState.CANCELLED, "its timer was cancelled")
    async with book.ledger.database.read() as connection:
        notice = await timers.get(connection, book.ledger.tenant, found.notices[0].timer_id)
    assert notice.state is TimerState.CANCELLED


async def test_an_agent_that_acknowledges_its_command_acknowledges_what_it_told(book: Book) -> None:
    escalation = await book.begin(*RUNGS)
    ledger = book.ledger
    new = inboxes.NewCommand("builder", "disk full", None, "t", timer_id=escalation.notices[0].timer_id)
    async with ledger.writing() as connection:
        await inboxes.queue(connection, ledger.tenant, new, now=ledger.now)
    async with ledger.writing() as connection:
        handed = await inboxes.hand_out(
            connection, ledger.tenant, "builder", lease=seconds(60), limit=1, now=ledger.now
        )
    [command] = handed.commands
    assert command.lease is not None
    async with ledger.writing() as connection:
        answered = await inboxes.acknowledge(
            connection, ledger.tenant, "builder", command.id, command.lease.id, {"ok": 1}, now=ledger.now
        )
    assert answered.state is CommandState.ACKNOWLEDGED
    found = await book.get(escalation)
    assert (found.state, found.acknowledged_by) == (EscalationState.ACKNOWLEDGED, ("agent:builder",))
    assert (found.acts[0].via, found.acts[0].result) == ("inbox", {"ok": 1})


async def test_an_escalation_that_changed_unnoticed_is_left_behind(book: Book) -> None:
    timer = await fired(book, within="60s")
    async with book.ledger.database.read() as connection:
        [behind] = await looks.behind(connection, before=START + seconds(1), limit=9)
    assert behind.public_id == timer.escalation_id
    async with book.ledger.writing() as connection:
        await looks.confirm(connection, behind)
    async with book.ledger.database.read() as connection:
        assert await looks.behind(connection, before=START + seconds(1), limit=9) == ()
        overdue = await looks.overdue(connection, before=START + seconds(61), limit=9)
    assert [one.public_id for one in overdue] == [timer.escalation_id]


async def test_times_to_acknowledge_by_whom(book: Book) -> None:
    for wait in (4, 10, 30):
        escalation = await book.begin({"targets": ["person:ada", "person:bob"]})
        book.ledger.pass_time(wait)
        await book.run(escalations.acknowledge, escalation, "person:ada")
    async with book.ledger.database.read() as connection:
        found = await escalation_reading.times(connection, book.ledger.tenant, since=START)
    assert {one.who: (one.notices, one.acknowledged, one.median_s, one.p95_s) for one in found} == {
        "person:ada": (3, 3, 10.0, 30.0),
        "person:bob": (3, 0, None, None),
    }


async def test_another_tenant_sees_no_escalation(book: Book) -> None:
    escalation = await book.begin(*RUNGS)
    other = Book(book.ledger.of("globex"))
    for work in (other.get(escalation), other.run(escalations.acknowledge, escalation, "person:ada")):
        with pytest.raises(Failure) as caught:
            await work
        assert caught.value.kind is FailureKind.NOT_FOUND


# Heartbeats.


async def test_silence_begins_the_ladder_once_and_a_call_resolves_it(book: Book) -> None:
    ledger = book.ledger
    await book.save(
        "policy", PolicySave.model_validate({"id": "ops", "ladder": {"rungs": [{"targets": ["person:ada"]}]}})
    )
    spec = HeartbeatSave.model_validate(
        {"id": "backup", "name": "backup", "every": "60s", "grace": "10s", "policy": "ops"}
    )

    async def look() -> heartbeats.Looked:
        async with ledger.writing() as connection:
            return await heartbeats.look(connection, ledger.tenant, "backup", now=ledger.now)

    async def beat() -> Any:
        async with ledger.writing() as connection:
            return await heartbeats.beat(connection, ledger.tenant, "backup", now=ledger.now, actor="t")

    async with ledger.writing() as connection:
        await heartbeats.save(connection, ledger.tenant, spec, now=ledger.now, actor="t")
    assert (await look()).wake_at is None, "nobody has called yet"
    await beat()
    assert (await look()).wake_at == START + seconds(70)
    ledger.pass_time(69)
    await beat()
    assert (await look()).wake_at == START + seconds(139), "the call moved it"
    ledger.now = START + seconds(139)
    silent = await look()
    assert (silent.state, (await look()).escalation_id) == (HeartbeatState.SILENT, None), "once"
    assert silent.escalation_id is not None
    found = await book.get(silent.escalation_id)
    assert (found.name, told(found), found.policy) == ("backup", [("person:ada", 139)], "ops")
    _, look_again, resolved = await beat()
    assert (look_again, resolved) == (True, silent.escalation_id)
    assert (await book.get(silent.escalation_id)).state is EscalationState.RESOLVED
