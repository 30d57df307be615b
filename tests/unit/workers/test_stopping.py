"""A worker that is told to stop before it has started stops then and there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from minoots.errors import Failure, FailureKind
from minoots_platform.settings import Settings, with_overrides
from minoots_platform.telemetry import Telemetry
from minoots_workers.process import run_worker
from minoots_workflows.queues import Queue


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a worker whose Temporal is away."""
    return with_overrides(
        Settings(), {"environment": "dev", "data_dir": str(tmp_path), "temporal": {"address": "127.0.0.1:9"}}
    )


async def test_a_stop_does_not_wait_until_the_server_has_come(
    settings: Settings, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("minoots_workers.parts.connect", never)
    stop = asyncio.Event()
    running = asyncio.create_task(run_worker(settings, telemetry, list(Queue), stop))
    await asyncio.sleep(0.1)
    stop.set()
    # Without the stop this would never return.
    await asyncio.wait_for(running, 20)


async def test_a_failure_while_starting_is_told(
    settings: Settings, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object, **__: object) -> None:
        raise Failure(FailureKind.UNAVAILABLE, "no Temporal server answers")

    monkeypatch.setattr("minoots_workers.parts.connect", refuses)
    with pytest.raises(Failure, match="no Temporal server answers"):
        await run_worker(settings, telemetry, list(Queue), asyncio.Event())
