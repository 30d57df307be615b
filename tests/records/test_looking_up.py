"""What an agent finds of its tenant's sessions and documents, and of nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from stacks import TENANT

from minoots.contracts.conversations import ConversationEvent
from minoots.contracts.conversations import ConversationEventKind as Kind
from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.agents.arguments import Context
from minoots_activities.jobs.agents.looking_up import look_up
from minoots_platform.ids import derived_id
from minoots_platform.records import Database, conversations, ingests, schema, source_search
from minoots_platform.records.conversations import Whose
from minoots_platform.records.session_search import terms_of

NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)
OTHERS = "globex"


async def session(database: Database, tenant: str, *texts: str) -> str:
    """Keep a session."""
    events = [
        ConversationEvent(id=f"e{number}", kind=Kind.USER, text=text, ts=NOW)
        for number, text in enumerate(texts)
    ]
    async with database.write() as connection:
        row = await conversations.ensure(connection, tenant, Whose("claude", "s", None, None), NOW)
        await conversations.keep(connection, row, events, {}, NOW)
    return str(row.id)


async def source(database: Database, tenant: str, name: str, *chunks: str, days: int = 0) -> str:
    """Keep a document of these chunks."""
    at = NOW + timedelta(days=days)
    text_id, source_id = derived_id("txt", tenant, name), ingests.source_id(tenant, name)
    text = {"id": text_id, "tenant": tenant, "sha256": "0" * 64, "pipeline": "test", "ready": True}
    text |= {"characters": 0, "chunks": len(chunks), "redacted": 0, "found": {}, "created_at": at}
    about = {"id": source_id, "tenant": tenant, "name": name, "title": name, "version": 1, "labels": {}}
    about |= {"meta": {}, "sent_at": at, "created_at": at, "updated_at": at}
    version = {"source_id": source_id, "number": 1, "tenant": tenant, "text_id": text_id, "ingest_id": "ing"}
    version |= {"media_type": "text/plain", "sha256": "0" * 64, "bytes": 0, "chunks_new": 0, "created_at": at}
    async with database.write() as connection:
        await connection.execute(schema.source_texts.insert().values(**text))
        for number, chunk in enumerate(chunks, start=1):
            row = {"text_id": text_id, "number": number, "begin": 0, "end": 0, "headings": ["Top"]}
            await connection.execute(schema.source_chunks.insert().values(**row, sha256="0" * 64, text=chunk))
        await connection.execute(schema.sources.insert().values(**about))
        await connection.execute(schema.source_versions.insert().values(**version))
    return source_id


async def looked_up(database: Database, **wanted: Any) -> str:
    """What the model is told."""
    return await look_up(database, TENANT, Context(**wanted))


async def test_what_is_found_is_told_with_where_to_read_on(database: Database) -> None:
    said = await session(database, TENANT, "hello", "the launch is on Friday", "fine")
    await session(database, OTHERS, "the launch is cancelled")
    old = await source(database, TENANT, "old.md", "before", "the launch: Thursday")
    new = await source(database, TENANT, "new.md", "launch of the café\n", days=1)
    await source(database, OTHERS, "theirs.md", "the launch is a secret", days=2)
    told = (await looked_up(database, query="launch")).splitlines()
    assert told == [
        f'{said} at 2 (claude message.user, "hello", 2026-07-01T10:00+00:00): the launch is on Friday',
        f"{new} at 1 (new.md > Top): launch of the café",
        f"{old} at 2 (old.md > Top): the launch: Thursday",
    ]
    assert await looked_up(database, query='"launch of" caf*', where="documents") == told[1]
    assert await looked_up(database, query="friday launch", where="sessions") == told[0]
    assert (await looked_up(database, query="of launch friday")).startswith("nothing was found")


async def test_an_agent_reads_on_where_something_was_found(database: Database) -> None:
    said = await session(database, TENANT, "one", "two", "three")
    kept = await source(database, TENANT, "a.md", "first", "second")
    assert await looked_up(database, read=said, at=2) == "[2] message.user: two\n[3] message.user: three"
    assert await looked_up(database, read=said, at=1, limit=1) == "[1] message.user: one"
    assert await looked_up(database, read=kept, at=2) == "[2] second"
    assert await looked_up(database, read=kept, at=3) == f"there is nothing more in {kept}"


async def test_nothing_of_another_tenant_is_read(database: Database) -> None:
    theirs = [await session(database, OTHERS, "secret"), await source(database, OTHERS, "a.md", "secret")]
    for one in theirs:
        with pytest.raises(Failure) as failure:
            await looked_up(database, read=one)
        assert failure.value.kind is FailureKind.NOT_FOUND
    with pytest.raises(Failure, match="cnv_"):
        await looked_up(database, read="job_1")


async def test_what_is_told_has_a_bound(database: Database) -> None:
    said = await session(database, TENANT, *(["long " * 2000] * 20))
    told = await looked_up(database, read=said, limit=20)
    assert len(told) < 33_000
    assert told.endswith("(more left out: ask for less at once)")


async def test_a_search_that_does_not_look_at_all_documents_says_so(database: Database) -> None:
    await source(database, TENANT, "old.md", "needle")
    await source(database, TENANT, "new.md", *(["x" * 100] * 300), days=1)
    terms = terms_of("needle")
    async with database.read() as connection:
        assert await source_search.search(connection, TENANT, terms, limit=5, most=1000) == ((), False)
        [hit], whole = await source_search.search(connection, TENANT, terms, limit=5)
    assert (hit.name, whole) == ("old.md", True)


async def test_every_chunk_is_looked_at_once_also_of_documents_of_one_moment(database: Database) -> None:
    await source(database, TENANT, "long.md", *(["needle"] * 250))
    for number in range(210):
        await source(database, TENANT, f"{number}.md", "needle", days=1)
    await source(database, OTHERS, "theirs.md", "needle", days=1)
    async with database.read() as connection:
        hits, whole = await source_search.search(connection, TENANT, terms_of("needle"), limit=1000)
        fewer, complete = await source_search.search(connection, TENANT, terms_of("needle"), limit=459)
        assert (fewer, complete) == (hits[:459], False)
        assert await source_search.search(connection, TENANT, terms_of("needle"), limit=460) == (hits, True)
    assert whole
    assert len(hits) == len({(hit.source_id, hit.number) for hit in hits}) == 460
    assert {hit.name for hit in hits[210:]} == {"long.md"}
    assert [hit.number for hit in hits[210:]] == list(range(1, 251))


@pytest.mark.parametrize("wanted", [{}, {"query": "a", "read": "cnv_1"}, {"query": "a", "limit": 21}])
def test_what_asks_for_nothing_or_too_much_is_malformed(wanted: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Context(**wanted)
