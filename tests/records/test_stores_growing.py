"""Transcripts of every program that grow, break off and are written anew: kept as if read once.

A place is read through `Ingest` after every step, now and then by another one, as after a restart. A second
tenant reads only the end; both must know the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from stacks import TENANT
from transcripts import READERS

from minoots.contracts.conversations import ConversationEvent
from minoots.contracts.conversations import ConversationEventKind as Kind
from minoots_activities.capture.ingest import Ingest, Ingested
from minoots_activities.capture.parts import BATCH, beginning_of
from minoots_activities.capture.readers import Reader
from minoots_activities.capture.readers.aider import Aider
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.readers.opencode import OpenCode
from minoots_activities.capture.roots import ReadRoots
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, conversations, schema
from minoots_platform.redaction import Policy, Redactor

SAMPLES = Path(os.environ.get("MINOOTS_SESSION_SAMPLES", Path(__file__).parents[3] / "shared" / "sessions"))
ONCE: Final = "globex"
"""The tenant that reads only what is there in the end."""
CLAUDE_NAME = "11110000-0000-4000-8000-000000000001.jsonl"

FEW = settings(
    max_examples=8,
    deadline=None,
    # One example takes long enough; a hundred smaller ones are not worth it.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    # The template is only copied.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Place:
    """Somewhere a program keeps what was said, and two who read it."""

    def __init__(self, database: Database, folder: Path, reader: Reader) -> None:
        self.database = database
        self.folder = folder
        self.reader = reader
        self._ingest = self._started(TENANT)

    def _started(self, tenant: str) -> Ingest:
        roots = ReadRoots([self.folder])
        return Ingest(self.database, roots, Redactor(Policy()), utc_now, tenant=tenant, host="here")

    def restart(self) -> None:
        """What reads is another one from now on."""
        self._ingest = self._started(TENANT)

    async def read(self, path: Path, tenant: str = TENANT) -> list[Ingested]:
        """Read everything that there is in a file or a store."""
        ingest = self._ingest if tenant == TENANT else self._started(tenant)
        store = self.reader.store_of(path, ReadRoots([self.folder]).open)
        if store is None:
            return [await ingest.file(self.reader, path)]
        found = [listed.identity.session_id for listed in store.listed()]
        return [await ingest.session(self.reader, path, one) for one in found]

    async def kept(self, tenant: str = TENANT) -> dict[str, list[ConversationEvent]]:
        """The events of a tenant in their order, by session."""
        table = schema.conversations
        query = sa.select(table.c.session_id, table.c.id).where(table.c.tenant == tenant)
        async with self.database.read() as connection:
            return {
                row.session_id: list(await conversations.events_of(connection, tenant, row.id, limit=100_000))
                for row in (await connection.execute(query)).all()
            }

    async def rows(self, tenant: str) -> dict[str, Any]:
        """What is known of the conversations themselves."""
        table = schema.conversations
        columns = (table.c.title, table.c.facts, table.c.events, table.c.started_at, table.c.last_at)
        query = sa.select(table.c.session_id, *columns).where(table.c.tenant == tenant)
        async with self.database.read() as connection:
            return {row.session_id: tuple(row)[1:] for row in await connection.execute(query)}

    async def one(self) -> list[ConversationEvent]:
        """The events of the only conversation."""
        [events] = (await self.kept()).values()
        return events

    async def same_as_once(self, path: Path, *aside: Kind) -> dict[str, list[ConversationEvent]]:
        """Check that what is kept is what one reading of the end gives; return it.

        Events of kinds that stand ``aside`` may have another place: what a message tells of itself, such as
        its tokens, can be known before all of its parts are.
        """
        await self.read(path, ONCE)
        grown, once = await self.kept(), await self.kept(ONCE)
        if aside:
            assert by_ids(grown) == by_ids(once)
        assert told(grown, *aside) == told(once, *aside)
        assert await self.rows(TENANT) == await self.rows(ONCE)
        return grown


Kept = Mapping[str, Iterable[ConversationEvent]]


def told(kept: Kept, *aside: Kind) -> dict[str, list[dict[str, Any]]]:
    """Everything of the events but how often they changed, in their order."""
    return {
        session: [event.model_dump(exclude={"revision"}) for event in events if event.kind not in aside]
        for session, events in kept.items()
        if events
    }


def by_ids(kept: Kept) -> dict[str, list[dict[str, Any]]]:
    """The same in any order."""
    return {session: sorted(events, key=lambda one: str(one["id"])) for session, events in told(kept).items()}


def texts(events: Iterable[ConversationEvent]) -> list[str | None]:
    """What was said by people and models."""
    return [event.text for event in events if event.kind in (Kind.USER, Kind.ASSISTANT)]


@asynccontextmanager
async def placed(template: Path, reader: Reader) -> AsyncIterator[Place]:
    """Yield a place with records of its own."""
    with tempfile.TemporaryDirectory(prefix="minoots-growing-") as made:
        folder = Path(made).resolve()
        (folder / "place").mkdir()
        shutil.copy(template, folder / "records.db")
        async with Database(f"sqlite:///{folder / 'records.db'}") as database:
            yield Place(database, folder / "place", reader)


@pytest.fixture
async def place(sqlite_database: Database, tmp_path: Path) -> Callable[[Reader], Place]:
    """Make a place for what a program keeps."""
    folder = tmp_path.resolve() / "place"
    folder.mkdir()
    return lambda reader: Place(sqlite_database, folder, reader)


def sample(name: str) -> Path:
    """A sample of a real transcript."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip("no samples of real transcripts here; MINOOTS_SESSION_SAMPLES may name a folder")
    return path


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run in a loop of its own: an example of Hypothesis is no coroutine."""
    with asyncio.Runner() as runner:
        runner.run(work)


async def written(place: Place, path: Path, data: bytes, cuts: Iterable[int], restarts: set[int]) -> None:
    """Write a file up to each cut and then to its end; read it each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for step, cut in enumerate((*sorted({cut % (len(data) + 1) for cut in cuts}), len(data))):
        path.write_bytes(data[:cut])
        if step in restarts:
            place.restart()
        await place.read(path)


