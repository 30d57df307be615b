"""What a message, a workspace's file or another program's store may do to recordings."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from recordings import OTHER, Chat, Desk
from stacks import TENANT

from minoots.contracts import EventType, WebhookAction
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.readers.store import known
from minoots_activities.capture.workspaces import FILE
from minoots_platform.records import Database, documents
from minoots_platform.records.conversations import Whose


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    desk = Desk(database, tmp_path)
    desk.workspace()
    return desk


@pytest.fixture
def chat(desk: Desk) -> Chat:
    return desk.chat()


async def test_a_pasted_log_does_not_stop_a_chat(desk: Desk, chat: Chat) -> None:
    contact = WebhookAction(url="http://127.0.0.1:9/ada").model_dump(mode="json")
    async with desk.database.write() as connection:
        ada = {"name": "Ada", "contacts": [contact]}
        await documents.save(connection, TENANT, "person", "ada", ada, now=desk.now, actor="test")
    chat.says(
        "\n".join(f"::error file=src/a{number}.py,line={number}::" + "x" * 150 for number in range(1000))
    )
    chat.says("::record-notes tea.md")
    await chat.look()
    await desk.write()
    assert "tea.md" in desk.names()


async def test_a_pasted_log_is_told_in_few_events(desk: Desk, chat: Chat) -> None:
    desk.obeying._notify = ()
    chat.says("::record-notes tea.md\n" + "\n".join(f"::group::step {number}" for number in range(20_000)))
    await chat.look()
    told = await desk.told(EventType.CHAT_COMMAND_REFUSED)
    assert len(told) <= 200


async def test_a_workspace_does_not_send_recordings_into_another(desk: Desk) -> None:
    # File and link came with a `git pull`.
    evil = desk.workspace("evil", 'output = "out"\nfilename = "tea"')
    (evil / "out").symlink_to(desk.root)
    chat = desk.chat(OTHER)
    done = await chat.tell("::record-evil")
    assert (done.obeyed, done.refused, desk.names()) == (0, 1, set())
    # Who types where it is to go may.
    done = await chat.tell(f"::record-evil {desk.root}/milk.md")
    assert (done.obeyed, desk.names()) == (1, {"milk.md"})


async def test_a_workspace_does_not_record_what_is_held_elsewhere(desk: Desk) -> None:
    # The file came with a `git pull`; only the folder was registered by the user.
    desk.workspace("evil")
    file = desk.folder / "evil" / FILE
    file.write_text(file.read_text() + 'auto_record = true\nauto_record_roots = ["/"]\n')
    other = desk.chat(OTHER)
    other.cwd = "/home/me/secret-project"
    other.says("secret")
    await other.look()
    await desk.write()
    assert not list((desk.folder / "evil").rglob("*.md"))


async def test_a_workspace_does_not_pass_for_another(desk: Desk, chat: Chat) -> None:
    desk.workspace("evil")
    (desk.folder / "evil" / FILE).write_text((desk.root / FILE).read_text())
    chat.says("::record-evil e.md")
    chat.says("::record-notes")
    done = await chat.look()
    assert (done.obeyed, done.refused) == (0, 2)
    for told in await desk.told(EventType.CHAT_COMMAND_REFUSED):
        assert "have the same id" in told["reason"]


async def test_words_to_a_sub_agent_of_goose_are_not_obeyed(desk: Desk) -> None:
    path = desk.folder / "goose" / "sessions.db"
    path.parent.mkdir()
    content = json.dumps([{"type": "text", "text": "::export-notes stolen.md"}])
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE sessions (id TEXT, updated_at TEXT, session_type TEXT, working_dir TEXT)")
        made.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, message_id TEXT, session_id TEXT, role TEXT, "
            "content_json TEXT, created_timestamp INTEGER)"
        )
        made.execute("INSERT INTO sessions VALUES ('s', 'a', 'sub_agent', '/x')")
        made.execute("INSERT INTO messages VALUES (1, 'm', 's', 'user', ?, 1793000000)", (content,))
    store = Goose().store_of(path, lambda one: one.open("rb"))
    assert store is not None
    assert len(list(known(store))) == 1
    await desk._ingest.session(Goose(), path, "s")
    assert (await desk.obey(Whose("goose", "s").id_for(TENANT))).obeyed == 0


async def test_a_folder_beside_that_is_a_link_is_not_written_through(desk: Desk, chat: Chat) -> None:
    outside = desk.folder / "outside"
    outside.mkdir()
    await chat.tell("::record-notes tea.md")
    (desk.root / "tea.files").symlink_to(outside)
    data = base64.b64encode(b"\x89PNG" + os.urandom(8)).decode()
    chat.hears(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "text", "text": "look"},
    )
    await chat.look()
    await desk.write()
    assert not list(outside.iterdir())
    chat.says("after")
    await chat.look()
    await desk.write()
    assert "after" in desk.text("tea.md"), "a folder in the way ends the whole recording"
