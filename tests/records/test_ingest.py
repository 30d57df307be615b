"""Ingests in the records: each file once, each text once, nothing lost and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from ingesting import accept, chunks_of, files_of, source_named, text_of
from stacks import TENANT
from temporalio.testing import ActivityEnvironment

from minoots.contracts import EventType, FileState, Ingest, IngestState
from minoots.errors import Failure, FailureKind
from minoots_activities.ingest import chunking
from minoots_activities.ingest.adapter import Ingests
from minoots_activities.ingest.extractors import Form
from minoots_activities.ingest.reading import Plan
from minoots_platform.clock import utc_now
from minoots_platform.ids import new_id
from minoots_platform.records import Database, ingests, schema, sources, staging, taking_in
from minoots_platform.records.taking_in import FileToTake, Text
from minoots_platform.settings import Settings
from minoots_platform.vault import Vault
from minoots_workers.parts import policy_of
from minoots_workflows.ingest.contracts import FileDue
from minoots_workflows.pacing import Subject

OTHER = "globex"
PLAN = Plan(policy_of(Settings().capture), 200, 20, 1024)
SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
LONG = "".join(f"line {number} of many that are all different\n" for number in range(200))
PIECE = 1000


@pytest.fixture
def vault() -> Vault:
    """A vault."""
    return Vault([Fernet.generate_key().decode()])


def worker(database: Database, vault: Vault) -> Ingests:
    """What a worker has for ingests."""
    return Ingests(database, vault, PLAN, utc_now, at_once=3, processes=1)


async def take(work: Ingests, ingest: Ingest, number: int = 1, tenant: str = TENANT) -> FileState:
    """Take one file in, as an activity."""
    due = FileDue(tenant=tenant, ingest_id=ingest.id, number=number)
    return FileState((await ActivityEnvironment().run(work.take, due)).state)


async def waiting(database: Database, ingest: Ingest, number: int = 1, tenant: str = TENANT) -> FileToTake:
    """A file that waits."""
    async with database.read() as connection:
        found = await taking_in.file(connection, tenant, ingest.id, number)
    assert isinstance(found, FileToTake)
    return found


async def keep_text(database: Database, file: FileToTake, text: str, parts: int = 1) -> str:
    """Keep a text with its chunks, as a worker does that has read it."""
    id = taking_in.text_id(file.tenant, file.sha256, "test")
    found = list(chunking.chunks(text, Form.PLAIN, 200))
    known = Text(None, len(text), len(found), 0)
    async with database.write() as connection:
        await taking_in.begin_text(connection, id, file, "test", known, utc_now())
    for part in range(parts):
        async with database.write() as connection:
            await taking_in.keep_chunks(connection, id, found[part::parts])
    return id


async def settle(database: Database, file: FileToTake, text: str) -> FileState | None:
    """Settle a file."""
    async with database.write() as connection:
        return await taking_in.settle(
            connection, file, text, media_type="text/plain", now=utc_now(), default_title="t"
        )


async def settled(database: Database, ingest: Ingest, content: str, number: int = 1) -> FileState | None:
    """Keep the text of a file and settle it."""
    file = await waiting(database, ingest, number)
    return await settle(database, file, await keep_text(database, file, content))


async def many(database: Database, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    """How many rows there are."""
    async with database.read() as connection:
        query = sa.select(sa.func.count()).select_from(table).where(*where)
        return int((await connection.execute(query)).scalar_one())


async def told(database: Database, subject: str) -> list[str]:
    """The types of the events about something."""
    async with database.read() as connection:
        query = sa.select(schema.events.c.type).where(schema.events.c.subject == subject)
        return list(await connection.scalars(query.order_by(schema.events.c.sequence)))


async def remove(database: Database, name: str, tenant: str = TENANT) -> None:
    """Remove a source."""
    async with database.write() as connection:
        await sources.remove(connection, tenant, ingests.source_id(TENANT, name), now=utc_now(), actor="test")


# --- once ------------------------------------------------------------------------------------------------


async def test_a_file_is_settled_once(database: Database, vault: Vault) -> None:
    ingest = await accept(database, vault, TENANT, {"a.txt": "tea"})
    file = await waiting(database, ingest)
    text = await keep_text(database, file, "tea")
    assert await settle(database, file, text) is FileState.CREATED
    assert await settle(database, file, text) is FileState.CANCELLED
    source = await source_named(database, TENANT, "a.txt")
    assert source.version == 1
    assert await told(database, source.id) == [EventType.SOURCE_CREATED]
    [row] = await files_of(database, TENANT, ingest.id)
    assert (row.state, row.version) == (FileState.CREATED, 1)


async def test_two_workers_at_once_take_a_file_in_once(database: Database, vault: Vault) -> None:
    ingest = await accept(database, vault, TENANT, {"a.txt": "tea"})
    file = await waiting(database, ingest)

    async def one() -> FileState | None:
        return await settle(database, file, await keep_text(database, file, "tea"))

    done = await asyncio.gather(one(), one(), one())
    assert sorted(str(state) for state in done) == ["cancelled", "cancelled", "created"]
    assert await many(database, schema.source_versions) == 1
    assert await told(database, ingests.source_id(TENANT, "a.txt")) == [EventType.SOURCE_CREATED]


async def test_sources_with_the_same_bytes_share_one_text(database: Database, vault: Vault) -> None:
    ingest = await accept(database, vault, TENANT, {"a.txt": LONG, "b.txt": LONG})
    await asyncio.gather(settled(database, ingest, LONG, 1), settled(database, ingest, LONG, 2))
    assert await many(database, schema.source_texts) == 1
    assert await text_of(database, TENANT, "a.txt") == await text_of(database, TENANT, "b.txt") == LONG
    await remove(database, "a.txt")
    assert await text_of(database, TENANT, "b.txt") == LONG
    await remove(database, "b.txt")
    assert await many(database, schema.source_texts) == 0
    assert await many(database, schema.source_chunks) == 0


async def test_each_content_is_a_version_with_its_own_text(database: Database, vault: Vault) -> None:
    for number, content in enumerate(["one", "two", "two", "one"], start=1):
        ingest = await accept(database, vault, TENANT, {"a.txt": content})
        state = await settled(database, ingest, content)
        assert state == {1: FileState.CREATED, 3: FileState.UNCHANGED}.get(number, FileState.UPDATED)
    texts = [await text_of(database, TENANT, "a.txt", version) for version in (1, 2, 3)]
    assert texts == ["one", "two", "one"]
    assert await many(database, schema.source_texts) == 2


async def test_what_was_sent_earlier_does_not_replace_what_was_sent_later(
    database: Database, vault: Vault
) -> None:
    old = await accept(database, vault, TENANT, {"a.txt": "old"})
    new = await accept(database, vault, TENANT, {"a.txt": "new"})
    assert await settled(database, new, "new") is FileState.CREATED
    assert await settled(database, old, "old") is FileState.SUPERSEDED
    assert await text_of(database, TENANT, "a.txt") == "new"
    assert await many(database, schema.ingest_pieces) == 0


async def test_a_text_that_nothing_uses_does_not_stay(database: Database, vault: Vault) -> None:
    old = await accept(database, vault, TENANT, {"a.txt": "old"})
    new = await accept(database, vault, TENANT, {"a.txt": "new"})
    await settled(database, new, "new")
    await settled(database, old, "old")
    await remove(database, "a.txt")
    assert await many(database, schema.source_texts) == 0


# --- removal and cancelling meanwhile --------------------------------------------------------------------


async def test_a_text_that_is_removed_meanwhile_is_made_anew(database: Database, vault: Vault) -> None:
    first = await accept(database, vault, TENANT, {"a.txt": "tea"})
    await settled(database, first, "tea")
    second = await accept(database, vault, TENANT, {"b.txt": "tea"})
    file = await waiting(database, second)
    text = await keep_text(database, file, "tea")
    await remove(database, "a.txt")
    assert await settle(database, file, text) is None
    assert await settled(database, second, "tea") is FileState.CREATED
    assert await text_of(database, TENANT, "b.txt") == "tea"


async def test_a_text_without_all_of_its_chunks_is_no_version(database: Database, vault: Vault) -> None:
    first = await accept(database, vault, TENANT, {"a.txt": LONG})
    await settled(database, first, LONG)
    second = await accept(database, vault, TENANT, {"b.txt": LONG, "c.txt": LONG})
    quick, slow = await waiting(database, second, 1), await waiting(database, second, 2)
    text = await keep_text(database, quick, LONG)
    await remove(database, "a.txt")
    # The other worker begins the same text anew, and has kept half of its chunks.
    found = list(chunking.chunks(LONG, Form.PLAIN, 200))
    known = Text(None, len(LONG), len(found), 0)
    async with database.write() as connection:
        await taking_in.begin_text(connection, text, slow, "test", known, utc_now())
        await taking_in.keep_chunks(connection, text, found[::2])
    if await settle(database, quick, text) is not None:
        assert await text_of(database, TENANT, "b.txt") == LONG


async def test_removal_and_settling_at_once_leave_a_whole_text_or_none(
    database: Database, vault: Vault
) -> None:
    await settled(database, await accept(database, vault, TENANT, {"a.txt": LONG}), LONG)
    for _ in range(5):
        ingest = await accept(database, vault, TENANT, {"b.txt": LONG})
        file = await waiting(database, ingest)

        async def again(file: FileToTake = file) -> None:
            while await settle(database, file, await keep_text(database, file, LONG, parts=3)) is None:
                pass

        async def insist() -> None:
            try:
                await again()
            except sa.exc.IntegrityError:  # the activity is tried again
                await again()

        await asyncio.gather(insist(), remove(database, "a.txt"))
        assert await text_of(database, TENANT, "b.txt") == LONG
        await settled(database, await accept(database, vault, TENANT, {"a.txt": LONG}), LONG)
        await remove(database, "b.txt")


async def test_cancelling_takes_in_no_more_and_keeps_what_was(database: Database, vault: Vault) -> None:
    ingest = await accept(database, vault, TENANT, {"a.txt": "a", "b.txt": "b"})
    await settled(database, ingest, "a")
    late = await waiting(database, ingest, 2)
    async with database.write() as connection:
        done = await ingests.cancel(connection, TENANT, ingest.id, now=utc_now(), actor="me")
    assert (done.state, done.counts) == (
        IngestState.CANCELLED,
        {FileState.CREATED: 1, FileState.CANCELLED: 1},
    )
    assert await many(database, schema.ingest_pieces) == 0
    assert await settle(database, late, await keep_text(database, late, "b")) is FileState.CANCELLED
    assert await many(database, schema.sources) == 1
    async with database.write() as connection:
        assert await ingests.cancel(connection, TENANT, ingest.id, now=utc_now(), actor="me") == done
    assert (await told(database, ingest.id)).count(EventType.INGEST_CANCELLED) == 1


async def test_an_ingest_that_has_ended_cannot_be_cancelled(database: Database, vault: Vault) -> None:
    ingest = await accept(database, vault, TENANT, {"a.txt": "a"})
    await settled(database, ingest, "a")
    await worker(database, vault).next(Subject(tenant=TENANT, id=ingest.id))
    async with database.write() as connection:
        with pytest.raises(Failure) as refused:
            await ingests.cancel(connection, TENANT, ingest.id, now=utc_now(), actor="me")
    assert refused.value.kind is FailureKind.CONFLICT


class SlowVault(Vault):
    """A vault that stops before it opens one of the pieces, as a machine under load may."""

    def __init__(self, key: str, piece: int) -> None:
        super().__init__([key])
        self.stopped = threading.Event()
        self.go_on = threading.Event()
        self._pieces = iter(range(1, piece + 1))

    def decrypt(self, token: bytes) -> bytes:
        if next(self._pieces, None) is None:
            self.stopped.set()
            assert self.go_on.wait(20)
        return super().decrypt(token)


@pytest.fixture
def slow_vault() -> Iterator[tuple[Vault, SlowVault]]:
    """Two vaults with the same key, and one of them slow; nobody waits for it at the end."""
    key = Fernet.generate_key().decode()
    slow = SlowVault(key, 3)
    yield Vault([key]), slow
    slow.go_on.set()


async def test_a_worker_that_comes_late_does_not_cut_a_text_off(
    database: Database, slow_vault: tuple[Vault, SlowVault]
) -> None:
    vault, slow = slow_vault
    ingest = await accept(database, vault, TENANT, {"a.txt": LONG}, piece=PIECE)
    late = asyncio.create_task(take(worker(database, slow), ingest))
    assert await asyncio.to_thread(slow.stopped.wait, 20)
    # Its heartbeat is lost, so that another worker takes the file in; then it goes on.
    assert await take(worker(database, vault), ingest) is FileState.CREATED
    assert await text_of(database, TENANT, "a.txt") == LONG
    slow.go_on.set()
    await asyncio.gather(late, return_exceptions=True)
    assert await text_of(database, TENANT, "a.txt") == LONG


async def test_a_file_that_was_cancelled_half_read_is_whole_when_it_is_sent_again(
    database: Database, slow_vault: tuple[Vault, SlowVault]
) -> None:
    vault, slow = slow_vault
    ingest = await accept(database, vault, TENANT, {"a.txt": LONG}, piece=PIECE)
    late = asyncio.create_task(take(worker(database, slow), ingest))
    assert await asyncio.to_thread(slow.stopped.wait, 20)
    async with database.write() as connection:
        await ingests.cancel(connection, TENANT, ingest.id, now=utc_now(), actor="me")
    slow.go_on.set()
    await asyncio.gather(late, return_exceptions=True)
    again = await accept(database, vault, TENANT, {"a.txt": LONG})
    assert await take(worker(database, vault), again) is FileState.CREATED
    assert await text_of(database, TENANT, "a.txt") == LONG


async def test_a_file_whose_pieces_are_gone_is_not_taken_for_an_empty_one(
    database: Database, vault: Vault
) -> None:
    ingest = await accept(database, vault, TENANT, {"a.txt": "tea"})
    async with database.write() as connection:
        await staging.forget(connection, ingest.id)
    try:
        state = await take(worker(database, vault), ingest)
    except Failure:
        return
    assert state is FileState.FAILED


# --- files that are nobody's fault -----------------------------------------------------------------------

POISON = {
    "list.html": '<!doctype html><ol start="²"><li>a</ol>',
    "front.md": "---\na: !!bool no such thing\n---\ntext\n",
    "nul.md": '---\ntitle: "a\\0b"\n---\ntext\n',
    "found.md": '---\nauthor: "a\\0b"\n---\ntext\n',
}


@pytest.mark.parametrize("name", POISON)
async def test_no_file_can_keep_its_ingest_from_ending(database: Database, vault: Vault, name: str) -> None:
    ingest = await accept(database, vault, TENANT, {name: POISON[name]})
    assert (await take(worker(database, vault), ingest)).value in ("created", "failed")


# --- what is staged --------------------------------------------------------------------------------------


async def test_too_much_that_waits_is_refused_with_nothing_kept(database: Database, vault: Vault) -> None:
    first = await accept(database, vault, TENANT, {"a": "x" * 60}, most_waiting=100)
    with pytest.raises(Failure) as refused:
        await accept(database, vault, TENANT, {"b": "x" * 41}, most_waiting=100)
    assert refused.value.kind is FailureKind.THROTTLED
    assert await many(database, schema.ingests) == 1
    await accept(database, vault, OTHER, {"b": "x" * 41}, most_waiting=100)
    await settled(database, first, "x" * 60)
    await accept(database, vault, TENANT, {"b": "x" * 41}, most_waiting=100)


async def test_pieces_of_a_gateway_that_died_are_forgotten_and_others_are_not(
    database: Database, vault: Vault
) -> None:
    now = utc_now()
    kept = await accept(database, vault, TENANT, {"a": "tea"})
    for age in (timedelta(minutes=59), timedelta(minutes=61)):
        async with database.write() as connection:
            await staging.keep(
                connection, TENANT, new_id("ing", now), file=1, number=0, sealed=b"x", now=now - age
            )
    async with database.write() as connection:
        assert await staging.forget_left(connection, now) == 1
        assert await staging.forget_left(connection, now + timedelta(hours=2)) == 1
    assert await many(database, schema.ingest_pieces, schema.ingest_pieces.c.ingest_id == kept.id) == 1


async def test_a_secret_stands_nowhere_in_the_database(
    sqlite_database: Database, vault: Vault, tmp_path: Path
) -> None:
    def seen() -> bool:
        return any(SECRET[4:].encode() in path.read_bytes() for path in tmp_path.glob("minoots.db*"))

    files = {
        "a.txt": f"token {SECRET} end",
        "b.md": f"---\ntitle: {SECRET}\nauthor: {SECRET}\n---\n# {SECRET}\n",
        "c.html": f"<!doctype html><title>{SECRET}</title><h1>Of {SECRET}</h1><p>{SECRET}",
        "d.pdf": f"%PDF-1.4\n1 0 obj\n{SECRET}<< /Type /Catalog >>\nendobj\n"
        "xref\n0 2\n0000000000 65535 f \n0000000009 00000 n \n"
        "trailer\n<< /Size 2 /Root 1 0 R >>\nstartxref\n86\n%%EOF\n",
        "e.bin": bytes(range(256)) * 4 + SECRET.encode(),
    }
    ingest = await accept(sqlite_database, vault, TENANT, files)
    assert not seen()
    for number, name in enumerate(files, start=1):
        await take(worker(sqlite_database, vault), ingest, number)
        assert not seen(), name
    assert await many(sqlite_database, schema.ingest_pieces) == 0


# --- tenants ---------------------------------------------------------------------------------------------


async def test_another_tenant_sees_and_changes_nothing(database: Database, vault: Vault) -> None:
    ingest = await accept(database, vault, TENANT, {"a.txt": "tea", "b.txt": "tea"})
    await settled(database, ingest, "tea")
    source = await source_named(database, TENANT, "a.txt")
    async with database.write() as connection:
        calls = [
            ingests.get(connection, OTHER, ingest.id),
            ingests.files(connection, OTHER, ingest.id, states=(), after=0, limit=5),
            ingests.cancel(connection, OTHER, ingest.id, now=utc_now(), actor="x"),
            ingests.advance(connection, OTHER, ingest.id, limit=5, now=utc_now()),
            sources.get(connection, OTHER, source.id),
            sources.versions(connection, OTHER, source.id, before=None, limit=5),
            sources.chunks(connection, OTHER, source.id, version=None, after=0, limit=5),
            sources.chunks(connection, OTHER, source.id, version=1, after=0, limit=5),
            sources.remove(connection, OTHER, source.id, now=utc_now(), actor="x"),
        ]
        for call in calls:
            with pytest.raises(Failure) as refused:
                await call
            assert refused.value.kind is FailureKind.NOT_FOUND
        assert await taking_in.file(connection, OTHER, ingest.id, 2) is None
        page = await ingests.page(connection, OTHER, ingests.IngestQuery())
        assert page.items == ()
        assert (await sources.page(connection, OTHER, prefix=None, limit=5, cursor=None)).items == ()
    assert [piece async for piece in staging.pieces(database, OTHER, ingest.id, 2)] == []
    assert await text_of(database, TENANT, "a.txt") == "tea"


async def test_tenants_with_the_same_file_share_nothing(database: Database, vault: Vault) -> None:
    for tenant in (TENANT, OTHER):
        ingest = await accept(database, vault, tenant, {"a.txt": "tea"})
        file = await waiting(database, ingest, tenant=tenant)
        assert file.sha256 == hashlib.sha256(b"tea").hexdigest()
        assert await settle(database, file, await keep_text(database, file, "tea")) is FileState.CREATED
    assert await many(database, schema.source_texts) == 2
    await remove(database, "a.txt")
    assert [chunk.text for chunk in await chunks_of(database, OTHER, "a.txt")] == ["tea"]


async def test_names_are_told_apart_by_every_letter(database: Database, vault: Vault) -> None:
    names = ["Docs/a", "docs/a", "docs_b", "docs%c"]
    ingest = await accept(database, vault, TENANT, dict.fromkeys(names, "tea"))
    for number in range(1, 5):
        await settled(database, ingest, "tea", number)
    for prefix in ("docs/", "docs_", "docs%", "Docs"):
        async with database.read() as connection:
            page = await sources.page(connection, TENANT, prefix=prefix, limit=9, cursor=None)
        assert [one.name for one in page.items] == [name for name in names if name.startswith(prefix)]
