"""Captured sessions from Python and from the command line: what is sent, and what is shown."""

import inspect
import json
import re
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint

import httpx
import pytest
from typer.testing import CliRunner

import minoots
from minoots import AsyncMinoots, Minoots
from minoots.cli import exits, plugins
from minoots.cli.exits import Exit
from minoots.cli.root import app
from minoots.contracts.sessions import Activity, SessionTree
from minoots.resources import sessions as resources

S = "/v1/sessions/cnv_1"
AT = "2026-07-01T10:00:00Z"

CALLS = [
    (lambda c: c.sessions.list(), "/v1/sessions"),
    (
        lambda c: c.sessions.list(
            provider="claude",
            cwd="/x y",
            title="tea",
            session="1111",
            parent_id="cnv_1",
            subagents=True,
            recorded=False,
            since=datetime(2030, 1, 1, tzinfo=UTC),
            until=AT,
        ),
        "/v1/sessions?provider=claude&cwd=%2Fx+y&title=tea&session=1111&parent_id=cnv_1&subagents=True"
        "&recorded=False&since=2030-01-01T00%3A00%3A00%2B00%3A00&until=2026-07-01T10%3A00%3A00Z",
    ),
    (lambda c: c.sessions.get("cnv_1"), S),
    (lambda c: c.sessions.get("a/b?c"), "/v1/sessions/a%2Fb%3Fc"),
    (lambda c: c.sessions.tree("cnv_1"), f"{S}/tree"),
    (lambda c: c.sessions.events("cnv_1"), f"{S}/events?limit=200"),
    (lambda c: c.sessions.events("cnv_1", after=0), f"{S}/events?after=0&limit=200"),
    (lambda c: c.sessions.state("cnv_1"), f"{S}/state"),
    (lambda c: c.sessions.search('"green tea" a&b*'), "/v1/sessions/search?q=%22green+tea%22+a%26b%2A"),
    (
        lambda c: c.sessions.search("tea", provider="codex", session_id="cnv_1", kind="tool.call"),
        "/v1/sessions/search?q=tea&provider=codex&session_id=cnv_1&kind=tool.call",
    ),
    (lambda c: c.recordings.list(), "/v1/recordings"),
    (
        lambda c: c.recordings.list(session_id="cnv_1", state=["active", "failed"]),
        "/v1/recordings?session_id=cnv_1&state=active&state=failed",
    ),
    (lambda c: c.recordings.get("rec_1"), "/v1/recordings/rec_1"),
    (lambda c: c.fleet.list(), "/v1/fleet"),
]
EACH = pytest.mark.parametrize(("ask", "path"), CALLS, ids=[path[:60] for _, path in CALLS])


class Recorder:
    """A transport that keeps the request and refuses it, so that no answer needs inventing."""

    def __init__(self):
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        return httpx.Response(409, json={})

    def check(self, path):
        [request] = self.requests
        assert request.method == "GET"
        # Browsers and libraries differ in what of a query they escape: compare what it says.
        assert request.url == httpx.URL(f"http://gateway{path}")
        assert request.url.raw_path.decode().partition("?")[0] == path.partition("?")[0]
        assert request.content == b""


@EACH
def test_the_sync_client_sends(ask, path):
    recorder = Recorder()
    with (
        Minoots("http://gateway", transport=httpx.MockTransport(recorder)) as client,
        pytest.raises(minoots.Conflict),
    ):
        next(ask(client))
    recorder.check(path)


@EACH
async def test_the_async_client_sends_the_same(ask, path):
    recorder = Recorder()
    async with AsyncMinoots("http://gateway", transport=httpx.MockTransport(recorder)) as client:
        result = ask(client)
        with pytest.raises(minoots.Conflict):
            await (anext(result) if hasattr(result, "__anext__") else result)
    recorder.check(path)


@pytest.mark.parametrize("name", ["Sessions", "Recordings", "Fleet"])
def test_both_clients_offer_the_same(name):
    def offered(kind):
        return {
            one: list(inspect.signature(method).parameters.values())
            for one, method in inspect.getmembers(kind, inspect.isfunction)
            if not one.startswith("_")
        }

    assert offered(getattr(resources, name)) == offered(getattr(resources, f"Async{name}"))


