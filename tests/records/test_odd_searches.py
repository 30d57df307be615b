"""Searches that were made to do something else; and whose conversations are obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import Chat, Desk
from stacks import TENANT

from minoots.errors import Failure
from minoots_activities.capture.flags import WorkspaceFlags
from minoots_activities.capture.obeying import Obeying
from minoots_activities.capture.readers.claude import Claude
from minoots_platform.records import Database, session_search
from minoots_platform.records.session_search import Search


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    desk = Desk(database, tmp_path)
    desk.workspace()
    return desk


@pytest.fixture
def chat(desk: Desk) -> Chat:
    return desk.chat()


async def test_a_host_does_not_obey_in_a_conversation_of_another_tenant(desk: Desk, chat: Chat) -> None:
    chat.says("secret\n::export-notes stolen.md")
    await desk.read(chat.path, Claude())
    theirs = Obeying(
        desk.database, desk.registry, [], WorkspaceFlags(), desk.clock, tenant="theirs", host="theirs"
    )
    done = await theirs.conversation(chat.id, fresh=True)
    assert (done.obeyed, done.pending) == (0, ())


@pytest.mark.parametrize(
    "text",
    [
        '"',
        '"a" OR b',
        "a NEAR b",
        "a* -b",
        "NOT",
        "a:b",
        "^a",
        "{words} : a",
        "'",
        "a & !b",
        "a <-> b",
        "\\",
        "ﷺ*",
        "\x00a",
        "*",
        "(a",
        "a\u0301",
        "İ",
        "ǅ",
        "ß",
        "\u017f",
    ],
)
async def test_nothing_in_a_query_is_an_operator(desk: Desk, chat: Chat, text: str) -> None:
    chat.says("a b words ß İ")
    await chat.look()
    try:
        terms = session_search.terms_of(text)
    except Failure:
        return
    async with desk.database.read() as connection:
        await session_search.search(connection, TENANT, Search(terms), limit=10, before=None)


@pytest.mark.timeout(150)
async def test_texts_that_have_a_word_many_times_are_found(desk: Desk, chat: Chat) -> None:
    for _ in range(10):
        chat.hears({"type": "tool_result", "tool_use_id": f"t{desk.number}", "content": "a " * 100_000})
    await chat.look()
    async with desk.database.read() as connection:
        terms = session_search.terms_of("a* " * 16)
        found = await session_search.search(connection, TENANT, Search(terms), limit=100, before=None)
    assert len(found.items) == 10
    assert all(hit.marks for hit in found.items)


async def test_of_many_long_texts_the_later_ones_show_how_they_begin(
    desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_search, "_MOST_LOOKED_AT", 30_000)
    for number in range(3):
        chat.says(f"begins {number} " + "and goes on " * 1500 + "to the end")
    await desk.read(chat.path, Claude())
    async with desk.database.read() as connection:
        wanted = Search(session_search.terms_of('"the end"'))
        hits = (await session_search.search(connection, TENANT, wanted, limit=9, before=None)).items
    newest, middle, oldest = hits
    [(begin, end)] = newest.marks
    assert newest.snippet[begin:end] == "the end"
    assert (middle.marks, oldest.marks) == ((), ())
    assert oldest.snippet.startswith("begins 0 ")
