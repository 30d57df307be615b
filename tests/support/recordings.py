"""A desk with chats that are recorded: transcripts that grow, a workspace, and what is written into it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from stacks import TENANT

from minoots.contracts import EventType
from minoots_activities.capture import placing
from minoots_activities.capture.flags import WorkspaceFlags
from minoots_activities.capture.ingest import Ingest
from minoots_activities.capture.obeying import Obeyed, Obeying
from minoots_activities.capture.readers import Reader
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.readers.gemini import Gemini
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.workspaces import FILE
from minoots_activities.capture.writing import Writing, Written
from minoots_platform.records import Database, recordings, schema
from minoots_platform.records.conversations import Whose
from minoots_platform.redaction import Policy, Redactor

SESSION = "11110000-0000-4000-8000-000000000001"
OTHER = "22220000-0000-4000-8000-000000000002"
BEGAN = datetime(2026, 7, 1, 10, tzinfo=UTC)
HOST = "here"
MODEL = "claude-x-4-5"


class Chat:
    """A conversation with Claude, in the file that Claude writes of it."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self.desk = desk
        self.path = path
        self.cwd = str(desk.folder)
        path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def id(self) -> str:
        """The public id of the conversation."""
        name = self.path.stem
        if name.startswith("agent-"):
            name = f"{self.path.parent.parent.name}/{name}"
        return Whose("claude", name).id_for(TENANT)

    def says(self, text: str, **more: Any) -> None:
        """Let the user say something."""
        self.append({"type": "user", "message": {"role": "user", "content": text}} | more)

    def hears(self, *blocks: Mapping[str, Any], **more: Any) -> None:
        """Let the user's side send blocks: results of tools, images."""
        self.append({"type": "user", "message": {"role": "user", "content": list(blocks)}} | more)

    def answers(self, text: str, *blocks: Mapping[str, Any], model: str = MODEL) -> None:
        """Let the model answer."""
        number = self.desk.number
        content = [{"type": "text", "text": text}, *blocks]
        self.append(
            {"type": "assistant", "message": {"id": f"m{number}", "model": model, "content": content}}
        )

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a record, a second after the one before."""
        self.desk.number += 1
        number = self.desk.number
        at = (BEGAN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
        common = {"uuid": f"u{number}", "sessionId": self.path.stem, "timestamp": at, "cwd": self.cwd}
        line = {key: value for key, value in (common | dict(record)).items() if value is not None}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    async def look(self, *, fresh: bool = True) -> Obeyed:
        """Read on in the transcript, and obey."""
        await self.desk.read(self.path, Claude())
        return await self.desk.obey(self.id, fresh=fresh)

    async def tell(self, *texts: str) -> Obeyed:
        """Let the user say something, obey it, and write what there is to be written."""
        for text in texts:
            self.says(text)
        done = await self.look()
        await self.desk.write()
        return done


class Desk:
    """A machine with a workspace and chats. Its clock moves by a second with each look."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.root = folder / "notes"
        self.now = BEGAN
        self.number = 0
        self.registry = Registry(folder / "registry.json")
        self._ingest = Ingest(
            database,
            ReadRoots([folder]),
            Redactor(Policy()),
            self.clock,
            tenant=TENANT,
            host=HOST,
        )
        self.obeying = Obeying(
            database,
            self.registry,
            [],
            WorkspaceFlags(),
            self.clock,
            tenant=TENANT,
            host=HOST,
            notify=["person:ada", "person:nobody"],
        )

    def clock(self) -> datetime:
        """Return the time of this desk."""
        return self.now

    def workspace(self, alias: str = "notes", settings: str = "", root: Path | None = None) -> Path:
        """Make a folder a workspace."""
        root = root or self.folder / alias
        root.mkdir(parents=True, exist_ok=True)
        number = len(self.registry.roots())
        lines = (f'id = "wsp_012345678{number:07}"', 'timezone = "UTC"', settings)
        (root / FILE).write_text("\n".join(lines) + "\n")
        self.registry.add(alias, root)
        return root

    def chat(self, session: str = SESSION) -> Chat:
        """Return a conversation with Claude."""
        return Chat(self, self.folder / "chats" / f"{session}.jsonl")

    async def read(self, path: Path, reader: Reader) -> None:
        """Read on in a transcript: after what stands in it was said."""
        self.now = max(self.now, BEGAN + timedelta(seconds=self.number)) + timedelta(seconds=1)
        await self._ingest.file(reader, path)

    async def obey(self, conversation_id: str, *, fresh: bool = True) -> Obeyed:
        """Look for commands in a conversation."""
        return await self.obeying.conversation(conversation_id, fresh=fresh)

    async def gemini(self, *messages: Mapping[str, Any]) -> Obeyed:
        """Write Gemini's file anew with these messages, read it, and obey."""
        path = self.folder / "chats" / "session-2026-07-01T10-00-abcdef12.json"
        path.parent.mkdir(exist_ok=True)
        at = BEGAN.isoformat()
        told = [{"timestamp": at, "id": str(number)} | dict(one) for number, one in enumerate(messages)]
        header = {"sessionId": "s", "projectHash": "h", "startTime": at, "kind": "main"}
        path.write_text(json.dumps(header | {"messages": told}))
        await self.read(path, Gemini())
        return await self.obey(Whose("gemini", "s").id_for(TENANT))

    def writing(self) -> Writing:
        """Return a writer that knows nothing but what is in the records."""
        return Writing(self.database, self.clock, tenant=TENANT, host=HOST)

    async def write(self) -> dict[str, Written]:
        """Write into every file that has something to be written; return how each stands, by its name."""
        async with self.database.read() as connection:
            rows = await recordings.behind(connection, TENANT, HOST, 100)
        keys = {row.path_key: Path(row.path).name for row in rows}
        return {name: await self.writing().file(key) for key, name in keys.items()}

    async def again(self, name: str) -> Written:
        """Write into a file whether something is pending or not."""
        return await self.writing().file(recordings.path_key(HOST, str(self.root / name)))

    async def rows(self, name: str | None = None) -> list[sa.Row[Any]]:
        """Return every recording, or those into a file; the oldest first."""
        query = sa.select(schema.recordings).order_by(schema.recordings.c.started_at)
        if name is not None:
            query = query.where(schema.recordings.c.path == str(self.root / name))
        async with self.database.read() as connection:
            return list(await connection.execute(query))

    async def states(self) -> list[tuple[str, str]]:
        """Return the name and the state of every recording, the oldest first."""
        return [(Path(row.path).name, row.state) for row in await self.rows()]

    async def told(self, type: EventType) -> list[Mapping[str, Any]]:
        """Return what events of a type say, in their order."""
        query = sa.select(schema.events.c.data).where(schema.events.c.type == type.value)
        async with self.database.read() as connection:
            return list(await connection.scalars(query.order_by(schema.events.c.sequence)))

    def text(self, name: str) -> str:
        """Return a recording as it stands."""
        return (self.root / name).read_text()

    def body(self, name: str) -> str:
        """Return a recording without its front matter."""
        return self.text(name).split("\n---\n", 1)[1]

    def names(self) -> set[str]:
        """Return the names of everything in the workspace, hidden things included."""
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.name != FILE}


