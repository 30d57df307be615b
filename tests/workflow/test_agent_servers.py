"""Agents with MCP servers: real ones, in sandboxes and behind URLs, good and bad."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from agents_at_work import Serve, asks, call, decide, result_of, results, serving
from mcp_programs import BY_HAND, OFFICIAL, desk
from model_servers import heard
from receivers import Answer, Receiver
from stacks import TENANT
from temporalio.testing import WorkflowEnvironment
from working import ended, events, made, read, submit

from minoots.contracts import EventType, JobState
from minoots.errors import FailureKind
from minoots_platform.records import Database
from minoots_platform.records import events as log
from minoots_platform.settings import TelemetrySettings
from minoots_platform.telemetry import Telemetry, start_logs

FREE = [{"name": "*", "approval": "never"}]


@pytest.fixture
def serve(
    sqlite_database: Database, temporal: WorkflowEnvironment, namespace: str, telemetry: Telemetry
) -> Serve:
    """A stack whose model plays a script."""
    return serving(sqlite_database, temporal, namespace, telemetry)


def official(**more: Any) -> dict[str, Any]:
    """A job with the server of the official library."""
    server = {"name": "shop", "command": [sys.executable, "shop.py"], "tools": FREE}
    return by(server, {"path": "shop.py", "text": OFFICIAL}, **more)


MUCH = {"output_kb": 65_536}


def by_hand(mode: str = "", **more: Any) -> dict[str, Any]:
    """A job with the server that is written by hand."""
    own = {name: more.pop(name) for name in ("tools", "command") if name in more}
    server = {"name": "hand", "command": ["python3", "hand.py", mode], "tools": FREE, **own}
    return by(server, {"path": "hand.py", "text": BY_HAND}, **more)


def by(server: dict[str, Any], file: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A job of an agent with one server, and a tool for files."""
    job: dict[str, Any] = {"kind": "agent", "task": "do it", "tier": "process", "files": [file]}
    return {**job, "tools": [{"name": "read_file"}, {"name": "write_file"}], "mcp": [server], **more}


async def tools_told(url: str) -> list[dict[str, Any]]:
    """What the model was told of its tools when it was asked first."""
    asked = (await heard(url))[0]["body"]
    return [tool["function"] for tool in asked["tools"]]


async def test_an_agent_uses_a_server_and_what_it_writes_is_its_own(serve: Serve) -> None:
    async with serve(
        call("write_file", path="seen.txt", text="seen"),
        [call("shop__price", item="tea", count=2), call("shop__write", path="made.txt", text="new")],
        [call("shop__picture"), call("shop__order", item="milk")],
        call("read_file", path="made.txt"),
        "done",
    ) as (stack, url):
        job = await submit(stack, **official(outputs=["mcp/**"]))
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        told = await results(stack, job)
        assert told[1:3] == ["tea: 6", "seen"]
        assert told[3] == "(image/png, 8 bytes: kept as mcp/call_4-1.png)"
        assert told[4].startswith("error: ")
        assert "there is no milk" in told[4]
        assert told[5] == "1\tnew"
        assert await made(stack, job, "mcp/call_4-1.png") == b"\x89PNG\r\n\x1a\n"
        assert result_of(done).refused == 0
        spoken = {tool["name"]: tool for tool in await tools_told(url)}
        assert list(spoken) == [
            "read_file",
            "write_file",
            "shop__price",
            "shop__write",
            "shop__picture",
            "shop__order",
        ]
        assert spoken["shop__price"]["description"] == "Say what something costs."
        assert spoken["shop__price"]["parameters"]["required"] == ["item"]
        assert "shop opens" in read(await events(stack, job))
        handle = stack.client.get_workflow_handle(f"job:{TENANT}:{job.id}")
        history = (await handle.fetch_history()).to_json()
        assert "shop" not in history


async def test_without_a_rule_each_call_waits_for_a_yes_whatever_the_server_says_of_it(serve: Serve) -> None:
    server = {"name": "hand", "command": ["python3", "hand.py"]}
    async with serve(call("hand__echo", text="one"), "done") as (stack, _):
        job = await submit(stack, **by(server, {"path": "hand.py", "text": BY_HAND}))
        waiting = await asks(stack, job)
        assert waiting.agent is not None
        [asked] = waiting.agent.awaiting
        assert (asked.tool, json.loads(asked.arguments)) == ("hand__echo", {"text": "one"})
        await decide(stack, job, 1, approved=True)
        assert (await ended(stack, job)).state is JobState.SUCCEEDED
        assert await results(stack, job) == ["one"]


