"""Agents at work: stacks whose models play a script of calls, and what came of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import working
from model_servers import entry, model_server
from stacks import TENANT, Stack, eventually, stack_of
from temporalio.testing import WorkflowEnvironment

from minoots.contracts import AgentResult, Job, JobDecision, JobDetail
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, agent_talk, contents
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry

Serve = Callable[..., AbstractAsyncContextManager[tuple[Stack, str]]]


def call(tool: str, /, **arguments: Any) -> dict[str, Any]:
    """A call of a tool."""
    return {"name": tool, "arguments": arguments}


def script(*answers: Any) -> list[dict[str, Any]]:
    """Turns of a model: each a text, a call, a list of calls, or a whole turn."""
    turns = []
    for number, answer in enumerate(answers, start=1):
        if isinstance(answer, str):
            answer = {"text": answer}
        elif isinstance(answer, list):
            answer = {"tool_calls": answer}
        elif "name" in answer:
            answer = {"tool_calls": [answer]}
        turns.append({"nth": number, **answer})
    return turns


def serving(database: Database, temporal: WorkflowEnvironment, namespace: str, telemetry: Telemetry) -> Serve:
    """Return what opens a stack whose model gives these answers, one after the other."""

    @asynccontextmanager
    async def opened(
        *answers: Any, wire: str = "ollama", **settings: Any
    ) -> AsyncIterator[tuple[Stack, str]]:
        async with model_server(turns=script(*answers)) as url:
            models = {"providers": [entry(wire, url)], **settings.pop("models", {})}
            chosen = Settings.model_validate({"models": models, **settings})
            address = temporal.client.service_client.config.target_host
            async with stack_of(database, address, namespace, telemetry, settings=chosen) as stack:
                yield stack, url

    return opened


def task(text: str = "do it", **more: Any) -> dict[str, Any]:
    """A job of an agent that may run commands of this machine."""
    tools = [
        {"name": name} for name in ("read_file", "write_file", "edit_file", "list_files", "search_files")
    ]
    tools += [{"name": "run", "approval": "never"}, {"name": "sleep"}]
    return {"kind": "agent", "task": text, "tier": "process", "tools": tools, **more}


def result_of(job: Job) -> AgentResult:
    """What came of it."""
    assert isinstance(job.result, AgentResult), job
    return job.result


async def said(stack: Stack, job: Job) -> list[dict[str, Any]]:
    """All that was said."""
    data = await working.made(stack, job, "conversation.jsonl")
    return [json.loads(line) for line in data.decode().splitlines()]


async def results(stack: Stack, job: Job) -> list[str]:
    """What the model was told of its calls."""
    return [one["text"] for one in await said(stack, job) if one["role"] == "tool"]


async def seen(stack: Stack, job: Job) -> JobDetail:
    """The job, and how far its agent is."""
    async with stack.database.read() as connection:
        return await agent_talk.detail(connection, TENANT, job.id)


async def asks(stack: Stack, job: Job) -> JobDetail:
    """The job, once its agent asks for leave."""
    return await eventually(lambda: seen(stack, job), lambda one: bool(one.agent and one.agent.awaiting))


async def sleeps(stack: Stack, job: Job) -> JobDetail:
    """The job, once its agent sleeps."""
    return await eventually(
        lambda: seen(stack, job), lambda one: one.agent is not None and one.agent.wakes_at is not None
    )


async def decide(stack: Stack, job: Job, call: int, *, approved: bool, **more: Any) -> None:
    """Approve or deny what it asks leave for."""
    async with stack.database.write() as connection:
        await agent_talk.decide(
            connection,
            TENANT,
            job.id,
            JobDecision(call=call, **more),
            approved=approved,
            now=utc_now(),
            actor="ada",
        )
    assert await stack.handover.job(job.id, "approved" if approved else "denied")


async def message(stack: Stack, job: Job, text: str) -> None:
    """Say something to it."""
    async with stack.database.write() as connection:
        await agent_talk.send(connection, TENANT, job.id, text, now=utc_now(), actor="ada")
    assert await stack.handover.job(job.id, "message")


CALLS = 100
RESULT_BYTES = 5000
_LINES = RESULT_BYTES // 100


def long_script() -> dict[str, Any]:
    """What a model server plays that makes a hundred calls, each with a result of five kilobytes."""
    reads = [
        call("read_file", path="long.txt", first_line=1 + number * _LINES, lines=_LINES)
        for number in range(CALLS)
    ]
    model = {"name": "fake:latest", "context_length": 1_000_000}
    return {"models": [model], "turns": script(*reads, "I have read it all.")}


async def long_task(database: Database) -> dict[str, Any]:
    """The job for it: with all of its results, more than 200,000 tokens of four bytes are said."""
    text = "".join(f"{number:04d}{'x' * 99}\n" for number in range(CALLS * _LINES))
    sha256 = await contents.keep(database, TENANT, text.encode(), utc_now())
    files = [{"path": "long.txt", "artifact": sha256}]
    # 63,000 tokens of task, and 125,000 and more of what is read.
    return task("word " * 52_000, files=files, max_turns=CALLS + 1)
