"""Transcripts into the records: once, whatever is cut, copied, moved or written anew meanwhile."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import sqlite3
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import sqlalchemy as sa
import zstandard
from stacks import TENANT

from minoots.contracts.conversations import ConversationEvent
from minoots_activities.capture.ingest import Ingest, Ingested
from minoots_activities.capture.readers import Reader
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.readers.codex import Codex
from minoots_activities.capture.readers.gemini import Gemini
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.roots import ReadDenied, ReadRoots
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, conversations, schema
from minoots_platform.records.conversations import Whose
from minoots_platform.redaction import Policy, Redactor, Rule

SESSION = "11110000-0000-4000-8000-000000000001"
CLAUDE = Claude()


class Host:
    """A machine with transcripts."""

    def __init__(self, database: Database, folder: Path, redactor: Redactor | None = None) -> None:
        self.database = database
        self.folder = folder
        self.ingest = Ingest(
            database,
            ReadRoots([folder]),
            redactor or Redactor(Policy()),
            utc_now,
            tenant=TENANT,
            host="here",
        )

    def path(self, name: str = f"{SESSION}.jsonl") -> Path:
        return self.folder / name

    async def read(self, path: Path | None = None, reader: Reader = CLAUDE) -> Ingested:
        return await self.ingest.file(reader, path or self.path())

    async def events(self, session: str = SESSION, provider: str = "claude") -> list[ConversationEvent]:
        async with self.database.read() as connection:
            public_id = Whose(provider, session).id_for(TENANT)
            return list(await conversations.events_of(connection, TENANT, public_id))

    async def conversation(self, session: str = SESSION, provider: str = "claude") -> sa.Row[Any]:
        query = sa.select(schema.conversations).where(
            schema.conversations.c.id == Whose(provider, session).id_for(TENANT)
        )
        async with self.database.read() as connection:
            return (await connection.execute(query)).one()


@pytest.fixture
def host(database: Database, tmp_path: Path) -> Host:
    return Host(database, tmp_path)


def said(number: int, text: str = "hello") -> bytes:
    """A line of a user's."""
    record = {
        "type": "user",
        "uuid": f"u{number}",
        "sessionId": SESSION,
        "timestamp": f"2026-07-01T10:00:{number % 60:02}.{number:03}Z",
        "cwd": "/x",
        "message": {"role": "user", "content": f"{text} {number} ü🦉"},
    }
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


async def test_kinds_without_end_and_facts_without_end_take_little_space(host: Host) -> None:
    odd = b"".join(json.dumps({"type": f"odd {number}"}).encode() + b"\n" for number in range(1500))
    long = json.loads(said(2)) | {"cwd": "/" + "x" * 100_000, "gitBranch": "main"}
    host.path().write_bytes(said(1) + odd + json.dumps(long).encode() + b"\n")
    await host.read()
    async with host.database.read() as connection:
        unknown = (await connection.execute(sa.select(schema.transcripts.c.unknown))).scalar_one()
    assert (len(unknown), sum(unknown.values())) == (101, 1500)
    assert (await host.conversation()).facts == {"cwd": "/x", "branch": "main"}


async def test_a_file_that_grows_by_any_bytes_is_read_as_at_once(host: Host) -> None:
    whole = b"".join(said(number) for number in range(40))
    chance = random.Random(3)
    written = 0
    while written < len(whole):
        written = min(len(whole), written + chance.randrange(1, 400))
        host.path().write_bytes(whole[:written])
        await host.read()
    events = await host.events()
    assert [event.text for event in events] == [f"hello {number} ü🦉" for number in range(40)]
    assert {event.revision for event in events} == {1}
    row = await host.conversation()
    assert (row.title, row.events, row.facts) == ("hello 0 ü🦉", 40, {"cwd": "/x"})
    assert row.started_at is not None
    assert row.started_at < row.last_at


async def test_a_line_that_is_not_ended_is_left_for_the_next_time(host: Host) -> None:
    host.path().write_bytes(said(1) + said(2)[:-10])
    assert (await host.read()).new == 1
    host.path().write_bytes(said(1) + said(2))
    assert (await host.read()).new == 1
    assert (await host.read()).new == 0


