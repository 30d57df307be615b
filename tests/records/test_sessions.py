"""Sessions as people read them: lists, trees, what each does, the search, recordings and hosts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from stacks import TENANT

from minoots.contracts.conversations import Choice, ConversationEvent, ToolUse
from minoots.contracts.conversations import ConversationEventKind as Kind
from minoots.contracts.sessions import Activity, Session, SessionHit, SessionTree
from minoots.errors import Failure, FailureKind
from minoots_platform.records import (
    Database,
    capture_hosts,
    conversations,
    fleet,
    recordings,
    schema,
    session_search,
    sessions,
)
from minoots_platform.records.conversations import File, Reading, Whose
from minoots_platform.records.session_search import Search, Term, snippet_of, terms_of
from minoots_platform.records.sessions import SessionFilter
from minoots_platform.records.words import words_of

NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)
OTHERS = "globex"
NOWHERE = "cnv_" + "0" * 26
_numbers = itertools.count(1)


def event(kind: Kind = Kind.USER, text: str | None = None, **more: Any) -> ConversationEvent:
    """An event with an id of its own."""
    return ConversationEvent(**({"id": f"e{next(_numbers)}", "kind": kind, "text": text} | more))


class Shelf:
    """Records with sessions that a test puts there."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def put(
        self,
        name: str,
        *events: ConversationEvent | str,
        tenant: str = TENANT,
        provider: str = "claude",
        parent: str | None = None,
        relation: str | None = None,
        facts: Mapping[str, Any] | None = None,
        at: float = 0,
    ) -> str:
        """Keep a session, or more of it; a text is what its user said."""
        now = NOW + timedelta(minutes=at)
        told = [event(text=one, ts=now) if isinstance(one, str) else one for one in events]
        async with self.database.write() as connection:
            row = await conversations.ensure(connection, tenant, Whose(provider, name, parent, relation), now)
            if told:
                await conversations.keep(connection, row, told, facts or {}, now)
        return str(row.id)

    async def record(self, session: str, state: str = "active", tenant: str = TENANT, **more: Any) -> str:
        """Record a session into a file."""
        number = next(_numbers)
        values = {
            "id": f"rec_{number:026}",
            "tenant": tenant,
            "conversation_id": session,
            "host": "here",
            "kind": "record",
            "format": "markdown",
            "path": f"/notes/{number}.md",
            "path_key": recordings.path_key("here", f"/notes/{number}.md"),
            "root": "/notes",
            "options": {},
            "from_number": 1,
            "revised": 0,
            "state": state,
            "started_at": NOW,
        }
        async with self.database.write() as connection:
            assert await recordings.start(connection, values | more)
        return str(values["id"])

    async def read(
        self, session: str, path: str, host: str = "here", tenant: str = TENANT, **more: Any
    ) -> None:
        """Remember a file that a session was read from."""
        async with self.database.write() as connection:
            file = File(host, path, "claude")
            await conversations.keep_reading(connection, tenant, file, session, Reading(**more), NOW)

    async def change(self, session: str, **values: Any) -> None:
        """Put into a session's row what no program tells."""
        table = schema.conversations
        async with self.database.write() as connection:
            await connection.execute(sa.update(table).where(table.c.id == session).values(**values))

    async def names(self, tenant: str = TENANT, **wanted: Any) -> list[str]:
        """The programs' ids of the sessions in a list."""
        return [one.session_id for one in await self.listed(tenant, 50, **wanted)]

    async def listed(self, tenant: str = TENANT, limit: int = 50, **wanted: Any) -> list[Session]:
        """All pages of a list."""
        found: list[Session] = []
        cursor = None
        while True:
            async with self.database.read() as connection:
                page = await sessions.page(
                    connection, tenant, SessionFilter(**wanted), limit=limit, cursor=cursor
                )
            assert len(page.items) <= limit
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def tree(self, session: str, tenant: str = TENANT) -> SessionTree:
        """A session and those that it began."""
        async with self.database.read() as connection:
            return await sessions.tree(connection, tenant, session)

    async def search(
        self, query: str, tenant: str = TENANT, limit: int = 50, **wanted: Any
    ) -> list[SessionHit]:
        """All pages of a search."""
        found: list[SessionHit] = []
        before = None
        while True:
            async with self.database.read() as connection:
                search = Search(terms_of(query), **wanted)
                page = await session_search.search(connection, tenant, search, limit=limit, before=before)
            assert len(page.items) <= limit
            found += page.items
            if page.next_cursor is None:
                return found
            before = int(page.next_cursor)


@pytest.fixture
def shelf(database: Database) -> Shelf:
    return Shelf(database)


def marked(hit: SessionHit) -> list[str]:
    """What is marked in a hit."""
    return [hit.snippet[begin:end] for begin, end in hit.marks]


# --- lists -----------------------------------------------------------------------------------------------