@pytest.mark.parametrize("bad", ["", ".", ".."])
@pytest.mark.parametrize("what", ["get", "tree", "state"])
def test_an_id_cannot_reach_another_route(bad, what):
    with Minoots() as client, pytest.raises(minoots.InvalidRequest, match=r"path\.id: expected an id"):
        getattr(client.sessions, what)(bad)


def session(public_id="cnv_1", session_id="1111-2222", **changes):
    return {
        "id": public_id,
        "provider": "claude",
        "session_id": session_id,
        "title": "green tea",
        "events": 3,
        "updated_at": AT,
        "last_at": AT,
    } | changes


def event(number, kind="message.user", text=None, **more):
    return {"number": number, "event": {"id": f"e{number}", "kind": kind, "ts": AT, "text": text} | more}


def hit(number, **changes):
    return {
        "session_id": "cnv_1",
        "provider": "claude",
        "number": number,
        "event_id": f"e{number}",
        "kind": "message.user",
        "snippet": "green tea",
        "marks": [[0, 5]],
    } | changes


def paged(make, *pages):
    """Answers of pages, one after the other; each tells its own place as cursor."""
    last = len(pages)
    return [
        make.reply({"items": items} | ({"next_cursor": str(number)} if number < last else {}))
        for number, items in enumerate(pages, 1)
    ]


LISTS = [
    ("/v1/sessions", lambda c: c.sessions.list(), [session("cnv_1"), session("cnv_2")]),
    ("/v1/sessions/search", lambda c: c.sessions.search("tea"), [hit(2), hit(1)]),
    (f"{S}/events", lambda c: c.sessions.events("cnv_1", after=3), [event(4, text="a"), event(5)]),
]


@pytest.mark.parametrize(("path", "ask", "items"), LISTS, ids=[path for path, _, _ in LISTS])
def test_a_list_goes_on_over_pages(gateway, make, path, ask, items):
    gateway.answer("GET", path, *paged(make, *([one] for one in items)))
    with Minoots(gateway.url) as client:
        found = list(ask(client))
    assert len(found) == 2
    assert [dict(seen.query).get("cursor") for seen in gateway.seen] == [None, "1"]
    first, second = (dict(seen.query) | {"cursor": ""} for seen in gateway.seen)
    assert first == second, "filters stay the same from page to page"


@pytest.mark.parametrize(("path", "ask", "items"), LISTS, ids=[path for path, _, _ in LISTS])
async def test_a_list_of_the_async_client_goes_on_over_pages(gateway, make, path, ask, items):
    gateway.answer("GET", path, *paged(make, *([one] for one in items)))
    async with AsyncMinoots(gateway.url) as client:
        found = [one async for one in ask(client)]
    assert len(found) == 2
    assert len(gateway.seen) == 2


async def test_answers_become_models_in_both_clients(gateway, make):
    branch = {"session": session(), "children": [{"session": session("cnv_2"), "omitted": 4}]}
    state = {"session_id": "cnv_1", "activity": "waiting_for_tool", "tools": ["Bash"], "later": True}
    host = {"host": "here", "version": "1", "started_at": AT, "seen_at": AT, "alive": True}
    gateway.answer("GET", f"{S}/tree", make.reply(branch))
    gateway.answer("GET", f"{S}/state", make.reply(state))
    gateway.answer("GET", "/v1/fleet", make.reply({"items": [host]}))
    with Minoots(gateway.url) as client:
        tree, told, hosts = client.sessions.tree("cnv_1"), client.sessions.state("cnv_1"), client.fleet.list()
        assert isinstance(tree, SessionTree)
        assert (tree.children[0].session.id, tree.children[0].omitted) == ("cnv_2", 4)
        assert (told.activity, told.tools) == (Activity.WAITING_FOR_TOOL, ("Bash",))
        [one] = hosts
        assert (one.host, one.alive, one.status) == ("here", True, {})
    async with AsyncMinoots(gateway.url) as client:
        assert await client.sessions.tree("cnv_1") == tree
        assert await client.sessions.state("cnv_1") == told
        assert [host async for host in client.fleet.list()] == [one]


# --- the command line ------------------------------------------------------------------------------------


@pytest.fixture
def cli(gateway, monkeypatch):
    points = {
        "sessions": EntryPoint("sessions", "minoots.cli.sessions:app", plugins.GROUP),
        "recordings": EntryPoint("recordings", "minoots.cli.sessions:recordings", plugins.GROUP),
    }
    monkeypatch.setattr(plugins, "found", lambda: points)
    monkeypatch.setenv("TZ", "UTC")

    def invoke(*arguments):
        return CliRunner().invoke(app, ["--url", gateway.url, *arguments])

    return invoke