async def test_rules_choose_tools_and_bound_their_calls_and_arguments_are_held_against_the_schema(
    serve: Serve, tmp_path: Path
) -> None:
    audited = tmp_path / "audit.log"
    tools = [{"name": "echo", "approval": "never", "max_calls": 1}]
    async with serve(
        [call("hand__spare"), call("hand__echo", word="x"), call("hand__echo", text="y" * 21)],
        [call("hand__echo", text="good"), call("hand__echo", text="again")],
        "done",
    ) as (stack, url):
        with start_logs(TelemetrySettings(audit_log=audited), "test"):
            job = await submit(stack, **by_hand(tools=tools))
            assert (await ended(stack, job)).state is JobState.SUCCEEDED
        assert [tool["name"] for tool in await tools_told(url)][2:] == ["hand__echo"]
        told = await results(stack, job)
        assert told[0].startswith("error: there is no tool hand__spare; yours are")
        assert "arguments.text: expected a value; got none" in told[1]
        assert "a text with a length of at most 20" in told[2]
        assert told[3] == "good"
        assert "may be used 1 times" in told[4]
        async with stack.database.read() as connection:
            found = await log.read(connection, TENANT, after=0, limit=100)
        denied = [event for event in found.events if event.type == EventType.JOB_TOOL_DENIED]
        assert [event.data["tool"] for event in denied] == ["hand__spare", "hand__echo"]
    lines = [json.loads(line) for line in audited.read_text().splitlines()]
    assert [line["tool"] for line in lines if line["event"] == "job.tool_denied"] == [
        "hand__spare",
        "hand__echo",
    ]


async def test_a_tool_that_its_server_tells_otherwise_of_is_not_called(serve: Serve, tmp_path: Path) -> None:
    audited = tmp_path / "audit.log"
    async with serve(
        call("hand__echo", text="before"),
        call("write_file", path="changed", text=""),
        call("hand__echo", text="after"),
        "done",
    ) as (stack, url):
        with start_logs(TelemetrySettings(audit_log=audited), "test"):
            job = await submit(stack, **by_hand("changing"))
            assert (await ended(stack, job)).state is JobState.SUCCEEDED
        told = await results(stack, job)
        assert told[0] == "before"
        assert "has changed its tool echo since this job began" in told[2]
        assert "secrets" not in read(await events(stack, job))
        assert all("secrets" not in json.dumps(one) for one in await heard(url)), (
            "the model is told the first"
        )
    lines = [json.loads(line) for line in audited.read_text().splitlines()]
    assert [line["decision"] for line in lines if line["event"] == "job.tool_denied"] == ["deny"]


async def test_one_that_hangs_or_says_too_much_is_ended_and_the_model_is_told(serve: Serve) -> None:
    tools = [{"name": "*", "approval": "never", "time": "8s"}]
    async with serve(call("hand__echo", text="x"), call("read_file", path="log.txt"), "done") as (stack, _):
        job = await submit(stack, **by_hand("hang", tools=tools))
        assert (await ended(stack, job)).state is JobState.SUCCEEDED
        told = await results(stack, job)
        assert "did not answer within 8 s" in told[0]
        assert "there is no file log.txt" in told[1]
    async with serve(call("hand__echo", text="x"), "done") as (stack, _):
        job = await submit(stack, **by_hand("huge"))
        assert (await ended(stack, job)).state is JobState.SUCCEEDED
        assert "it wrote more than 1024 kB" in (await results(stack, job))[0]
    async with serve(call("hand__echo", text="x"), "done") as (stack, _):
        job = await submit(stack, **by_hand("huge", limits={"output_kb": 4096}))
        assert (await ended(stack, job)).state is JobState.SUCCEEDED
        [told] = await results(stack, job)
        assert len(told) < 70_000
        assert "left out" in told


@pytest.mark.parametrize(
    ("own", "kind", "says"),
    [
        ({"command": ["no-such-server"]}, FailureKind.INVALID, "there is no program 'no-such-server'"),
        ({"mode": "dies"}, FailureKind.UNAVAILABLE, "exit code 1; it wrote: no key, no service"),
        ({"mode": "bomb", "limits": MUCH}, FailureKind.TOO_LARGE, "more in one message than is taken"),
        ({"mode": "endless", "limits": MUCH}, FailureKind.TOO_LARGE, "more in one message than is taken"),
        ({"tools": [{"name": "ecko"}]}, FailureKind.INVALID, "no tool ecko that can be used; it has echo"),
    ],
)
async def test_a_server_that_cannot_be_used_fails_the_job_before_its_model_is_asked(
    serve: Serve, own: dict[str, Any], kind: FailureKind, says: str
) -> None:
    async with serve("never") as (stack, url):
        done = await ended(stack, await submit(stack, **by_hand(own.pop("mode", ""), **own)))
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert done.problem.kind is kind, done.problem
        assert says in done.problem.detail
        assert "hand" in done.problem.detail
        assert done.problem.remedy
        assert await heard(url) == []


async def test_what_is_no_message_is_told_as_what_a_program_writes(serve: Serve) -> None:
    async with serve(call("hand__echo", text="x"), "done") as (stack, _):
        job = await submit(stack, **by_hand("lies"))
        assert (await ended(stack, job)).state is JobState.SUCCEEDED
        assert await results(stack, job) == ["x"]
        assert "Welcome! This is no JSON." in read(await events(stack, job))