async def test_a_session_is_shown_as_its_records_say(shelf: Shelf) -> None:
    one = await shelf.put(
        "s1", "first", "last", facts={"cwd": "/x", "branch": "main", "model": "m", "version": "2", "odd": 1}
    )
    await shelf.put("s1/agent-a", "hi", parent="s1", relation="subagent")
    await shelf.record(one)
    await shelf.record(one, "stopped")
    await shelf.read(one, "/a")
    await shelf.read(one, "/b", problem="torn")
    [found] = await shelf.listed()
    assert found == Session(
        id=one,
        provider="claude",
        session_id="s1",
        title="first",
        cwd="/x",
        branch="main",
        model="m",
        version="2",
        events=2,
        children=1,
        recordings=1,
        problem="torn",
        started_at=NOW,
        last_at=NOW,
        updated_at=NOW,
    )
    async with shelf.database.read() as connection:
        assert await sessions.get(connection, TENANT, one) == found


async def test_the_list_leaves_out_empty_sessions_and_sub_agents(shelf: Shelf) -> None:
    await shelf.put("s1", "hi", at=1)
    await shelf.put("empty", at=2)
    await shelf.put("s1/agent-a", "hi", parent="s1", relation="subagent", at=3)
    await shelf.put("fork", "hi", parent="s1", relation="fork", at=4)
    assert await shelf.names() == ["fork", "s1"]
    assert await shelf.names(subagents=True) == ["fork", "s1/agent-a", "s1"]


async def test_the_list_begins_with_what_something_came_to_last(shelf: Shelf) -> None:
    for number, name in enumerate("abc"):
        await shelf.put(name, "hi", at=number)
    await shelf.put("a", "more", at=9)
    assert await shelf.names() == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"provider": "codex"}, ["b"]),
        ({"provider": "CODEX"}, []),
        ({"title": "TEA"}, ["b", "a"]),
        ({"title": "%"}, ["c"]),
        ({"title": "_"}, ["c"]),
        ({"title": "\\"}, []),
        ({"session": "a"}, ["a"]),
        ({"session": "%"}, []),
        ({"session": "_"}, []),
        ({"recorded": True}, ["a"]),
        ({"recorded": False}, ["c", "b"]),
        ({"since": NOW + timedelta(minutes=1)}, ["c", "b"]),
        ({"until": NOW + timedelta(minutes=1)}, ["a"]),
        ({"since": NOW + timedelta(minutes=1), "until": NOW + timedelta(minutes=2)}, ["b"]),
        ({"since": NOW, "provider": "claude", "title": "tea"}, ["a"]),
    ],
    ids=str,
)
async def test_every_filter_of_the_list(shelf: Shelf, wanted: dict[str, Any], names: list[str]) -> None:
    one = await shelf.put("a", "drink Tea")
    two = await shelf.put("b", "tea again", provider="codex", at=1)
    await shelf.put("c", "100%_", at=2)
    await shelf.record(one)
    await shelf.record(two, "stopping")
    assert await shelf.names(**wanted) == names


async def test_sessions_whose_events_have_no_time_are_in_no_span(shelf: Shelf) -> None:
    await shelf.put("a", event(text="hi"))
    assert await shelf.names() == ["a"]
    assert await shelf.names(since=NOW - timedelta(days=9)) == []
    assert await shelf.names(until=NOW + timedelta(days=9)) == []


async def test_those_of_one_parent_are_listed_with_its_sub_agents(shelf: Shelf) -> None:
    one = await shelf.put("a", "hi")
    await shelf.put("b", "hi", parent="a", relation="subagent", at=1)
    await shelf.put("c", "hi", parent="a", relation="fork", at=2)
    await shelf.put("d", "hi", parent="b", relation="subagent", at=3)
    assert await shelf.names(parent_id=one) == ["c", "b"]
    assert await shelf.names(parent_id=NOWHERE) == []


FOLDERS = ["/x", "/x/", "/x/y", "/x/y/z", "/xy", "/x-y", "/%/y", "/_/y", "/", "x", "/a/x"]


@pytest.mark.parametrize(
    ("cwd", "held"),
    [
        ("/x", {"/x", "/x/", "/x/y", "/x/y/z"}),
        ("/x/", {"/x", "/x/", "/x/y", "/x/y/z"}),
        ("/x/y", {"/x/y", "/x/y/z"}),
        ("/x/y/z/0", set()),
        ("/%", {"/%/y"}),
        ("/_", {"/_/y"}),
        ("%", set()),
        ("/x\\", set()),
        ("/", {one for one in FOLDERS if one.startswith("/")}),
        ("x", {"x"}),
    ],
)
async def test_a_folder_is_itself_and_what_is_below_it(shelf: Shelf, cwd: str, held: set[str]) -> None:
    for number, folder in enumerate(FOLDERS):
        await shelf.put(f"s{number}", "hi", facts={"cwd": folder})
    await shelf.put("nowhere", "hi")
    assert {one.cwd for one in await shelf.listed(cwd=cwd)} == held


async def test_folders_and_ids_that_differ_in_case_are_others(
    shelf: Shelf, request: pytest.FixtureRequest
) -> None:
    await shelf.put("Abc", "hi", facts={"cwd": "/Home/me"})
    await shelf.put("abc", "hi", facts={"cwd": "/home/me"}, at=1)
    assert await shelf.names(cwd="/home/me") == ["abc"]
    assert await shelf.names(cwd="/home") == ["abc"]
    assert await shelf.names(session="ab") == ["abc"]


