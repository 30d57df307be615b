"""The parts that every request may use, and the hand-over of what was just accepted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from temporalio.client import Client

from minoots_platform.clock import Clock
from minoots_platform.flags import Flags
from minoots_platform.handover import HandOver
from minoots_platform.records import Database
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry, get_logger
from minoots_platform.vault import Vault

from .events.tailer import Tailer
from .jobs.watching import JobWatch
from .key_watch import KeyWatch

_HANDOVERS_AT_ONCE: Final = 64
"""Beyond this a request waits for another's hand-over: accepting must not outrun arming."""

_PATIENCE: Final = 0.5
"""Seconds that such a request waits; the reconciler has the rest."""


@dataclass
class Gateway:
    """Everything a gateway process holds."""

    settings: Settings
    database: Database
    handover: HandOver
    flags: Flags
    telemetry: Telemetry
    vault: Vault
    clock: Clock
    temporal: Client | None
    tailer: Tailer
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    receiving: Counter[str] = field(default_factory=Counter)
    """Bytes of artifacts that are being handed in, by tenant."""
    job_watch: JobWatch = field(init=False)
    key_watch: KeyWatch = field(init=False)
    _pending: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.job_watch = JobWatch(self.database, self.stopping)
        self.key_watch = KeyWatch(self.database, self.clock)

    async def hand_over(self, work: Coroutine[Any, Any, bool]) -> None:
        """Tell the engine in the background; wait a little only when many are waiting already."""
        self.in_background(work)
        if len(self._pending) > _HANDOVERS_AT_ONCE:
            await asyncio.wait(self._pending, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)

    def in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let ``work`` run on after the answer; `drain` waits for it."""
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._pending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Nobody waits for it: what was accepted stands in the records, and the reconciler repeats it.
            get_logger("minoots.gateway").error("background.failed", exc_info=error)

    async def drain(self) -> None:
        """Wait for the hand-overs that are under way, for five seconds at most."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=5)


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


Here = Annotated[Gateway, Depends(_gateway)]
"""The gateway that serves this request."""
