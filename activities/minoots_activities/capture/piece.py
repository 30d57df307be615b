"""The next piece of a recording: how it gets into the file, whole or not at all. `rendering` has its looks.

Before it is written, the records say which bytes go where; afterwards, that they are there. Whoever finds the
first without the second looks into the file, which tells whether it was written, torn, or never begun.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from minoots_platform.clock import Clock
from minoots_platform.records import Database, conversations, recordings
from minoots_platform.records.recordings import Kind
from minoots_platform.writers import Look, Rendered, Writer, installed

from . import placing
from .beside import BesideFiles
from .beside import Written as Agents
from .gate import Target, WriteDenied, folder_of
from .rendering import PART, Rendering

_HEAD: Final = 1 << 20
"""Bytes of a file in which its head stands, whichever writer made it."""
_KNOWN: Final = 128
"""Bytes before a piece by which it is known again when somebody has changed what is before them."""
_MOST_MISSING: Final = 100
"""Files beside a recording that are remembered as missing; all are tried again."""


class Piece:
    """The next piece of one recording."""

    def __init__(
        self,
        database: Database,
        tenant: str,
        row: sa.Row[Any],
        clock: Clock,
        agents: Agents,
        beat: Callable[[], None],
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._row = row
        self._clock = clock
        self._beat = beat
        writer = installed().get(row.format)
        if writer is None:
            raise WriteDenied(f"there is no writer of {row.format} on this host")
        self._writer: Writer = writer
        self._look = Look.model_validate(row.options)
        self._target = _target_of(row)
        self._aside = f".{row.id}.new"
        self._rendering = Rendering(database, tenant, writer, self._look, clock, beat)
        self._beside = BesideFiles(database, tenant, row, writer, self._look, self._target, agents, beat)
        self._beside.missing.update(row.rendering.get("missing", {}))

    async def prepare(self) -> sa.Row[Any]:
        """Return how the recording and its conversation stand, at one moment.

        A stop sets both, where the recording ends and up to where was obeyed: seen one after the other, they
        could let the recording go on behind its end.
        """
        async with self._database.read() as connection:
            self._row = await recordings.as_it_stands(connection, self._row.id)
        until = self._row.until_number
        obeyed = self._row.obeyed
        self._until: int = obeyed if until is None else min(until, obeyed)
        return self._row

    async def agents(self, done: dict[str, Any] | None) -> None:
        """Write what sub-agents said of whom the recording tells."""
        rendering = self._row.rendering if done is None else done.get("rendering", self._row.rendering)
        await self._beside.agents(rendering.get("agents", ()))

    async def mend(self, done: dict[str, Any] | None) -> None:
        """Try again what could not be written beside the recording, and nothing else."""
        if self._beside.is_barred():
            return  # all of it would be rendered for nothing
        row = self._row
        until = row.written if done is None else done.get("written", row.written)
        rendered, _, _ = await self._rendering.of(row, row.from_number - 1, {}, until=until)
        missing = set(self._beside.missing)
        all_known = len(missing) < _MOST_MISSING
        own = {file.name for file in rendered.beside}
        self._beside.missing.clear()
        await self._beside.write([file for file in rendered.beside if file.name in missing or not all_known])
        if missing - own or not all_known:
            self._beside.forget_agents()
        await self.agents(done)

    def with_missing(self, done: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return how the recording stands, with what is missing beside it."""
        rendering = self._row.rendering if done is None else done.get("rendering", self._row.rendering)
        missing = dict(islice(self._beside.missing.items(), _MOST_MISSING))
        if rendering.get("missing", {}) == missing:
            return done
        others = {key: value for key, value in rendering.items() if key != "missing"}
        return (
            {"over": False} | (done or {}) | {"rendering": others | ({"missing": missing} if missing else {})}
        )

    @property
    def problem(self) -> str | None:
        """What is missing beside the recording, and why; ``None`` where all is there."""
        missing = self._beside.missing
        if not missing:
            return None
        name, why = next(iter(missing.items()))
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"beside it, {self._look.beside}/{name} could not be written: {why}{more}"

    async def write(self) -> dict[str, Any] | None:
        """Write the piece; return how the recording stands then, or ``None`` where nothing is new."""
        row = self._row
        with folder_of(self._target, make=True) as folder:
            found = placing.about(folder, self._target.name)
            if await self._has_to_be_made_anew(found):
                rendered, state, written = await self._rendering.of(
                    row, row.from_number - 1, {}, until=self._until
                )
                whole = self._rendering.begun(row, rendered)
                return await self._put(folder, found, whole, rendered, state, written)
            if row.written >= self._until:
                return self._at_rest()
            rendered, state, written = await self._rendering.of(
                row, row.written, row.rendering, until=self._until, most=PART
            )
            begins = row.written_at is None
            if not begins and found is not None and _mark(found) != (row.size, row.modified_ns):
                state |= {"own": False, "ours": False}  # somebody else has written into it
            known = begins and found is not None and await self._is_ours(found)
            if found is None or (begins and row.kind != Kind.RECORD.value):
                # A new file; or that of earlier recordings of this conversation, which it takes the place of.
                if found is not None and not known:
                    raise WriteDenied("there is a file of this name, which was not written by a recording")
                state |= {"own": True, "ours": True}
                whole = self._rendering.begun(row, rendered)
                return await self._put(folder, found, whole, rendered, state, written)
            if begins:
                state["ours"] = known
            if (begins or rendered.participants or rendered.kinds) and self._may_be_headed(
                folder, found, rendered
            ):
                existing = placing.content(folder, self._target.name)
                headed = self._rendering.headed(existing, rendered)
                if headed is not None:
                    return await self._put(folder, found, headed, rendered, state, written)
            if not rendered.text:
                return self._standing(state, written, found)
            end = placing.content(folder, self._target.name, max(0, found.st_size - _KNOWN))
            gap = self._rendering.gap(end)
            data = (gap + rendered.text).encode("utf-8", "replace")
            last = (end + data)[-_KNOWN - len(data) :]
            intent = {"mode": "append", "at": found.st_size, "gap": gap} | _end_of(last, found)
            await self._intend(intent, data, state, written)
            await self._beside.write(rendered.beside)
            self._require_place(folder)
            appended = placing.append(folder, self._target.name, data)
            if appended.st_size != found.st_size + len(data):
                state |= {"own": False, "ours": False}  # somebody was faster
            return self._standing(state, written, appended)

    async def settle(self) -> dict[str, Any] | None:
        """Find out whether what was about to be written was, and take back what was torn.

        Return how the recording stands then, or ``None`` where nothing was written.
        """
        intent, name = self._row.intent, self._target.name
        with folder_of(self._target, make=True) as folder:
            placing.forget(folder, self._aside)
            found = placing.about(folder, name)
            if found is None:
                return None
            begin = 0 if intent["mode"] == "replace" else intent["at"]
            there = placing.content(folder, name, begin, intent["length"])
            as_meant = _digest(there) == intent["sha256"]
            if as_meant or self._is_at_the_end(folder, found):
                state = intent["rendering"]
                if not as_meant or found.st_size != begin + intent["length"]:
                    state = {**state, "own": False, "ours": False}  # somebody has gone on writing
                # Nobody lived to tell what was missing beside it.
                await self._beside.write((await self._intended()).beside)
                return self._standing(state, intent["written"], found, intent["revised"])
            if intent["mode"] == "append" and there:
                rendered = await self._intended()
                data = (intent["gap"] + rendered.text).encode("utf-8", "replace")
                # Cut off only what is ours for certain: somebody may have written there meanwhile.
                if data.startswith(there) and found.st_size == begin + len(there):
                    found = placing.shorten(folder, name, begin)
                    size, modified_ns = _mark(found)
                    return {"size": size, "modified_ns": modified_ns, "over": False}
        return None

    def _is_at_the_end(self, folder: int, found: os.stat_result) -> bool:
        """Tell whether a file ends with what was meant, though somebody has changed what is before it."""
        size, end, was = (self._row.intent.get(name) for name in ("last", "end", "was"))
        if not size or found.st_size < size or list(_mark(found)) == was:
            return False
        there = placing.content(folder, self._target.name, found.st_size - size)
        return bool(_digest(there) == end)

    async def _intended(self) -> Rendered:
        """Return what was about to be written."""
        row, intent = self._row, self._row.intent
        # A whole file may be told anew from its beginning.
        anew = intent["mode"] == "replace"
        after, state = (row.from_number - 1, {}) if anew else (row.written, row.rendering)
        rendered, _, _ = await self._rendering.of(row, after, state, until=intent["written"])
        return rendered

    async def _is_ours(self, found: os.stat_result) -> bool:
        """Tell whether nothing but recordings of this conversation stands in the file."""
        async with self._database.read() as connection:
            rows = await recordings.at_path(connection, self._tenant, self._row.path_key)
        before = [row for row in rows if row.written_at is not None and row.id != self._row.id]
        return (
            bool(before)
            and all(row.conversation_id == self._row.conversation_id for row in before)
            and bool(
                before[-1].rendering.get("ours") and _mark(found) == (before[-1].size, before[-1].modified_ns)
            )
        )

    async def _has_to_be_made_anew(self, found: os.stat_result | None) -> bool:
        """Tell whether the file is gone, or something in it is told otherwise now.

        What somebody else has written into is left as it is.
        """
        row = self._row
        if row.written_at is None:
            return False
        if found is None:
            return True
        own = row.rendering.get("own") and _mark(found) == (row.size, row.modified_ns)
        if not own or row.revised >= self._row.revisions:
            return False
        async with self._database.read() as connection:
            return await conversations.revised_since(
                connection,
                row.conversation_id,
                row.revised,
                first=row.from_number,
                last=row.written,
                without=self._writer.hidden(self._look),
            )

    def _may_be_headed(self, folder: int, found: os.stat_result, rendered: Rendered) -> bool:
        """Tell whether the head of a file may become another: a long file is not read for nothing."""
        if found.st_size <= _HEAD:
            return True
        begins = placing.content(folder, self._target.name, 0, _HEAD)
        return self._rendering.has_another_head(begins, rendered)

    async def _put(
        self,
        folder: int,
        found: os.stat_result | None,
        whole: bytes,
        rendered: Rendered,
        state: dict[str, Any],
        written: int,
    ) -> dict[str, Any]:
        name = self._target.name
        await self._intend({"mode": "replace"} | _end_of(whole[-_KNOWN:], found), whole, state, written)
        await self._beside.write(rendered.beside)

        def check() -> None:
            self._require_place(folder)
            placing.unchanged(folder, name, found)

        put = placing.put(folder, name, whole, self._aside, check)
        return self._standing(state, written, put)

    def _require_place(self, folder: int) -> None:
        """Require that the folder that was entered is still where it was: one may be moved while it is open.

        Raises:
            OSError: it was moved, or another is in its place; the next look finds out which.
        """
        with folder_of(self._target, make=False) as now:
            if not os.path.samestat(os.fstat(now), os.fstat(folder)):
                raise OSError(errno.EAGAIN, "its folder was moved meanwhile")

    async def _intend(self, how: dict[str, Any], data: bytes, state: dict[str, Any], written: int) -> None:
        """Say what is about to be written, and how the recording stands when it is."""
        intent = how | {
            "length": len(data),
            "sha256": _digest(data),
            "written": written,
            "rendering": state,
            "revised": self._row.revisions,
        }
        async with self._database.write() as connection:
            await recordings.change(connection, self._row.id, intent=intent)

    def _at_rest(self) -> dict[str, Any] | None:
        """Return how a recording stands of which everything is written; ``None`` where that is known."""
        row, standing = (
            self._row,
            {"revised": self._row.revisions, "over": self._is_over(self._row.written)},
        )
        return standing if standing["over"] or row.revised != self._row.revisions else None

    def _standing(
        self,
        state: dict[str, Any],
        written: int,
        found: os.stat_result | None,
        revised: int | None = None,
    ) -> dict[str, Any]:
        standing: dict[str, Any] = {
            "written": written,
            "rendering": state,
            "revised": self._row.revisions if revised is None else revised,
            "written_at": self._clock(),
            "over": self._is_over(written),
        }
        if found is not None:
            standing["size"], standing["modified_ns"] = _mark(found)
        return standing

    def _is_over(self, written: int) -> bool:
        until = self._row.until_number
        return until is not None and written >= until


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _end_of(last: bytes, found: os.stat_result | None) -> dict[str, Any]:
    """Return what a file is known by that ends with ``last``, and how it was before."""
    was = None if found is None else list(_mark(found))
    return {"last": len(last), "end": _digest(last), "was": was}


def _mark(found: os.stat_result) -> tuple[int, int]:
    """Return what tells whether a file is as it was."""
    return found.st_size, found.st_mtime_ns


def _target_of(row: sa.Row[Any]) -> Target:
    """Return the file of a recording, as it was judged when it began."""
    root, path = Path(row.root), Path(row.path)
    if os.path.realpath(root) != row.root:
        raise WriteDenied(f"{root} has become a link")
    return Target(root, path.relative_to(root).parts)