async def test_titles_are_found_in_any_case_of_any_letters(
    shelf: Shelf, request: pytest.FixtureRequest
) -> None:
    await shelf.put("a", "\u00dcber den Tee")
    assert await shelf.names(title="\u00fcBER") == ["a"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_of_sessions_neither_repeat_nor_lose(shelf: Shelf, limit: int) -> None:
    expected = [await shelf.put(f"s{number}", "hi", at=number // 3) for number in range(7)]
    found = [one.id for one in await shelf.listed(limit=limit)]
    assert sorted(found) == sorted(expected)
    assert found == [one.id for one in await shelf.listed(limit=50)]


@pytest.mark.parametrize("cursor", ["", "x", "12", "W10", "WyJvdGhlciIsIngiLCJ5Il0", "\u00e9"])
async def test_a_cursor_of_another_list_is_refused(shelf: Shelf, cursor: str) -> None:
    async with shelf.database.read() as connection:
        with pytest.raises(Failure) as refused:
            await sessions.page(connection, TENANT, SessionFilter(), limit=1, cursor=cursor)
    assert refused.value.kind is FailureKind.INVALID
    assert refused.value.errors[0].field == "query.cursor"


# --- tenants ---------------------------------------------------------------------------------------------


async def test_tenants_see_nothing_of_each_other(shelf: Shelf) -> None:
    mine = await shelf.put("same", "mine secret")
    theirs = await shelf.put("same", "theirs secret", tenant=OTHERS)
    await shelf.put("same/agent-a", "theirs secret", tenant=OTHERS, parent="same", relation="subagent")
    await shelf.record(theirs, tenant=OTHERS)
    recording = await shelf.record(theirs, "failed", tenant=OTHERS)
    await shelf.read(theirs, "/f", tenant=OTHERS, problem="torn")
    async with shelf.database.write() as connection:
        await capture_hosts.seen(connection, OTHERS, "there", {}, version="1", started_at=NOW, now=NOW)
    assert mine != theirs
    assert [one.id for one in await shelf.listed(subagents=True)] == [mine]
    assert await shelf.names(parent_id=theirs) == []
    assert [one.session_id for one in await shelf.search("secret")] == [mine]
    assert await shelf.search("secret", session_id=theirs) == []
    tree = await shelf.tree(mine)
    assert (tree.session.children, tree.session.recordings, tree.session.problem) == (0, 0, None)
    async with shelf.database.read() as connection:
        assert (await sessions.events(connection, TENANT, theirs, after=0, limit=9)).items == ()
        assert await fleet.hosts(connection, TENANT, NOW) == ()
        for session_id in (None, theirs):
            page = await sessions.recordings_page(
                connection, TENANT, session_id=session_id, states=(), limit=9, cursor=None
            )
            assert page.items == ()
        for ask in (
            sessions.get(connection, TENANT, theirs),
            sessions.tree(connection, TENANT, theirs),
            sessions.state(connection, TENANT, theirs, NOW),
            sessions.recording(connection, TENANT, recording),
        ):
            with pytest.raises(Failure) as refused:
                await ask
            assert refused.value.kind is FailureKind.NOT_FOUND


async def test_a_parent_in_another_tenant_shows_none_of_its_children(shelf: Shelf) -> None:
    mine = await shelf.put("a", "hi")
    theirs = await shelf.put("b", "hi", tenant=OTHERS)
    await shelf.change(theirs, parent_id=mine, relation="subagent")
    tree = await shelf.tree(mine)
    assert (tree.children, tree.omitted) == ((), 0)


# --- trees -----------------------------------------------------------------------------------------------


async def test_a_tree_holds_children_and_theirs_the_oldest_first(shelf: Shelf) -> None:
    one = await shelf.put("a", "hi")
    await shelf.put("c", event(text="hi", ts=NOW + timedelta(hours=2)), parent="a", relation="subagent")
    await shelf.put("b", event(text="hi", ts=NOW + timedelta(hours=1)), parent="a", relation="subagent", at=9)
    await shelf.put("b/1", "hi", parent="b", relation="subagent")
    await shelf.put("other", "hi")
    tree = await shelf.tree(one)
    assert [child.session.session_id for child in tree.children] == ["b", "c"]
    assert [child.session.session_id for child in tree.children[0].children] == ["b/1"]
    assert [branch.omitted for branch in (tree, *tree.children)] == [0, 0, 0]


async def test_hundreds_of_children_are_bounded_and_the_rest_counted(shelf: Shelf) -> None:
    one = await shelf.put("a", "hi")
    row = {"tenant": TENANT, "provider": "claude", "parent_id": one, "relation": "subagent", "facts": {}}
    rows = [
        row
        | {"id": f"cnv_{number:026}", "session_id": f"a/{number}", "events": 1}
        | {"started_at": NOW, "created_at": NOW, "updated_at": NOW}
        for number in range(620)
    ]
    async with shelf.database.write() as connection:
        await connection.execute(sa.insert(schema.conversations), rows)
    tree = await shelf.tree(one)
    assert (len(tree.children), tree.omitted, tree.session.children) == (500, 120, 620)


async def test_a_tree_that_is_deeper_than_shown_says_so(shelf: Shelf) -> None:
    one = await shelf.put("0", "hi")
    for number in range(1, 8):
        await shelf.put(str(number), "hi", parent=str(number - 1), relation="subagent")
    names, tree = [], await shelf.tree(one)
    while tree.children:
        assert tree.omitted == 0
        [tree] = tree.children
        names.append(tree.session.session_id)
    assert (names, tree.omitted) == (["1", "2", "3", "4", "5"], 1)


async def test_children_in_which_nothing_was_said_are_no_part_of_the_count(shelf: Shelf) -> None:
    one = await shelf.put("a", "hi")
    await shelf.put("b", "hi", parent="a", relation="subagent")
    await shelf.put("empty", parent="a", relation="subagent")
    tree = await shelf.tree(one)
    assert (len(tree.children), tree.omitted) == (1, 0)


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
async def test_a_circle_of_parents_ends(shelf: Shelf, names: str) -> None:
    ids = [await shelf.put(name, "hi") for name in names]
    for child, parent in zip(ids, ids[-1:] + ids[:-1], strict=True):
        await shelf.change(child, parent_id=parent)
    tree = await shelf.tree(ids[0])
    depth = 0
    while tree.children:
        [tree] = tree.children
        depth += 1
    assert depth <= 5


@pytest.mark.parametrize("what", ["get", "tree", "state"])
async def test_a_session_that_is_not_there_is_not_found(shelf: Shelf, what: str) -> None:
    async with shelf.database.read() as connection:
        more = (NOW,) if what == "state" else ()
        with pytest.raises(Failure) as refused:
            await getattr(sessions, what)(connection, TENANT, NOWHERE, *more)
    assert refused.value.kind is FailureKind.NOT_FOUND


# --- events and states -----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 5, 9])
async def test_pages_of_events_go_on_after_the_last(shelf: Shelf, limit: int) -> None:
    one = await shelf.put("a", *(f"text {number}" for number in range(1, 6)))
    await shelf.put("b", "other")
    found: list[tuple[int, str | None]] = []
    after: int | None = 0
    while after is not None:
        async with shelf.database.read() as connection:
            page = await sessions.events(connection, TENANT, one, after=after, limit=limit)
        found += [(item.number, item.event.text) for item in page.items]
        after = None if page.next_cursor is None else int(page.next_cursor)
    assert found == [(number, f"text {number}") for number in range(1, 6)]


def tail(text: str) -> list[tuple[int, ConversationEvent]]:
    """A tail from letters: U(ser) I(njected) A(ssistant) T(hinking) D(ecision) d(ecided) E(rror), c1, r1 …"""
    kinds = {
        "U": Kind.USER, "I": Kind.USER, "A": Kind.ASSISTANT, "T": Kind.THINKING, "E": Kind.ERROR,
        "u": Kind.USAGE, "S": Kind.SYSTEM, "t": Kind.TITLE, "C": Kind.COMPACTION, "R": Kind.REWIND,
        "c": Kind.TOOL_CALL, "r": Kind.TOOL_RESULT, "D": Kind.DECISION, "d": Kind.DECISION,
    }  # fmt: skip
    events: list[ConversationEvent] = []
    for one in text.split():
        more: dict[str, Any] = {"injected": one == "I"}
        if one[0] in "cr":
            more["tool"] = ToolUse(call_id=one[1:], name=f"tool{one[1:]}" if one[0] == "c" else None)
        if one[0] in "Dd":
            more["choice"] = Choice(key="k", question="?", chosen=("yes",) if one == "d" else ())
        events.append(event(kinds[one[0]], one, ts=NOW + timedelta(seconds=len(events) + 1), **more))
    return list(enumerate(events, 1))


A = Activity


@pytest.mark.parametrize(
    ("text", "activity", "number", "tools"),
    [
        ("", A.EMPTY, 0, ()),
        ("u S t C R", A.EMPTY, 0, ()),
        ("I", A.EMPTY, 0, ()),
        ("U", A.UNANSWERED, 1, ()),
        ("U I u", A.UNANSWERED, 1, ()),
        ("U A", A.IDLE, 2, ()),
        ("U A u t S", A.IDLE, 2, ()),
        ("U A I", A.IDLE, 2, ()),
        ("U A U", A.UNANSWERED, 3, ()),
        ("U T", A.THINKING, 2, ()),
        ("U c1", A.WAITING_FOR_TOOL, 2, ("tool1",)),
        ("U c1 u", A.WAITING_FOR_TOOL, 2, ("tool1",)),
        ("U c1 I", A.WAITING_FOR_TOOL, 2, ("tool1",)),
        ("U A c1", A.WAITING_FOR_TOOL, 3, ("tool1",)),
        ("U c1 T", A.WAITING_FOR_TOOL, 3, ("tool1",)),
        ("U c1 r1", A.THINKING, 3, ()),
        ("r1", A.THINKING, 1, ()),
        ("r1 c1", A.THINKING, 2, ()),
        ("U c1 c2 c3", A.WAITING_FOR_TOOL, 4, ("tool1", "tool2", "tool3")),
        ("U c1 c2 r1", A.WAITING_FOR_TOOL, 4, ("tool2",)),
        ("U c1 c2 r2", A.WAITING_FOR_TOOL, 4, ("tool1",)),
        ("U c1 c2 r2 r1", A.THINKING, 5, ()),
        ("U c1 r1 A", A.IDLE, 4, ()),
        ("U c1 U", A.UNANSWERED, 3, ()),
        ("U c1 U T", A.THINKING, 4, ()),
        ("U c1 U A", A.IDLE, 4, ()),
        ("U c1 U c2", A.WAITING_FOR_TOOL, 4, ("tool2",)),
        ("U c1 U c2 r2", A.THINKING, 5, ()),
        ("U D", A.ASKING, 2, ()),
        ("U c1 D", A.ASKING, 3, ()),
        ("U d", A.THINKING, 2, ()),
        ("U c1 d", A.WAITING_FOR_TOOL, 3, ("tool1",)),
        ("U D U", A.UNANSWERED, 3, ()),
        ("U E", A.FAILED, 2, ()),
        ("U c1 E", A.FAILED, 3, ()),
        ("U E T", A.THINKING, 3, ()),
        ("U E U", A.UNANSWERED, 3, ()),
        pytest.param("U c1 c2 I", A.WAITING_FOR_TOOL, 3, ("tool1", "tool2")),
        pytest.param("U c1 c2 r2 I", A.WAITING_FOR_TOOL, 4, ("tool1",)),
    ],
)
def test_the_last_events_tell_what_a_session_does(
    text: str, activity: Activity, number: int, tools: tuple[str, ...]
) -> None:
    told = sessions.activity_of(tail(text))
    assert (told.activity, told.number, told.tools) == (activity, number, tools)
    assert told.since == (NOW + timedelta(seconds=number) if number else None)


@pytest.mark.parametrize("before", ["U T", "U c1", "U c1 r1"])
def test_a_session_that_was_interrupted_does_nothing(before: str) -> None:
    told = tail(before)
    said = "[Request interrupted by user]"
    end = event(Kind.USER, said, injected=True, details={"interrupted": True})
    state = sessions.activity_of([*told, (len(told) + 1, end)])
    assert state.activity not in (Activity.THINKING, Activity.WAITING_FOR_TOOL)


def test_a_tool_that_is_called_often_is_named_once_and_one_without_a_name_is_a_tool() -> None:
    calls = [
        event(Kind.TOOL_CALL, tool=ToolUse(call_id=str(number), name=name))
        for number, name in enumerate(["Bash", "Bash", None, "Read"])
    ]
    assert sessions.activity_of(list(enumerate(calls, 1))).tools == ("Bash", "tool", "Read")


async def test_a_state_tells_for_how_long_nothing_came(shelf: Shelf) -> None:
    one = await shelf.put("a", "hi", event(Kind.ASSISTANT, "yes", ts=NOW + timedelta(seconds=5)))
    async with shelf.database.read() as connection:
        told = await sessions.state(connection, TENANT, one, NOW + timedelta(seconds=65))
        before = await sessions.state(connection, TENANT, one, NOW)
    assert (told.session_id, told.activity, told.quiet_seconds) == (one, Activity.IDLE, 60)
    assert before.quiet_seconds == 0


async def test_an_empty_session_has_a_state(shelf: Shelf) -> None:
    one = await shelf.put("a")
    async with shelf.database.read() as connection:
        told = await sessions.state(connection, TENANT, one, NOW)
    assert (told.activity, told.quiet_seconds, told.since) == (Activity.EMPTY, None, None)


async def test_a_long_session_is_judged_by_its_end(shelf: Shelf) -> None:
    one = await shelf.put("a", *["hi"] * 900, event(Kind.ASSISTANT, "yes"), event(Kind.USAGE))
    async with shelf.database.read() as connection:
        told = await sessions.state(connection, TENANT, one, NOW)
    assert (told.activity, told.number) == (Activity.IDLE, 901)


# --- search ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("green", ["green tea", "tea green", "Green, TEA!"]),
        ("green tea", ["green tea", "tea green", "Green, TEA!"]),
        ("GREEN tEa", ["green tea", "tea green", "Green, TEA!"]),
        ("tea water", []),
        ('"green tea"', ["green tea", "Green, TEA!"]),
        ('"tea green"', ["tea green"]),
        ('"green tea" green', ["green tea", "Green, TEA!"]),
        ('"green tea', ["green tea", "tea green", "Green, TEA!"]),
        ("green-tea", ["green tea", "Green, TEA!"]),
        ("gree", []),
        ("gree*", ["green tea", "tea green", "Green, TEA!", "greenish"]),
        ("*reen", []),
        ('"gree*"', []),
        ("green-te*", ["green tea", "Green, TEA!"]),
        ("green AND tea", []),
        ("green OR greenish", []),
        ("or", ["or not"]),
        ("NOT or", ["or not"]),
        ("-green", ["green tea", "tea green", "Green, TEA!"]),
    ],
)
async def test_all_words_must_stand(shelf: Shelf, query: str, found: list[str]) -> None:
    texts = ["green tea", "tea green", "Green, TEA!", "greenish", "or not"]
    await shelf.put("a", *texts)
    assert sorted(hit.snippet for hit in await shelf.search(query)) == sorted(found)


async def test_a_hit_tells_where_it_is(shelf: Shelf) -> None:
    asked = event(text="where is the tea", ts=NOW)
    one = await shelf.put("a", "title here", asked, provider="codex")
    [hit] = await shelf.search("tea")
    assert hit == SessionHit(
        session_id=one,
        provider="codex",
        title="title here",
        number=2,
        event_id=asked.id,
        kind="message.user",
        ts=NOW,
        snippet="where is the tea",
        marks=((13, 16),),
    )


async def test_a_search_is_narrowed_by_program_session_and_kind(shelf: Shelf) -> None:
    one = await shelf.put("a", "tea 1", event(Kind.ASSISTANT, "tea 2"))
    two = await shelf.put("b", "tea 3", provider="codex")
    for wanted, snippets in (
        ({}, ["tea 3", "tea 2", "tea 1"]),
        ({"provider": "codex"}, ["tea 3"]),
        ({"provider": "none"}, []),
        ({"session_id": one}, ["tea 2", "tea 1"]),
        ({"session_id": two, "provider": "claude"}, []),
        ({"session_id": NOWHERE}, []),
        ({"kind": Kind.ASSISTANT}, ["tea 2"]),
    ):
        assert [hit.snippet for hit in await shelf.search("tea", **wanted)] == snippets


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 50])
async def test_pages_of_hits_neither_repeat_nor_lose(shelf: Shelf, limit: int) -> None:
    for number in range(3):
        await shelf.put(f"s{number}", "no", *(f"tea {number}{one}" for one in range(2)))
    found = [hit.snippet for hit in await shelf.search("tea", limit=limit)]
    assert found == ["tea 21", "tea 20", "tea 11", "tea 10", "tea 01", "tea 00"]


