"""Captured sessions over HTTP: who may read them, what is refused, and how lists go on."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateways import Door, bearer

from minoots.contracts.conversations import Choice, ConversationEvent, ConversationEventKind, ToolUse
from minoots_platform.identity import Scope
from minoots_platform.records import capture_hosts, conversations, recordings
from minoots_platform.records.conversations import File, Reading, Whose

DEV = "dev"
THEIRS = "globex"
NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)
YEARS_AGO = NOW - timedelta(days=800)
TO_COME = NOW + timedelta(days=800)
NOBODY = "cnv_" + "0" * 26
NOTHING = "rec_" + "0" * 26
_numbers = itertools.count(1)

BY_ID = ["/v1/sessions/{}", "/v1/sessions/{}/tree", "/v1/sessions/{}/events", "/v1/sessions/{}/state"]
LISTS = ["/v1/sessions", "/v1/sessions/search?q=tea", "/v1/recordings", "/v1/fleet"]


def said(
    text: str, kind: ConversationEventKind = ConversationEventKind.USER, **more: Any
) -> ConversationEvent:
    """An event with an id of its own."""
    return ConversationEvent(id=f"e{next(_numbers)}", kind=kind, text=text, ts=NOW, **more)


async def put(
    door: Door,
    name: str,
    *events: ConversationEvent | str,
    tenant: str = DEV,
    parent: str | None = None,
    provider: str = "claude",
    at: float = 0,
    **facts: str,
) -> str:
    """Keep a session; a text is what its user said."""
    now = NOW + timedelta(minutes=at)
    told = [said(one).model_copy(update={"ts": now}) if isinstance(one, str) else one for one in events]
    whose = Whose(provider, name, parent, "subagent" if parent else None)
    async with door.gateway.database.write() as connection:
        row = await conversations.ensure(connection, tenant, whose, now)
        await conversations.keep(connection, row, told, facts, now)
    return str(row.id)


async def record(door: Door, session: str, tenant: str = DEV, state: str = "active") -> str:
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
        "started_at": NOW + timedelta(minutes=number),
        "state": state,
    }
    async with door.gateway.database.write() as connection:
        await recordings.start(connection, values)
    return str(values["id"])


async def everything(door: Door, path: str, **params: Any) -> list[dict[str, Any]]:
    """The items of all pages."""
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        answer = await door.http.get(path, params=params | more)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json().get("next_cursor")
        if cursor is None:
            return found
        more = {"cursor": cursor}


async def test_a_session_from_list_to_events(door: Door) -> None:
    call = said("", ConversationEventKind.TOOL_CALL, tool=ToolUse(call_id="1", name="Bash", input={"a": 1}))
    one = await put(door, "s1", "green tea", call, cwd="/x", model="m")
    await put(door, "s1/agent-a", "hi", parent="s1")
    [listed] = (await door.http.get("/v1/sessions")).json()["items"]
    assert (listed["id"], listed["title"], listed["cwd"], listed["events"], listed["children"]) == (
        one,
        "green tea",
        "/x",
        2,
        1,
    )
    assert (await door.http.get(f"/v1/sessions/{one}")).json() == listed
    tree = (await door.http.get(f"/v1/sessions/{one}/tree")).json()
    assert tree["session"] == listed
    assert [child["session"]["session_id"] for child in tree["children"]] == ["s1/agent-a"]
    assert tree["omitted"] == 0
    first, second = (await door.http.get(f"/v1/sessions/{one}/events")).json()["items"]
    assert (first["number"], first["event"]["text"]) == (1, "green tea")
    assert (second["number"], second["event"]["tool"]["input"]) == (2, {"a": 1})
    state = (await door.http.get(f"/v1/sessions/{one}/state")).json()
    assert (state["session_id"], state["activity"], state["tools"], state["number"]) == (
        one,
        "waiting_for_tool",
        ["Bash"],
        2,
    )
    assert state["quiet_seconds"] >= 0
    [hit] = (await door.http.get("/v1/sessions/search", params={"q": "tea"})).json()["items"]
    assert (hit["session_id"], hit["snippet"], hit["marks"]) == (one, "green tea", [[6, 9]])


async def test_a_question_that_is_open_is_asked(door: Door) -> None:
    choice = Choice(key="k", question="sure?", options=("yes", "no"))
    one = await put(door, "s1", "hi", said("", ConversationEventKind.DECISION, choice=choice))
    assert (await door.http.get(f"/v1/sessions/{one}/state")).json()["activity"] == "asking"


@pytest.mark.parametrize("path", [*BY_ID, *LISTS, "/v1/recordings/{}", "/v1/fleet/status"])
async def test_reading_sessions_needs_its_scope(door: Door, path: str) -> None:
    one = await put(door, "s1", "tea")
    recording = await record(door, one)
    path = path.format(recording if "recordings" in path else one)
    for scope in Scope:
        answer = await door.http.get(path, headers=await bearer(door, scope, tenant=DEV))
        if scope in (Scope.SESSIONS_READ, Scope.ADMIN):
            assert answer.status_code == 200, answer.text
        else:
            assert answer.status_code == 403
            assert "sessions:read" in answer.json()["detail"]
            assert "tea" not in answer.text
    assert (await door.http.get(path, headers={"Authorization": "Bearer mnt_x"})).status_code == 401


async def test_tenants_see_nothing_of_each_other(door: Door) -> None:
    theirs = await put(door, "s1", "tea", tenant=THEIRS)
    await put(door, "s1/agent-a", "tea", parent="s1", tenant=THEIRS)
    recording = await record(door, theirs, THEIRS)
    async with door.gateway.database.write() as connection:
        await capture_hosts.seen(connection, THEIRS, "there", {}, version="1", started_at=NOW, now=NOW)
        await conversations.keep_reading(connection, THEIRS, File("there", "/f"), theirs, Reading(), NOW)
    own = await bearer(door, Scope.SESSIONS_READ, tenant=THEIRS)
    paths = [*(path.format(theirs) for path in BY_ID), f"/v1/recordings/{recording}"]
    for path in paths:
        assert (await door.http.get(path, headers=own)).status_code == 200
        assert (await door.http.get(path)).status_code == 404
        assert (
            await door.http.get(path, headers=await bearer(door, Scope.ADMIN, tenant=DEV))
        ).status_code == 404
    narrowed = [
        f"/v1/sessions?parent_id={theirs}",
        "/v1/sessions?subagents=true",
        f"/v1/sessions/search?q=tea&session_id={theirs}",
        f"/v1/recordings?session_id={theirs}",
    ]
    for path in (*LISTS, *narrowed):
        assert (await door.http.get(path, headers=own)).json()["items"] != []
        assert (await door.http.get(path)).json()["items"] == []


@pytest.mark.parametrize("path", [*BY_ID, "/v1/recordings/{}"])
async def test_what_is_not_there_is_not_found(door: Door, path: str) -> None:
    for public_id in (NOBODY, NOTHING, "x", "cnv_", "cnv_%00", "cnv_" + "u" * 26, "%F0%9F%A6%89", "a" * 5000):
        answer = await door.http.get(path.format(public_id))
        assert answer.status_code == 404, public_id
        assert answer.json()["kind"] == "not_found"
        assert len(answer.text) < 1000


REFUSED = [
    ("/v1/sessions?cursor=x", "query.cursor"),
    ("/v1/sessions?cursor=12", "query.cursor"),
    ("/v1/sessions?limit=0", "query.limit"),
    ("/v1/sessions?limit=201", "query.limit"),
    ("/v1/sessions?title=", "query.title"),
    ("/v1/sessions?title=%00", "query.title"),
    ("/v1/sessions?cwd=%00", "query.cwd"),
    ("/v1/sessions?session=%00", "query.session"),
    ("/v1/sessions?parent_id=%00", "query.parent_id"),
    ("/v1/sessions?provider=" + "x" * 33, "query.provider"),
    ("/v1/sessions?provider=cluade", "query.provider"),
    ("/v1/sessions/search?q=tea&provider=Claude", "query.provider"),
    ("/v1/sessions?parent_id=" + "x" * 41, "query.parent_id"),
    ("/v1/sessions?subagents=maybe", "query.subagents"),
    ("/v1/sessions?recorded=2", "query.recorded"),
    ("/v1/sessions?since=yesterday", "query.since"),
    ("/v1/sessions?since=2026-01-01T00:00:00", "query.since"),
    ("/v1/sessions?until=now", "query.until"),
    ("/v1/sessions?folder=/x", "query.folder"),
    ("/v1/sessions/search", "query.q"),
    ("/v1/sessions/search?q=", "query.q"),
    ("/v1/sessions/search?q=%00", "query.q"),
    ("/v1/sessions/search?q=tea%00", "query.q"),
    ("/v1/sessions/search?q=-", "query.q"),
    ("/v1/sessions/search?q=%22%22", "query.q"),
    ("/v1/sessions/search?q=" + "a+" * 17, "query.q"),
    ("/v1/sessions/search?q=" + "a" * 401, "query.q"),
    ("/v1/sessions/search?q=a&kind=gossip", "query.kind"),
    ("/v1/sessions/search?q=a&session_id=" + "x" * 41, "query.session_id"),
    ("/v1/sessions/search?q=a&cursor=x", "query.cursor"),
    ("/v1/sessions/search?q=a&cursor=-1", "query.cursor"),
    ("/v1/sessions/search?q=a&cursor=", "query.cursor"),
    ("/v1/sessions/search?q=a&cursor=%D9%A1", "query.cursor"),
    ("/v1/sessions/search?q=a&cursor=" + "9" * 19, "query.cursor"),
    ("/v1/sessions/{}/events?after=-1", "query.after"),
    ("/v1/sessions/{}/events?after=x", "query.after"),
    ("/v1/sessions/{}/events?after=9007199254740993", "query.after"),
    ("/v1/sessions/{}/events?cursor=1.0", "query.cursor"),
    ("/v1/sessions/{}/events?limit=1000", "query.limit"),
    ("/v1/recordings?state=gone", "query.state"),
    ("/v1/recordings?cursor=7", "query.cursor"),
    ("/v1/recordings?session_id=%00", "query.session_id"),
    ("/v1/fleet?limit=1", "query.limit"),
]


async def test_a_query_that_cannot_be_is_refused_with_its_field(door: Door) -> None:
    one = await put(door, "s1", "tea")
    told = []
    for path, _ in REFUSED:
        answer = await door.http.get(path.format(one))
        assert answer.status_code == 422, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["kind"] == "invalid"
        # Of a list, the item is named behind it.
        told.append((path, ".".join(answer.json()["errors"][0]["field"].split(".")[:2])))
    assert told == REFUSED


async def test_a_bare_number_is_no_time(door: Door) -> None:
    assert (await door.http.get("/v1/sessions?until=1")).status_code == 422


async def test_a_cursor_of_one_list_is_none_of_another(door: Door) -> None:
    one = await put(door, "a", "hi")
    await put(door, "b", "hi")
    for _ in range(2):
        await record(door, one)
    page = (await door.http.get("/v1/sessions", params={"limit": 1})).json()
    other = await door.http.get("/v1/recordings", params={"cursor": page["next_cursor"]})
    assert other.status_code == 422
    page = (await door.http.get("/v1/recordings", params={"limit": 1})).json()
    other = await door.http.get("/v1/sessions", params={"cursor": page["next_cursor"]})
    assert other.status_code == 422


QUERIES = [
    "AND", "a OR", "NOT a", "NEAR(a b)", "-a", "text:a", "a:*", "*a", "a*", "(a", "a)", '"a', "a'b",
    "\\a", "a & b", "a | !b", "a <-> b", "_", "_*", "a _", "$1", ":told", "%", "a\x00b", "\u0130",
    "a\u0301", "\U0001f375 a", "{a}", "^a", "a+b", "a\nb", ";a--", "\ufffe a", "\u0390" * 400,
]  # fmt: skip


async def test_no_query_is_an_error_of_the_server(door: Door) -> None:
    await put(door, "s1", "tea")
    for query in QUERIES:
        answer = await door.http.get("/v1/sessions/search", params={"q": query})
        assert answer.status_code in (200, 422), (query, answer.text)


async def test_lists_go_on_where_they_ended(door: Door) -> None:
    ids = [await put(door, f"s{number}", "tea 1", "tea 2", at=number // 2) for number in range(5)]
    made = [await record(door, ids[0]) for _ in range(3)]
    for limit in (1, 2, 5):
        assert sorted(one["id"] for one in await everything(door, "/v1/sessions", limit=limit)) == sorted(ids)
        hits = await everything(door, "/v1/sessions/search", limit=limit, q="tea")
        assert len({one["event_id"] for one in hits}) == len(hits) == 10
        events = await everything(door, f"/v1/sessions/{ids[0]}/events", limit=limit)
        assert [one["number"] for one in events] == [1, 2]
        assert [one["id"] for one in await everything(door, "/v1/recordings", limit=limit)] == made[::-1]


async def test_the_list_begins_with_what_was_said_last_whenever_it_was_captured(door: Door) -> None:
    silent = said("hi").model_copy(update={"ts": None})
    names = {
        "wrong clock": await put(door, "c", said("hi").model_copy(update={"ts": TO_COME}), at=-0.5),
        "new": await put(door, "new", "hi", at=-1),
        "without times": await put(door, "x", silent, at=-2),
        "old, captured last": await put(door, "old", said("hi").model_copy(update={"ts": YEARS_AGO}), at=5),
    }
    assert [one["id"] for one in await everything(door, "/v1/sessions", limit=1)] == list(names.values())


async def test_events_begin_after_a_number(door: Door) -> None:
    one = await put(door, "s1", *(f"text {number}" for number in range(1, 6)))
    path = f"/v1/sessions/{one}/events"
    assert [item["number"] for item in await everything(door, path, after=2, limit=2)] == [3, 4, 5]
    assert await everything(door, path, after=5) == []
    assert await everything(door, path, after=2**53) == []


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["c", "b", "a"]),
        ({"provider": "codex"}, ["b"]),
        ({"cwd": "/x"}, ["b", "a"]),
        ({"cwd": "/x/y"}, ["b"]),
        ({"title": "TEA"}, ["a"]),
        ({"session": "a"}, ["a"]),
        ({"subagents": "True"}, ["a/1", "c", "b", "a"]),
        ({"subagents": "False"}, ["c", "b", "a"]),
        ({"recorded": "true"}, ["a"]),
        ({"recorded": "False"}, ["c", "b"]),
        ({"since": "2026-07-01T12:00:00+02:00"}, ["c", "b", "a"]),
        ({"since": "2026-07-01T10:01:30Z"}, ["c"]),
        ({"since": "2026-07-01T10:04:01Z"}, []),
        ({"until": "2026-07-01T10:00:00Z"}, []),
        ({"until": "0001-01-01T00:00:00Z"}, []),
        ({"since": "9999-12-31T23:59:59Z"}, []),
    ],
    ids=str,
)
async def test_filters_of_the_list(door: Door, params: dict[str, str], names: list[str]) -> None:
    one = await put(door, "a", "green tea", cwd="/x")
    await put(door, "b", "hi", provider="codex", cwd="/x/y", at=1)
    await put(door, "c", "hi", cwd="/xy", at=2)
    await put(door, "empty", at=3)
    await put(door, "a/1", "hi", parent="a", at=4)
    await record(door, one)
    assert [item["session_id"] for item in await everything(door, "/v1/sessions", **params)] == names


async def test_recordings_are_found_by_session_and_state(door: Door) -> None:
    one, two = await put(door, "a", "hi"), await put(door, "b", "hi")
    first = await record(door, one)
    second = await record(door, two, state="stopped")
    third = await record(door, one, state="failed")
    for params, ids in (
        ({}, [third, second, first]),
        ({"session_id": one}, [third, first]),
        ({"state": ["active", "stopped"]}, [second, first]),
        ({"state": "failed", "session_id": two}, []),
        ({"session_id": NOBODY}, []),
    ):
        assert [item["id"] for item in await everything(door, "/v1/recordings", **params)] == ids
    found = (await door.http.get(f"/v1/recordings/{first}")).json()
    assert (found["session_id"], found["state"], found["kind"]) == (one, "active", "record")


async def test_the_fleet_tells_which_hosts_are_alive(door: Door) -> None:
    one = await put(door, "a", "hi")
    async with door.gateway.database.write() as connection:
        for host, seen in (("old", NOW), ("new", door.gateway.clock() + timedelta(hours=1))):
            await capture_hosts.seen(
                connection, DEV, host, {"files": 3}, version="1", started_at=NOW, now=seen
            )
        reading = Reading(problem="torn")
        await conversations.keep_reading(connection, DEV, File("old", "/f"), one, reading, NOW)
    found = (await door.http.get("/v1/fleet")).json()["items"]
    assert [(item["host"], item["alive"], item["sessions"], item["troubled"]) for item in found] == [
        ("new", True, 0, 0),
        ("old", False, 1, 1),
    ]
    assert found[0]["status"] == {"files": 3}
    recorded, ended = await record(door, one), await record(door, one, state="stopped")
    status = (await door.http.get("/v1/fleet/status")).json()
    assert [host["host"] for host in status["hosts"]] == ["new", "old"]
    assert (status["sessions"], status["events"]) == (1, 1)
    assert status["recordings"] == {"active": 1, "stopped": 1}
    assert [row["id"] for row in status["recording"]] == [recorded]
    assert ended not in str(status)
    assert [session["id"] for session in status["recent"]] == [one]
    assert [(file["path"], file["problem"]) for file in status["troubled"]] == [("/f", "torn")]
