"""Agents through Temporal, the real router, a model server that plays a script, and real commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agents_at_work import (
    Serve,
    asks,
    call,
    decide,
    message,
    result_of,
    results,
    said,
    script,
    seen,
    serving,
    sleeps,
    task,
)
from ingesting import taken
from keys_held import hold, revoke
from model_servers import heard, model_server
from receivers import Answer, Receiver
from stacks import TENANT, Stack, eventually
from temporalio.testing import WorkflowEnvironment
from working import artifacts, cancel, ended, events, made, read, submit

from minoots.contracts import EventType, Job, JobEventType, JobState
from minoots.errors import Failure, FailureKind
from minoots_platform.identity import Scope
from minoots_platform.records import Database, agent_words, contents, ingests, timers
from minoots_platform.records import events as log
from minoots_platform.settings import TelemetrySettings
from minoots_platform.telemetry import Telemetry, start_logs
from minoots_workflows.ids import workflow_id


@pytest.fixture
def serve(
    sqlite_database: Database, temporal: WorkflowEnvironment, namespace: str, telemetry: Telemetry
) -> Serve:
    """A stack whose model plays a script."""
    return serving(sqlite_database, temporal, namespace, telemetry)


async def history_of(stack: Stack, job: Job) -> Any:
    """The history of a job's workflow."""
    handle = stack.client.get_workflow_handle(workflow_id("job", TENANT, job.id))
    await handle.result()
    return await handle.fetch_history()


async def test_an_agent_looks_changes_checks_and_hands_back_a_patch(serve: Serve) -> None:
    async with serve(
        [call("list_files"), call("read_file", path="add.py")],
        call("run", command="python3 -c 'import add; assert add.add(1, 2) == 3'"),
        call("edit_file", path="add.py", old="a - b", new="a + b"),
        call("run", command="python3 -c 'import add; assert add.add(1, 2) == 3' && echo good > out.txt"),
        "Fixed: it subtracted.",
    ) as (stack, _):
        source = "def add(a, b):\n    return a - b\n"
        job = await submit(
            stack, **task(files=[{"path": "add.py", "text": source}], outputs=["out.txt", "add.py"])
        )
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        result = result_of(done)
        assert (result.turns, result.calls, result.refused) == (5, 5, 0)
        assert result.preview == "Fixed: it subtracted."
        assert result.changed == ("add.py", "out.txt"), "bytecode would be taken for that of the new source"
        assert await made(stack, job, "answer.txt") == b"Fixed: it subtracted."
        assert await made(stack, job, "out.txt") == b"good\n"
        patch = (await made(stack, job, "changes.patch")).decode()
        assert "-    return a - b\n+    return a + b\n" in patch
        told = await results(stack, job)
        assert told[0] == f"add.py\t{len(source)}"
        assert told[1] == "1\tdef add(a, b):\n2\t    return a - b"
        assert told[2].startswith("exit code 1\n")
        assert "AssertionError" in told[2]
        assert told[3:] == ["edited add.py in 1 place", "exit code 0"]
        assert "AssertionError" in read(await events(stack, job)), "what commands write is told as they run"
        numbers = [event.sequence for event in await events(stack, job)]
        assert numbers == list(range(1, len(numbers) + 1))
        history = await history_of(stack, job)
        assert "subtracted" not in history.to_json()
        assert "add.py" not in history.to_json()


async def test_a_result_says_how_often_another_model_answered_and_in_what_money_it_counts(
    serve: Serve, tmp_path: Path
) -> None:
    prices = tmp_path / "models.toml"
    prices.write_text(
        'currency = "EUR"\n[[model]]\nprovider = "desk"\nname = "fake*"\ncontext = 32768\n'
        "prices = [{ from = 2026-01-01, input = 10.0, output = 40.0 }]\n"
    )
    async with (
        model_server(turns=[{"fault": {"kind": "status", "status": 503}}]) as away,
        model_server(turns=script(call("list_files"), "None.")) as there,
    ):
        models = {
            "providers": [f"ollama={away}", f"desk:compatible={there}/v1"],
            "defaults": ["desk=fake"],
            "cloud": ["desk"],
            "catalogue": str(prices),
        }
        async with serve(models=models) as (stack, _):
            done = await ended(stack, await submit(stack, **task(locality="allow_cloud")))
            assert done.state is JobState.SUCCEEDED, done
            result = result_of(done)
            assert (result.turns, result.fallbacks, result.currency) == (2, 2, "EUR")
            assert result.usage.cost_micros > 0