@pytest.mark.parametrize("walked", [1, 3, 7, 50])
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_hits_are_the_same_however_many_of_the_newest_are_looked_through(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, limit: int, walked: int
) -> None:
    monkeypatch.setattr(session_search, "_WALKED", walked)
    one = await shelf.put("a", "tea 1", "no", event(Kind.ASSISTANT, "tea 2"), "tea 3")
    await shelf.put("t", "tea of others", tenant=OTHERS)
    await shelf.put("b", "tea 4", *("no" for _ in range(5)), "tea 5", provider="codex")
    await shelf.put("t", *("no" for _ in range(3)), tenant=OTHERS)
    for wanted, snippets in (
        ({}, ["tea 5", "tea 4", "tea 3", "tea 2", "tea 1"]),
        ({"provider": "claude"}, ["tea 3", "tea 2", "tea 1"]),
        ({"session_id": one, "kind": Kind.USER}, ["tea 3", "tea 1"]),
    ):
        assert [hit.snippet for hit in await shelf.search("tea", limit=limit, **wanted)] == snippets


async def test_what_comes_while_paging_hides_nothing(shelf: Shelf) -> None:
    await shelf.put("a", *(f"tea {number}" for number in range(4)))
    search = Search(terms_of("tea"))
    async with shelf.database.read() as connection:
        first = await session_search.search(connection, TENANT, search, limit=2, before=None)
    await shelf.put("b", "tea new")
    assert first.next_cursor is not None
    async with shelf.database.read() as connection:
        second = await session_search.search(
            connection, TENANT, search, limit=2, before=int(first.next_cursor)
        )
    assert [hit.snippet for hit in (*first.items, *second.items)] == ["tea 3", "tea 2", "tea 1", "tea 0"]