class Crash(BaseException):
    """The process died: nothing catches it."""


def dies_at(moment: int) -> Callable[[int], bool]:
    """Die at one moment; at 0, never."""
    return lambda now: now == moment


def dies_by(chance: random.Random) -> Callable[[int], bool]:
    """Die at any moment."""
    return lambda now: chance.random() < 0.15


class Crashes:
    """Lets a writer die at a step: before it, in the middle of it, or behind it."""

    def __init__(self, database: Database, patch: pytest.MonkeyPatch) -> None:
        self.dies = dies_at(0)
        self.moments = 0
        self._append, self._put, self._shorten = placing.append, placing.put, placing.shorten
        self._write = database.write
        patch.setattr(placing, "append", self._appending)
        patch.setattr(placing, "put", self._putting)
        patch.setattr(placing, "shorten", self._shortening)
        patch.setattr(database, "write", self._committing)

    def moment(self) -> bool:
        """Count a moment at which the writer may die; tell whether it does."""
        self.moments += 1
        return self.dies(self.moments)

    def _check(self) -> None:
        if self.moment():
            raise Crash

    def _appending(self, folder: int, name: str, data: bytes) -> Any:
        self._check()
        for torn in (1, len(data) // 2, len(data) - 1):
            if self.moment():
                self._append(folder, name, data[:torn])
                raise Crash
        done = self._append(folder, name, data)
        self._check()
        return done

    def _putting(
        self, folder: int, name: str, data: bytes, aside: str, check: Callable[[], None] = lambda: None
    ) -> Any:
        self._check()
        if self.moment():
            # As much as a kill leaves behind: a file aside that is not in its place yet.
            self._put(folder, aside, data[: len(data) // 2], f"{aside}~")
            raise Crash
        done = self._put(folder, name, data, aside, check)
        self._check()
        return done

    def _shortening(self, folder: int, name: str, size: int) -> Any:
        self._check()
        found = self._shorten(folder, name, size)
        self._check()
        return found

    @asynccontextmanager
    async def _committing(self) -> AsyncIterator[AsyncConnection]:
        async with self._write() as connection:
            yield connection
            self._check()
        self._check()