async def test_a_last_line_without_its_end_is_read_once_it_is_whole(host: Host) -> None:
    host.path().write_bytes(said(1) + said(2).rstrip(b"\n"))
    assert (await host.read()).new == 2, "programs that end no last line would lose their last words"
    for rest in (b"", b"\n", b"\n" + said(3)):
        host.path().write_bytes(said(1) + said(2).rstrip(b"\n") + rest)
        done = await host.read()
        assert (done.again, done.damaged) == (False, 0)
    assert [event.text for event in await host.events()] == [f"hello {n} ü🦉" for n in (1, 2, 3)]
    only = host.path("22220000-0000-4000-8000-000000000002.jsonl")
    only.write_bytes(said(9).rstrip(b"\n"))
    assert (await host.read(only)).new == 1


async def test_cut_at_any_byte_damage_comes_to_what_it_comes_to_at_once(host: Host) -> None:
    lines = [
        said(1).rstrip() + b"junk\n",
        said(2).rstrip() + said(3).rstrip(),
        said(4)[:-20] + said(5),
        said(6),
    ]
    whole = b"".join(lines).rstrip()
    at_once = host.path("22220000-0000-4000-8000-000000000002.jsonl")
    at_once.write_bytes(whole)
    done = await host.read(at_once)
    assert (done.new, done.damaged) == (5, 2)
    # Around every end of a record, and some in between.
    ends = [at for at in range(len(whole) + 1) if whole[at - 1 : at] in (b"}", b"\n", b"")]
    cuts = {at + by for at in ends for by in (-1, 0, 1)} | {*range(0, len(whole), 50)}
    for cut in sorted(cut for cut in cuts if 0 <= cut <= len(whole)):
        host.path().write_bytes(whole[:cut])
        done = await host.read()
        assert not done.again
        assert done.new == 0, "what is in both files is kept once"
    assert done.damaged == 2


async def test_a_file_that_was_cut_or_written_anew_repeats_nothing(host: Host) -> None:
    host.path().write_bytes(said(1) + said(2) + said(3))
    await host.read()
    host.path().write_bytes(said(1) + said(4))
    done = await host.read()
    assert (done.again, done.new) == (True, 1)
    host.path().write_bytes(said(1)[:-3].replace(b"x", b"y") + b"}}\n" + said(5))
    done = await host.read()
    assert done.again
    assert [event.text for event in await host.events()][:5] == [f"hello {n} ü🦉" for n in (1, 2, 3, 4, 5)]


async def test_a_file_that_moves_is_the_same_conversation(host: Host) -> None:
    host.path().write_bytes(said(1) + said(2))
    await host.read()
    moved = host.folder / "archive" / host.path().name
    moved.parent.mkdir()
    host.path().rename(moved)
    with moved.open("ab") as file:
        file.write(said(3))
    assert (await host.read(moved)).new == 1
    assert len(await host.events()) == 3


async def test_a_copy_under_another_id_tells_only_what_is_its_own(host: Host) -> None:
    other = "22220000-0000-4000-8000-000000000002"
    host.path().write_bytes(said(1) + said(2))
    await host.read()
    fork = host.path(f"{other}.jsonl")
    fork.write_bytes(said(1) + said(2) + said(3))
    assert (await host.read(fork)).new == 1
    assert [event.text for event in await host.events(other)] == ["hello 3 ü🦉"]


async def test_a_conversation_that_begins_with_another_says_of_which_it_is(host: Host) -> None:
    first, second, third = (f"{digit * 8}-0000-4000-8000-000000000001" for digit in "456")
    heading = b'{"type":"summary","summary":"Tea"}\n'

    async def grows(session: str, *numbers: int) -> None:
        path = host.path(f"{session}.jsonl")
        path.write_bytes(heading + b"".join(said(number) for number in numbers))
        await host.read(path)

    async def above(session: str) -> tuple[Any, Any]:
        row = await host.conversation(session)
        return row.parent_id, row.relation

    await grows(SESSION, 7)
    await grows(first, 1, 2)
    assert await above(first) == (None, None), "one title may be that of many"
    await grows(second, 1, 2, 3)
    assert await above(second) == (Whose("claude", first).id_for(TENANT), "resume")
    await grows(third, 1, 2, 3, 4)
    assert await above(third) == (Whose("claude", second).id_for(TENANT), "resume"), "a copy of a copy"
    await grows(first, 1, 2, 3)
    assert await above(first) == (None, None), "nobody comes after their own children"
    told = [
        [event.text for event in await host.events(one) if event.text != "Tea"]
        for one in (first, second, third)
    ]
    assert told == [["hello 1 ü🦉", "hello 2 ü🦉"], ["hello 3 ü🦉"], ["hello 4 ü🦉"]]


