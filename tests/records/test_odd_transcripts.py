"""What an attacker may put into a transcript: it stops nothing, and no secret in it is kept."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from recordings import BEGAN, Chat, Desk
from stacks import TENANT

from minoots_activities.capture import placing
from minoots_activities.capture.gate import WriteDenied
from minoots_activities.capture.readers.codex import Codex
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.roots import ReadRoots
from minoots_platform.records import Database, conversations, schema
from minoots_platform.records.conversations import Whose

A = "019b0000-0000-7000-8000-00000000000a"
B = "019b1000-0000-7000-8000-00000000000b"
SECRET = "ghp_i0VpEBOWfbZAVaBSo63bbH6xnAbnBEoonCrb"


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    desk = Desk(database, tmp_path)
    desk.workspace()
    return desk


@pytest.fixture
def chat(desk: Desk) -> Chat:
    return desk.chat()


def codex(desk: Desk, *payloads: tuple[str, dict[str, Any]], thread: str = A) -> Path:
    path = desk.folder / "codex" / f"rollout-2026-07-01T10-00-00-{thread}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    at = (BEGAN + timedelta(seconds=1)).isoformat()
    with path.open("w") as file:
        for kind, payload in (("session_meta", {"id": thread}), *payloads):
            file.write(json.dumps({"timestamp": at, "type": kind, "payload": payload}) + "\n")
    return path


SAID = ("event_msg", {"type": "user_message", "message": "hello"})


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "function_call", "call_id": "1", "name": "x", "arguments": "[" * 300 + "]" * 300},
        {"type": "function_call", "call_id": "1", "name": "x", "arguments": '{"a": "\\u0000"}'},
        {"type": "function_call", "call_id": "1", "name": "x", "arguments": '{"a": "\\ud800"}'},
        {"type": "message", "role": "user", "content": 5},
        {"type": "reasoning", "summary": 5},
    ],
    ids=["deep", "nul", "surrogate", "content", "summary"],
)
async def test_one_strange_record_does_not_stop_a_file(desk: Desk, payload: dict[str, Any]) -> None:
    path = codex(desk, ("response_item", payload), SAID)
    await desk.read(path, Codex())
    async with desk.database.read() as connection:
        kept = await conversations.events_of(connection, TENANT, Whose("codex", A).id_for(TENANT))
    assert "hello" in [event.text for event in kept]


async def test_one_long_text_of_strange_letters_does_not_stop_a_file(desk: Desk, chat: Chat) -> None:
    words = [chr(0x337F) * 120 + chr(0x4E00 + i) + chr(0x4E00 + i // 7) for i in range(1600)]
    chat.says(" ".join(words))
    await chat.look()


@pytest.mark.parametrize("thread", ["x" * 300, "a\x00b", "a\ud800b"])
async def test_a_session_with_a_name_that_nothing_holds_is_read(desk: Desk, thread: str) -> None:
    path = codex(desk, SAID)
    path = path.rename(path.with_name("other.jsonl"))
    path.write_text(path.read_text().replace(json.dumps(A), json.dumps(thread)))
    await desk.read(path, Codex())
    async with desk.database.read() as connection:
        [row] = (await connection.execute(sa.select(schema.conversations))).all()
    assert (row.events, len(row.session_id) <= 255) == (1, True)


async def test_a_call_of_another_conversation_is_not_taken(desk: Desk) -> None:
    call = {"type": "function_call", "call_id": "call_0", "name": "x", "arguments": "{}"}
    await desk.read(codex(desk, ("response_item", call), SAID), Codex())
    await desk.read(codex(desk, ("response_item", call | {"name": "mine"}), SAID, thread=B), Codex())
    async with desk.database.read() as connection:
        kept = await conversations.events_of(connection, TENANT, Whose("codex", B).id_for(TENANT))
    assert [event.tool.name for event in kept if event.tool] == ["mine"]


async def everything(desk: Desk) -> str:
    told = []
    async with desk.database.read() as connection:
        for table in (
            schema.METADATA.sorted_tables if hasattr(schema, "METADATA") else schema.metadata.sorted_tables
        ):
            told += [repr(row) for row in await connection.execute(sa.select(table))]
    return "\n".join(told)


async def test_a_remote_with_a_password_is_not_kept(desk: Desk) -> None:
    remote = f"https://me:{SECRET}@github.com/x/y"
    meta = {"id": A, "cwd": f"/w/{SECRET}", "git": {"repository_url": remote}}
    await desk.read(codex(desk, ("session_meta", meta), SAID), Codex())
    assert SECRET not in await everything(desk)


async def test_a_secret_as_a_key_is_not_kept(desk: Desk, chat: Chat) -> None:
    chat.answers("ok", {"type": "tool_use", "id": "t1", "name": "n", "input": {SECRET: 1}})
    await chat.look()
    assert SECRET not in await everything(desk)


async def test_a_secret_in_the_names_of_tools_and_questions_is_not_kept(desk: Desk, chat: Chat) -> None:
    chat.answers("ok", {"type": "tool_use", "id": "t1", "name": SECRET, "input": {}})
    chat.hears(
        {"type": "tool_result", "tool_use_id": "t1", "content": "x"},
        toolUseResult={"questions": [{"question": "q", "header": f"h {SECRET}", "options": []}]},
    )
    await chat.look()
    assert SECRET not in await everything(desk)


async def test_a_secret_in_an_attached_text_is_not_kept(desk: Desk, chat: Chat) -> None:
    data = base64.b64encode(f"TOKEN={SECRET}".encode()).decode()
    source = {"type": "base64", "media_type": "text/plain", "data": data}
    chat.says("::record-notes tea.md")
    chat.hears({"type": "document", "source": source}, {"type": "text", "text": "read it"})
    await chat.look()
    await desk.write()
    assert SECRET not in await everything(desk)
    files = [path.read_bytes() for path in desk.root.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in one for one in files)


async def test_a_secret_behind_an_escaped_line_end_is_not_kept(desk: Desk, chat: Chat) -> None:
    chat.hears({"type": "tool_result", "tool_use_id": "t", "content": json.dumps(f"token\n{SECRET}")})
    await chat.look()
    assert SECRET not in await everything(desk)


async def test_a_secret_in_an_unknown_type_is_not_kept(desk: Desk, chat: Chat) -> None:
    for _ in range(6):
        chat.append({"type": SECRET})
    await chat.look()
    assert SECRET not in await everything(desk)


def test_a_hard_link_that_was_put_there_after_the_look_is_not_written(tmp_path: Path) -> None:
    inside, victim = tmp_path / "in", tmp_path / "victim"
    inside.mkdir()
    victim.write_text("mine\n")
    (inside / "tea.md").write_text("mine\n")
    folder = os.open(inside, os.O_RDONLY)
    try:
        assert placing.about(folder, "tea.md") is not None
        (inside / "tea.md").unlink()
        os.link(victim, inside / "tea.md")
        with pytest.raises(WriteDenied):
            placing.append(folder, "tea.md", b"theirs\n")
    finally:
        os.close(folder)
        assert victim.read_text() == "mine\n"


def test_a_root_that_becomes_a_link_while_a_file_is_opened_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret"
    root.mkdir()
    secret.mkdir()
    (root / "x.jsonl").write_text("open")
    (secret / "x.jsonl").write_text("secret")
    roots = ReadRoots([root])
    real = os.path.realpath

    def swapping(path: Any, **more: Any) -> str:
        found = real(path, **more)
        root.rename(tmp_path / "was")
        root.symlink_to(secret)
        return found

    monkeypatch.setattr(os.path, "realpath", swapping)
    try:
        text = roots.open(root / "x.jsonl").read()
    except (OSError, Exception):
        return
    assert text != b"secret"


def test_a_database_that_never_ends_answering_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    with sqlite3.connect(path) as made:
        made.execute(
            "CREATE VIEW sessions AS WITH RECURSIVE c(x) AS "
            "(SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1e9) "
            "SELECT 'a' AS id, 'b' AS updated_at FROM c"
        )
        made.execute("CREATE TABLE messages (id, session_id, content_json)")
    store = Goose().store_of(path, lambda one: one.open("rb"))
    assert store is not None
    done: list[Any] = []

    def ask() -> None:
        try:
            done.append(list(store.listed()))
        except Exception as error:
            done.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(8)
    assert done


def test_a_workspace_file_that_leads_to_a_device_is_not_read(tmp_path: Path) -> None:
    from minoots.errors import Failure
    from minoots_activities.capture.workspaces import FILE, read_config

    (tmp_path / FILE).symlink_to("/dev/zero")
    pid = os.fork()
    if pid == 0:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        try:
            read_config(tmp_path)
        except Failure:
            os._exit(0)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


async def test_a_workspace_file_that_is_a_pipe_is_not_waited_for(desk: Desk, chat: Chat) -> None:

    from minoots.errors import Failure
    from minoots_activities.capture.workspaces import FILE, read_config

    root = desk.folder / "piped"
    root.mkdir()
    os.mkfifo(root / FILE)
    refused: list[str] = []

    def read() -> None:
        try:
            read_config(root)
        except Failure as failure:
            refused.append(str(failure))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(2)
    stuck = thread.is_alive()
    if stuck:
        os.close(os.open(root / FILE, os.O_WRONLY | os.O_NONBLOCK))
    assert not stuck
    assert "expected a plain file" in refused[0]