async def test_a_command_reaches_only_hosts_of_the_job_and_each_attempt_is_told(serve: Serve) -> None:
    reach = (
        "import os, socket; "
        "there = socket.create_connection(('127.0.0.1', int(os.environ['HTTPS_PROXY'].rpartition(':')[2]))); "
        "there.sendall(b'CONNECT other.example:443 HTTP/1.1\\r\\n\\r\\n'); "
        "print(there.makefile().readline())"
    )
    network = {"sandbox": {"network": {"hosts": ["*"]}}}
    async with serve(call("run", command=f'python3 -c "{reach}"'), "refused", **network) as (stack, _):
        job = await submit(stack, **task(tier="bubblewrap", network=["example.org"]))
        done = await ended(stack, job)
        if done.problem is not None and "cannot give" in done.problem.detail:
            pytest.skip(done.problem.detail)
        assert done.state is JobState.SUCCEEDED, done
        assert "403 Forbidden" in (await results(stack, job))[0]
        told = [event.data["network"] for event in await events(stack, job) if "network" in event.data]
        assert [(one["host"], one["allowed"]) for one in told] == [("other.example", False)]


async def test_a_request_of_the_tool_http_is_sent_after_a_yes_and_its_attempt_is_told(
    serve: Serve, receiver: Receiver
) -> None:
    receiver.answers(Answer(200, {"Content-Type": "text/plain"}, b"green"))
    place = receiver.url.split("/")[2]
    network = {"sandbox": {"network": {"hosts": [place], "allowed_networks": ["127.0.0.0/8"]}}}
    other = call("http", url="http://other.example/")
    answers = ([call("http", url=receiver.url, method="POST", body="tea?"), other], "It said: {last}")
    async with serve(*answers, **network) as (stack, _):
        job = await submit(stack, **task(tools=[{"name": "http"}], tier="bubblewrap", network=[place]))
        await asks(stack, job)
        assert receiver.requests == [], "nothing is sent before the yes"
        for number in (1, 2):
            await decide(stack, job, number, approved=True)
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done.problem
        first, second = await results(stack, job)
        assert first == "200 OK\ncontent-type: text/plain\n\ngreen"
        assert second == "error: other.example:80 is not among the hosts of this job (network)"
        assert [request.body for request in receiver.requests] == [b"tea?"]
        told = [event.data["network"] for event in await events(stack, job) if "network" in event.data]
        assert [(one["host"], one["allowed"]) for one in told] == [
            ("127.0.0.1", True),
            ("other.example", False),
        ]


async def test_an_agent_looks_something_up_and_that_is_audited_without_the_words(
    serve: Serve, tmp_path: Path
) -> None:
    audited = tmp_path / "audit.log"
    answers = [call("context", query="launch"), call("context", read=ingests.source_id(TENANT, "plan.md"))]
    async with serve(answers, call("context", query="!"), "done") as (stack, _):
        await hold(stack.database, {Scope.JOBS_WRITE, Scope.SESSIONS_READ, Scope.SOURCES_READ})
        await taken(stack, {"plan.md": "# Plan\n\nThe launch is on Friday.\n"})
        with start_logs(TelemetrySettings(audit_log=audited), "test"):
            job = await submit(stack, **task(tools=[{"name": "context"}]))
            done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        told = await results(stack, job)
        assert "The launch is on Friday." in told[0]
        assert told[1].startswith("[1] # Plan")
        assert told[2] == "error: nothing can be searched for"
    lines = [json.loads(line) for line in audited.read_text().splitlines()]
    looked = [line for line in lines if line["event"] == "job.context"]
    assert [line["job"] for line in looked] == [job.id] * 3
    assert "launch" not in json.dumps(looked)