def test_sessions_are_listed_as_a_table_or_one_a_line(cli, gateway, make):
    last = (datetime.now(UTC) - timedelta(minutes=14, seconds=30)).isoformat()
    items = [session(last_at=last, children=2, recordings=1), session("cnv_2", title=None, last_at=None)]
    gateway.answer("GET", "/v1/sessions", make.reply({"items": items}))
    done = cli("sessions", "list", "--provider", "claude", "--cwd", "/x", "--title", "tea", "--recorded")
    assert done.exit_code == 0, done.output
    head, first, second = done.stdout.splitlines()
    assert head.split() == ["ID", "PROVIDER", "LAST", "EVENTS", "SUB", "REC", "TITLE"]
    assert re.fullmatch(r"cnv_1 +claude +14m ago +3 +2 +● +green tea *", first)
    assert re.match(r"cnv_2 +claude +\S+ ago +3|cnv_2 +claude .* 3", second)
    asked = dict(gateway.seen[0].query)
    assert (asked["provider"], asked["cwd"], asked["title"], asked["recorded"].lower()) == (
        "claude",
        "/x",
        "tea",
        "true",
    )
    assert asked["subagents"].lower() == "false"
    rows = [json.loads(line) for line in cli("sessions", "list", "--json").stdout.splitlines()]
    assert [row["id"] for row in rows] == ["cnv_1", "cnv_2"]
    assert "recorded" not in dict(gateway.seen[1].query)


@pytest.mark.parametrize(("limit", "rows", "requests"), [("1", 1, 1), ("2", 2, 1), ("3", 3, 2), ("0", 4, 2)])
def test_a_limit_stops_between_pages(cli, gateway, make, limit, rows, requests):
    pages = [[session("cnv_1"), session("cnv_2")], [session("cnv_3"), session("cnv_4")]]
    gateway.answer("GET", "/v1/sessions", *paged(make, *pages))
    assert len(cli("sessions", "list", "-n", limit, "--json").stdout.splitlines()) == rows
    assert len(gateway.seen) == requests


@pytest.fixture
def shown(cli, gateway, make):
    """What `minoots sessions show cnv_1` prints of events."""

    def show(*events, options=()):
        gateway.answer("GET", S, make.reply(session(cwd="/x", model="m")))
        gateway.answer("GET", f"{S}/events", make.reply({"items": list(events)}))
        done = cli("sessions", "show", "cnv_1", *options)
        assert done.exit_code == 0, done.output
        return done.stdout

    return show