def _lines_of(data: bytes) -> list[int]:
    """Where lines end."""
    return [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]


CUTS = st.lists(st.integers(0, 1 << 30), max_size=9)
RESTARTS = st.sets(st.integers(0, 9))


# Files of every program: all samples, cut at any byte.

OF_FILES = sorted(set(READERS) - {"aider", "opencode"})
_LARGE: Final = 100_000
"""Bytes from which on a sample is cut less often: it takes longer to read."""
_SMALL: Final = 20_000
"""Bytes up to which a sample is cut behind every line."""
_NO_TRANSCRIPTS: Final = (".meta.json", "journal", "/workflows/wf_demo01.json")
_REWOUND: Final = "gemini/synthetic/handmade_rewind.jsonl"
"""It has a test of its own."""


def files_of(provider: str) -> list[Path]:
    """The samples of a program that are files of one conversation, however short."""
    found = sorted(sample(provider).rglob("*.json*"))
    return [path for path in found if not any(word in str(path) for word in _NO_TRANSCRIPTS)]


def named(reader: Reader, path: Path) -> Path | None:
    """Return where a sample would lie, below its place; ``None`` for what this program does not write."""
    inside = path.relative_to(SAMPLES / reader.provider)
    with path.open("rb") as file:
        head = beginning_of(reader, file).head
    for name in (inside, Path(CLAUDE_NAME) if reader.provider == "claude" else inside):
        if reader.holds(str(name)) and reader.identify(name, head) is not None:
            return name
    return None