async def test_what_was_said_is_a_chain_that_begins_with_the_task(serve: Serve) -> None:
    async with serve(call("write_file", path="a/b.txt", text="x"), "done") as (stack, _):
        job = await submit(stack, **task("write it", system="Be brief."))
        done = await ended(stack, job)
        spoken = await said(stack, job)
        assert [one["role"] for one in spoken] == ["system", "user", "assistant", "tool", "assistant"]
        assert [one["text"] for one in spoken[:2]] == ["Be brief.", "write it"]
        assert spoken[2]["tool_calls"][0]["id"] == spoken[3]["tool_call_id"] == "call_1"
        kept = await agent_words.conversation(stack.database, TENANT, job.id)
        head = ""
        for one in kept:
            head = agent_words.linked(head, contents.sha256_of(agent_words.encode(one)))
        assert result_of(done).head == head


@pytest.mark.parametrize("wire", ["ollama", "compatible"])
async def test_malformed_calls_are_told_to_the_model(serve: Serve, wire: str) -> None:
    async with serve(
        [{"name": "read_file", "arguments": "{not json"}],
        call("read_file", file="x"),
        call("read_file", path="../secret"),
        "I give up",
        wire=wire,
    ) as (stack, _):
        job = await submit(stack, **task())
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        told = await results(stack, job)
        assert "no JSON object" in told[0]
        assert "path" in told[1]
        assert "below the working folder" in told[2]
        assert result_of(done).refused == 3


async def test_calls_that_cannot_be_are_bounded(serve: Serve) -> None:
    async with serve(*[call("no_such_tool", n=number) for number in range(6)], "never") as (stack, url):
        job = await submit(stack, **task())
        done = await ended(stack, job)
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert done.problem.kind is FailureKind.EXHAUSTED
        assert "4 turns" in done.problem.detail
        assert len(await heard(url)) == 4
        told = await results(stack, job)
        assert told[0].startswith("error: there is no tool no_such_tool; yours are read_file")


async def test_a_tool_outside_the_policy_is_denied_told_audited_and_kept_as_an_event(
    serve: Serve, tmp_path: Path
) -> None:
    audited = tmp_path / "audit.log"
    tools = [{"name": "read_file", "paths": ["docs/**"]}, {"name": "list_files", "max_calls": 1}]
    async with serve(
        [call("run", command="id"), call("read_file", path="secret.txt")],
        [call("list_files"), call("list_files")],
        "so be it",
    ) as (stack, _):
        with start_logs(TelemetrySettings(audit_log=audited), "test"):
            job = await submit(stack, **task(tools=tools, files=[{"path": "secret.txt", "text": "s3cret"}]))
            done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        told = await results(stack, job)
        assert told[0] == "error: you may not use the tool run; yours are read_file, list_files"
        assert "may touch only docs/**" in told[1]
        assert told[2] == "secret.txt\t6"
        assert "1 times" in told[3]
        async with stack.database.read() as connection:
            found = await log.read(connection, TENANT, after=0, limit=100)
        denied = [event for event in found.events if event.type == EventType.JOB_TOOL_DENIED]
        assert [event.data["tool"] for event in denied] == ["run", "read_file", "list_files"]
    lines = [json.loads(line) for line in audited.read_text().splitlines()]
    denials = [line for line in lines if line["event"] == "job.tool_denied"]
    assert [(line["tool"], line["job"], line["decision"]) for line in denials] == [
        (tool, job.id, "deny") for tool in ("run", "read_file", "list_files")
    ]


async def test_one_answer_makes_so_many_calls_and_the_model_is_told_of_the_others(serve: Serve) -> None:
    many = [call("write_file", path=f"{number}.txt", text="x") for number in range(200)]
    async with serve(many, "It said: {last}") as (stack, _):
        job = await submit(stack, **task(max_calls=500))
        done = await ended(stack, job, timeout=120)
        assert done.state is JobState.SUCCEEDED, done
        told = await results(stack, job)
        assert len(told) == 64
        assert told[:63] == [f"wrote {number}.txt: 1 bytes" for number in range(63)]
        assert told[63].startswith("error: one answer may call 64 tools, and this one called 200")
        assert result_of(done).changes == 63
        assert result_of(done).refused == 1


