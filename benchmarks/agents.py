"""What an agent's history costs: bytes of it for each call of a tool, over a long conversation.

A model that plays a script makes a hundred calls, each with a result of five kilobytes, in a conversation of
more than 200,000 tokens. With BESIDE, the Python of an environment that has `temporalio-openai-agents`, the
same calls are made by that, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents_at_work import CALLS, RESULT_BYTES, call, long_script, long_task, result_of, said, script
from model_servers import entry, model_server
from stacks import STARTED_WITHIN, TEMPORAL, TENANT, stack_of
from temporalio.testing import WorkflowEnvironment
from working import ended, submit

from minoots_platform.clock import utc_now
from minoots_platform.records import Database, tenants
from minoots_platform.records.migrate import migrate
from minoots_platform.settings import Settings
from minoots_platform.telemetry import start_telemetry
from minoots_workflows.ids import workflow_id
from minoots_workflows.search_attributes import REGISTRY

_BESIDE: Final = Path(__file__).parent / "beside" / "openai_agents.py"


@dataclass(frozen=True)
class Grown:
    """How far a history has grown.

    Attributes:
        calls: of tools.
        result_bytes: of each result.
        tokens: of the conversation, of four bytes.
        events: of the history.
        history_bytes: of all of its events.
        seconds: that it took.
        ended: how.
        beside: the same of `temporalio-openai-agents`, where it was measured.
    """

    calls: int
    result_bytes: int
    tokens: int
    events: int
    history_bytes: int
    seconds: float
    ended: str = "completed"
    beside: Grown | None = None

    @property
    def bytes_a_call(self) -> float:
        """Of the history, for each call of a tool."""
        return self.history_bytes / self.calls


async def measure() -> Grown:
    """Have an agent make its calls; return what its history has grown to."""
    arguments = [part for name, kind in REGISTRY for part in ("--search-attribute", f"{name}={kind}")]
    with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder:
        async with (
            Database(f"sqlite:///{Path(folder) / 'bench.db'}") as database,
            model_server(**long_script()) as url,
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=TEMPORAL,
                dev_server_extra_args=arguments,
                dev_server_startup_timeout=STARTED_WITHIN,
            ) as environment,
        ):
            await migrate(database)
            async with database.write() as connection:
                await tenants.ensure(connection, TENANT, utc_now())
            settings = Settings.model_validate({"models": {"providers": [entry("ollama", url)]}})
            address = environment.client.service_client.config.target_host
            with start_telemetry(settings, "bench") as telemetry:
                async with stack_of(database, address, "default", telemetry, settings=settings) as stack:
                    began = time.perf_counter()
                    job = await submit(stack, **await long_task(database))
                    done = await ended(stack, job, timeout=600)
                    took = time.perf_counter() - began
                    if result_of(done).calls != CALLS:
                        raise RuntimeError(f"the agent made {result_of(done).calls} of {CALLS} calls")
                    spoken = sum(len(one.get("text", "")) for one in await said(stack, job))
                    handle = stack.client.get_workflow_handle(workflow_id("job", TENANT, job.id))
                    await handle.result()
                    events = (await handle.fetch_history()).events
            beside = await _beside(address, Path(folder), spoken // 4)
    size = sum(event.ByteSize() for event in events)
    return Grown(CALLS, RESULT_BYTES, spoken // 4, len(events), size, took, beside=beside)


async def _beside(temporal: str, folder: Path, tokens: int) -> Grown | None:
    python = os.environ.get("BESIDE")
    if python is None:
        return None
    parts = [call("read_part", part=number) for number in range(CALLS)]
    model = {"name": "fake:latest", "context_length": 1_000_000}
    place = folder / "task.txt"
    place.write_text("word " * 52_000)
    async with model_server(models=[model], turns=script(*parts, "I have read it all.")) as url:
        command = [python, str(_BESIDE), temporal, url, str(place), str(CALLS)]
        running = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        said_, _ = await running.communicate()
    told = next(line for line in reversed(said_.decode().splitlines()) if line.startswith("{"))
    return Grown(result_bytes=RESULT_BYTES, tokens=tokens, **json.loads(told))