@pytest.mark.parametrize("provider", OF_FILES)
async def test_every_sample_that_is_a_file_is_kept_as_at_once_wherever_it_breaks_off(
    sqlite_template: Path, provider: str
) -> None:
    reader, chance, seen = READERS[provider], random.Random(11), 0
    aside = (Kind.USAGE,) if provider == "gemini" else ()
    wrong = []
    for path in files_of(provider):
        name = named(reader, path)
        if name is None or path == SAMPLES / _REWOUND:
            continue
        data = path.read_bytes()
        # Inside lines and inside characters, and between two lines.
        cuts = [chance.randrange(len(data) + 1) for _ in range(2 if len(data) > _LARGE else 6)]
        cuts += [data.find(b"\n", cut) + 1 for cut in cuts[:2]]
        cuts += [at + 1 for at, byte in enumerate(data[: _LARGE // 4]) if byte >= 0xC3][:1]
        if len(data) < _SMALL:
            cuts += _lines_of(data)
        async with placed(sqlite_template, reader) as place:
            await written(place, place.folder / name, data, cuts, set(range(1, 99, 2)))
            try:
                kept = await place.same_as_once(place.folder / name, *aside)
            except AssertionError as failed:
                wrong.append(f"{path.relative_to(SAMPLES)} cut at {sorted(cuts)}: {failed}"[:1500])
                continue
        assert len({event.id for events in kept.values() for event in events}) == sum(map(len, kept.values()))
        seen += 1
    assert not wrong, "\n\n".join(wrong)
    assert seen >= {"claude": 55, "codex": 20, "gemini": 14, "copilot": 3, "cursor": 3}.get(provider, 1)


async def test_a_series_of_gemini_s_rewrites_is_kept_as_its_end(sqlite_template: Path) -> None:
    stages = sorted(sample("gemini/rewrite_series").glob("t*.json"))
    assert len(stages) == 3
    async with placed(sqlite_template, READERS["gemini"]) as place:
        path = place.folder / "session-f7633853.json"
        chance = random.Random(5)
        for stage in stages:
            data = stage.read_bytes()
            await written(place, path, data, (chance.randrange(len(data)) for _ in range(3)), {0, 2})
        [events] = (await place.same_as_once(path, Kind.USAGE)).values()
    assert len(events) == len({event.id for event in events})


@pytest.mark.parametrize("cuts", [(), (750,), (400, 750, 900)], ids=["at once", "before", "often"])
async def test_what_a_user_of_gemini_takes_back_is_kept_whenever_it_is_read(
    sqlite_template: Path, cuts: tuple[int, ...]
) -> None:
    data = sample(_REWOUND).read_bytes()
    rewound = json.loads(next(line for line in data.splitlines() if b"$rewindTo" in line))["$rewindTo"]
    async with placed(sqlite_template, READERS["gemini"]) as place:
        await written(place, place.folder / "session-rewound.jsonl", data, cuts, {1})
        events = await place.one()
    assert [event.kind for event in events if event.kind is Kind.REWIND]
    assert rewound in {event.message_id for event in events if event.kind is not Kind.REWIND}


async def test_a_real_fork_and_its_parent_count_every_token_once_in_either_order(
    sqlite_template: Path,
) -> None:
    folder = sample("codex/fork_token_counts")
    totals = []
    for order in (("parent", "child"), ("child", "parent")):
        async with placed(sqlite_template, READERS["codex"]) as place:
            for name in order:
                path = place.folder / f"{name}.jsonl"
                data = (folder / path.name).read_bytes()
                await written(place, path, data, (len(data) // 3, len(data) // 2), {1})
            events = [event for kept in (await place.kept()).values() for event in kept]
        assert len({event.id for event in events}) == len(events)
        counts = [event.tokens for event in events if event.tokens is not None]
        totals.append((len(counts), sum((one.input or 0) + (one.output or 0) for one in counts)))
    assert totals[0] == totals[1]
    assert totals[0][0] > 0


async def test_a_file_of_cursor_that_is_written_anew_with_less_at_its_beginning_repeats_nothing(
    place: Callable[[Reader], Place],
) -> None:
    def line(role: str, words: str) -> bytes:
        content = [{"type": "text", "text": words}]
        return json.dumps({"role": role, "message": {"content": content}}).encode() + b"\n"

    at = place(READERS["cursor"])
    path = at.folder / "p/agent-transcripts/s/s.jsonl"
    path.parent.mkdir(parents=True)
    talk = [("user", "make tea"), ("assistant", "Done."), ("user", "go on"), ("assistant", "Done.")]
    lines = [line(*said) for said in talk]
    path.write_bytes(b"".join(lines))
    await at.read(path)
    path.write_bytes(b"".join((line("user", "They made tea, and then"), *lines[2:])))
    at.restart()
    [done] = await at.read(path)
    assert (done.again, done.new, done.revised) == (True, 1, 0)
    with path.open("ab") as file:
        file.write(b"".join(lines[2:]))
    [done] = await at.read(path)
    assert (done.again, done.new) == (False, 2)
    told = texts(await at.one())
    assert told == ["make tea", "Done.", "go on", "Done.", "They made tea, and then", "go on", "Done."]


# Goose: lines, and a database.

LINES: Final = b"".join(
    json.dumps(record, ensure_ascii=False).encode() + b"\n"
    for record in (
        {"id": "20250724_1", "working_dir": "/w", "description": "Tea 🍵", "message_count": 3},
        {"role": "user", "created": 1_784_000_000, "content": [{"type": "text", "text": "grün 🦉"}]},
        {"role": "assistant", "created": 1_784_000_001, "content": [{"type": "text", "text": "ja"}]},
        {"role": "assistant", "created": 1_784_000_001, "content": [{"type": "text", "text": "ja"}]},
    )
)


@given(cuts=CUTS, restarts=RESTARTS)
@FEW
def test_goose_s_lines_are_kept_as_at_once(
    sqlite_template: Path, cuts: list[int], restarts: set[int]
) -> None:
    async def grow() -> None:
        async with placed(sqlite_template, Goose()) as place:
            path = place.folder / "20250724_1.jsonl"
            await written(place, path, LINES, cuts, restarts)
            [events] = (await place.same_as_once(path)).values()
            assert texts(events) == ["grün 🦉", "ja", "ja"]

    run(grow())


async def test_goose_s_lines_that_are_written_anew_with_another_header_repeat_nothing(
    place: Callable[[Reader], Place],
) -> None:
    here = place(Goose())
    path = here.folder / "20250724_1.jsonl"
    path.write_bytes(LINES.replace("Tea 🍵".encode(), b""))
    await here.read(path)
    path.write_bytes(LINES)
    [done] = await here.read(path)
    assert (done.again, done.new, done.revised) == (True, 1, 0), "only the title is new"


async def test_what_goose_replaces_by_a_summary_stays(place: Callable[[Reader], Place]) -> None:
    here = place(Goose())
    path = here.folder / "20250724_1.jsonl"
    path.write_bytes(LINES)
    await here.read(path)
    header, *_ = LINES.splitlines(keepends=True)
    summary = {"role": "assistant", "created": 1_784_000_009, "content": [{"type": "text", "text": "short"}]}
    path.write_bytes(header + json.dumps(summary).encode() + b"\n")
    await here.read(path)
    assert texts(await here.one()) == ["grün 🦉", "ja", "ja", "short"]


GOOSE: Final = """
CREATE TABLE sessions (id TEXT PRIMARY KEY, name TEXT DEFAULT '', description TEXT DEFAULT '',
  working_dir TEXT, updated_at TEXT);
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT, session_id TEXT, role TEXT,
  content_json TEXT, created_timestamp INTEGER);
"""


@contextmanager
def database(path: Path, script: str = "", *, wal: bool = False) -> Iterator[sqlite3.Connection]:
    """Yield the connection of the program whose database it is; each statement is kept at once."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(script)
        yield connection


def goose_says(
    connection: sqlite3.Connection, name: str | None, role: str, *content: Mapping[str, Any], at: int = 1
) -> None:
    """Add a message to the session, as Goose does."""
    connection.execute(
        "INSERT INTO messages (message_id, session_id, role, content_json, created_timestamp) "
        "VALUES (?, 's1', ?, ?, ?)",
        (name, role, json.dumps(content), 1_784_000_000 + at),
    )
    connection.execute("UPDATE sessions SET updated_at = ?", (f"2026-07-01 10:00:{at:02}",))


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


GOOSE_SAID: Final[list[tuple[str, str, list[dict[str, Any]]]]] = [
    ("m1", "user", [text("make tea")]),
    (
        "m2",
        "assistant",
        [
            {"type": "thinking", "thinking": "hm"},
            text("I look"),
            {
                "type": "toolRequest",
                "id": "c1",
                "toolCall": {
                    "status": "success",
                    "value": {"name": "shell", "arguments": {"command": "ls"}},
                },
            },
        ],
    ),
    (
        "m3",
        "user",
        [
            {
                "type": "toolResponse",
                "id": "c1",
                "toolResult": {"status": "success", "value": [text("tea.txt")]},
            }
        ],
    ),
    ("m4", "assistant", [text("done")]),
    ("m5", "user", [text("make tea")]),
    ("m6", "assistant", [text("done")]),
]


@given(unread=st.sets(st.integers(0, 5)), restarts=RESTARTS, ids=st.booleans(), wal=st.booleans())
@FEW
def test_goose_s_database_that_grows_by_rows_is_kept_as_at_once(
    sqlite_template: Path, unread: set[int], restarts: set[int], ids: bool, wal: bool
) -> None:
    async def grow() -> None:
        async with placed(sqlite_template, Goose()) as place:
            path = place.folder / "sessions.db"
            with database(path, GOOSE, wal=wal) as connection:
                connection.execute("INSERT INTO sessions VALUES ('s1', 'tea', '', '/w', 'now')")
                await place.read(path)
                for step, (name, role, content) in enumerate(GOOSE_SAID):
                    goose_says(connection, name if ids else None, role, *content, at=step)
                    if step in restarts:
                        place.restart()
                    if step not in unread:
                        await place.read(path)
                await place.read(path)
                assert not any(done.new or done.revised for done in await place.read(path))
                [events] = (await place.same_as_once(path)).values()
        assert texts(events) == ["make tea", "I look", "done", "make tea", "done"]
        assert {event.revision for event in events} == {1}

    run(grow())


async def test_what_goose_has_not_committed_is_not_told_and_what_it_takes_back_never_was(
    place: Callable[[Reader], Place],
) -> None:
    here = place(Goose())
    path = here.folder / "sessions.db"
    with database(path, GOOSE, wal=True) as connection:
        connection.execute("INSERT INTO sessions VALUES ('s1', '', '', '/w', 'now')")
        for end in ("ROLLBACK", "COMMIT"):
            connection.execute("BEGIN")
            goose_says(connection, end, "user", text(end))
            assert [done.new for done in await here.read(path)] == [0]
            connection.execute(end)
            await here.read(path)
        assert texts(await here.one()) == ["COMMIT"]


async def test_a_message_of_goose_that_is_continued_in_place_is_a_revision(
    place: Callable[[Reader], Place],
) -> None:
    here = place(Goose())
    path = here.folder / "sessions.db"
    with database(path, GOOSE) as connection:
        connection.execute("INSERT INTO sessions VALUES ('s1', '', '', '/w', 'now')")
        goose_says(connection, "m1", "user", text("make tea"))
        goose_says(connection, "m2", "assistant", text("I l"))
        await here.read(path)
        query = "UPDATE messages SET content_json = ? WHERE message_id = 'm2'"
        connection.execute(query, (json.dumps([text("I look"), text("and pour")]),))
        here.restart()
        [done] = await here.read(path)
    assert (done.new, done.revised) == (1, 1)
    assert texts(await here.one()) == ["make tea", "I look", "and pour"]


async def test_a_message_of_goose_that_keeps_its_length_is_a_revision_too(
    place: Callable[[Reader], Place],
) -> None:
    here = place(Goose())
    path = here.folder / "sessions.db"
    with database(path, GOOSE) as connection:
        connection.execute("INSERT INTO sessions VALUES ('s1', '', '', '/w', 'now')")
        goose_says(connection, "m1", "user", text("make tea"))
        await here.read(path)
        # Within the same second: `updated_at` is the same, too.
        query = "UPDATE messages SET content_json = ?"
        connection.execute(query, (json.dumps([text("bake pie")]),))
        await here.read(path)
    assert texts(await here.one()) == ["bake pie"]


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
async def test_a_conversation_that_goose_puts_into_new_rows_repeats_nothing(
    place: Callable[[Reader], Place], ids: bool
) -> None:
    """So it does with every conversation that it shortens: rows are deleted and written again."""
    here = place(Goose())
    path = here.folder / "sessions.db"
    with database(path, GOOSE) as connection:
        connection.execute("INSERT INTO sessions VALUES ('s1', '', '', '/w', 'now')")
        for step, (name, role, content) in enumerate(GOOSE_SAID):
            goose_says(connection, name if ids else None, role, *content, at=step)
        await here.read(path)
        before = await here.one()
        connection.execute("DELETE FROM messages")
        await here.read(path)
        assert await here.one() == before, "what is deleted stays"
        for step, (name, role, content) in enumerate(GOOSE_SAID):
            goose_says(connection, name if ids else None, role, *content, at=step)
        goose_says(connection, "m7" if ids else None, "user", text("thanks"), at=9)
        here.restart()
        await here.read(path)
    assert texts(await here.one()) == [*texts(before), "thanks"]


async def test_goose_s_real_rows_are_kept_as_at_once(place: Callable[[Reader], Place]) -> None:
    here = place(Goose())
    await replayed(here, sample("goose/sessions_db.sql"), here.folder / "sessions.db")
    assert texts(await here.one()) == ["inspect the sqlite fixture", "the sqlite rows are readable"]


async def replayed(place: Place, dump: Path, path: Path) -> None:
    """Make the database of a dump statement by statement, and read it after each."""
    statements = [one.strip() for one in dump.read_text().split(";\n") if one.strip()]
    made = [one for one in statements if one.lower().startswith("create")]
    with database(path, ";\n".join(made) + ";", wal=True) as connection:
        for step, statement in enumerate(one for one in statements if one not in made):
            connection.execute(statement)
            if step % 2:
                place.restart()
            await place.read(path)
        await place.same_as_once(path)


# OpenCode: a database, and a tree of files.

OPENCODE: Final = """
CREATE TABLE session (id TEXT PRIMARY KEY, parent_id TEXT, directory TEXT, title TEXT, version TEXT,
  time_created INT, time_updated INT);
CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INT, time_updated INT, data TEXT);
CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, time_created INT, time_updated INT,
  data TEXT);
"""
T: Final = 1_730_000_000_000
HEADER: Final[dict[str, Any]] = {"directory": "/w", "title": "Tea", "version": "1.3", "time": {"updated": 5}}


class Session:
    """A session of OpenCode, in either of its forms."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._clock = T

    def put(self, kind: str, name: str, within: str, data: Mapping[str, Any]) -> None:
        """Write a message or a part, or write it anew."""
        raise NotImplementedError

    def remove(self, kind: str, name: str, within: str) -> None:
        """Take a message or a part away."""
        raise NotImplementedError


class InDatabase(Session):
    """The newer form."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "opencode.db")
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        self.connection.executescript(f"PRAGMA journal_mode=WAL; {OPENCODE}")
        self.connection.execute(
            "INSERT INTO session VALUES ('ses_1', NULL, ?, ?, ?, 1, 5)",
            (HEADER["directory"], HEADER["title"], HEADER["version"]),
        )

    def put(self, kind: str, name: str, within: str, data: Mapping[str, Any]) -> None:
        self._clock += 1
        columns: dict[str, Any] = {"id": name, "session_id": "ses_1"}
        if kind == "part":
            columns["message_id"] = within
        created = data.get("time", {}).get("created", self._clock)
        columns |= {"time_created": created, "time_updated": self._clock, "data": json.dumps(dict(data))}
        # It updates rows in place, and does not touch the session.
        self.connection.execute(
            f"INSERT INTO {kind} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
            "ON CONFLICT (id) DO UPDATE SET data = excluded.data, time_updated = excluded.time_updated",
            tuple(columns.values()),
        )

    def remove(self, kind: str, name: str, within: str) -> None:
        self.connection.execute(f"DELETE FROM {kind} WHERE id = ?", (name,))


class InTree(Session):
    """The older form."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "storage/session/p/ses_1.json")
        self._storage = folder / "storage"
        self._write(self.path, {"id": "ses_1", **HEADER})

    def put(self, kind: str, name: str, within: str, data: Mapping[str, Any]) -> None:
        self._write(self.file(kind, name, within), {"id": name, **data})

    def remove(self, kind: str, name: str, within: str) -> None:
        self.file(kind, name, within).unlink()

    def file(self, kind: str, name: str, within: str) -> Path:
        return self._storage / kind / within / f"{name}.json"

    def _write(self, path: Path, content: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        # Clocks of file systems are coarse, and this is written quickly.
        self._clock += 1
        os.utime(path, ns=(self._clock * 1_000_000, self._clock * 1_000_000))


@contextmanager
def opencode(form: str, folder: Path) -> Iterator[Session]:
    """Yield a session in one of the forms."""
    if form == "tree":
        yield InTree(folder)
        return
    session = InDatabase(folder)
    with closing(session.connection):
        yield session


FORMS = pytest.mark.parametrize("form", ["database", "tree"])

CALLED: Final[dict[str, Any]] = {"type": "tool", "callID": "c1", "tool": "bash"}
TOKENS: Final = {"input": 120, "output": 16, "reasoning": 3, "cache": {"read": 7, "write": 1}}
ANSWER: Final[dict[str, Any]] = {"role": "assistant", "modelID": "gpt-x", "time": {"created": T + 1000}}
NOTHING: Final = {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}}

# What is written whole and stays so.
STEPS: Final[list[tuple[str, str, str, dict[str, Any]]]] = [
    ("message", "msg_1", "ses_1", {"role": "user", "time": {"created": T}}),
    ("part", "prt_1", "msg_1", {"type": "text", "text": "make tea 🍵"}),
    ("message", "msg_2", "ses_1", ANSWER),
    ("part", "prt_2", "msg_2", {"type": "reasoning", "text": "hm"}),
    (
        "part",
        "prt_3",
        "msg_2",
        CALLED | {"state": {"status": "completed", "input": {"command": "ls"}, "output": "tea"}},
    ),
    ("part", "prt_4", "msg_2", {"type": "text", "text": "done"}),
    ("message", "msg_3", "ses_1", {"role": "user", "time": {"created": T + 2000}}),
    ("part", "prt_5", "msg_3", {"type": "text", "text": "make tea 🍵"}),
]
# What is written again while it grows, as an answer is that streams.
STREAM: Final[list[tuple[str, str, str, dict[str, Any]]]] = [
    *STEPS[:2],
    ("message", "msg_2", "ses_1", ANSWER | {"tokens": NOTHING}),
    ("part", "prt_2", "msg_2", {"type": "reasoning", "text": ""}),
    ("part", "prt_2", "msg_2", {"type": "reasoning", "text": "hm"}),
    ("part", "prt_3", "msg_2", CALLED | {"state": {"status": "pending"}}),
    ("part", "prt_3", "msg_2", CALLED | {"state": {"status": "running", "input": {"command": "ls"}}}),
    STEPS[4],
    ("part", "prt_4", "msg_2", {"type": "text", "text": "do"}),
    STEPS[5],
    ("message", "msg_2", "ses_1", ANSWER | {"tokens": TOKENS}),
    *STEPS[6:],
]


@FORMS
@given(unread=st.sets(st.integers(0, 7)), restarts=RESTARTS)
@FEW
def test_opencode_s_session_that_grows_piece_by_piece_is_kept_as_at_once(
    sqlite_template: Path, form: str, unread: set[int], restarts: set[int]
) -> None:
    async def grow() -> None:
        async with placed(sqlite_template, OpenCode()) as place:
            with opencode(form, place.folder) as session:
                for step, piece in enumerate(STEPS):
                    session.put(*piece)
                    if step in restarts:
                        place.restart()
                    if step not in unread:
                        await place.read(session.path)
                await place.read(session.path)
                assert not any(done.new or done.revised for done in await place.read(session.path))
                [events] = (await place.same_as_once(session.path)).values()
        assert texts(events) == ["make tea 🍵", "done", "make tea 🍵"]
        assert {event.revision for event in events} == {1}

    run(grow())


@FORMS
@given(unread=st.sets(st.integers(0, len(STREAM))), restarts=RESTARTS)
@example(unread=set(), restarts={3, 6})
@FEW
def test_an_answer_of_opencode_that_streams_is_kept_once_and_its_tokens_are_counted_once(
    sqlite_template: Path, form: str, unread: set[int], restarts: set[int]
) -> None:
    async def grow() -> None:
        async with placed(sqlite_template, OpenCode()) as place:
            with opencode(form, place.folder) as session:
                for step, piece in enumerate(STREAM):
                    session.put(*piece)
                    if step in restarts:
                        place.restart()
                    if step not in unread:
                        await place.read(session.path)
                await place.read(session.path)
                [events] = (await place.same_as_once(session.path, Kind.USAGE)).values()
        [usage] = [event.tokens for event in events if event.tokens is not None]
        assert (usage.input, usage.output, usage.thinking, usage.cache_read, usage.cache_write) == (
            120, 16, 3, 7, 1,
        )  # fmt: skip

    run(grow())


@FORMS
async def test_a_part_of_opencode_that_is_written_anew_is_a_revision(
    place: Callable[[Reader], Place], form: str
) -> None:
    here = place(OpenCode())
    with opencode(form, here.folder) as session:
        for piece in STEPS:
            session.put(*piece)
        await here.read(session.path)
        session.put("part", "prt_4", "msg_2", {"type": "text", "text": "done, and more"})
        here.restart()
        [done] = await here.read(session.path)
    assert (done.new, done.revised) == (0, 1)
    answer = next(event for event in await here.one() if event.kind is Kind.ASSISTANT)
    assert (answer.text, answer.revision) == ("done, and more", 2)


@FORMS
async def test_a_part_of_opencode_that_keeps_its_length_is_a_revision_too(
    place: Callable[[Reader], Place], form: str
) -> None:
    here = place(OpenCode())
    with opencode(form, here.folder) as session:
        for piece in STEPS:
            session.put(*piece)
        session.put("message", "msg_2", "ses_1", ANSWER | {"tokens": {"input": 0, "output": 0}})
        await here.read(session.path)
        session.put("part", "prt_4", "msg_2", {"type": "text", "text": "gone"})
        session.put("message", "msg_2", "ses_1", ANSWER | {"tokens": {"input": 7, "output": 3}})
        await here.read(session.path)
    events = await here.one()
    assert texts(events) == ["make tea 🍵", "gone", "make tea 🍵"]
    [usage] = [event.tokens for event in events if event.tokens is not None]
    assert (usage.input, usage.output) == (7, 3)


@FORMS
async def test_an_answer_of_opencode_that_fails_before_a_word_is_told(
    place: Callable[[Reader], Place], form: str
) -> None:
    here = place(OpenCode())
    with opencode(form, here.folder) as session:
        session.put("message", "msg_2", "ses_1", ANSWER)
        await here.read(session.path)
        failed = {"name": "APIError", "data": {"message": "no key"}}
        session.put("message", "msg_2", "ses_1", ANSWER | {"error": failed})
        await here.read(session.path)
    assert [event.text for event in await here.one() if event.kind is Kind.ERROR] == ["no key"]


@FORMS
async def test_what_opencode_takes_back_stays(place: Callable[[Reader], Place], form: str) -> None:
    here = place(OpenCode())
    with opencode(form, here.folder) as session:
        for piece in STEPS:
            session.put(*piece)
        await here.read(session.path)
        before = await here.one()
        for kind, name, within, _ in reversed(STEPS[2:]):
            session.remove(kind, name, within)
            await here.read(session.path)
        assert await here.one() == before
        session.put("message", "msg_9", "ses_1", {"role": "user", "time": {"created": T + 9000}})
        session.put("part", "prt_9", "msg_9", {"type": "text", "text": "again"})
        here.restart()
        [done] = await here.read(session.path)
    assert (done.new, done.revised) == (1, 0)
    assert await here.one() == [*before, (await here.one())[-1]]


async def test_a_session_of_opencode_that_moves_into_a_database_is_told_once(
    place: Callable[[Reader], Place],
) -> None:
    here = place(OpenCode())
    with opencode("tree", here.folder) as tree, opencode("database", here.folder) as newer:
        for piece in STEPS[:6]:
            tree.put(*piece)
        await here.read(tree.path)
        for piece in STEPS:
            newer.put(*piece)
        [done] = await here.read(newer.path)
        assert (done.new, done.revised) == (1, 0)
        await here.same_as_once(newer.path)


@given(cuts=st.lists(st.integers(0, 1 << 30), min_size=9, max_size=9), restarts=RESTARTS)
@FEW
def test_files_of_opencode_s_tree_that_break_off_are_read_once_they_are_whole(
    sqlite_template: Path, cuts: list[int], restarts: set[int]
) -> None:
    async def grow() -> None:
        async with placed(sqlite_template, OpenCode()) as place:
            with tempfile.TemporaryDirectory() as made:
                whole = InTree(Path(made))
                for piece in STEPS:
                    whole.put(*piece)
                files = [Path("session/p/ses_1.json")]
                files += [Path(kind, within, f"{name}.json") for kind, name, within, _ in STEPS]
                found = {path: (Path(made) / "storage" / path).read_bytes() for path in files}
            path = place.folder / "storage" / files[0]
            await tree_written(place, path, found, cuts, restarts)

    run(grow())


async def tree_written(
    place: Place, path: Path, files: Mapping[Path, bytes], cuts: Iterable[int], restarts: set[int]
) -> None:
    """Write the files of a session one after the other, each first up to a cut; read after each step."""
    for step, ((name, data), cut) in enumerate(zip(files.items(), cuts, strict=True)):
        file = place.folder / "storage" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        for part in (data[: cut % len(data)], data):
            file.write_bytes(part)
            if path.exists():
                await place.read(path)
        if step in restarts:
            place.restart()
    [events] = (await place.same_as_once(path)).values()
    assert events


async def test_opencode_s_real_rows_are_kept_as_at_once(place: Callable[[Reader], Place]) -> None:
    here = place(OpenCode())
    await replayed(here, sample("opencode/opencode_db_v1.sql"), here.folder / "opencode.db")
    assert texts(await here.one()) == ["inspect the sqlite fixture", "the sqlite rows are readable"]


async def test_opencode_s_real_tree_is_kept_as_at_once(sqlite_template: Path) -> None:
    root = sample("opencode/storage_v2")
    session = root / "session/proj_test/ses_s_stage0_large.json"
    # In the order in which they were written: each message, then what it consists of.
    order = [session]
    for message in sorted((root / "message").rglob("*.json")):
        name = json.loads(message.read_bytes())["id"]
        order += [message, *sorted((root / "part" / name).glob("*.json"))]
    files = {path.relative_to(root): path.read_bytes() for path in order}
    assert len(files) == len(list(root.rglob("*.json")))
    chance = random.Random(3)
    async with placed(sqlite_template, OpenCode()) as place:
        path = place.folder / "storage" / session.relative_to(root)
        for step, (name, data) in enumerate(files.items()):
            file = place.folder / "storage" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            for part in (data[: chance.randrange(len(data))], data):
                file.write_bytes(part)
                await place.read(path)
            if step % 3 == 0:
                place.restart()
        [events] = (await place.same_as_once(path, Kind.USAGE, Kind.ERROR)).values()
    [usage] = [event.tokens for event in events if event.tokens is not None]
    assert (usage.input, usage.output) == (120, 16)


# Aider: one Markdown file.

HISTORY: Final = """
# aider chat started at 2026-06-09 14:01:00

> Aider v0.86
#### add a retry 🦉  
Here is the plan — grün:

#### Step 1
Wrap it:

```
#### no user
```

> Applied edit to a.py
#### and a test  
Done.

# aider chat started at 2026-06-09 15:30:00

#### make tea  
#### with milk  
Done.

# aider chat started at 2026-06-09 16:00:00
"""
"""Aider ends the lines of a user with two spaces."""


async def _chats_grow(template: Path, data: bytes, cuts: Iterable[int], restarts: set[int]) -> None:
    async with placed(template, Aider()) as place:
        path = place.folder / ".aider.chat.history.md"
        await written(place, path, data, cuts, restarts)
        kept = await place.same_as_once(path)
        assert len(kept) == 2


async def test_aider_s_chats_that_grow_by_lines_are_kept_as_at_once(sqlite_template: Path) -> None:
    data = HISTORY.encode()
    await _chats_grow(sqlite_template, data, _lines_of(data), {3, 7, 12})


async def test_aider_s_real_chats_that_grow_by_lines_are_kept_as_at_once(sqlite_template: Path) -> None:
    data = sample("aider/.aider.chat.history.md").read_bytes()
    await _chats_grow(sqlite_template, data, _lines_of(data), {3, 7, 12})


@given(cuts=CUTS, restarts=RESTARTS)
@FEW
def test_aider_s_chats_are_kept_as_at_once_wherever_they_break_off(
    sqlite_template: Path, cuts: list[int], restarts: set[int]
) -> None:
    run(_chats_grow(sqlite_template, HISTORY.encode(), cuts, restarts))


async def test_aider_s_real_chats_are_kept_as_at_once_wherever_they_break_off(sqlite_template: Path) -> None:
    data, chance = sample("aider/.aider.chat.history.md").read_bytes(), random.Random(2)
    await _chats_grow(sqlite_template, data, chance.sample(range(len(data)), 30), {3, 7, 12})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("#### make te", "a  \nDone.\n"),
        ("#### make tea  \n> Edited a\n##", "## and bake  \nDone.\n"),
        ("#### make tea  \n> Edited a\n>", " Edited b\n"),
        ("#### make tea  \n> Edited a\n\n# aider chat sta", "rted at 2026-06-09 16:00:00\n"),
        ("#### make tea  \nDo", "ne.\n"),
        ("#### make tea  \n```\n#### no user  \n``", "`\n#### and bake  \n"),
    ],
    ids=["what is asked first", "what is asked", "what is told", "a beginning", "an answer", "a fence"],
)
async def test_a_line_of_aider_that_breaks_off_makes_no_other_turn_or_chat(
    place: Callable[[Reader], Place], before: str, after: str
) -> None:
    started = "# aider chat started at 2026-06-09 15:30:00\n\n"
    here = place(Aider())
    path = here.folder / ".aider.chat.history.md"
    path.write_text(started + before)
    await here.read(path)
    path.write_text(started + before + after)
    await here.read(path)
    await here.same_as_once(path)


async def test_a_chat_of_aider_that_is_cut_out_of_the_file_stays(place: Callable[[Reader], Place]) -> None:
    here = place(Aider())
    path = here.folder / ".aider.chat.history.md"
    path.write_text(HISTORY)
    await here.read(path)
    before = await here.kept()
    assert len(before) == 2
    path.write_text(HISTORY[HISTORY.index("# aider chat started at 2026-06-09 15:30") :])
    assert not any(done.new or done.revised for done in await here.read(path))
    assert await here.kept() == before


# However long it is.


async def test_a_chat_of_aider_that_is_longer_than_a_batch_is_kept_as_a_whole(
    place: Callable[[Reader], Place],
) -> None:
    turns = "".join(f"#### ask {number}  \nanswer {number}\n" for number in range(BATCH))
    here = place(Aider())
    path = here.folder / ".aider.chat.history.md"
    path.write_text(f"# aider chat started at 2026-06-09 15:30:00\n\n{turns}")
    await here.read(path)
    expected = [f"{word} {number}" for number in range(BATCH) for word in ("ask", "answer")]
    assert texts(await here.one()) == expected


async def test_a_session_of_goose_that_is_longer_than_a_batch_is_kept_as_a_whole(
    place: Callable[[Reader], Place],
) -> None:
    here = place(Goose())
    path = here.folder / "sessions.db"
    with database(path, GOOSE) as connection:
        connection.execute("INSERT INTO sessions VALUES ('s1', '', '', '/w', 'now')")
        connection.execute("BEGIN")
        for number in range(BATCH + 5):
            goose_says(connection, None, "user", text(f"ask {number}"))
        connection.execute("COMMIT")
        await here.read(path)
        goose_says(connection, None, "user", text("last"))
        [done] = await here.read(path)
    assert (done.new, done.revised) == (1, 0)
    assert texts(await here.one()) == [*(f"ask {number}" for number in range(BATCH + 5)), "last"]


@FORMS
async def test_a_session_of_opencode_that_is_longer_than_a_batch_is_kept_as_a_whole(
    place: Callable[[Reader], Place], form: str
) -> None:
    here = place(OpenCode())
    count = BATCH + 5
    with opencode(form, here.folder) as session:
        if isinstance(session, InDatabase):
            session.connection.execute("BEGIN")
        for number in range(count):
            name = f"{number:04}"
            session.put("message", name, "ses_1", {"role": "user", "time": {"created": T + number}})
            session.put("part", f"p{name}", name, {"type": "text", "text": f"ask {number}"})
        if isinstance(session, InDatabase):
            session.connection.execute("COMMIT")
        await here.read(session.path)
    assert texts(await here.one()) == [f"ask {number}" for number in range(count)]