async def test_a_server_runs_inside_the_walls_of_the_job(serve: Serve) -> None:
    async with serve(call("hand__echo", text="x"), call("read_file", path="log.txt"), "done") as (stack, _):
        job = await submit(stack, **by_hand(tier="bubblewrap"))
        done = await ended(stack, job)
        if done.problem is not None and "cannot give" in done.problem.detail:
            pytest.skip(done.problem.detail)
        assert done.state is JobState.SUCCEEDED, done
        assert await results(stack, job) == ["x", "1\tx"]


def behind(url: str, place: str, **more: Any) -> dict[str, Any]:
    """A job with a server behind a URL."""
    server = {"name": "desk", "url": url, "tools": FREE}
    return {"kind": "agent", "task": "do it", "tools": [], "network": [place], "mcp": [server], **more}


def reaching(*hosts: str) -> dict[str, Any]:
    """Settings under which jobs may reach hosts of this machine."""
    return {"sandbox": {"network": {"hosts": list(hosts), "allowed_networks": ["127.0.0.0/8"]}}}


async def test_a_server_behind_a_url_is_reached_through_the_walls_of_the_job(
    serve: Serve, tmp_path: Path
) -> None:
    audited = tmp_path / "audit.log"
    calls = [call("desk__note", text="tea"), call("desk__much", size=2_000_000)]
    async with desk() as server:
        async with serve(calls, "done", **reaching(server.place)) as (stack, _):
            with start_logs(TelemetrySettings(audit_log=audited), "test"):
                job = await submit(stack, **behind(server.url, server.place))
                assert (await ended(stack, job)).state is JobState.SUCCEEDED
            told = await results(stack, job)
            assert told[0] == "noted: tea"
            assert "the answer is longer than 1048576 bytes" in told[1]
            assert "may have done something all the same" in told[1]
            assert server.called == ["tea"]
            tried = [event.data["network"] for event in await events(stack, job) if "network" in event.data]
            assert [one["allowed"] for one in tried] == [True] * 3, "to list, and for each call"
    lines = [json.loads(line) for line in audited.read_text().splitlines()]
    assert [line["decision"] for line in lines if line["event"] == "job.network"] == ["allow"] * 3


async def test_a_server_outside_the_hosts_of_the_job_or_at_no_public_address_is_not_reached(
    serve: Serve,
) -> None:
    async with desk() as server:
        async with serve("never", **reaching("*", server.place)) as (stack, _):
            done = await ended(stack, await submit(stack, **behind(server.url, "example.org")))
            assert done.problem is not None
            assert done.problem.kind is FailureKind.DENIED
            assert "is not among the hosts of this job (network)" in done.problem.detail
        closed = {"sandbox": {"network": {"hosts": [server.place]}}}
        async with serve("never", **closed) as (stack, _):
            done = await ended(stack, await submit(stack, **behind(server.url, server.place)))
            assert done.problem is not None
            assert done.problem.kind is FailureKind.DENIED
            assert "loopback" in done.problem.detail
        assert server.called == []


async def test_a_server_that_is_away_for_a_moment_is_asked_again(serve: Serve) -> None:
    async with desk() as server:
        server.away = 2
        async with serve(call("desk__note", text="tea"), "done", **reaching(server.place)) as (stack, _):
            done = await ended(stack, await submit(stack, **behind(server.url, server.place)))
            assert done.state is JobState.SUCCEEDED, done
        assert server.called == ["tea"]


async def test_what_is_behind_a_url_and_speaks_no_mcp_fails_the_job(serve: Serve, receiver: Receiver) -> None:
    receiver.answers(Answer(200, {"Content-Type": "text/html"}, b"<p>hello"))
    place = receiver.url.split("/")[2]
    async with serve("never", **reaching(place)) as (stack, url):
        done = await ended(stack, await submit(stack, **behind(receiver.url, place)))
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert "the MCP server desk" in done.problem.detail
        assert await heard(url) == []


async def test_a_token_of_the_settings_is_shown_to_its_server_and_told_to_nobody(
    serve: Serve, tmp_path: Path
) -> None:
    async with desk() as server:
        tokens = {"jobs": {"mcp_tokens": [f"other {server.url} wr0ng", f"{TENANT} {server.url} t0ken"]}}
        asking = call("desk__note", text="who am I")
        async with serve(asking, "done", **reaching(server.place), **tokens) as (
            stack,
            url,
        ):
            job = await submit(stack, **behind(server.url, server.place))
            done = await ended(stack, job)
            assert done.state is JobState.SUCCEEDED, done
            assert set(server.shown) == {"Bearer t0ken"}
            assert await results(stack, job) == ["noted: Bearer [redacted]"], "it was said back"
            handle = stack.client.get_workflow_handle(f"job:{TENANT}:{job.id}")
            told = [(await handle.fetch_history()).to_json(), done.model_dump_json()]
            told += [one.model_dump_json() for one in await events(stack, job)]
            told += [json.dumps(await heard(url)), json.dumps(await results(stack, job))]
            assert all("t0ken" not in one for one in told)