async def test_what_leaves_the_sandbox_waits_for_a_yes(serve: Serve) -> None:
    tools = [{"name": "run"}]
    async with serve(
        [call("run", command="echo one"), call("run", command="echo two")],
        call("run", command="echo three"),
        "done",
    ) as (stack, _):
        job = await submit(stack, **task(tools=tools))
        waiting = await asks(stack, job)
        assert waiting.agent is not None
        assert [one.call for one in waiting.agent.awaiting] == [1, 2]
        assert json.loads(waiting.agent.awaiting[0].arguments) == {"command": "echo one"}
        await decide(stack, job, 2, approved=False, reason="once is enough")
        await decide(stack, job, 1, approved=True)
        await eventually(lambda: seen(stack, job), lambda one: bool(one.agent and one.agent.calls == 3))
        with pytest.raises(Failure, match="call 2 does not wait"):
            await decide(stack, job, 2, approved=True)
        await asks(stack, job)
        await decide(stack, job, 3, approved=True)
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        told = await results(stack, job)
        assert told[0] == "exit code 0\none"
        assert told[1] == "error: somebody looked at this call and denied it: once is enough"
        assert told[2] == "exit code 0\nthree"
        with pytest.raises(Failure, match="the job has succeeded"):
            await decide(stack, job, 3, approved=True)


async def test_an_agent_sleeps_and_a_message_wakes_it(serve: Serve) -> None:
    async with serve(call("sleep", seconds=0.2), call("sleep", seconds=3600), "It is {last}") as (stack, _):
        job = await submit(stack, **task())
        await eventually(
            lambda: seen(stack, job),
            lambda one: bool(one.agent and one.agent.turns == 2 and one.agent.wakes_at),
        )
        await message(stack, job, "breakfast")
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        assert result_of(done).preview == "It is breakfast"
        assert await results(stack, job) == ["0.2 seconds have passed", "a message woke you; read it"]
        with pytest.raises(Failure, match="the job has succeeded"):
            await message(stack, job, "too late")


async def test_a_message_that_comes_while_it_concludes_is_still_answered(serve: Serve) -> None:
    slow = {"text": "the end " * 10, "pace": 0.1}
    async with serve(slow, "and this: {last}") as (stack, _):
        job = await submit(stack, **task())
        await eventually(lambda: events(stack, job), lambda told: "the end" in read(told, JobEventType.TOKEN))
        await message(stack, job, "one more thing")
        done = await ended(stack, job)
        assert result_of(done).preview == "and this: one more thing"
        assert result_of(done).turns == 2


async def test_cancelling_stops_a_command_and_a_sleep(serve: Serve) -> None:
    async with serve(call("run", command="echo begun; sleep 600")) as (stack, _):
        job = await submit(stack, **task())
        await eventually(lambda: events(stack, job), lambda told: "begun" in read(told))
        await cancel(stack, job)
        assert (await ended(stack, job)).state is JobState.CANCELLED
    async with serve(call("sleep", seconds=3600)) as (stack, _):
        job = await submit(stack, **task())
        await sleeps(stack, job)
        await cancel(stack, job)
        assert (await ended(stack, job)).state is JobState.CANCELLED
        with pytest.raises(Failure, match="the job was cancelled"):
            await message(stack, job, "too late")


async def test_one_that_goes_round_in_circles_is_warned_and_given_up(serve: Serve) -> None:
    async with serve(*[call("list_files")] * 12) as (stack, url):
        job = await submit(stack, **task(stuck_after=4))
        done = await ended(stack, job)
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert "stuck" in done.problem.detail
        told = await results(stack, job)
        assert told[0] == "no files"
        assert "try something else" in told[3]
        assert len(await heard(url)) == 5


async def test_one_that_has_had_its_turns_ends_with_what_there_is(serve: Serve) -> None:
    answers = [call("write_file", path=f"{number}.txt", text="x") for number in range(5)]
    async with serve(*answers) as (stack, _):
        job = await submit(stack, **task(max_turns=3))
        done = await ended(stack, job)
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert "3 turns" in done.problem.detail
        assert result_of(done).changed == ("0.txt", "1.txt", "2.txt")
        assert set(await artifacts(stack, job)) == {"changes.patch", "conversation.jsonl"}


