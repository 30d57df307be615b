"""What the router of language models adds to a call, against a provider that answers at once."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from minoots.contracts.models import Capability, Message, ModelRequest, Role
from minoots_activities.models.opening import open_router
from minoots_activities.models.providers.provider import (
    Call,
    Done,
    FoundModel,
    Patience,
    Piece,
    Provider,
    ProviderKind,
    Text,
    Vectors,
)
from minoots_platform.clock import utc_now
from minoots_platform.models import Catalogue
from minoots_platform.records import Database, tenants
from minoots_platform.records.migrate import migrate
from minoots_platform.settings import ProviderSpec, Settings
from minoots_platform.telemetry import start_telemetry
from minoots_workflows.models.contracts import ModelCaller

from .figures import quantile

CALLERS = 64
EVERY = 0.2
"""Seconds between two calls of one caller."""


class _AtOnce(Provider):
    async def models(self) -> tuple[FoundModel, ...]:
        return (FoundModel("bench", 32_768, capabilities=frozenset({Capability.COMPLETION})),)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        yield Text("at once")
        yield Done(input_tokens=12, output_tokens=2)

    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> Vectors:
        return Vectors(())


class _Kind(ProviderKind):
    kind: ClassVar[str] = "compatible"

    def open(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> _AtOnce:
        return _AtOnce(spec, catalogue, patience)


@dataclass(frozen=True)
class Added:
    """Milliseconds that the router adds to a call, and how many calls a second one process can make."""

    callers: int
    calls: int
    p50: float
    p99: float
    most_a_second: float


async def measure(*, calls: int = 20, url: str | None = None) -> Added:
    """Have 64 callers ask, each every 200 ms and independently of the others; then as fast as they can."""
    with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder:
        async with Database(url or f"sqlite:///{Path(folder) / 'bench.db'}") as database:
            await migrate(database)
            async with database.write() as connection:
                await tenants.ensure(connection, "bench", utc_now())
            return await _measure(database, calls)


async def _measure(database: Database, calls: int) -> Added:
    settings = Settings.model_validate({"models": {"providers": ["bench:compatible=http://127.0.0.1:1"]}})
    request = ModelRequest(messages=(Message(role=Role.USER, text="What is the time?"),))
    took: list[float] = []
    with start_telemetry(settings, "bench") as telemetry:
        async with open_router(settings, database, telemetry, kinds={"compatible": _Kind()}) as opened:

            async def ask(name: str) -> None:
                who = ModelCaller(tenant="bench", key="bench", call_id=name)
                began = time.perf_counter()
                await opened.router.complete(request, who)
                took.append(time.perf_counter() - began)

            async def caller(number: int) -> None:
                await asyncio.sleep(random.random() * EVERY)
                for call in range(calls):
                    due = asyncio.get_running_loop().time() + EVERY * random.uniform(0.5, 1.5)
                    await ask(f"{number}-{call}")
                    await asyncio.sleep(max(0, due - asyncio.get_running_loop().time()))

            await asyncio.gather(*(caller(number) for number in range(CALLERS)))
            took.clear()
            await asyncio.gather(*(caller(number) for number in range(CALLERS)))
            paced = sorted(one * 1000 for one in took)
            took.clear()
            began = time.perf_counter()
            await asyncio.gather(*(_in_a_row(ask, number, calls) for number in range(CALLERS)))
            whole = time.perf_counter() - began
    return Added(CALLERS, len(paced), quantile(paced, 0.5), quantile(paced, 0.99), len(took) / whole)


async def _in_a_row(ask: object, number: int, calls: int) -> None:
    for call in range(calls):
        await ask(f"row-{number}-{call}")  # type: ignore[operator]