def test_show_tells_what_was_said_and_by_whom(shown, gateway):
    text = shown(
        event(1, text="hello"),
        event(2, text="put there", injected=True),
        event(3, "usage"),
        event(4, "tool.call", tool={"call_id": "1", "name": "Bash", "input": {"a": 1}}),
        event(5, "decision", choice={"key": "k", "question": "sure?", "chosen": ["yes", "very"]}),
        event(6, "message.assistant", "bye", model="m-1"),
        options=["--after", "0"],
    )
    assert re.search(r"session +claude 1111-2222", text)
    assert re.search(r"folder +/x", text)
    assert re.search(r"\[1\] user  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text)
    for said in ("hello", "sure? yes, very", "[6] m-1", "bye"):
        assert said in text
    for silent in ("put there", "Bash", "usage"):
        assert silent not in text
    assert dict(gateway.seen[1].query)["after"] == "0"


def test_show_tells_what_was_done_without_words(shown):
    text = shown(
        event(1, text="<command-name>/init", injected=True, details={"command": "/init"}),
        event(2, text="[stop]", injected=True, details={"interrupted": True}),
        event(3, "compaction", "so far: tea", injected=True),
        event(4, text="", enclosed=[{"sha256": "0" * 64, "media_type": "image/png", "size": 7}]),
    )
    for told in ("/init", "(interrupted)", "so far: tea", "(image/png, 7 bytes)"):
        assert told in text.splitlines()
    assert "[stop]" not in text


def test_show_tells_of_tools_when_asked_to(shown):
    call = event(1, "tool.call", tool={"call_id": "1", "name": "Bash", "input": {"a": 1}})
    result = event(2, "tool.result", tool={"call_id": "1", "output": "done"})
    text = shown(call, result, options=["--tools"])
    assert "Bash: {'a': 1}" in text
    assert "done" in text


def test_what_was_said_stands_on_lines_of_its_own(shown):
    lines = shown(event(1, text="first\nsecond")).splitlines()
    assert [line for line in lines if line in ("first", "second")] == ["first", "second"]


def test_a_tool_that_gave_nothing_is_not_shown_as_none(shown):
    assert "None" not in shown(
        event(1, "tool.result", tool={"call_id": "1", "output": ""}), options=["--tools"]
    )


def test_nothing_that_was_said_can_drive_the_terminal(shown, cli, gateway, make):
    nasty = "\x1b]0;owned\x07[red]\u202e\x9bx"
    assert not re.search(r"[\x1b\x07\u202e\x9b]", shown(event(1, text=nasty)))
    gateway.answer("GET", "/v1/sessions", make.reply({"items": [session(title=nasty)]}))
    gateway.answer("GET", "/v1/sessions/search", make.reply({"items": [hit(1, snippet=nasty, title=nasty)]}))
    gateway.answer("GET", f"{S}/tree", make.reply({"session": session(title=nasty)}))
    for command in (["list"], ["search", "x"], ["tree", "cnv_1"], ["list", "--json"]):
        done = cli("sessions", *command)
        assert done.exit_code == 0, done.output
        assert not re.search(r"[\x1b\x07\u202e\x9b]", done.stdout)


def test_show_prints_events_as_json(cli, gateway, make):
    gateway.answer("GET", S, make.reply(session()))
    gateway.answer("GET", f"{S}/events", *paged(make, [event(1, text="a")], [event(2, text="b")]))
    done = cli("sessions", "show", "cnv_1", "--json")
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == [1, 2]


def test_a_tree_is_indented_and_says_what_is_left_out(cli, gateway, make):
    child = {"session": session("cnv_2", relation="subagent", title=None, agent_id="abc"), "omitted": 2}
    gateway.answer("GET", f"{S}/tree", make.reply({"session": session(), "children": [child], "omitted": 7}))
    assert cli("sessions", "tree", "cnv_1").stdout.splitlines() == [
        "cnv_1  claude  3 events  green tea",
        "  cnv_2  subagent  3 events  abc",
        "    … and 2 more",
        "  … and 7 more",
    ]
    printed = json.loads(cli("sessions", "tree", "cnv_1", "--json").stdout)
    assert (printed["omitted"], printed["children"][0]["session"]["id"]) == (7, "cnv_2")


@pytest.mark.parametrize(
    ("state", "begin"),
    [
        (
            {"activity": "waiting_for_tool", "tools": ["Bash", "Read"]},
            "waiting_for_tool (Bash, Read) since 2026-",
        ),
        ({"activity": "idle"}, "idle since 2026-"),
        ({"activity": "empty", "since": None}, "empty\n"),
    ],
)
def test_state_says_what_a_session_does(cli, gateway, make, state, begin):
    gateway.answer("GET", f"{S}/state", make.reply({"session_id": "cnv_1", "since": AT} | state))
    assert cli("sessions", "state", "cnv_1").stdout.startswith(begin)
    assert json.loads(cli("sessions", "state", "cnv_1", "--json").stdout)["activity"] == state["activity"]


def test_search_joins_words_and_shows_hits(cli, gateway, make):
    found = [hit(2, ts=AT, title="t", snippet="…green\n tea"), hit(1)]
    gateway.answer("GET", "/v1/sessions/search", make.reply({"items": found}))
    done = cli(
        "sessions", "search", '"green tea"', "wat*", "--provider", "claude", "--in", "cnv_1", "-n", "1"
    )
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"cnv_1 \[2\] message\.user  \d{4}-\d\d-\d\d \d\d:\d\d  t", first)
    assert second == "    …green tea"
    assert gateway.seen[0].query == [
        ("q", '"green tea" wat*'),
        ("provider", "claude"),
        ("session_id", "cnv_1"),
    ]
    rows = [json.loads(line) for line in cli("sessions", "search", "tea", "--json").stdout.splitlines()]
    assert [row["number"] for row in rows] == [2, 1]


