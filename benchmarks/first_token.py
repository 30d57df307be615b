"""How long it takes from an accepted job to the first word of its answer, beyond what the model itself takes.

Over HTTP, against the whole stack and a model server that plays a script: accepted by the gateway, handed to
Temporal, taken by a worker, routed, asked, kept as an event, streamed to whoever follows.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import dev_stacks
import httpx
from model_servers import entry, model_server

from minoots import AsyncMinoots
from minoots.contracts import JobEventType

from .figures import quantile

COUNT = 50
_SETTINGS = """schema_version = 2
[models]
providers = [{provider}]
"""


@dataclass(frozen=True)
class FirstToken:
    """Milliseconds from the answer to a job's submission until the first token is read.

    Attributes:
        count: jobs, one after the other.
        model_p50: that the model takes when it is asked without us.
        p50: beyond that.
        p95: beyond that.
        sent_p50: from before the submission, with what the model takes.
    """

    count: int
    model_p50: float
    p50: float
    p95: float
    sent_p50: float


async def measure(*, count: int = COUNT) -> FirstToken:
    """Submit jobs one after the other, and read what they write."""
    async with model_server(turns=[{"text": "It is late."}]) as model:
        alone = sorted([await _asked(model) for _ in range(count)])
        with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder:
            stack = await asyncio.to_thread(_start, Path(folder), entry("ollama", model))
            try:
                async with AsyncMinoots(stack.url) as client:
                    # The first ones load code and ask which models there are.
                    for _ in range(5):
                        await _submitted(client)
                    times = [await _submitted(client) for _ in range(count)]
            finally:
                await asyncio.to_thread(stack.stop)
                stack.close()
    itself = quantile(alone, 0.5)
    accepted = sorted(accepted for _, accepted in times)
    sent = sorted(sent for sent, _ in times)
    return FirstToken(
        count,
        itself,
        quantile(accepted, 0.5) - itself,
        quantile(accepted, 0.95) - itself,
        quantile(sent, 0.5),
    )


def _start(folder: Path, provider: str) -> dev_stacks.DevStack:
    """Start a stack that asks this provider."""
    (folder / "minoots.toml").write_text(_SETTINGS.format(provider=json.dumps(provider)))
    return dev_stacks.start(folder)


async def _asked(model: str) -> float:
    """Return the milliseconds until the model's first word."""
    body = {"model": "fake", "messages": [{"role": "user", "content": "What is the time?"}]}
    async with httpx.AsyncClient(trust_env=False) as client:
        began = time.perf_counter()
        async with client.stream("POST", f"{model}/api/chat", json=body) as answer:
            async for _ in answer.aiter_lines():
                break
        return (time.perf_counter() - began) * 1000


async def _submitted(client: AsyncMinoots) -> tuple[float, float]:
    """Return the milliseconds until the first token, from before the submission and from its answer."""
    began = time.perf_counter()
    job = await client.jobs.submit(prompt="What is the time?", model="fake")
    accepted = time.perf_counter()
    first: float | None = None
    async for event in client.jobs.events(job.id):
        if event.type is JobEventType.TOKEN and first is None:
            first = time.perf_counter()
    if first is None:
        raise RuntimeError(f"the job wrote nothing: {(await client.jobs.get(job.id)).problem}")
    return (first - began) * 1000, (first - accepted) * 1000