async def test_a_revised_event_is_found_by_its_new_text_alone(shelf: Shelf) -> None:
    one = event(text="old words")
    await shelf.put("a", one)
    await shelf.put("a", one.model_copy(update={"text": "new words"}))
    assert await shelf.search("old") == []
    assert [(hit.snippet, hit.number) for hit in await shelf.search("new")] == [("new words", 1)]
    assert len(await shelf.search("words")) == 1
    await shelf.put("a", one.model_copy(update={"text": None}))
    assert await shelf.search("words") == []
    await shelf.put("a", one.model_copy(update={"text": "third"}))
    assert len(await shelf.search("third")) == 1


@pytest.mark.parametrize(
    "query", ["Bash", "status", "command", "clean", "working-tree", '"git status"', "porcel*", "note"]
)
async def test_what_tools_were_given_and_gave_is_found(shelf: Shelf, query: str) -> None:
    call = ToolUse(call_id="1", name="Bash", input={"command": "git status", "flags": ["porcelain", 7]})
    result = ToolUse(call_id="1", output="clean working tree")
    await shelf.put("a", event(Kind.TOOL_CALL, "note", tool=call), event(Kind.TOOL_RESULT, tool=result))
    assert len(await shelf.search(query)) == 1


async def test_words_on_later_lines_of_what_a_tool_was_given_are_found(shelf: Shelf) -> None:
    call = ToolUse(call_id="1", name="Bash", input={"command": "cd /x\ngit status\n\tmake"})
    await shelf.put("a", event(Kind.TOOL_CALL, tool=call))
    assert [len(await shelf.search(word)) for word in ("status", "git", "make")] == [1, 1, 1]