def test_a_search_that_is_refused_names_the_field(cli, gateway, make):
    error = {"field": "query.q", "expected": "words", "got": "'-'"}
    gateway.answer("GET", "/v1/sessions/search", make.problem(422, "invalid", error))
    done = cli("sessions", "search", "--", "-")
    assert done.exit_code == exits.Exit.REFUSED
    assert "query.q: expected words" in done.stderr


RECORDING = {
    "id": "rec_1", "session_id": "cnv_1", "host": "here", "kind": "record", "state": "active",
    "format": "markdown", "path": "/notes/a.md", "from_number": 1, "written": 4, "size": 9, "started_at": AT,
}  # fmt: skip


def test_recordings_are_listed_those_that_go_on_unless_all_are_asked_for(cli, gateway, make):
    gateway.answer("GET", "/v1/recordings", make.reply({"items": [RECORDING]}))
    head, row = cli("recordings", "list").stdout.splitlines()
    assert head.split() == ["ID", "STATE", "HOST", "WORKSPACE", "WRITTEN", "FILE", "PROBLEM"]
    assert row.split() == ["rec_1", "active", "here", "-", "4", "/notes/a.md"]
    assert json.loads(cli("recordings", "list", "--all", "--json").stdout)["id"] == "rec_1"
    assert [seen.query for seen in gateway.seen] == [[("state", "active"), ("state", "stopping")], []]


# --- sessions by the ids of their programs ---------------------------------------------------------------


@pytest.fixture
def known(cli, gateway, make):
    """A service that knows sessions by the beginning of their ids, the newest first, six on a page."""
    there = []

    def listing(seen):
        asked = dict(seen.query)
        found = [
            one
            for one in there
            if one["session_id"].startswith(asked["session"])
            and asked.get("provider", one["provider"]) == one["provider"]
            and (asked["subagents"].lower() == "true" or one.get("relation") != "subagent")
        ]
        begin = int(asked.get("cursor", 0))
        more = {"next_cursor": str(begin + 6)} if len(found) > begin + 6 else {}
        return make.reply({"items": found[begin : begin + 6]} | more)(seen)

    def state(text, *sessions):
        there[:] = sessions
        gateway.answer("GET", "/v1/sessions", listing)
        for one in sessions:
            told = {"session_id": one["id"], "activity": "idle"}
            gateway.answer("GET", f"/v1/sessions/{one['id']}/state", make.reply(told))
        done = cli("sessions", "state", text, "--json")
        return done, json.loads(done.stdout)["session_id"] if done.exit_code == 0 else None

    return state


def agent(number, of="1111-2222"):
    return session(f"cnv_a{number}", f"{of}/agent-{number}", relation="subagent")


@pytest.mark.parametrize("text", ["1111-2222", "1111", "claude/1111-2222", "claude/11"])
def test_a_session_is_found_by_its_own_id_or_the_beginning_of_it(known, text):
    others = [session("cnv_2", "2222"), session("cnv_3", "1111-2222", provider="codex")]
    _, found = known(text, session(), *(others if "/" in text else others[:1]))
    assert found == "cnv_1"


def test_a_whole_id_is_found_among_those_that_begin_with_it(known):
    _, found = known("1111-2222", agent(1), session(), agent(2))
    assert found == "cnv_1"


def test_a_sub_agent_is_found_by_its_id(known):
    _, found = known("1111-2222/agent-2", agent(2), agent(1), session())
    assert found == "cnv_a2"


def test_a_sub_agent_of_a_program_is_found_by_its_id(known):
    _, found = known("claude/1111-2222/agent-2", agent(2), agent(1), session())
    assert found == "cnv_a2"


def test_a_whole_id_is_found_behind_many_sub_agents(known):
    _, found = known("1111-2222", *(agent(number) for number in range(7)), session())
    assert found == "cnv_1"


def test_the_beginning_of_an_id_is_enough_for_a_session_with_sub_agents(known):
    _, found = known("1111", agent(1), agent(2), session())
    assert found == "cnv_1"


def test_ids_that_several_sessions_have_are_refused(known):
    done, _ = known("1111-2222", session(), session("cnv_3", provider="codex"))
    assert done.exit_code == 2
    assert re.search(r"claude/1111-2222,[\s│]+codex/1111-2222", done.stderr)


def test_an_id_that_no_session_has_is_refused(known):
    done, _ = known("9999", session())
    assert done.exit_code == Exit.NOT_FOUND
    assert "9999" in done.stderr
