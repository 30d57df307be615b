"""Writing recordings: which of them is next in its file, what is told of it, and when to try again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType
from minoots_platform.clock import Clock
from minoots_platform.records import Database, events, recordings
from minoots_platform.records.recordings import State
from minoots_platform.telemetry import audit

from .answering import Answering, apart
from .beside import Written as Agents
from .gate import WriteDenied
from .piece import Piece
from .recent import Recent

AGAIN: Final = timedelta(seconds=10)
"""How long a disk that is full is left alone."""

MEND: Final = timedelta(minutes=1)
"""How long what could not be written beside a recording is left alone at first."""

MEND_AT_MOST: Final = timedelta(hours=1)
"""How long in the end, as it is twice as long each time: all of it is rendered to try again."""

PATIENCE: Final = timedelta(hours=1)
"""How long after the end of a recording that is tried."""

_MISSING: Final = "something beside it could not be written"
_HOPELESS: Final = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENAMETOOLONG})


@dataclass(frozen=True)
class Written:
    """How a file stands."""

    over: bool
    """Whether nothing is recorded into it any more."""
    again_at: datetime | None = None
    """When to try again what did not work."""
    problem: str | None = None
    """For histories: without names of files, which may be made of what was said."""


class Writing:
    """Writes into the files of one host, for one tenant."""

    def __init__(self, database: Database, clock: Clock, *, tenant: str, host: str) -> None:
        self._database = database
        self._clock = clock
        self._tenant = tenant
        self._host = host
        self._answering = Answering()
        self._agents: Agents = Recent()
        self._mended: dict[str, tuple[datetime, timedelta]] = {}
        """When what is missing beside a recording was last tried, and how long it is left alone since."""

    async def file(self, path_key: str, beat: Callable[[], None] = lambda: None) -> Written:
        """Write whatever there is to be written into a file, the oldest recording first."""
        while True:
            beat()
            async with self._database.read() as connection:
                rows = await recordings.at_path(connection, self._tenant, path_key)
            # In order: who comes later writes behind who came before.
            row = next((row for row in rows if row.state in recordings.WRITING), None)
            if row is None:
                return await self._mend_behind(rows, beat)
            try:
                await self._require_answer(row)
                more = await self._part(row, beat)
            except WriteDenied as denied:
                await self._failed(row, str(denied))
                continue
            except OSError as error:
                if error.errno in _HOPELESS:
                    await self._failed(row, os.strerror(error.errno))
                    continue
                problem = error.strerror or type(error).__name__
                await self._troubled(row, problem)
                return Written(over=False, again_at=self._clock() + AGAIN, problem=problem)
            if not more:
                return await self._at_rest(row.id)

    async def _require_answer(self, row: sa.Row[Any]) -> None:
        """Make sure that the folder of a recording answers: whoever writes into it would wait for it.

        Raises:
            TimeoutError: it does not.
        """
        folder = os.path.dirname(row.path)

        try:
            await apart(lambda: self._answering.ask(folder, lambda: os.stat(folder)))
        except TimeoutError:
            raise
        except OSError:
            return  # whatever else it is, writing tells

    async def _part(self, row: sa.Row[Any], beat: Callable[[], None]) -> bool:
        """Write the next events of a recording; return whether to look again."""
        piece = Piece(self._database, self._tenant, row, self._clock, self._agents, beat)
        row = await piece.prepare()
        if row.intent is not None:
            done = await piece.settle()
            await piece.agents(done)
            async with self._database.write() as connection:
                await self._keep(connection, row, piece.with_missing(done))
            return True
        done = await piece.write()
        await piece.agents(done)
        over = done is not None and done["over"]
        if (done is None or over) and row.rendering.get("missing") and (over or self._may_mend(row.id)):
            await piece.mend(done)
        done = piece.with_missing(done)
        if piece.problem is not None:
            self._mended.setdefault(row.id, (self._clock(), MEND))
            await self._troubled(row, piece.problem)
        elif row.problem is not None:
            await self._recovered(row)
        async with self._database.write() as connection:
            await self._keep(connection, row, done)
            if over:
                await self._stopped(connection, row)
        # One that has ended makes way for the next one into its file.
        return done is not None

    def _may_mend(self, recording_id: str) -> bool:
        """Tell whether it is time to try again what is missing; remember that it is done."""
        now, before = self._clock(), self._mended.get(recording_id)
        if before is None:
            self._mended[recording_id] = now, MEND
            return True
        last, wait = before
        if now - last < wait:
            return False
        self._mended[recording_id] = now, min(2 * wait, MEND_AT_MOST)
        return True

    def _mend_at(self, recording_id: str) -> datetime:
        """Return when what is missing is tried again."""
        last, wait = self._mended.get(recording_id, (self._clock(), MEND))
        return last + wait

    async def _at_rest(self, recording_id: str) -> Written:
        """Return how a file stands of which everything is written that can be."""
        async with self._database.read() as connection:
            row = await recordings.as_it_stands(connection, recording_id)
        if row.rendering.get("missing"):
            return Written(over=False, again_at=self._mend_at(recording_id), problem=_MISSING)
        self._mended.pop(recording_id, None)
        return Written(over=False)

    async def _mend_behind(self, rows: Sequence[sa.Row[Any]], beat: Callable[[], None]) -> Written:
        """Try for a while what is missing beside recordings that have ended."""
        since, waits = self._clock() - PATIENCE, list[str]()
        for row in rows:
            if not row.rendering.get("missing") or row.state != State.STOPPED.value or row.stopped_at < since:
                self._mended.pop(row.id, None)
                continue
            if not self._may_mend(row.id):
                waits.append(row.id)
                continue
            try:
                await self._require_answer(row)
                if not await self._mend(row, beat):
                    waits.append(row.id)
            except (WriteDenied, OSError):
                waits.append(row.id)  # of the recording itself: the next look may find it otherwise
        if not waits:
            return Written(over=True)
        return Written(over=False, again_at=min(map(self._mend_at, waits)), problem=_MISSING)

    async def _mend(self, row: sa.Row[Any], beat: Callable[[], None]) -> bool:
        """Try what is missing beside a recording; return whether nothing is missing any more."""
        piece = Piece(self._database, self._tenant, row, self._clock, self._agents, beat)
        row = await piece.prepare()
        await piece.mend(None)
        if piece.problem is None:
            await self._recovered(row)
        else:
            await self._troubled(row, piece.problem)
        async with self._database.write() as connection:
            await self._keep(connection, row, piece.with_missing(None))
        return piece.problem is None

    async def _keep(self, connection: AsyncConnection, row: sa.Row[Any], done: dict[str, Any] | None) -> None:
        values = {} if done is None else {key: value for key, value in done.items() if key != "over"}
        if values or row.intent is not None:
            await recordings.change(connection, row.id, intent=None, **values)

    async def _stopped(self, connection: AsyncConnection, row: sa.Row[Any]) -> None:
        stopped_at = row.stopped_at or self._clock()
        await recordings.change(connection, row.id, state=State.STOPPED.value, stopped_at=stopped_at)
        await self._tell(connection, EventType.RECORDING_STOPPED, row, {})

    async def _failed(self, row: sa.Row[Any], why: str) -> None:
        audit(
            "recording.write",
            actor=f"host/{self._host}",
            tenant=self._tenant,
            decision="deny",
            path=row.path,
            reason=why,
        )
        values = {"state": State.FAILED.value, "problem": why, "stopped_at": self._clock(), "intent": None}
        async with self._database.write() as connection:
            await recordings.change(connection, row.id, **values)
            await self._tell(connection, EventType.RECORDING_FAILED, row, {"reason": why})

    async def _troubled(self, row: sa.Row[Any], why: str) -> None:
        if row.problem == why:
            return
        async with self._database.write() as connection:
            await recordings.change(connection, row.id, problem=why)
            await self._tell(connection, EventType.RECORDING_TROUBLED, row, {"reason": why})

    async def _recovered(self, row: sa.Row[Any]) -> None:
        async with self._database.write() as connection:
            await recordings.change(connection, row.id, problem=None)
            await self._tell(connection, EventType.RECORDING_RECOVERED, row, {})

    async def _tell(
        self, connection: AsyncConnection, type: EventType, row: sa.Row[Any], data: dict[str, Any]
    ) -> None:
        about = {"conversation": row.conversation_id, "path": row.path, **data}
        await events.append(connection, self._tenant, [events.NewEvent(type, row.id, self._clock(), about)])