WORDS = [
    ("error in main.py line 5", "main"),
    ("error in main.py line 5", "main.py"),
    ("error in main.py line 5", "py"),
    ("see src/app/routes.py", "routes"),
    ("see src/app/routes.py", "src/app"),
    ("see https://docs.example.com/guide/start?x=1", "guide"),
    ("see https://docs.example.com/guide/start?x=1", "example"),
    ("write to ann@example.com", "ann"),
    ("write to ann@example.com", "ann@example.com"),
    ("a well-known fact", "known"),
    ("a well-known fact", "well-known"),
    ("a well-known fact", '"well known fact"'),
    ("version v1.2.3 is out", "v1.2.3"),
    ("version 1.2.3 is out", "1.2"),
    ("x=-5 and 1.5e3", "5"),
    ("call snake_case_name(x)", "snake_case_name"),
    ("call snake_case_name(x)", "snake"),
    ("call snake_case_name(x)", "snake_ca*"),
    ("a Vec<String> of them", "string"),
    ('<div class="needle">text</div>', "needle"),
    ("R&D &amp; more", "amp"),
    ("don't stop", "don't"),
    ("\u65e5\u672c\u8a9e text", "\u65e5\u672c\u8a9e"),
    ("\u043f\u0440\u0438\u0432\u0435\u0442", "\u041f\u0420\u0418\u0412\u0415\u0422"),
    ("Stra\u00dfe", "stra\u00dfe"),
    ("\u03c3\u03bf\u03c6\u03cc\u03c2", "\u03c3\u03bf\u03c6\u03cc\u03c2"),
    ("caf\u00e9", "caf\u00e9"),
    ("cafe\u0301", "cafe\u0301"),
    ("caf\u00e9", "CAF\u00c9"),
    ("caf\u00e9", "cafe"),
    ("cafe", "caf\u00e9"),
    ("caf\u00e9 na\u00efve", "naiv*"),
    ("\u0130stanbul", "\u0130stanbul"),
    ("\ufb01ne", "\ufb01ne"),
    ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
]


