"""What one worker holds open: sandboxes by id, each with its turn.

Owns their lives on this machine: how many there may be, whose turn it is in one, and that none outlives its
row. What a sandbox is for stands in the records; nothing here survives the worker, and nothing has to.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from minoots.errors import FailureKind
from minoots_activities.sandboxes.port import (
    EndedBefore,
    NeverStarted,
    OutcomeUnknown,
    Sandbox,
    never_started,
)
from minoots_platform.clock import Clock
from minoots_platform.records import Database, sandbox_progress
from minoots_platform.telemetry import get_logger
from minoots_workflows.queues import sandboxes_of

_TIDY: Final = 5.0
"""Seconds between two looks whether what is held is still wanted."""


class NoRoom(NeverStarted):
    """This worker holds as many as it may."""


@dataclass
class Held:
    """One sandbox that this worker holds.

    Attributes:
        epoch: which opening of it.
        memory: what lets go of the machine's memory for it.
        keeps: whether it is to begin again when it is lost.
        gone: set when nothing of it is left, or will be.
    """

    tenant: str
    sandbox_id: str
    epoch: int
    sandbox: Sandbox
    memory: AsyncExitStack = field(default_factory=AsyncExitStack)
    keeps: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _files: asyncio.Lock = field(default_factory=asyncio.Lock)
    _runs: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._runs.set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Sandbox]:
        """Wait until no other program runs in it and it is not suspended; then it is the caller's.

        Raises:
            NeverStarted: it ended before.
        """
        async with self._turn:
            # Asked for together: one that ends while it is suspended is never resumed.
            waits = [asyncio.create_task(self._runs.wait()), asyncio.create_task(self.gone.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waits:
                    task.cancel()
            if self.gone.is_set():
                raise not_here()
            with self.noticing():
                yield self.sandbox

    @asynccontextmanager
    async def files(self) -> AsyncIterator[Sandbox]:
        """Have its files for a while; programs may run beside.

        Raises:
            NeverStarted: it ended before.
        """
        async with self._files:
            if self.gone.is_set():
                raise not_here()
            with self.noticing():
                yield self.sandbox

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Take it for gone when it does not answer: whoever watches it hears of it."""
        try:
            yield
        except (EndedBefore, OutcomeUnknown):
            self.gone.set()
            raise

    async def end(self) -> None:
        """End it; nothing of it is left when this returns. May be repeated."""
        await self.sandbox.destroy()
        await self.memory.aclose()

    async def pause(self, *, off: bool) -> None:
        """Let whatever runs in it stand still, or go on."""
        async with self.files() as sandbox:
            if off:
                await sandbox.resume()
                self._runs.set()
            else:
                self._runs.clear()
                await sandbox.suspend()


class Holder:
    """Everything that this worker holds open.

    Args:
        database: the records.
        clock: the time.
        most: how many sandboxes at a time.
    """

    def __init__(self, database: Database, clock: Clock, most: int) -> None:
        self._database = database
        self._clock = clock
        self.most = most
        self.queue = sandboxes_of(_name())
        self._held: dict[str, Held] = {}
        self._opening = 0
        self._log = get_logger("minoots.sandboxes")

    @contextmanager
    def room(self) -> Iterator[None]:
        """Keep room for one that is being opened.

        Raises:
            NoRoom: there is none.
        """
        if len(self._held) + self._opening >= self.most:
            raise NoRoom(
                FailureKind.UNAVAILABLE,
                f"the worker holds {self.most} sandboxes already",
                remedy="Close some, start another worker, or raise sandbox.standing.per_worker.",
            )
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    async def take(self, held: Held) -> None:
        """Hold a sandbox; one of an earlier opening ends first."""
        await self.close(held.sandbox_id)
        self._held[held.sandbox_id] = held

    def find(self, tenant: str, sandbox_id: str, epoch: int) -> Held:
        """Return a sandbox that is held here.

        Raises:
            NeverStarted: it is not, or not in this opening.
        """
        held = self._held.get(sandbox_id)
        if held is None or held.tenant != tenant or held.epoch != epoch or held.gone.is_set():
            raise not_here()
        return held

    async def close(self, sandbox_id: str, epoch: int | None = None) -> None:
        """End a sandbox; nothing of it is left when this returns. May be repeated.

        Args:
            sandbox_id: which.
            epoch: only in this opening; ``None`` for any.
        """
        held = self._held.get(sandbox_id)
        if held is None or epoch not in (None, held.epoch):
            return
        held.gone.set()
        await held.end()
        if self._held.get(sandbox_id) is held:
            del self._held[sandbox_id]

    async def close_all(self) -> None:
        """End everything that is held."""
        ended = await asyncio.gather(*map(self.close, list(self._held)), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                self._log.error("sandbox.end_failed", error=type(error).__name__)

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[Holder]:
        """Hold sandboxes for the length of the block, and nothing that nobody wants any more."""
        tidying = asyncio.create_task(self._tidy())
        try:
            yield self
        finally:
            tidying.cancel()
            try:
                with suppress(asyncio.CancelledError):
                    await tidying
            finally:
                await self.close_all()

    async def tidy(self) -> int:
        """End what has ended in the records, or stands in another worker by now; return how many that is."""
        mine = {held.sandbox_id: held.epoch for held in self._held.values()}
        if not mine:
            return 0
        async with self._database.read() as connection:
            wanted = await sandbox_progress.wanted(connection, mine, self._clock())
        unwanted = mine.keys() - wanted
        for sandbox_id in sorted(unwanted):
            try:
                await self.close(sandbox_id, mine[sandbox_id])
            except Exception as error:
                # Tried again soon; whatever is wrong with one must not keep the others.
                self._log.error("sandbox.end_failed", sandbox_id=sandbox_id, error=type(error).__name__)
            else:
                self._log.info("sandbox.tidied_up", sandbox_id=sandbox_id)
        return len(unwanted)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY)
            try:
                await self.tidy()
            except (sa.exc.SQLAlchemyError, OSError) as error:
                # Asked again soon: what is held goes on until then.
                self._log.warning("sandbox.tidying_failed", error=type(error).__name__)


def not_here() -> NeverStarted:
    """Return the error of a sandbox that is not held here any more."""
    return never_started("the sandbox is not here any more", "See how it stands: GET /v1/sandboxes/{id}.")


def _name() -> str:
    """Return a name of this worker that no other has, and none after it will."""
    host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower())[:40]
    return f"{host}-{os.getpid()}-{secrets.token_hex(6)}"
