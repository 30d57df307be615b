"""Letting go of what was captured long ago."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dev_stacks import run
from stacks import TENANT, eventually

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind, Enclosed
from minoots.contracts.sessions import Activity
from minoots_activities.capture.ingest import Ingest
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.readers.gemini import Gemini
from minoots_activities.capture.roots import ReadRoots
from minoots_platform.records import (
    Database,
    cleaning,
    conversations,
    enclosures,
    fleet,
    recordings,
    schema,
    session_search,
    sessions,
)
from minoots_platform.records.cleaning import Cleaned
from minoots_platform.records.conversations import File, Reading, Whose
from minoots_platform.records.session_search import Search
from minoots_platform.records.sessions import SessionFilter
from minoots_platform.redaction import Policy, Redactor

UUID = "11110000-0000-4000-8000-000000000001"
NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)
OLD = NOW - timedelta(days=40)


async def put(database: Database, name: str, at: datetime, *texts: str) -> str:
    """Keep a session whose texts came at one time."""
    told = [
        ConversationEvent(id=f"{name}-{text}", kind=ConversationEventKind.USER, text=text) for text in texts
    ]
    async with database.write() as connection:
        row = await conversations.ensure(connection, TENANT, Whose("claude", name), at)
        await conversations.keep(connection, row, told, {}, at)
        file = File("here", f"/t/{name}.jsonl", "claude")
        await conversations.keep_reading(connection, TENANT, file, row.id, Reading(offset=7, size=7), at)
    return str(row.id)


async def clean(database: Database, *, dry_run: bool = False, recordings: bool = False) -> Cleaned:
    before = NOW - timedelta(days=30)
    return await cleaning.clean(
        database,
        TENANT,
        sessions_before=before,
        recordings_before=before if recordings else None,
        dry_run=dry_run,
    )


async def listed(database: Database) -> list[str]:
    async with database.read() as connection:
        page = await sessions.page(connection, TENANT, SessionFilter(), limit=50, cursor=None)
    return sorted(one.session_id for one in page.items)


async def record(database: Database, session: str, state: str, at: datetime) -> None:
    async with database.write() as connection:
        await recordings.start(
            connection,
            {
                "id": f"rec_{state}",
                "tenant": TENANT,
                "conversation_id": session,
                "host": "here",
                "kind": "record",
                "state": state,
                "format": "markdown",
                "path": f"/w/{state}.md",
                "path_key": state,
                "root": "/w",
                "options": {},
                "from_number": 1,
                "revised": 0,
                "started_at": at,
            },
        )


async def test_what_is_quiet_for_long_goes_and_the_rest_stays(database: Database) -> None:
    old = await put(database, "old", OLD, "green tea", "b")
    await put(database, "new", NOW, "green tea")
    assert await clean(database, dry_run=True) == Cleaned(sessions=1, events=2)
    assert await listed(database) == ["new", "old"], "that was only asked"
    assert await clean(database) == Cleaned(sessions=1, events=2)
    assert await clean(database) == Cleaned(), "it is gone already"
    assert await listed(database) == ["new"]
    async with database.read() as connection:
        told = await fleet.status(connection, TENANT, NOW)
    assert (told.sessions, told.events) == (1, 1)
    async with database.read() as connection:
        wanted = Search(session_search.terms_of("tea"))
        hits = await session_search.search(connection, TENANT, wanted, limit=9, before=None)
        assert [hit.title for hit in hits.items] == ["green tea"]
        assert (await sessions.state(connection, TENANT, old, NOW)).activity is Activity.EMPTY


async def test_what_went_does_not_come_back_and_what_comes_then_is_counted_on(database: Database) -> None:
    old = await put(database, "old", OLD, "a", "b")
    await clean(database)
    async with database.read() as connection:
        key = File("here", "/t/old.jsonl").key
        reading = await conversations.reading(connection, TENANT, key)
    assert reading is not None
    assert reading.offset == 7, "its file is not read again from the beginning"
    await put(database, "old", NOW, "c")
    async with database.read() as connection:
        found = await sessions.events(connection, TENANT, old, after=0, limit=9)
        assert [(one.number, one.event.text) for one in found.items] == [(3, "c")]
        assert (await sessions.get(connection, TENANT, old)).events == 1


async def test_a_session_that_is_recorded_stays_and_recordings_that_ended_go(database: Database) -> None:
    busy = await put(database, "busy", OLD, "a")
    await record(database, busy, "active", OLD)
    await record(database, busy, "stopped", OLD)
    assert await clean(database, recordings=True) == Cleaned(recordings=1)
    async with database.read() as connection:
        assert [row.state for row in await recordings.active_of(connection, busy)] == ["active"]


def test_the_command_tells_what_it_does(tmp_path: Path) -> None:
    logs = tmp_path / "data" / "logs"
    logs.mkdir(parents=True)
    (logs / "gateway.log").write_text("x" * 10)
    (logs / "gateway.log.1").write_text("y" * 5)
    where = ("--data-dir", "data")
    assert run("clean", *where, cwd=tmp_path).returncode == 2, "nothing goes unless it is asked for"
    asked = run("clean", "--logs", "--sessions", "30", "--dry-run", "--json", *where, cwd=tmp_path)
    assert json.loads(asked.stdout) == {
        "sessions": 0, "events": 0, "recordings": 0, "log_bytes": 15, "dry_run": True,
    }  # fmt: skip
    assert run("clean", "--logs", *where, cwd=tmp_path).returncode == 0
    assert [(path.name, path.stat().st_size) for path in logs.iterdir()] == [("gateway.log", 0)]


async def test_more_sessions_go_at_once_than_a_statement_takes_parameters(postgres_url: str) -> None:
    many = 33_000
    async with Database(postgres_url) as database:
        await put(database, "first", OLD, "green tea")
        async with database.write() as connection:
            columns = "provider, facts, events, title_rank, created_at, updated_at"
            await connection.execute(
                sa.text(
                    f"INSERT INTO conversations (id, tenant, session_id, {columns}) "
                    f"SELECT 'cnv_' || n, tenant, 's' || n, {columns} FROM conversations, "
                    f"generate_series(1, {many}) AS n"
                )
            )
        done = await clean(database)
    assert (done.sessions, done.events) == (many + 1, 1)


async def test_what_was_let_go_of_does_not_come_back_from_an_unchanged_file(
    database: Database, tmp_path: Path
) -> None:
    files = {
        "11110000-0000-4000-8000-000000000001.jsonl": Claude(),
        "session.json": Gemini(),
    }
    said = {"type": "user", "uuid": "u1", "message": {"role": "user", "content": "green tea"}}
    message = {"id": "m1", "timestamp": "2026-07-01T10:00:00.000Z", "type": "user", "content": "green tea"}
    (tmp_path / "11110000-0000-4000-8000-000000000001.jsonl").write_text(json.dumps(said) + "\n")
    (tmp_path / "session.json").write_text(json.dumps({"sessionId": "g1", "messages": [message]}))
    ingest = Ingest(
        database, ReadRoots([tmp_path]), Redactor(Policy()), lambda: OLD, tenant=TENANT, host="here"
    )
    for name, reader in files.items():
        assert (await ingest.file(reader, tmp_path / name)).new == 1
    assert (await clean(database)).sessions == 2
    for name, reader in files.items():
        (tmp_path / name).touch()
        assert (await ingest.file(reader, tmp_path / name)).new == 0
    async with database.read() as connection:
        assert await conversations.behind(connection, TENANT, "here", 10) == []
    assert (await clean(database)).sessions == 0


async def test_what_was_let_go_of_does_not_come_back_from_a_moved_file_or_with_what_is_new(
    database: Database, tmp_path: Path
) -> None:
    def claude(count: int) -> dict[str, object]:
        at = f"2026-07-0{count}T10:00:00.000Z"
        return {"type": "user", "uuid": f"u{count}", "timestamp": at, "message": {"content": f"tea {count}"}}

    def gemini(count: int) -> str:
        said = [
            {
                "id": f"m{one}",
                "timestamp": f"2026-07-0{one}T10:00:00.000Z",
                "type": "user",
                "content": f"tea {one}",
            }
            for one in range(1, count + 1)
        ]
        return json.dumps({"sessionId": "g1", "messages": said})

    first, second = tmp_path / "a" / f"{UUID}.jsonl", tmp_path / "b" / f"{UUID}.jsonl"
    first.parent.mkdir()
    second.parent.mkdir()
    first.write_text("".join(json.dumps(claude(one)) + "\n" for one in (1, 2)))
    whole = tmp_path / "session.json"
    whole.write_text(gemini(2))
    ingest = Ingest(
        database, ReadRoots([tmp_path]), Redactor(Policy()), lambda: OLD, tenant=TENANT, host="here"
    )
    assert (await ingest.file(Claude(), first)).new == (await ingest.file(Gemini(), whole)).new == 2
    assert (await clean(database)).events == 4
    first.rename(second)
    assert (await ingest.file(Claude(), second)).new == 0
    with second.open("a") as file:
        file.write(json.dumps(claude(3)) + "\n")
    whole.write_text(gemini(3))
    assert (await ingest.file(Claude(), second)).new == (await ingest.file(Gemini(), whole)).new == 1
    first.write_bytes(second.read_bytes())
    assert (await ingest.file(Claude(), first)).new == 0
    async with database.read() as connection:
        for name, provider in ((UUID, "claude"), ("g1", "gemini")):
            public_id = Whose(provider, name).id_for(TENANT)
            session = await sessions.get(connection, TENANT, public_id)
            assert (session.title, session.events) == ("tea 3", 1)


async def test_what_comes_after_a_session_was_let_go_of_is_kept_in_whatever_order(
    database: Database, tmp_path: Path
) -> None:
    def said(name: str, at: str) -> str:
        record = {"type": "user", "uuid": name, "timestamp": at, "message": {"content": name}}
        return json.dumps(record) + "\n"

    file = tmp_path / f"{UUID}.jsonl"
    file.write_text(said("old", "2026-07-01T10:00:00.000Z"))
    ingest = Ingest(
        database, ReadRoots([tmp_path]), Redactor(Policy()), lambda: OLD, tenant=TENANT, host="here"
    )
    await ingest.file(Claude(), file)
    assert (await clean(database)).events == 1
    with file.open("a") as more:
        more.write(said("later", "2026-07-03T10:00:00.000Z"))
    assert (await ingest.file(Claude(), file)).new == 1
    for late in ("2026-07-02T10:00:00.000Z", "2026-07-01T10:00:00.000Z", "2026-06-30T10:00:00.000Z"):
        with file.open("a") as more:
            more.write(said(f"written late: {late}", late))
        assert (await ingest.file(Claude(), file)).new == 1, late


async def test_what_has_no_time_does_not_come_back_from_a_copy(database: Database, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / f"{UUID}.jsonl", tmp_path / "b" / f"{UUID}.jsonl"
    first.parent.mkdir()
    second.parent.mkdir()
    first.write_text(json.dumps({"type": "user", "uuid": "u1", "message": {"content": "tea"}}) + "\n")
    ingest = Ingest(
        database, ReadRoots([tmp_path]), Redactor(Policy()), lambda: OLD, tenant=TENANT, host="here"
    )
    assert (await ingest.file(Claude(), first)).new == 1
    assert (await clean(database)).events == 1
    second.write_bytes(first.read_bytes())
    assert (await ingest.file(Claude(), second)).new == 0


async def test_what_was_let_go_of_does_not_come_back_from_a_session_that_copies_it(
    database: Database, tmp_path: Path
) -> None:
    def said(name: str) -> str:
        return json.dumps({"type": "user", "uuid": name, "message": {"content": name}}) + "\n"

    first, fork = tmp_path / f"{UUID}.jsonl", tmp_path / f"{UUID[:-1]}2.jsonl"
    first.write_text(said("green tea") + said("black tea"))
    ingest = Ingest(
        database, ReadRoots([tmp_path]), Redactor(Policy()), lambda: OLD, tenant=TENANT, host="here"
    )
    await ingest.file(Claude(), first)
    assert (await clean(database)).events == 2
    fork.write_bytes(first.read_bytes() + said("coffee").encode())
    assert (await ingest.file(Claude(), fork)).new == 1


async def test_what_went_before_ids_were_kept_is_still_known_by_its_time(database: Database) -> None:
    old = await put(database, "old", OLD, "a")
    await clean(database)
    async with database.write() as connection:
        await connection.execute(sa.delete(schema.cleaned_events))
        await connection.execute(sa.update(schema.conversations).values(cleaned_until=OLD))
        row = await conversations.lock(connection, old)
        assert row is not None
        told = [
            ConversationEvent(id=f"old-{text}", kind=ConversationEventKind.USER, text=text, ts=at)
            for text, at in (("a", OLD), ("b", OLD + timedelta(seconds=1)))
        ]
        assert (await conversations.keep(connection, row, told, {}, NOW)).new == 1


async def test_more_goes_than_one_transaction_takes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "_AT_ONCE", 3)
    ids = [await put(database, f"s{number}", OLD, *"abcdefg"[: number + 1]) for number in range(7)]
    assert await clean(database) == Cleaned(sessions=7, events=28)
    async with database.read() as connection:
        assert not (await connection.execute(sa.select(schema.conversation_events))).all()
        told = await connection.execute(sa.select(schema.conversations))
        assert {row.id: (row.events, row.cleaned, row.obeyed, row.title) for row in told} == {
            one: (number, number, number, None) for number, one in enumerate(ids, 1)
        }


async def test_a_session_to_which_something_comes_while_it_goes_keeps_that(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "_AT_ONCE", 2)
    old = await put(database, "old", OLD, *"abc")
    some = cleaning._clean_some

    async def meanwhile(*given: Any) -> Any:
        done = await some(*given)
        await given[0].execute(sa.update(schema.conversations).values(updated_at=NOW))
        return done

    monkeypatch.setattr(cleaning, "_clean_some", meanwhile)
    assert await clean(database) == Cleaned(sessions=1, events=2)
    async with database.read() as connection:
        found = await sessions.events(connection, TENANT, old, after=0, limit=9)
        assert [(one.number, one.event.text) for one in found.items] == [(3, "c")]
        assert (await sessions.get(connection, TENANT, old)).events == 1


async def picture(
    database: Database, session: str, event: str, data: bytes, at: datetime, *, agent: str | None = None
) -> str:
    """Have an image come to a session."""
    about = Enclosed(sha256=sha256(data).hexdigest(), media_type="image/png", size=len(data))
    told = ConversationEvent(
        id=event, kind=ConversationEventKind.USER, text=f"look at {event}", enclosed=(about,)
    )
    whose = Whose("claude", session, *(("main", "subagent", agent) if agent else ()))
    async with database.write() as connection:
        row = await conversations.ensure(connection, TENANT, whose, at)
        await conversations.keep(connection, row, [told], {}, at, {about: data})
    return str(row.id)


async def pictures(database: Database) -> set[bytes]:
    async with database.read() as connection:
        return set(await connection.scalars(sa.select(schema.blobs.c.data)))


async def test_images_go_with_the_last_event_that_names_them(database: Database) -> None:
    await picture(database, "old", "a", b"only here", OLD)
    await picture(database, "old", "b", b"in both", OLD)
    await picture(database, "new", "c", b"in both", NOW)
    await clean(database, dry_run=True)
    assert await pictures(database) == {b"only here", b"in both"}
    await clean(database)
    assert await pictures(database) == {b"in both"}
    await picture(database, "old", "a", b"only here", NOW)
    assert await pictures(database) == {b"in both"}, "its event does not come back either"


async def test_an_image_that_comes_again_while_others_go_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await picture(database, "old", "a", b"comes again", OLD)
    await picture(database, "old", "b", b"goes", OLD)
    looked = enclosures._named

    async def named(connection: Any, tenant: str, some: Any = None) -> set[str]:
        found = await looked(connection, tenant, some)
        if some is None:
            await picture(database, "new", "c", b"comes again", NOW)
        return found

    monkeypatch.setattr(enclosures, "_named", named)
    await clean(database)
    assert await pictures(database) == {b"comes again"}


async def test_an_image_that_comes_again_in_a_transaction_that_goes_on_stays(postgres_url: str) -> None:
    waits = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with Database(postgres_url) as database:
        await picture(database, "old", "a", b"comes again", OLD)
        about = Enclosed(sha256=sha256(b"comes again").hexdigest(), media_type="image/png", size=11)
        told = ConversationEvent(id="c", kind=ConversationEventKind.USER, text="look", enclosed=(about,))
        async with database.write() as connection:
            row = await conversations.ensure(connection, TENANT, Whose("claude", "new"), NOW)
            await conversations.keep(connection, row, [told], {}, NOW, {about: b"comes again"})
            cleaning_up = asyncio.create_task(clean(database))

            async def waiting() -> bool:
                async with database.read() as other:
                    return cleaning_up.done() or bool((await other.execute(waits)).scalar_one())

            await eventually(waiting, bool)
        await cleaning_up
        assert await pictures(database) == {b"comes again"}


async def test_sub_agents_of_a_session_that_is_recorded_stay(database: Database) -> None:
    main = await put(database, "main", OLD, "a")
    await record(database, main, "active", OLD)
    await picture(database, "helper", "b", b"seen by a helper", OLD, agent="helper")
    assert await clean(database) == Cleaned()
    assert await pictures(database) == {b"seen by a helper"}