async def test_what_grows_in_its_place_is_a_revision(host: Host) -> None:
    header = {"sessionId": "s", "projectHash": "h", "startTime": "2026-07-01T10:00:00Z", "messages": []}
    message = {"id": "m1", "timestamp": "2026-07-01T10:00:01Z", "type": "gemini", "content": "I l"}
    path = host.path("session-2026-07-01T10-00-abcdef12.json")
    for content in ("I l", "I look", "I look"):
        path.write_text(json.dumps(header | {"messages": [message | {"content": content}]}))
        await host.read(path, Gemini())
    path.write_text('{"sessionId": "s", "messa')
    assert (await host.read(path, Gemini())).conversation_id is None, "it is being written this moment"
    [event] = await host.events("s", "gemini")
    assert (event.text, event.revision) == ("I look", 2)


async def test_a_sub_agent_is_a_conversation_of_its_own_with_a_parent(host: Host) -> None:
    path = host.folder / SESSION / "subagents" / "agent-abc.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(said(1))
    await host.read(path)
    row = await host.conversation(f"{SESSION}/agent-abc")
    assert (row.parent_id, row.relation, row.agent_id) == (
        Whose("claude", SESSION).id_for(TENANT),
        "subagent",
        "abc",
    )


async def test_damage_is_counted_and_a_format_that_changed_is_loud(host: Host) -> None:
    host.path().write_bytes(said(1) + b'{"type": "user", "mess' + said(2) + b"\x00\x00" + said(3))
    done = await host.read()
    assert (done.new, done.damaged) == (3, 1)
    strange = host.path("33330000-0000-4000-8000-000000000003.jsonl")
    strange.write_bytes(b'{"sessionId": "x", "kind": 9}\n' * 6)
    assert "none of 6 records is understood" in str((await host.read(strange)).problem)


@pytest.mark.parametrize("indent", [None, 2])
async def test_a_whole_file_of_which_nothing_is_understood_is_loud(host: Host, indent: int | None) -> None:
    path = host.folder / "session-2026-04-23T12-52-0ab84937.json"
    path.write_text(json.dumps({"history": [{"role": "user"}], "meta": {"model": "m"}}, indent=indent))
    assert "none of 1 records" in str((await host.ingest.file(Gemini(), path)).problem)


async def test_secrets_are_in_no_record(host: Host) -> None:
    secret = "gh" + "p_" + "a1B2" * 9
    host.path().write_bytes(said(1, f"use {secret}"))
    done = await host.read()
    assert done.redacted == {"github-pat": 1}
    async with host.database.read() as connection:
        for table in schema.metadata.sorted_tables:
            assert secret not in str((await connection.execute(sa.select(table))).all())


async def test_what_a_rule_fails_on_is_not_kept(database: Database, tmp_path: Path) -> None:
    class Broken:
        groupindex = MappingProxyType({})

        def sub(self, *_: object) -> str:
            raise RuntimeError("broken")

    broken: Any = Rule("broken", ("poison",), Broken())  # type: ignore[arg-type]
    host = Host(database, tmp_path, Redactor(Policy(), [broken]))
    host.path().write_bytes(said(1, "poison") + said(2))
    done = await host.read()
    assert (done.dropped, done.new) == (1, 1)


