"""Whoever obeys gives signs of life, however long what it needs takes to answer."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from recordings import Desk

from minoots_activities.capture.readers.claude import Claude
from minoots_platform.records import Database


async def test_signs_of_life_are_given_while_workspaces_do_not_answer(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(database, tmp_path)
    desk.workspace()
    chat = desk.chat()
    await chat.tell("tea")
    chat.says("::record-notes tea.md")
    await desk.read(chat.path, Claude())
    heard, enough = 0, threading.Event()

    def problems() -> list[str]:
        assert enough.wait(60), "nobody hears of it"
        return []

    def beat() -> None:
        nonlocal heard
        heard += 1
        if heard == 3:
            enough.set()

    monkeypatch.setattr(desk.registry, "problems", problems)
    async with asyncio.timeout(90):
        done = await desk.obeying.conversation(chat.id, fresh=True, beat=beat)
    assert done.obeyed == 1
    assert heard >= 3