async def test_words_are_found_as_they_stand_in_texts_about_programs(shelf: Shelf) -> None:
    await shelf.put("a", *dict.fromkeys(text for text, _ in WORDS))
    found = {(text, query): [hit.snippet for hit in await shelf.search(query)] for text, query in WORDS}
    assert [one for one, snippets in found.items() if one[0] not in snippets] == []
    assert [hit.snippet for hit in await shelf.search("guide")] == [WORDS[5][0]], "and in no other"


@pytest.mark.parametrize(("text", "query"), WORDS, ids=ascii)
def test_what_was_found_is_marked(text: str, query: str) -> None:
    before = "word " * 200
    snippet, marks = snippet_of(before + text, terms_of(query))
    assert marks, snippet
    assert text.split()[0] in snippet


OPERATORS = [
    "AND", "OR", "NOT", "NEAR", "NEAR(", "-", "+", ":", "*", "^", "(", ")", "{", "}", '"', '""', "'", "''",
    "\\", "&", "|", "!", "<->", "<2>", "_", "__", "a", "tea", "text:", "rowid", "\x00", "%", ";", "--",
    "\u00df", "\u00b2", "\u00bd", "\u0301", "\u0130", "\u0390", "\U0001f375", "\u65e5", "\u200d", ",",
    "$1", ":told",
]  # fmt: skip
queries = st.one_of(
    st.builds(
        lambda parts, between: between.join(parts),
        st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=12),
        st.sampled_from(["", " "]),
    ),
    st.text(max_size=40),
)


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(query=queries)
@example(query="_")
@example(query="tea _")
@example(query="_*")
@example(query='"tea')
@example(query="a" * 400)
async def test_no_query_breaks_the_search(shelf: Shelf, query: str) -> None:
    if not words_of(query):
        with pytest.raises(Failure) as refused:
            await shelf.search(query)
        assert refused.value.errors[0].field == "query.q"
    else:
        assert await shelf.search(query) == []


@pytest.mark.parametrize("letter", ["\u0390", "\U00020000", "\u1f80", "\ufb03"], ids=ascii)
async def test_the_longest_word_breaks_nothing(shelf: Shelf, letter: str) -> None:
    assert await shelf.search(letter * 400) == []
    assert await shelf.search(" ".join([f"{letter * 23}*"] * 16)) == []


async def test_signs_that_are_no_words_exclude_nothing(shelf: Shelf, request: pytest.FixtureRequest) -> None:
    await shelf.put("a", "green tea")
    for query in ("tea -", "tea _", "tea __ green", "_ tea", "tea _*"):
        assert len(await shelf.search(query)) == 1, query


@pytest.mark.parametrize("text", ["", "  ", "-", "*", '""', '" "', "\x00", "a " * 17])
def test_a_query_without_words_or_with_too_many_is_refused(text: str) -> None:
    with pytest.raises(Failure) as refused:
        terms_of(text)
    assert refused.value.errors[0].field == "query.q"


def test_the_terms_of_a_query() -> None:
    assert terms_of('One "two, three" fo* "fi*" a-b* *x') == (
        Term(("one",)),
        Term(("two", "three")),
        Term(("fo",), prefix=True),
        Term(("fi",)),
        Term(("a", "b"), prefix=True),
        Term(("x",)),
    )


texts = st.lists(st.sampled_from(["tea", "teapot", "steam", "Tea", "\n", ", ", " ", "x" * 50]), max_size=40)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(parts=texts, query=st.sampled_from(["tea", "tea*", '"tea tea"', "tea teapot", "x*"]))
def test_marks_are_within_the_snippet_in_order_and_hold_what_was_asked_for(
    parts: Sequence[str], query: str
) -> None:
    snippet, marks = snippet_of("".join(parts), terms_of(query))
    end = 0
    for begin, behind in marks:
        assert end <= begin < behind <= len(snippet)
        assert snippet[begin:behind].casefold().startswith(("tea", "x"))
        end = behind
    assert len(snippet) <= 362


