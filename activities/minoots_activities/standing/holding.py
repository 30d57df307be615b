"""`HoldingPort`: what is asked of sandboxes that this worker holds.

What went wrong is an answer like any other, kept by its hash: neither paths nor words reach a history.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError
from temporalio import activity

from minoots.contracts.sandboxes import FilePath
from minoots.contracts.standing import MAX_LISTED
from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.working import beating, without_words
from minoots_activities.sandboxes.port import NeverStarted
from minoots_platform.clock import Clock
from minoots_platform.records import Database, contents, sandbox_progress
from minoots_platform.telemetry import get_logger
from minoots_workflows.sandboxes.contracts import (
    SandboxAnswer,
    SandboxCall,
    SandboxDoes,
    SandboxHeld,
    SandboxWatched,
)
from minoots_workflows.sandboxes.port import HoldingPort

from .holder import Held, Holder

_PATH: TypeAdapter[str] = TypeAdapter(FilePath)


class Holding(HoldingPort):
    """Sandboxes of this worker.

    Args:
        database: the records.
        holder: what is held.
        most_bytes: of one file, and of a snapshot.
        clock: the time.
    """

    def __init__(self, database: Database, holder: Holder, most_bytes: int, clock: Clock) -> None:
        self._database = database
        self._holder = holder
        self._most = most_bytes
        self._clock = clock

    @activity.defn(name="sandboxes.hold")
    async def hold(self, held: SandboxHeld) -> SandboxWatched:
        """Return when the sandbox is gone; until then, give signs of life."""
        async with beating():
            try:
                mine = self._holder.find(held.tenant, held.sandbox_id, held.epoch)
            except NeverStarted:
                return SandboxWatched(why="unknown")
            watched = {
                asyncio.create_task(mine.sandbox.ended()): "ended",
                asyncio.create_task(mine.gone.wait()): "ended",
                asyncio.create_task(activity.wait_for_worker_shutdown()): "stopping",
            }
            try:
                done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in watched:
                    task.cancel()
                await asyncio.gather(*watched, return_exceptions=True)
            why = watched[next(task for task in watched if task in done)]
            if why == "stopping" and mine.keeps:
                await self._last_snapshot(mine)
            mine.gone.set()
            return SandboxWatched(why=why)

    @activity.defn(name="sandboxes.close")
    async def close(self, held: SandboxHeld) -> None:
        """End a sandbox; nothing of it is left when this returns."""
        async with without_words(held.sandbox_id), beating():
            await self._holder.close(held.sandbox_id, held.epoch)

    @activity.defn(name="sandboxes.call")
    async def call(self, call: SandboxCall) -> SandboxAnswer:
        """Do what is asked of a sandbox; what goes wrong is an answer, too."""
        async with without_words(call.sandbox_id), beating():
            try:
                answer = await self._answer(call)
            except Failure as failure:
                told = {"kind": failure.kind.value, "detail": failure.detail, "remedy": failure.remedy}
                answer = {"failure": told}
            data = json.dumps(answer).encode()
            return SandboxAnswer(
                content=await contents.keep(self._database, call.tenant, data, self._clock())
            )

    async def _answer(self, call: SandboxCall) -> dict[str, Any]:
        held = self._holder.find(call.tenant, call.sandbox_id, call.epoch)
        about = {}
        if call.about:
            about = json.loads(await contents.read(self._database, call.tenant, call.about))
        if call.does in (SandboxDoes.SUSPEND, SandboxDoes.RESUME):
            return await self._paused(held, off=call.does is SandboxDoes.RESUME)
        if call.does is SandboxDoes.SNAPSHOT:
            return await self._snapshot(held)
        if call.does is SandboxDoes.LIST:
            async with held.files() as sandbox:
                listing = await sandbox.list(min(int(about["most"]), MAX_LISTED))
            files = [
                {"path": one.path, "bytes": one.bytes, "executable": one.executable}
                for one in sorted(listing.files, key=lambda one: one.path)
            ]
            return {"items": files, "cut": listing.cut}
        path = _below(about["path"])
        if call.does is SandboxDoes.PUT:
            data = await contents.read(self._database, call.tenant, about["sha256"])
            async with held.files() as sandbox:
                await sandbox.put(path, data, executable=bool(about.get("executable")))
            return {"path": path, "bytes": len(data), "sha256": about["sha256"]}
        async with held.files() as sandbox:
            data = await sandbox.get(path, self._most)
        return {"sha256": await contents.keep(self._database, call.tenant, data, self._clock())}

    async def _paused(self, held: Held, *, off: bool) -> dict[str, Any]:
        await held.pause(off=off)
        async with self._database.write() as connection:
            await sandbox_progress.paused(
                connection, held.tenant, held.sandbox_id, held.epoch, self._clock(), pause=not off
            )
        return {}

    async def _snapshot(self, held: Held) -> dict[str, Any]:
        async with held.files() as sandbox:
            data = await sandbox.snapshot(self._most)
        sha256 = await contents.keep(self._database, held.tenant, data, self._clock())
        async with self._database.write() as connection:
            await sandbox_progress.snapshot_taken(
                connection, held.tenant, held.sandbox_id, held.epoch, sha256, len(data), self._clock()
            )
        return {"sha256": sha256, "bytes": len(data)}

    async def _last_snapshot(self, held: Held) -> None:
        """Keep the files of a sandbox whose worker is about to stop."""
        try:
            await self._snapshot(held)
        except (Failure, sa.exc.SQLAlchemyError, OSError) as error:
            # It begins again with the one before.
            get_logger("minoots.sandboxes").warning(
                "sandbox.last_snapshot_failed", sandbox_id=held.sandbox_id, error=type(error).__name__
            )


def _below(path: str) -> str:
    """Return a path if it is one below the working folder.

    Raises:
        Failure: invalid.
    """
    with suppress(ValidationError):
        return _PATH.validate_python(path)
    raise Failure(
        FailureKind.INVALID,
        "the path is none below the working folder",
        remedy="Name a file from the working folder on, without . and ..",
    )
