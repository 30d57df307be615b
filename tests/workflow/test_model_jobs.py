"""Jobs that ask a model, through Temporal, the real router and a model server that plays a script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from model_servers import heard, model_server
from stacks import TENANT, Stack, eventually, stack_of
from temporalio.testing import WorkflowEnvironment
from working import artifacts, cancel, ended, events, made, read, submit

from minoots.contracts import CircuitPolicy, FinishReason, Job, JobEventType, JobState, LlmResult
from minoots.errors import FailureKind
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, breakers, contents
from minoots_platform.settings import Settings, with_overrides
from minoots_platform.telemetry import Telemetry
from minoots_workflows.ids import workflow_id

Serve = Callable[..., AbstractAsyncContextManager[tuple[Stack, str]]]


@pytest.fixture
def serve(
    sqlite_database: Database, temporal: WorkflowEnvironment, namespace: str, telemetry: Telemetry
) -> Serve:
    """A stack whose models are a server that plays a script."""

    @asynccontextmanager
    async def opened(*turns: dict[str, Any], **models: Any) -> AsyncIterator[tuple[Stack, str]]:
        address = temporal.client.service_client.config.target_host
        async with model_server(turns=turns) as url:
            settings = with_overrides(Settings(), {"models": {"providers": [f"ollama={url}"], **models}})
            stacking = stack_of(sqlite_database, address, namespace, telemetry, settings=settings)
            async with stacking as stack:
                yield stack, url

    return opened


def ask(text: str, **more: Any) -> dict[str, Any]:
    """A job that asks for something."""
    return {"kind": "llm", "messages": [{"role": "user", "text": text}], **more}


def result_of(job: Job) -> LlmResult:
    """What came of it."""
    assert isinstance(job.result, LlmResult), job
    return job.result


async def test_an_answer_is_told_as_it_is_written_and_kept(serve: Serve) -> None:
    text = "Boil the water, then wait."
    async with serve({"when": "tea", "text": text, "thinking": "A kettle."}) as (stack, _):
        job = await submit(stack, **ask("how is tea made?"))
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        result = result_of(done)
        assert (result.preview, result.finish, result.local) == (text, FinishReason.STOP, True)
        assert result.usage.cost_micros == 0
        assert await made(stack, job, "answer.txt") == text.encode()
        assert json.loads(await made(stack, job, "answer.json"))["thinking"] == "A kettle."
        told = await events(stack, job)
        assert read(told, JobEventType.TOKEN) == text
        assert read(told, JobEventType.TOKEN, "thinking") == "A kettle."
        handle = stack.client.get_workflow_handle(workflow_id("job", TENANT, job.id))
        await handle.result()
        history = (await handle.fetch_history()).to_json()
        assert "water" not in history
        assert "how is tea" not in history


async def test_a_long_answer_costs_few_events_and_the_history_does_not_grow(serve: Serve) -> None:
    words = " ".join(f"word{number}" for number in range(2000))
    async with serve({"when": "long", "text": words}) as (stack, _):
        job = await submit(stack, **ask("long"))
        await ended(stack, job)
        told = await events(stack, job)
        assert read(told, JobEventType.TOKEN) == words
        assert len(told) < 500
        handle = stack.client.get_workflow_handle(workflow_id("job", TENANT, job.id))
        await handle.result()
        assert len((await handle.fetch_history()).events) < 30


async def test_messages_may_name_contents(serve: Serve) -> None:
    async with serve() as (stack, url):
        sha256 = await contents.keep(stack.database, TENANT, b"a long text", utc_now())
        message = {"role": "user", "content": sha256}
        job = await submit(stack, kind="llm", messages=[message])
        done = await ended(stack, job)
        assert result_of(done).preview == "You said: a long text"
        assert len(await heard(url)) == 1


async def test_tool_calls_are_handed_back(serve: Serve) -> None:
    call = {"name": "look_up", "arguments": {"what": "tea"}}
    async with serve({"when": "tea", "tool_calls": [call]}) as (stack, _):
        tool = {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
        }
        job = await submit(stack, **ask("tea", tools=[tool]))
        done = await ended(stack, job)
        assert result_of(done).finish is FinishReason.TOOL_CALLS
        [told] = [event for event in await events(stack, job) if event.type is JobEventType.TOOL]
        assert told.data["calls"][0]["arguments"] == {"what": "tea"}
        assert "answer.txt" not in await artifacts(stack, job)


async def test_cancelling_stops_the_model(serve: Serve) -> None:
    slow = {"when": "slow", "text": "one two three " * 1000, "pace": 0.05}
    async with serve(slow) as (stack, _):
        job = await submit(stack, **ask("slow"))
        await eventually(lambda: events(stack, job), lambda told: "one" in read(told, JobEventType.TOKEN), 60)
        await cancel(stack, job)
        done = await ended(stack, job)
        assert done.state is JobState.CANCELLED
        told = await events(stack, job)
        assert told[-1].data == {"state": "cancelled"}, "nothing is written after the end"
        assert len(read(told, JobEventType.TOKEN)) < len(slow["text"])


async def test_a_deadline_stops_a_model_that_hangs(serve: Serve) -> None:
    async with serve({"when": "hang", "text": "one two", "fault": {"kind": "hang", "after": 1}}) as (
        stack,
        _,
    ):
        deadline = (utc_now() + timedelta(seconds=2)).isoformat()
        done = await ended(stack, await submit(stack, **ask("hang", deadline=deadline)))
        assert done.state is JobState.FAILED
        assert done.problem is not None


async def test_a_model_that_is_away_for_a_moment_is_asked_again(serve: Serve) -> None:
    broken = {"when": "tea", "times": 1, "fault": {"kind": "status", "status": 503}}
    async with serve(broken, {"when": "tea", "text": "Tea."}) as (stack, _):
        done = await ended(stack, await submit(stack, **ask("tea")))
        assert done.state is JobState.SUCCEEDED, done
        assert result_of(done).preview == "Tea."


@pytest.mark.parametrize("job", [ask("tea?"), {"kind": "agent", "task": "tea?"}], ids=["llm", "agent"])
async def test_to_wait_until_somebody_else_has_tried_a_model_is_no_try(
    serve: Serve, job: dict[str, Any]
) -> None:
    async with serve({"when": "tea", "text": "Boil water."}) as (stack, url):
        key = ("ollama", "fake:latest")
        before = utc_now() - timedelta(minutes=5)
        async with stack.database.write() as connection:
            often = CircuitPolicy(minimum=1, failure_rate=0.1, open_for=timedelta(seconds=1))
            common: Any = {"well": 0, "reason": "it was away", "probe": False, "policy": often, "now": before}
            assert await breakers.unwell(connection, *key, **common)
            assert await breakers.claim_probe(connection, *key, utc_now(), utc_now() + timedelta(minutes=1))

        async def waits() -> int:
            """How often it has waited; the other one goes on trying."""
            async with stack.database.write() as connection:
                await breakers.keep_probing(connection, *key, utc_now() + timedelta(seconds=1.5))
            return len([one for one in await events(stack, waiting) if "retry_in" in one.data])

        waiting = await submit(stack, **job)
        await eventually(waits, lambda many: many > Settings().jobs.max_attempts + 1)
        assert await heard(url) == []
        async with stack.database.write() as connection:
            assert await breakers.close(connection, *key, utc_now())
        done = await ended(stack, waiting)
        assert done.state is JobState.SUCCEEDED, done
        assert len(await heard(url)) == 1


async def test_jobs_that_wait_for_one_that_tries_a_model_go_on_behind_it(serve: Serve) -> None:
    async with serve({"when": "tea", "text": "Boil water."}) as (stack, _):
        key = ("ollama", "fake:latest")
        now = utc_now()
        async with stack.database.write() as connection:
            often = CircuitPolicy(minimum=1, failure_rate=0.1, open_for=timedelta(seconds=1))
            common: Any = {"well": 0, "reason": "it was away", "probe": False, "policy": often}
            assert await breakers.unwell(connection, *key, **common, now=now - timedelta(minutes=5))
            # Whoever tries is taken for alive for an hour: nobody may wait for as long.
            assert await breakers.claim_probe(connection, *key, now, now + timedelta(hours=1))
        jobs = [await submit(stack, **ask("tea")), await submit(stack, kind="agent", task="tea")]

        async def all_wait() -> bool:
            return all([any("retry_in" in one.data for one in await events(stack, job)) for job in jobs])

        await eventually(all_wait, bool)
        async with stack.database.write() as connection:
            assert await breakers.close(connection, *key, utc_now())
        for job in jobs:
            assert (await ended(stack, job)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("fault", ["cut", "error", "garbage", "hang"])
async def test_an_answer_that_breaks_off_fails_unless_it_may_begin_anew(serve: Serve, fault: str) -> None:
    cut = {"when": "tea", "times": 1, "text": "half of it", "fault": {"kind": fault, "after": 1}}
    async with serve(cut, {"when": "tea", "text": "All of it."}, stall_seconds=2) as (stack, url):
        done = await ended(stack, await submit(stack, **ask("tea")))
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert done.problem.kind is FailureKind.UNAVAILABLE
        assert len(await heard(url)) == 1
    async with serve(cut, {"when": "tea", "text": "All of it."}, stall_seconds=2) as (stack, _):
        job = await submit(stack, **ask("tea", on_break="restart"))
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        assert read(await events(stack, job), JobEventType.TOKEN) == "All of it."


async def test_an_answer_that_is_whole_and_does_not_fit_its_schema_is_asked_for_again(serve: Serve) -> None:
    schema = {"type": "object", "required": ["cups"], "properties": {"cups": {"type": "integer"}}}
    talks = {"when": "tea", "times": 1, "text": "Two cups."}
    async with serve(talks, {"when": "tea", "text": '{"cups": 2}'}) as (stack, _):
        done = await ended(stack, await submit(stack, **ask("tea", json_schema=schema)))
        assert done.state is JobState.SUCCEEDED, done
        assert result_of(done).preview == '{"cups": 2}'


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"model": "no-such-model"}, FailureKind.INVALID),
        ({"provider": "nobody"}, FailureKind.INVALID),
    ],
)
async def test_what_cannot_be_asked_is_told_and_not_tried_again(
    serve: Serve, more: dict[str, Any], kind: FailureKind
) -> None:
    async with serve() as (stack, _):
        done = await ended(stack, await submit(stack, **ask("tea", **more)))
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert (done.problem.kind, done.attempt) == (kind, 1)
        assert done.problem.remedy


async def test_a_worker_that_goes_has_its_model_asked_again_and_told_once(serve: Serve) -> None:
    slow = {"when": "tea", "times": 1, "text": "never finished " * 200, "pace": 0.05}
    async with serve(slow, {"when": "tea", "text": "Here it is."}) as (stack, _):
        job = await submit(stack, **ask("tea"))
        await eventually(
            lambda: events(stack, job), lambda told: "never" in read(told, JobEventType.TOKEN), 60
        )
        await stack.stop_workers()
        await stack.start_workers()
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done
        assert read(await events(stack, job), JobEventType.TOKEN) == "Here it is."
        assert set(await artifacts(stack, job)) == {"answer.json", "answer.txt"}