async def test_a_snippet_of_a_long_text_is_what_stands_around_the_find(shelf: Shelf) -> None:
    await shelf.put("a", f"{'word ' * 500}green TEA here{' word' * 500}")
    [hit] = await shelf.search('"green tea" here')
    assert marked(hit) == ["green TEA", "here"]
    assert hit.snippet.startswith("\u2026")
    assert hit.snippet.endswith("\u2026")
    assert len(hit.snippet) < 400


def test_parts_of_words_at_the_edges_of_a_snippet_are_not_marked() -> None:
    text = "concat" + "." * 117 + "cat" + " " * 234 + "category"
    for cut in range(8):
        snippet, marks = snippet_of(text[:123] + " " * cut + text[123:], terms_of("cat"))
        assert len(marks) == 1, snippet


async def test_the_end_of_a_very_long_text_is_found_on_every_database(
    shelf: Shelf, request: pytest.FixtureRequest
) -> None:
    await shelf.put("a", "word " * 30_000 + "needle")
    assert len(await shelf.search("needle")) == 1


async def test_a_phrase_far_down_in_a_text_is_found(shelf: Shelf) -> None:
    # Behind the 16,383rd word Postgres tells no places apart.
    await shelf.put("a", "a b " * 8_000 + "green tea")
    assert len(await shelf.search('"green tea"')) == 1
    assert len(await shelf.search('"tea green"')) == 0


# --- recordings and hosts --------------------------------------------------------------------------------


async def test_recordings_are_listed_the_newest_first_and_by_session_and_state(shelf: Shelf) -> None:
    one, two = await shelf.put("a", "hi"), await shelf.put("b", "hi")
    ids = [
        await shelf.record(session, state, started_at=NOW + timedelta(minutes=number))
        for number, (session, state) in enumerate([(one, "active"), (one, "stopped"), (two, "failed")])
    ]

    async def listed(session: str | None = None, *states: str, limit: int = 9) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            async with shelf.database.read() as connection:
                page = await sessions.recordings_page(
                    connection, TENANT, session_id=session, states=states, limit=limit, cursor=cursor
                )
            found += [item.id for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found

    assert await listed() == await listed(limit=1) == ids[::-1]
    assert await listed(one) == [ids[1], ids[0]]
    assert await listed(one, "active") == [ids[0]]
    assert await listed(None, "stopped", "failed") == [ids[2], ids[1]]
    assert await listed(NOWHERE) == []


async def test_a_recording_is_shown_as_its_records_say(shelf: Shelf) -> None:
    one = await shelf.put("a", "hi")
    recording = await shelf.record(one, "failed", alias="notes", problem="full", path="/n/a.md", size=7)
    async with shelf.database.read() as connection:
        found = await sessions.recording(connection, TENANT, recording)
        with pytest.raises(Failure) as refused:
            await sessions.recording(connection, TENANT, "rec_" + "1" * 26)
    assert refused.value.kind is FailureKind.NOT_FOUND
    assert (found.session_id, found.workspace, found.path, found.problem, found.size, found.written) == (
        one,
        "notes",
        "/n/a.md",
        "full",
        7,
        0,
    )


async def test_the_fleet_counts_what_each_host_looks_after(shelf: Shelf) -> None:
    for host, seen in (("b", NOW), ("a", NOW - timedelta(seconds=20)), ("c", NOW)):
        async with shelf.database.write() as connection:
            await capture_hosts.seen(
                connection, TENANT, host, {"files": 1}, version="1", started_at=NOW, now=seen
            )
    one, two = await shelf.put("a", "hi"), await shelf.put("b", "hi")
    await shelf.read(one, "/1", "b")
    await shelf.read(one, "/2", "b", problem="torn")
    await shelf.read(two, "/3", "b", problem="strange")
    await shelf.read(two, "/3", "a")
    await shelf.read(two, "/4", "gone")
    await shelf.record(one, "stopping", host="b")
    await shelf.record(one, host="b")
    await shelf.change(one, revised=1)
    await shelf.record(two, host="b")
    await shelf.record(two, "failed", host="a")
    async with shelf.database.read() as connection:
        found = await fleet.hosts(connection, TENANT, NOW)
    counts = [(one.host, one.alive, one.sessions, one.transcripts, one.troubled, one.behind) for one in found]
    assert counts == [("a", False, 1, 1, 0, 0), ("b", True, 2, 3, 2, 2), ("c", True, 0, 0, 0, 0)]


async def test_a_host_that_is_heard_of_again_is_the_same(shelf: Shelf) -> None:
    for number in range(3):
        async with shelf.database.write() as connection:
            await capture_hosts.seen(
                connection,
                TENANT,
                "here",
                {"files": number},
                version=f"1.{number}",
                started_at=NOW,
                now=NOW + timedelta(seconds=number),
            )
    async with shelf.database.read() as connection:
        [found] = await fleet.hosts(connection, TENANT, NOW)
    assert (found.version, found.status, found.seen_at) == (
        "1.2",
        {"files": 2},
        NOW + timedelta(seconds=2),
    )
    assert found.alive, "a host whose clock is ahead is no dead one"