async def test_an_agent_sets_a_timer_once_somebody_has_allowed_it(serve: Serve) -> None:
    wanted = call("set_timer", name="tea", seconds=60, webhook="https://example.org/hook", payload={"n": 1})
    async with serve(wanted, "set") as (stack, _):
        await hold(stack.database, {Scope.JOBS_WRITE, Scope.TIMERS_WRITE})
        job = await submit(stack, **task(tools=[{"name": "set_timer"}]))
        await asks(stack, job)
        await decide(stack, job, 1, approved=True)
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        [told] = await results(stack, job)
        async with stack.database.read() as connection:
            timer = await timers.get(connection, TENANT, told.removeprefix("the timer is set: "))
        assert (timer.name, timer.payload, timer.created_by) == ("tea", {"n": 1}, "test")


async def test_an_agent_whose_key_was_revoked_sets_no_timer_any_more(serve: Serve, tmp_path: Path) -> None:
    wanted = call("set_timer", name="tea", seconds=60, webhook="https://example.org/hook")
    audited = tmp_path / "audit.log"
    async with serve(wanted, "so be it") as (stack, _):
        await hold(stack.database, {Scope.JOBS_WRITE, Scope.TIMERS_WRITE})
        job = await submit(stack, **task(tools=[{"name": "set_timer"}]))
        await asks(stack, job)
        await revoke(stack.database)
        with start_logs(TelemetrySettings(audit_log=audited), "test"):
            await decide(stack, job, 1, approved=True)
            done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        [told] = await results(stack, job)
        assert told == "error: nobody stands behind it any more: the key test is revoked"
        async with stack.database.read() as connection:
            assert (await timers.page(connection, TENANT, timers.TimerQuery())).items == ()
    [line] = [one for one in map(json.loads, audited.read_text().splitlines()) if one["decision"] == "deny"]
    assert (line["event"], line["tool"], line["actor"]) == ("job.tool_denied", "set_timer", "test")


async def test_an_agent_whose_key_may_not_read_any_more_looks_nothing_up(
    serve: Serve, tmp_path: Path
) -> None:
    audited = tmp_path / "audit.log"
    async with serve(call("context", query="launch"), "so be it") as (stack, _):
        await hold(stack.database, {Scope.JOBS_WRITE, Scope.SESSIONS_READ})
        await taken(stack, {"plan.md": "# Plan\n\nThe launch is on Friday.\n"})
        with start_logs(TelemetrySettings(audit_log=audited), "test"):
            job = await submit(stack, **task(tools=[{"name": "context"}]))
            done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        [told] = await results(stack, job)
        assert told.startswith("error: ")
        assert "Friday" not in told
    [line] = [one for one in map(json.loads, audited.read_text().splitlines()) if one["decision"] == "deny"]
    assert (line["event"], line["tool"], line["actor"]) == ("job.tool_denied", "context", "test")


@pytest.mark.parametrize(
    ("more", "kind", "says"),
    [
        ({"model": "fakee"}, FailureKind.INVALID, "fake"),
        (
            {"task": "long " * 40_000, "context_tokens": 1000},
            FailureKind.TOO_LARGE,
            "more than its context_tokens of 1000",
        ),
        (
            {"tier": "process", "limits": {"memory_mb": 100_000}},
            FailureKind.INVALID,
            "limits.memory_mb is 100000",
        ),
        (
            {"files": [{"path": f"{n}", "text": "x" * 250_000} for n in range(5)], "limits": {"disk_mb": 1}},
            FailureKind.TOO_LARGE,
            "there is room for",
        ),
    ],
)
async def test_what_cannot_go_well_is_told(
    serve: Serve, more: dict[str, Any], kind: FailureKind, says: str
) -> None:
    async with serve(call("run", command="true"), "done") as (stack, _):
        done = await ended(stack, await submit(stack, **task(**more)))
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert done.problem.kind is kind, done.problem
        assert says in done.problem.detail
        assert done.problem.remedy
