"""Agents over HTTP, and their inbox through the SDK."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stand_in_cli
from gateways import Door
from stacks import eventually

from minoots import AsyncMinoots, Conflict
from minoots.contracts import Command
from minoots.contracts.conversations import ConversationEvent, ConversationEventKind
from minoots.runner import RunnerSettings, run
from minoots.runner.settings import Kind, Program
from minoots_platform.clock import utc_now
from minoots_platform.records import conversations
from minoots_platform.records.conversations import Whose


@pytest.fixture
async def client(door: Door) -> AsyncIterator[AsyncMinoots]:
    """The SDK, with an agent registered."""
    async with AsyncMinoots(door.url) as client:
        await client.agents.register("builder", description="builds")
        yield client


async def test_a_timer_wakes_an_agent(full: Door) -> None:
    async with AsyncMinoots(full.url) as client:
        await client.agents.register("builder")
        timer = await client.timers.create(
            name="build it",
            after=0.3,
            payload={"ref": "main"},
            actions=[{"kind": "agent", "agent": "builder"}],
        )
        [command] = await client.agents.take("builder", wait=20)
        assert (command.name, command.payload, command.timer_id) == ("build it", {"ref": "main"}, timer.id)
        settled = await client.timers.wait(timer.id, timeout=20)
        assert settled.state == "settled"
        [attempt] = [one async for one in client.timers.attempts(timer.id)]
        assert (attempt.succeeded, attempt.response) == (True, command.id)
        done = await client.agents.acknowledge(command, {"built": True})
        assert done.result == {"built": True}


async def test_the_inbox_yields_commands_in_order_and_waits_for_more(client: AsyncMinoots) -> None:
    seen: list[str] = []

    async def work() -> None:
        async for command in client.agents.inbox("builder"):
            seen.append(command.name)
            await command.progress({"at": len(seen)})
            await command.acknowledge()
            if len(seen) == 3:
                return

    await client.agents.command("builder", "one")
    working = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    for name in ("two", "three"):
        await client.agents.command("builder", name)
    await asyncio.wait_for(working, 20)
    assert seen == ["one", "two", "three"]
    states = [command.state async for command in client.agents.history("builder")]
    assert states == ["acknowledged"] * 3


async def test_a_lease_is_renewed_while_the_work_lasts(client: AsyncMinoots) -> None:
    await client.agents.command("builder", "long")
    async for command in client.agents.inbox("builder", lease="1s"):
        await asyncio.sleep(2.5)
        assert await client.agents.take("builder") == (), "nobody else gets it"
        await command.acknowledge("done")
        break
    [kept] = [one async for one in client.agents.history("builder")]
    assert (kept.state, kept.leases) == ("acknowledged", 1)


async def test_what_fails_on_the_way_comes_again(client: AsyncMinoots) -> None:
    await client.agents.command("builder", "fragile")
    inbox = client.agents.inbox("builder")

    async def stumble() -> None:
        async for _ in inbox:
            raise RuntimeError("stumbled")

    with pytest.raises(RuntimeError, match="stumbled"):
        await stumble()
    await inbox.aclose()  # type: ignore[attr-defined]
    [again] = await client.agents.take("builder", wait=5)
    assert (again.name, again.leases) == ("fragile", 2)


async def test_a_killed_agent_loses_nothing(client: AsyncMinoots) -> None:
    await client.agents.command("builder", "once")
    [lost] = await client.agents.take("builder", lease="1s")
    # It dies here, between lease and answer.
    [again] = await client.agents.take("builder", wait=10)
    assert again.id == lost.id
    with pytest.raises(Conflict, match="handed out again"):
        await client.agents.acknowledge(lost)
    await client.agents.acknowledge(again)


async def test_a_stream_hands_out_one_after_the_other(door: Door, client: AsyncMinoots) -> None:
    for name in ("one", "two"):
        await client.agents.command("builder", name)
    seen: list[str] = []
    async with door.http.stream("GET", "/v1/agents/builder/commands/stream", timeout=20) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                command = Command.model_validate(json.loads(line.removeprefix("data: ")))
                seen.append(command.name)
                await client.agents.acknowledge(command)
                if len(seen) == 2:
                    break
    assert seen == ["one", "two"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "", {"id": "No Good"}, 422, "body.id"),
        ("POST", "/nobody/commands", {"name": "x"}, 404, None),
        ("GET", "/nobody/commands", None, 404, None),
        ("GET", "/No%20Good/commands", None, 404, None),
        ("GET", "/builder/commands?lease=2h", None, 422, None),
        ("GET", "/builder/commands?lease=x", None, 422, "query.lease"),
        ("GET", "/builder/commands?limit=17", None, 422, "query.limit"),
        ("POST", "/builder/commands", {"name": ""}, 422, "body.name"),
        ("POST", "/builder/commands", {"name": "x", "expires_in": "soon"}, 422, "body.expires_in"),
        ("POST", "/builder/commands/cmd_1/acknowledge", {"lease": "lse_1"}, 404, None),
        (
            "POST",
            "/builder/commands/cmd_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK/acknowledge",
            {"lease": "mine"},
            422,
            "body.lease",
        ),
    ],
    ids=str,
)
async def test_bad_input(
    door: Door, client: AsyncMinoots, method: str, path: str, body: Any, status: int, field: str | None
) -> None:
    answer = await door.http.request(method, f"/v1/agents{path}", json=body)
    assert answer.status_code == status, answer.text
    if field is not None:
        assert field in [error["field"] for error in answer.json()["errors"]]


async def test_a_runner_wakes_a_session_and_tells_when_it_does_not_wake(
    client: AsyncMinoots, tmp_path: Path
) -> None:
    session = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0001"
    work, transcripts = tmp_path / "work", tmp_path / "transcripts"
    work.mkdir()
    (transcripts / "p").mkdir(parents=True)
    (transcripts / "p" / f"{session}.jsonl").write_text("")
    program = Program(
        kind=Kind.CLAUDE_CODE,
        path=Path(sys.executable),
        arguments=(stand_in_cli.__file__, "claude-code", str(transcripts)),
        transcripts=transcripts,
    )
    settings = RunnerSettings(agent="builder", directories=(work,), programs={"claude": program})
    told: list[str] = []
    for prompt in ("go on", "crash"):
        asked = {"program": "claude", "id": session, "directory": str(work), "prompt": prompt}
        await client.agents.command("builder", prompt, payload={"session": asked})
        await asyncio.wait_for(run(client, settings, told.append, once=True), 60)
    failed, woken = [command async for command in client.agents.history("builder")]
    assert (woken.state, woken.result) == ("acknowledged", {"session": session, "program": "claude"})
    assert failed.state == "declined"
    assert "ended with 3 before the assistant spoke: the model is not there" in (failed.reason or "")
    assert any("is awake" in line for line in told)


async def test_a_runner_takes_a_turn_that_only_the_captured_session_shows_as_a_wake(
    door: Door, client: AsyncMinoots, tmp_path: Path
) -> None:
    session = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0002"
    work, transcripts = tmp_path / "work", tmp_path / "transcripts"
    work.mkdir()
    (transcripts / "p").mkdir(parents=True)
    (transcripts / "p" / f"{session}.jsonl").write_text("")

    async def captured(id: str, kind: ConversationEventKind) -> None:
        event = ConversationEvent(id=f"cev_{id}", kind=kind, text=id)
        async with door.gateway.database.write() as connection:
            row = await conversations.ensure(connection, "dev", Whose("claude", session), utc_now())
            await conversations.keep(connection, row, [event], {}, utc_now())

    await captured("an old turn", ConversationEventKind.ASSISTANT)
    settings = RunnerSettings(
        agent="builder",
        directories=(work,),
        programs={
            "claude": Program(
                kind=Kind.CLAUDE_CODE,
                path=Path(sys.executable),
                arguments=(stand_in_cli.__file__, "claude-code", str(transcripts)),
                transcripts=transcripts,
            )
        },
        confirm_within=timedelta(seconds=20),
        turn_within=timedelta(seconds=20),
    )
    told: list[str] = []
    asked = {"program": "claude", "id": session, "directory": str(work), "prompt": "hang"}
    command = await client.agents.command("builder", "wake", payload={"session": asked})
    running = asyncio.create_task(run(client, settings, told.append, once=True))

    async def state() -> str:
        return (await client.agents.look_up("builder", command.id)).state

    try:
        await eventually(lambda: asyncio.to_thread((transcripts / "seen.json").exists), bool)
        await captured("asked", ConversationEventKind.USER)
        await eventually(state, lambda found: found == "leased")
        assert not any("is awake" in line for line in told)
        await captured("a new turn", ConversationEventKind.ASSISTANT)
        await eventually(state, lambda found: found == "acknowledged")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
