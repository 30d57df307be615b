"""What is looked for again, and what gives signs of life while it takes long."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from recordings import HOST, Desk
from stacks import TENANT

from minoots_activities.capture import answering
from minoots_activities.capture.ingest import Ingest
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.readers.identity import Identity
from minoots_activities.capture.readers.store import Listed, Store
from minoots_activities.capture.roots import ReadRoots
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, conversations
from minoots_platform.redaction import Policy, Redactor

DEADLINE = 90.0


def session(number: int) -> str:
    return f"{number:08}-0000-4000-8000-000000000000"


async def test_a_conversation_with_many_files_leaves_room_for_the_others(
    database: Database, tmp_path: Path
) -> None:
    desk = Desk(database, tmp_path)
    desk.workspace()
    chats = [desk.chat(session(number)) for number in range(3)]
    for chat in chats:
        chat.says("hello")
        desk.now += timedelta(seconds=1)
        await desk.read(chat.path, Claude())
    # The same conversation in many places: copies, archives.
    for number in range(5):
        copy = tmp_path / f"copy-{number}" / chats[0].path.name
        copy.parent.mkdir()
        copy.write_bytes(chats[0].path.read_bytes())
        desk.now += timedelta(seconds=1)
        await desk.read(copy, Claude())
    async with database.read() as connection:
        found = await conversations.behind(connection, TENANT, HOST, 2, but=[chats[0].id])
        assert set(found) == {(chat.id, str(chat.path)) for chat in chats[1:]}
        every = await conversations.behind(connection, TENANT, HOST, 3)
        assert len(every) == 6 + 1 + 1, "of a conversation any file may be the one that is still there"
        assert [chat_id for chat_id, _ in every] == [chats[0].id] * 6 + [chats[2].id, chats[1].id]
        assert len({chat_id for chat_id, _ in await conversations.behind(connection, TENANT, HOST, 1)}) == 1


class _Slow(Store):
    """A store that does not answer before whoever asks has given signs of life."""

    def __init__(self, alive: threading.Event) -> None:
        self._alive = alive

    def listed(self) -> Iterator[Listed]:
        assert self._alive.wait(DEADLINE)
        self._alive.clear()
        yield Listed(Identity(session_id="s1"), "mark")

    def records(self, session_id: str) -> Iterator[Mapping[str, Any]]:
        assert self._alive.wait(DEADLINE)
        yield {}


async def test_a_store_that_takes_long_is_waited_for_with_signs_of_life(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_BEAT", 0.01)
    alive, beats = threading.Event(), 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats % 5 == 0:
            alive.set()

    path = tmp_path / "sessions.db"
    path.write_bytes(b"")
    reader = Goose()
    monkeypatch.setattr(reader, "store_of", lambda *_: _Slow(alive))
    roots, redactor = ReadRoots([tmp_path]), Redactor(Policy())
    reading = Ingest(database, roots, redactor, utc_now, tenant=TENANT, host=HOST)
    await reading.session(reader, path, "s1", beat)
    assert beats >= 10
