"""Inboxes of agents: order, leases, answers; nothing lost and nothing twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from ledger import URL, Ledger

from minoots.contracts import AgentRegister, Command, CommandState
from minoots.contracts.agents import MAX_LEASES
from minoots.errors import Failure, FailureKind
from minoots_platform.records import agents, inboxes
from minoots_platform.records.inboxes import HandedOut, NewCommand

AGENT = "builder"


class Inbox:
    """The inbox of one agent, one transaction a call."""

    def __init__(self, ledger: Ledger, agent_id: str = AGENT) -> None:
        self.ledger = ledger
        self.agent_id = agent_id

    async def register(self, **fields: Any) -> Any:
        """Register the agent."""
        async with self.ledger.writing() as connection:
            spec = AgentRegister(id=self.agent_id, **fields)
            return await agents.register(
                connection, self.ledger.tenant, spec, now=self.ledger.now, actor="tester"
            )

    async def queue(self, name: str = "do", **fields: Any) -> Command:
        """Queue a command."""
        new = NewCommand(self.agent_id, name, fields.pop("payload", None), "tester", **fields)
        async with self.ledger.writing() as connection:
            return await inboxes.queue(connection, self.ledger.tenant, new, now=self.ledger.now)

    async def ask(self, lease: float = 60, limit: int = 1) -> HandedOut:
        """Ask for commands."""
        async with self.ledger.writing() as connection:
            return await inboxes.hand_out(
                connection,
                self.ledger.tenant,
                self.agent_id,
                lease=timedelta(seconds=lease),
                limit=limit,
                now=self.ledger.now,
            )

    async def take(self, lease: float = 60) -> Command:
        """Take the next command."""
        [command] = (await self.ask(lease)).commands
        return command

    async def answer(self, verb: Any, command: Command, *arguments: Any, **options: Any) -> Command:
        """Answer a command that was taken."""
        assert command.lease is not None
        async with self.ledger.writing() as connection:
            answered: Command = await verb(
                connection,
                self.ledger.tenant,
                self.agent_id,
                command.id,
                command.lease.id,
                *arguments,
                now=self.ledger.now,
                **options,
            )
        return answered


@pytest.fixture
async def inbox(ledger: Ledger) -> Inbox:
    """The inbox of an agent that is registered."""
    found = Inbox(ledger)
    await found.register()
    return found


async def test_commands_come_in_their_order_one_after_the_other(inbox: Inbox) -> None:
    queued = [await inbox.queue(f"step {number}") for number in range(3)]
    assert [command.sequence for command in queued] == [1, 2, 3]
    for command in queued:
        taken = await inbox.take()
        assert (taken.id, taken.state) == (command.id, CommandState.LEASED)
        assert (await inbox.ask()).commands == (), "what is behind it waits"
        done = await inbox.answer(inboxes.acknowledge, taken, {"ok": True})
        assert (done.state, done.result) == (CommandState.ACKNOWLEDGED, {"ok": True})
    assert (await inbox.ask()).commands == ()


async def test_several_may_be_taken_together(inbox: Inbox) -> None:
    for number in range(3):
        await inbox.queue(str(number))
    taken = (await inbox.ask(limit=2)).commands
    assert [command.name for command in taken] == ["0", "1"]
    await inbox.answer(inboxes.acknowledge, taken[1], None)
    assert (await inbox.ask()).commands == ()
    await inbox.answer(inboxes.acknowledge, taken[0], None)
    assert (await inbox.take()).name == "2"


async def test_a_lease_that_ends_returns_the_command(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.queue()
    first = await inbox.take(lease=10)
    handed = await inbox.ask()
    assert handed.again_at == ledger.now + timedelta(seconds=10)
    ledger.pass_time(10)
    second = await inbox.take()
    assert (second.id, second.leases) == (first.id, 2)
    assert first.lease is not None
    assert second.lease is not None
    assert first.lease.id != second.lease.id
    with pytest.raises(Failure, match="handed out again") as refused:
        await inbox.answer(inboxes.acknowledge, first, None)
    assert refused.value.kind is FailureKind.CONFLICT
    await inbox.answer(inboxes.acknowledge, second, None)
    told = [event.type for event in await ledger.events(subject=first.id)]
    assert told == [f"command.{what}" for what in ("queued", "leased", "returned", "leased", "acknowledged")]


async def test_a_late_answer_counts_while_nobody_else_has_it(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.queue()
    taken = await inbox.take(lease=5)
    ledger.pass_time(60)
    assert (await inbox.answer(inboxes.acknowledge, taken, 1)).state is CommandState.ACKNOWLEDGED


async def test_an_answer_may_be_repeated(inbox: Inbox) -> None:
    await inbox.queue()
    taken = await inbox.take()
    first = await inbox.answer(inboxes.acknowledge, taken, 1)
    assert await inbox.answer(inboxes.acknowledge, taken, 2) == first
    with pytest.raises(Failure, match="it is acknowledged"):
        await inbox.answer(inboxes.decline, taken, None, requeue=False)


async def test_extending_keeps_a_command(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.queue()
    taken = await inbox.take(lease=10)
    ledger.pass_time(9)
    kept = await inbox.answer(
        inboxes.extend, taken, timedelta(seconds=30), progress={"step": 1}, progressed=True
    )
    assert kept.progress == {"step": 1}
    ledger.pass_time(20)
    assert (await inbox.ask()).commands == ()


async def test_a_declined_command_is_closed_and_one_given_back_comes_again(inbox: Inbox) -> None:
    await inbox.queue("a")
    await inbox.queue("b")
    given_back = await inbox.answer(inboxes.decline, await inbox.take(), "busy", requeue=True)
    assert given_back.state is CommandState.QUEUED
    again = await inbox.take()
    assert again.name == "a"
    declined = await inbox.answer(inboxes.decline, again, "cannot", requeue=False)
    assert (declined.state, declined.reason) == (CommandState.DECLINED, "cannot")
    assert (await inbox.take()).name == "b"


async def test_what_nobody_takes_in_time_expires(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.queue("late", expires_at=ledger.now + timedelta(seconds=5))
    await inbox.queue("next")
    ledger.pass_time(5)
    assert (await inbox.take()).name == "next"
    assert [event.type for event in await ledger.events(types=("command.expired",))] == ["command.expired"]


async def test_a_command_that_nobody_answers_dies_and_blocks_nobody(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.queue("poison")
    await inbox.queue("next")
    for _ in range(MAX_LEASES):
        assert (await inbox.take(lease=1)).name == "poison"
        ledger.pass_time(2)
    assert (await inbox.take()).name == "next"
    [died] = await ledger.events(types=("command.died",))
    assert f"{MAX_LEASES} times" in died.data["reason"]


async def test_the_same_key_queues_once(inbox: Inbox) -> None:
    first = await inbox.queue(key="tmr_1_1_0")
    again = await inbox.queue(key="tmr_1_1_0")
    assert first == again
    await inbox.take()
    assert (await inbox.ask()).commands == ()


async def test_whoever_asks_at_the_same_moment_one_gets_it(inbox: Inbox) -> None:
    await inbox.queue()
    handed = await asyncio.gather(*(inbox.ask() for _ in range(8)))
    assert sum(len(one.commands) for one in handed) == 1


async def test_queueing_at_the_same_moment_keeps_an_order_without_gaps(inbox: Inbox) -> None:
    queued = await asyncio.gather(*(inbox.queue(str(number)) for number in range(12)))
    assert sorted(command.sequence for command in queued) == list(range(1, 13))


async def test_an_agent_shows_how_full_its_inbox_is(inbox: Inbox, ledger: Ledger) -> None:
    since = ledger.now
    await inbox.queue()
    await inbox.queue()
    ledger.pass_time(5)
    await inbox.answer(inboxes.acknowledge, await inbox.take(), None)
    agent = await inbox.register(description="builds", labels={"team": "red"})
    assert (agent.waiting, agent.oldest_at, agent.last_seen_at) == (1, since, ledger.now)
    assert (agent.description, agent.labels) == ("builds", {"team": "red"})


async def test_registering_again_changes_only_what_is_given(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.register(description="builds")
    assert (await inbox.register(labels={"a": "b"})).description == "builds"
    assert len(await ledger.events(types=("agent.registered",))) == 1


async def test_agents_of_another_tenant_are_not_there(inbox: Inbox, ledger: Ledger) -> None:
    await inbox.queue()
    other = Inbox(ledger.of("globex"))
    for attempt in (other.ask(), other.queue()):
        with pytest.raises(Failure, match="there is no agent") as refused:
            await attempt
        assert refused.value.kind is FailureKind.NOT_FOUND
    assert (await other.register()).waiting == 0


async def test_a_timer_for_an_agent_that_is_not_there_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Failure, match="no agent nobody") as refused:
        await ledger.accept(actions=[{"url": URL}, {"kind": "agent", "agent": "nobody"}])
    assert refused.value.errors[0].field == "body.actions.1.agent"
    assert (await ledger.page()).items == ()


async def test_commands_are_listed_newest_first_page_by_page(inbox: Inbox, ledger: Ledger) -> None:
    queued = []
    for _ in range(5):
        queued.append((await inbox.queue()).id)
        ledger.pass_time(1)
    seen: list[str] = []
    cursor = None
    while True:
        async with ledger.database.read() as connection:
            page = await inboxes.page(
                connection, ledger.tenant, AGENT, states=(CommandState.QUEUED,), limit=2, cursor=cursor
            )
        seen += [command.id for command in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == queued[::-1]
    assert all(command.lease is None for command in page.items)
