"""A host that captures, in front of a stack: its watcher, its queue, its workspaces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from stacks import TENANT, Stack, eventually

from minoots.contracts.conversations import ConversationEvent
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.workspaces import FILE
from minoots_platform.clock import utc_now
from minoots_platform.records import conversations, recordings
from minoots_platform.records.conversations import Whose
from minoots_platform.settings import Settings, with_overrides
from minoots_workers.watching import Host, host_of, serving, watch

SESSION = "11110000-0000-4000-8000-000000000001"


@dataclass
class Chat:
    """A transcript of Claude Code that grows."""

    path: Path
    session: str = SESSION
    count: int = 0
    lines: list[bytes] = field(default_factory=list)

    def say(self, text: str, at: datetime | None = None) -> None:
        """A user says something."""
        self._add("user", {"role": "user", "content": text}, at)

    def answer(self, text: str, model: str = "claude-opus-4-5") -> None:
        """The agent answers."""
        message = {
            "id": f"msg_{self.session}_{self.count}",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": text}],
        }
        self._add("assistant", message, None)

    def _add(self, kind: str, message: dict[str, Any], at: datetime | None) -> None:
        self.count += 1
        record = {
            "type": kind,
            "uuid": f"{self.session}-{self.count}",
            "sessionId": self.session,
            "timestamp": (at or utc_now()).isoformat().replace("+00:00", "Z"),
            "cwd": str(self.path.parent),
            "message": message,
        }
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        self.lines.append(line)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(line)

    @property
    def id(self) -> str:
        """The public id of the conversation."""
        return Whose("claude", self.session).id_for(TENANT)


@dataclass
class CapturingHost:
    """A host with a folder of transcripts and a workspace."""

    stack: Stack
    host: Host
    transcripts: Path
    workspace: Path
    registry: Registry

    def chat(self, session: str = SESSION) -> Chat:
        """A transcript that does not exist yet."""
        return Chat(self.transcripts / "project" / f"{session}.jsonl", session)

    async def events(self, chat: Chat) -> tuple[ConversationEvent, ...]:
        """What is kept of a conversation."""
        async with self.stack.database.read() as connection:
            return await conversations.events_of(connection, TENANT, chat.id)

    async def captured(self, chat: Chat, count: int) -> tuple[ConversationEvent, ...]:
        """What is kept of it once there are so many events."""
        return await eventually(lambda: self.events(chat), lambda found: len(found) >= count)

    async def recording(self, chat: Chat) -> sa.Row[Any] | None:
        """The latest recording of a conversation."""
        query = (
            sa.select(recordings.TABLE)
            .where(recordings.TABLE.c.conversation_id == chat.id)
            .order_by(recordings.TABLE.c.started_at.desc())
        )
        async with self.stack.database.read() as connection:
            return (await connection.execute(query)).first()

    async def recorded(self, chat: Chat, text: str) -> str:
        """The file of its latest recording, once a text stands in it."""

        async def look() -> str:
            row = await self.recording(chat)
            path = None if row is None else Path(row.path)
            return path.read_text() if path is not None and path.exists() else ""

        return await eventually(look, lambda found: text in found)


@asynccontextmanager
async def capturing(stack: Stack, folder: Path, **settings: Any) -> AsyncIterator[CapturingHost]:
    """Yield a host that captures what is in ``folder``."""
    transcripts, workspace = folder / "transcripts", folder / "workspace"
    transcripts.mkdir(exist_ok=True)
    if not workspace.exists():
        workspace.mkdir()
        (workspace / FILE).write_text('id = "wsp_0123456789abcdef"\ntimezone = "UTC"\n')
    registry = Registry(folder / "registry.json")
    registry.add("notes", workspace)
    wanted = {
        "tenant": TENANT,
        "host": "here",
        "providers": ["claude"],
        "roots": [f"claude={transcripts}"],
        "registry": str(folder / "registry.json"),
        "rescan": 0.3,
        "settle": 0.02,
    } | settings
    host = host_of(with_overrides(Settings(), {"capture": wanted}), stack.database, stack.client)
    async with serving(
        host, stack.client, with_overrides(Settings(), {"workers": {"graceful_shutdown": 0.5}})
    ):
        watching = asyncio.create_task(watch(host, stack.database, stack.client))
        try:
            yield CapturingHost(stack, host, transcripts, workspace, registry)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