async def test_only_what_is_below_a_root_is_read(
    host: Host, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / f"{SESSION}.jsonl"
    outside.write_bytes(said(1))
    link = host.path("44440000-0000-4000-8000-000000000004.jsonl")
    link.symlink_to(outside)
    folder = host.folder / "linked"
    folder.symlink_to(outside.parent)
    for path in (
        outside,
        link,
        folder / outside.name,
        host.folder / ".." / outside.parent.name / outside.name,
    ):
        with pytest.raises(ReadDenied):
            await host.read(path)
    inside = host.path("55550000-0000-4000-8000-000000000005.jsonl")
    host.path().write_bytes(said(1))
    inside.symlink_to(host.path())
    assert (await host.read(inside)).new == 1, "a link that stays inside is followed"
    os.mkfifo(host.path("pipe.jsonl"))
    with pytest.raises(ReadDenied, match="no regular file"):
        await host.read(host.path("pipe.jsonl"))


async def test_dotted_names_are_names(host: Host) -> None:
    path = host.path("..notes.jsonl")
    path.write_bytes(said(1))
    assert (await host.read(path)).new == 1


@pytest.mark.parametrize("name", ["v2.1.114_growth", "v0.126_desktop_image_growth"])
async def test_real_files_that_grow_tell_everything_once(host: Host, name: str) -> None:
    samples = Path(
        os.environ.get("MINOOTS_SESSION_SAMPLES", Path(__file__).parents[3] / "shared" / "sessions")
    )
    provider, reader = ("claude", CLAUDE) if name.startswith("v2") else ("codex", Codex())
    folder = samples / provider / name
    if not folder.is_dir():
        pytest.skip("no samples of real transcripts here; MINOOTS_SESSION_SAMPLES may name a folder")
    stages = [path.read_bytes() for path in sorted(folder.glob("t*.jsonl"))]
    growing, at_once = host.path(), host.folder / "once" / host.path().name
    chance = random.Random(5)
    for stage in stages:
        for cut in (*sorted(chance.sample(range(len(stage)), 5)), len(stage)):
            if growing.exists() and cut < growing.stat().st_size:
                continue
            growing.write_bytes(stage[:cut])
            await host.read(growing, reader)
    identity = reader.identify(growing, json.loads(stages[-1].split(b"\n", 1)[0]))
    assert identity is not None
    grown = await host.events(identity.session_id, provider)
    other = Host(host.database, host.folder)
    other.ingest = Ingest(
        host.database,
        ReadRoots([host.folder]),
        Redactor(Policy()),
        utc_now,
        tenant="globex",
        host="there",
    )
    at_once.parent.mkdir()
    at_once.write_bytes(stages[-1])
    await other.ingest.file(reader, at_once)
    async with host.database.read() as connection:
        public_id = Whose(provider, identity.session_id).id_for("globex")
        once = await conversations.events_of(connection, "globex", public_id)
    assert [event.model_dump(exclude={"revision"}) for event in grown] == [
        event.model_dump(exclude={"revision"}) for event in once
    ]
    assert len(grown) > 90


async def test_halves_of_characters_and_numbers_without_end_are_kept_as_far_as_anything_can(
    host: Host,
) -> None:
    odd = '{"half":"\\ud83d","\\udc00":1,"huge":' + "9" * 40 + ',"nan":1e999,"nul":"a\\u0000b"}'
    deep = '{"a":[' * 400 + "1" + "]}" * 400

    def line(kind: str, content: str) -> str:
        return f'{{"type":"{kind}","uuid":"{kind}","message":{{"id":"m","content":{content}}}}}'

    lines = [
        line("assistant", f'[{{"type":"tool_use","id":"c1","name":"x","input":{odd}}}]'),
        line("user", f'[{{"type":"tool_result","tool_use_id":"c1","content":{{"x":{odd}}}}}]'),
        line("user", '"half \\ud83d of it"'),
        line("assistant", f'[{{"type":"tool_use","id":"c2","name":"x","input":{deep}}}]'),
    ]
    host.path().write_text("\n".join(lines) + "\n")
    done = await host.read()
    assert (done.new, done.dropped, done.damaged) == (4, 0, 0)
    call, result, text, nested = await host.events()
    assert nested.tool is not None
    assert json.dumps(nested.tool.input).count("a") == 400
    assert call.tool is not None
    assert result.tool is not None
    assert result.tool.output is not None
    assert call.tool.input["half"] == "\ufffd"
    assert "a\ufffdb" in result.tool.output
    assert text.text == "half \ufffd of it"


async def test_what_was_compressed_meanwhile_is_not_told_twice(host: Host) -> None:
    thread = "01980000-0000-7000-8000-000000000001"
    plain = host.path(f"rollout-2026-07-01T10-00-00-{thread}.jsonl")
    meta = {
        "timestamp": "2026-07-01T10:00:00Z",
        "type": "session_meta",
        "payload": {"id": thread, "cwd": "/x"},
    }
    asked = [
        {
            "timestamp": f"2026-07-01T10:00:{number:02}Z",
            "type": "event_msg",
            "payload": {"type": "user_message", "message": f"message {number}"},
        }
        for number in range(6)
    ]
    lines = [json.dumps(record) + "\n" for record in (meta, *asked)]
    plain.write_text("".join(lines[:4]))
    first = await host.read(plain, Codex())
    assert first.new == 3
    archived = host.path(plain.name + ".zst")
    archived.write_bytes(zstandard.compress("".join(lines).encode()))
    plain.unlink()
    second = await host.read(archived, Codex())
    assert (second.conversation_id, second.new, second.revised) == (first.conversation_id, 3, 0)
    assert [event.text for event in await host.events(thread, "codex")] == [f"message {n}" for n in range(6)]
    assert (await host.read(archived, Codex())).new == 0


async def test_a_session_of_a_store_is_read_when_it_has_changed(host: Host) -> None:
    path = host.path("sessions.db")
    goose_in(path, "hello")
    assert (await host.ingest.session(Goose(), path, "s1")).new == 2
    assert (await host.ingest.session(Goose(), path, "s1")).new == 0
    goose_in(path, "more")
    done = await host.ingest.session(Goose(), path, "s1")
    assert (done.new, done.revised) == (1, 0)
    assert [event.text for event in await host.events("s1", "goose")] == ["Tea", "hello", "more"]
    assert (await host.ingest.session(Goose(), path, "nobody")).conversation_id is None
    async with host.database.read() as connection:
        assert len(await conversations.marks_of(connection, TENANT, "here")) == 1


def goose_in(path: Path, text: str) -> None:
    """Say something in a session of Goose's database."""
    with sqlite3.connect(path) as database:
        database.executescript(
            "CREATE TABLE IF NOT EXISTS sessions (id TEXT, description TEXT, updated_at TEXT);"
            "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, message_id TEXT, session_id TEXT,"
            " role TEXT, content_json TEXT, created_timestamp INTEGER);"
            "INSERT INTO sessions SELECT 's1', 'Tea', 'now' WHERE NOT EXISTS (SELECT 1 FROM sessions);"
        )
        content = json.dumps([{"type": "text", "text": text}])
        database.execute(
            "INSERT INTO messages (message_id, session_id, role, content_json) VALUES (?, 's1', 'user', ?)",
            [text, content],
        )
    database.close()


async def test_a_whole_file_is_kept_in_parts_and_a_crash_between_two_repeats_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = "2026-07-01T10:00:00.000Z"
    messages = [
        {
            "id": f"m{number}",
            "timestamp": at,
            "type": ("user", "gemini")[number % 2],
            "content": f"no. {number}",
        }
        for number in range(900)
    ]
    # One that is told of twice, in two parts: the last counts, in the place of the first.
    messages.append(messages[0] | {"content": "no. 0, mended"})
    path = host.folder / "session.json"
    path.write_text(json.dumps({"sessionId": "g1", "messages": messages}))
    kept: list[int] = []
    keep = conversations.keep

    async def keeping(connection: Any, conversation: Any, events: Any, *rest: Any) -> Any:
        kept.append(len(events))
        if len(kept) == 2:
            raise asyncio.CancelledError
        return await keep(connection, conversation, events, *rest)

    monkeypatch.setattr(conversations, "keep", keeping)
    with pytest.raises(asyncio.CancelledError):
        await host.read(path, Gemini())
    done = await host.read(path, Gemini())
    assert kept == [500, 400, 500, 400]
    assert (done.new, done.revised) == (400, 0)
    events = await host.events("g1", "gemini")
    told = [one["content"] for one in messages[1:900]]
    assert [event.text for event in events] == ["no. 0, mended", *told]
    assert {event.revision for event in events} == {1}
    assert (await host.read(path, Gemini())).new == 0
    assert len(kept) == 4


@pytest.mark.parametrize(
    ("called", "how"),
    [("image/png", "utf-8"), ("application/x-yaml", "utf-16"), ("text/plain", "latin-1")],
)
async def test_what_is_enclosed_is_looked_through_whatever_it_is_called(
    database: Database, tmp_path: Path, called: str, how: str
) -> None:
    host = Host(database, tmp_path)
    for data in (f"pässword: {'x7Kp' + '-q2Vz9Lm'}\npassword: {'x7Kp' + '-q2Vz9Lm'}", "tea, nothing but tä"):
        source = {"type": "base64", "media_type": called, "data": base64.b64encode(data.encode(how)).decode()}
        prompt = {"role": "user", "content": [{"type": "document", "source": source}]}
        record = {"type": "user", "uuid": f"u-{data}", "sessionId": SESSION, "message": prompt}
        with host.path().open("a") as file:
            file.write(json.dumps(record) + "\n")
    done = await host.read()
    async with database.read() as connection:
        kept = list(await connection.scalars(sa.select(schema.blobs.c.data)))
    assert kept == ["tea, nothing but tä".encode(how)]
    assert done.redacted.total() > 0
    assert len(await host.events()) == 2
