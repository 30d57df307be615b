"""kill -9 of the worker while a tool of an MCP server is called: nothing is done twice, and it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from agents_at_work import call, script
from dev_stacks import DevStack
from job_kills import kill_worker, written
from mcp_programs import BY_HAND, desk
from model_servers import heard, model_server
from stacks import eventually

from minoots import AsyncMinoots, JobState
from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.tiers import Tiers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

Start = Callable[..., DevStack]
PATIENT = 120


async def test_kill_9_in_calls_of_servers(dev_stack: Start, tmp_path: Path) -> None:
    lacks = await Tiers(vm_image=Path("none"))._given[Tier.BUBBLEWRAP].missing()
    if lacks:
        pytest.skip("; ".join(lacks))
    answers = script(
        call("hand__echo", text="hello"),
        call("desk__wait", text="order"),
        call("read_file", path="log.txt"),
        "It says: {last}",
    )
    free = {"name": "*", "approval": "never"}
    async with desk() as server, model_server(turns=answers) as url:
        (tmp_path / "minoots.toml").write_text(
            f'[models]\nproviders = ["ollama={url}"]\n'
            f'[sandbox.network]\nhosts = ["{server.place}"]\nallowed_networks = ["127.0.0.0/8"]\n'
        )
        stack = await asyncio.to_thread(dev_stack)
        async with AsyncMinoots(stack.url) as client:
            job = await client.jobs.submit(
                task="go",
                files={"hand.py": BY_HAND},
                tools=[{"name": "read_file"}],
                network=[server.place],
                mcp=[
                    {
                        "name": "hand",
                        "command": ["python3", "hand.py", "hang", "3"],
                        # With a network something may be left of it; here nothing is.
                        "tools": [free | {"idempotent": True}],
                    },
                    {"name": "desk", "url": server.url, "tools": [free]},
                ],
            )
            await eventually(
                lambda: written(client, job.id), lambda text: "the call has begun" in text, PATIENT
            )
            await kill_worker(stack)

            async def ordered() -> list[str]:
                return server.called

            await eventually(ordered, bool, PATIENT)
            await kill_worker(stack)
            done = await client.jobs.wait(job.id, timeout=PATIENT)
            assert done.state is JobState.SUCCEEDED, done
            assert server.called == ["order"], "what may have been done is not done again"
            made = {one.name: one async for one in client.jobs.artifacts(job.id)}
            said = (await client.jobs.download(made["conversation.jsonl"])).decode().splitlines()
            assert '"hello"' in said[3]
            assert "nobody knows what came of it" in said[5]
            assert '"1\\tx"' in said[7], "the files have what one call wrote"
            assert len(await heard(url)) == 4
