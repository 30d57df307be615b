"""The flags of the embedded Temporal server do what they say: an unknown one would be accepted silently."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from minoots_workers.embedded.ports import free_ports
from minoots_workers.embedded.temporal_server import TUNING, TemporalServer, find_binary

pytestmark = pytest.mark.e2e

NAP = timedelta(seconds=0.3)


@workflow.defn(name="Nap")
class NapWorkflow:
    """Sleeps for less than the second that an untuned server rounds up to."""

    @workflow.run
    async def run(self) -> float:
        before = workflow.now()
        await workflow.sleep(NAP)
        return (workflow.now() - before - NAP).total_seconds()


def server_in(folder: Path) -> TemporalServer:
    """An embedded server on free ports."""
    with ExitStack() as claims:
        ports = free_ports([(0, "")] * 4, claims)
    return TemporalServer(find_binary(None), folder, *ports)


@asynccontextmanager
async def running(command: list[str], port: int) -> AsyncIterator[Client]:
    """A client of a running server."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    client = await Client.connect(f"127.0.0.1:{port}")
                    break
                except RuntimeError:
                    await asyncio.sleep(0.05)
        yield client
    finally:
        process.terminate()
        await process.wait()


async def lateness(client: Client) -> float:
    """The median lateness of short sleeps, in seconds."""
    async with Worker(
        client, task_queue="naps", workflows=[NapWorkflow], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        late = [
            await client.execute_workflow(NapWorkflow.run, id=f"nap-{number}", task_queue="naps")
            for number in range(5)
        ]
    return statistics.median(late)


async def test_short_timers_are_many_times_more_punctual_on_the_tuned_server(tmp_path: Path) -> None:
    for name in ("tuned", "plain"):
        (tmp_path / name).mkdir()
    tuned, plain = server_in(tmp_path / "tuned"), server_in(tmp_path / "plain")
    untuned = plain.command()
    for key, value in TUNING.items():
        untuned.remove(f"{key}={value}")
    untuned = [word for word in untuned if word != "--dynamic-config-value"]
    async with running(tuned.command(), tuned.port) as client:
        ours = await lateness(client)
    async with running(untuned, plain.port) as client:
        theirs = await lateness(client)
    assert ours * 4 < theirs, f"tuned {ours:.3f} s, untuned {theirs:.3f} s"


async def test_the_server_keeps_its_state_in_a_file_with_a_write_ahead_log(tmp_path: Path) -> None:
    server = server_in(tmp_path)
    async with running(server.command(), server.port):
        with sqlite3.connect(server.database) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()
