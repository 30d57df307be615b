"""Taking files in from Python and from the command line: what is sent, and what is shown."""

import inspect
import io
import json
import os
import re
import sys
from email import message_from_bytes
from importlib.metadata import EntryPoint

import httpx
import pytest
from typer.testing import CliRunner

import minoots
from minoots import AsyncMinoots, Minoots
from minoots.cli import exits, plugins
from minoots.cli.root import app
from minoots.resources import ingest as resources
from minoots_api.ingest.names import name_in

AT = "2026-07-01T10:00:00Z"
I = "/v1/ingest/ing_1"  # noqa: E741
S = "/v1/sources/src_1"
NASTY = "\x1b]0;owned\x07[red]\u202e\x9bx"

CALLS = [
    (lambda c: c.ingest.list(), "GET", "/v1/ingest"),
    (lambda c: c.ingest.list(state=["running"]), "GET", "/v1/ingest?state=running"),
    (lambda c: c.ingest.get("ing_1"), "GET", I),
    (lambda c: c.ingest.get("a/b?c"), "GET", "/v1/ingest/a%2Fb%3Fc"),
    (lambda c: c.ingest.files("ing_1", state=["failed"]), "GET", f"{I}/files?state=failed&limit=200"),
    (lambda c: c.ingest.cancel("ing_1"), "POST", f"{I}/cancel"),
    (lambda c: c.sources.list(prefix="a b/"), "GET", "/v1/sources?prefix=a+b%2F"),
    (lambda c: c.sources.get("src_1"), "GET", S),
    (lambda c: c.sources.versions("src_1"), "GET", f"{S}/versions"),
    (lambda c: c.sources.chunks("src_1", version=2), "GET", f"{S}/chunks?version=2&limit=200"),
    (lambda c: c.sources.remove("src_1"), "DELETE", S),
]
EACH = pytest.mark.parametrize(("ask", "method", "path"), CALLS, ids=[f"{m} {p}" for _, m, p in CALLS])


class Recorder:
    """A transport that keeps requests with their bodies, and refuses them."""

    def __init__(self, *answers):
        self.requests = []
        self.answers = list(answers)

    def __call__(self, request):
        request.read()
        self.requests.append(request)
        return self.answers.pop(0) if self.answers else httpx.Response(409, json={})

    @property
    def form(self):
        """The parts of the last request's form."""
        request = self.requests[-1]
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parts = message_from_bytes(head + request.content).get_payload()
        return [
            (
                part.get_param("name", header="content-disposition"),
                name_in(part["content-disposition"]),
                part.get_content_type(),
                part.get_payload(decode=True),
            )
            for part in parts
        ]


@EACH
def test_the_sync_client_sends(ask, method, path):
    recorder = Recorder()
    with (
        Minoots("http://gateway", transport=httpx.MockTransport(recorder)) as client,
        pytest.raises(minoots.Conflict),
    ):
        next(ask(client))
    [request] = recorder.requests
    assert (request.method, request.url) == (method, httpx.URL(f"http://gateway{path}"))


@EACH
async def test_the_async_client_sends_the_same(ask, method, path):
    recorder = Recorder()
    async with AsyncMinoots("http://gateway", transport=httpx.MockTransport(recorder)) as client:
        result = ask(client)
        with pytest.raises(minoots.Conflict):
            await (anext(result) if hasattr(result, "__anext__") else result)
    [request] = recorder.requests
    assert (request.method, request.url) == (method, httpx.URL(f"http://gateway{path}"))


@pytest.mark.parametrize("name", ["Ingests", "Sources"])
def test_both_clients_offer_the_same(name):
    def offered(kind):
        return {
            one: list(inspect.signature(method).parameters.values())
            for one, method in inspect.getmembers(kind, inspect.isfunction)
            if not one.startswith("_")
        }

    assert offered(getattr(resources, name)) == offered(getattr(resources, f"Async{name}"))


def sent(files, *answers, **fields):
    recorder = Recorder(*answers)
    with Minoots("http://gateway", transport=httpx.MockTransport(recorder)) as client:
        try:
            client.ingest.send(files, **fields)
        except minoots.Conflict:
            pass
    return recorder


def test_a_form_holds_what_is_known_and_every_file(tmp_path):
    (tmp_path / "x.pdf").write_bytes(b"%PDF")
    about = {"a.md": {"title": "A"}}
    recorder = sent(
        {"a.md": "tee 🦉", "b": b"\x00", "c/x.pdf": tmp_path / "x.pdf"}, labels={"k": "v"}, about=about
    )
    told, *files = recorder.form
    assert (told[:2], json.loads(told[3])) == (("about", None), {"labels": {"k": "v"}, "files": about})
    assert files == [
        ("file", "a.md", "text/markdown", "tee 🦉".encode()),
        ("file", "b", "application/octet-stream", b"\x00"),
        ("file", "c/x.pdf", "application/pdf", b"%PDF"),
    ]


def test_every_try_has_the_same_key_and_files():
    recorder = sent({"a": "x"}, httpx.Response(503, json={}), httpx.Response(500, json={}))
    assert len(recorder.requests) == 3
    assert len({request.headers["idempotency-key"] for request in recorder.requests}) == 1
    assert {b"\r\n\r\nx\r\n" in request.content for request in recorder.requests} == {True}
    assert sent({"a": "x"}, idempotency_key="mine").requests[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize(
    ("files", "fields", "field"),
    [
        ({}, {}, "files"),
        ({"a": "x"}, {"labels": {"a": 1}}, "body.labels.a"),
        ({"a": "x"}, {"about": {"a": {"media_type": "x"}}}, "body.files.a.media_type"),
        ({"a": "x"}, {"tenant": "x"}, "body.tenant"),
        ({"": "x"}, {}, "files"),
        ({"a\nb": "x"}, {}, "files"),
        ({"a\x00b": "x"}, {}, "files"),
        ({"a\udc80b": "x"}, {}, "files"),
        ({"x" * 1025: "x"}, {}, "files"),
    ],
    ids=range(9),
)
def test_what_cannot_be_is_refused_before_anything_is_sent(files, fields, field):
    recorder = Recorder()
    with (
        Minoots("http://gateway", transport=httpx.MockTransport(recorder)) as client,
        pytest.raises(minoots.InvalidRequest, match=re.escape(field)),
    ):
        client.ingest.send(files, **fields)
    assert recorder.requests == []


def test_a_file_that_cannot_be_read_is_refused_before_anything_is_sent(tmp_path):
    recorder = Recorder()
    with (
        Minoots("http://gateway", transport=httpx.MockTransport(recorder)) as client,
        pytest.raises(minoots.InvalidRequest, match=r"files\.a: expected a file that can be read"),
    ):
        client.ingest.send({"a": tmp_path / "none"})
    assert recorder.requests == []


# --- the command line ------------------------------------------------------------------------------------


def ingest(state="completed", **changes):
    return {
        "id": "ing_1",
        "state": state,
        "files": 1,
        "bytes": 3,
        "counts": {"created": 1},
        "labels": {},
        "created_at": AT,
        "created_by": "me",
    } | changes


def file(number=1, name="a.md", state="created", **changes):
    told = {"number": number, "name": name, "state": state, "bytes": 3, "sha256": "0" * 64}
    return told | {"source_id": "src_1", "version": 1, "chunks": 2, "chunks_new": 2} | changes


def source(**changes):
    return {
        "id": "src_1",
        "name": "a.md",
        "title": "Tea",
        "version": 1,
        "media_type": "text/markdown",
        "sha256": "0" * 64,
        "bytes": 3,
        "characters": 3,
        "chunks": 1,
        "labels": {},
        "metadata": {},
        "found": {},
        "created_at": AT,
        "updated_at": AT,
    } | changes


class Service:
    """A transport behind the command line that takes every file in."""

    def __init__(self):
        self.sent = []
        self.requests = []
        self.ended = ingest()
        self.files = [file()]

    def __call__(self, request):
        request.read()
        self.requests.append(request)
        path = request.url.path
        if request.method == "POST" and path == "/v1/ingest":
            recorder = Recorder()
            recorder.requests.append(request)
            self.sent.append({name: content for kind, name, _, content in recorder.form if kind == "file"})
            return httpx.Response(202, json=ingest("running", counts={"waiting": 1}))
        if path == f"{I}/files":
            return httpx.Response(200, json={"items": self.files})
        if path in (I, f"{I}/cancel"):
            return httpx.Response(200, json=self.ended)
        return httpx.Response(404, json={})


@pytest.fixture
def service(monkeypatch):
    service = Service()
    real = httpx.Client.__init__
    monkeypatch.setattr(
        httpx.Client,
        "__init__",
        lambda self, **k: real(self, **{**k, "transport": httpx.MockTransport(service)}),
    )
    real_async = httpx.AsyncClient.__init__
    monkeypatch.setattr(
        httpx.AsyncClient,
        "__init__",
        lambda self, **k: real_async(self, **{**k, "transport": httpx.MockTransport(service)}),
    )
    return service


@pytest.fixture
def cli(monkeypatch, tmp_path):
    group = EntryPoint("ingest", "minoots.cli.ingest:app", "minoots.commands")
    assert plugins is not None
    assert group is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments, stdin=None):
        return CliRunner().invoke(app, [*arguments, "--url", "http://gateway"], input=stdin)

    return run


def test_files_and_folders_are_sent_by_their_paths(cli, service, tmp_path):
    for name in ("a.md", "d/b.md", "d/e/c.md", "d/.hidden.md", "d/.git/x", "other.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "d" / "link.md").symlink_to(tmp_path / "other.md")
    (tmp_path / "d" / "round").symlink_to(tmp_path / "d")
    done = cli("ingest", "add", "./a.md", "d", "d/../a.md", "--label", "team=x")
    assert done.exit_code == 0, done.output
    assert service.sent == [{"a.md": b"a.md", "d/b.md": b"d/b.md", "d/e/c.md": b"d/e/c.md"}]
    assert "created    a.md  (version 1, 2 chunks, 2 new)" in done.stdout
    assert cli("ingest", "add", "d/.hidden.md", "d/link.md").exit_code == 0
    assert service.sent[1] == {"d/.hidden.md": b"d/.hidden.md", "d/link.md": b"other.md"}


def test_many_files_are_sent_in_several_requests(cli, service, tmp_path):
    for number in range(250):
        (tmp_path / f"{number:03}.txt").write_text("x")
    assert cli("ingest", "add", ".", "--no-wait").exit_code == 0
    assert [len(each) for each in service.sent] == [100, 100, 50]


def test_standard_input_is_sent_under_its_name(cli, service):
    assert cli("ingest", "add", "-", "--name", "notes.md", stdin="tee").exit_code == 0
    assert service.sent == [{"notes.md": b"tee"}]


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.md", "missing.md"],
        ["missing"],
        ["empty"],
        ["a.md", "-"],
        ["many", "-"],
        ["a.md", "--name", "x"],
        ["a.md", "-", "--name", "a.md"],
        ["dangling"],
        ["a.md", "--label", "x"],
        ["many", "odd"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_sent_whole_is_not_sent_at_all(cli, service, tmp_path, arguments):
    (tmp_path / "a.md").write_text("a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "many").mkdir()
    for number in range(101):
        (tmp_path / "many" / f"{number}").write_text("x")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "a\nb").write_text("x")
    done = cli("ingest", "add", *arguments, "--no-wait", stdin="tee")
    assert done.exit_code in (2, exits.Exit.REFUSED), done.output
    assert service.sent == []


@pytest.mark.parametrize("name", ["a\nb.md", "a\tb.md", os.fsdecode(b"a\xffb.md")])
def test_a_file_whose_name_cannot_be_is_refused_with_its_name(cli, service, tmp_path, name):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / name).write_text("x")
    done = cli("ingest", "add", "d", "--no-wait")
    assert done.exit_code not in (0, 1), done.output
    assert service.sent == []
    assert "b.md" in done.stderr


def test_a_name_with_quotes_is_sent_as_it_is(cli, service, tmp_path):
    (tmp_path / 'a"b\\c.md').write_text("x")
    assert cli("ingest", "add", ".", "--no-wait").exit_code == 0
    [(name, _)] = service.sent[0].items()
    assert name == 'a"b\\c.md'


@pytest.mark.parametrize(
    ("state", "counts", "code"),
    [
        ("completed", {"created": 1}, 0),
        ("completed", {"superseded": 1, "unchanged": 2}, 0),
        ("completed", {"created": 1, "failed": 1}, exits.Exit.ENDED_BADLY),
        ("cancelled", {"cancelled": 1}, exits.Exit.ENDED_BADLY),
    ],
)
def test_the_exit_code_tells_how_it_ended(cli, service, tmp_path, state, counts, code):
    (tmp_path / "a.md").write_text("x")
    service.ended = ingest(state, counts=counts)
    assert cli("ingest", "add", "a.md").exit_code == code


def test_what_cannot_be_read_is_shown_with_its_remedy(cli, service):
    service.files = [file(state="failed", version=None, problem="it is none", remedy="Mend it.")]
    done = cli("ingest", "files", "ing_1")
    assert done.stdout.rstrip() == "failed     a.md: it is none. Mend it."
    assert json.loads(cli("ingest", "files", "ing_1", "--json").stdout)["problem"] == "it is none"


def test_cancel_and_show_tell_how_it_stands(cli, service):
    service.ended = ingest("cancelled", counts={"created": 2, "cancelled": 1}, labels={"a": "b"})
    for command in ("show", "cancel"):
        done = cli("ingest", command, "ing_1")
        assert re.search(r"state +cancelled", done.stdout)
        assert "2 created, 1 cancelled" in done.stdout
    assert [request.method for request in service.requests] == ["GET", "POST"]


def test_nothing_of_a_file_can_drive_the_terminal(cli, monkeypatch, service):
    service.files = [file(name=NASTY), file(state="failed", name=NASTY, problem=NASTY, remedy=NASTY)]
    service.ended = ingest(labels={"a": NASTY})
    answers = {
        "/v1/sources": {"items": [source(name=NASTY, title=NASTY)]},
        "/v1/ingest": {"items": [ingest()]},
        S: source(name=NASTY, title=NASTY, found={NASTY: NASTY}, metadata={NASTY: NASTY}),
        f"{S}/versions": {"items": []},
        f"{S}/chunks": {
            "items": [
                {"number": 1, "begin": 0, "end": 1, "headings": [], "sha256": "0", "text": f"a\n{NASTY}\tb\n"}
            ]
        },
    }
    taken = Service.__call__

    def answer(self, request):
        if request.method == "GET" and request.url.path in answers:
            return httpx.Response(200, json=answers[request.url.path])
        return taken(self, request)

    monkeypatch.setattr(Service, "__call__", answer)
    for command in (
        ["ingest", "files", "ing_1"],
        ["ingest", "show", "ing_1"],
        ["ingest", "list"],
        ["sources", "list"],
        ["sources", "show", "src_1"],
        ["sources", "text", "src_1"],
        ["sources", "list", "--json"],
        ["sources", "text", "src_1", "--json"],
    ):
        done = cli(*command)
        assert done.exit_code == 0, done.output
        assert not re.search(r"[\x1b\x07\u202e\x9b]", done.stdout), command


def test_the_text_of_a_source_is_printed_as_it_is(cli, gateway, make, monkeypatch):
    chunk = {"begin": 0, "end": 1, "headings": [], "sha256": "0"}
    pages = [
        make.reply({"items": [{**chunk, "number": 1, "text": "# Tea\n\n"}], "next_cursor": "1"}),
        make.reply({"items": [{**chunk, "number": 2, "text": "Leaves.\n"}]}),
    ]
    gateway.answer("GET", f"{S}/chunks", *pages)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    done = CliRunner().invoke(app, ["sources", "text", "src_1", "--url", gateway.url])
    assert done.stdout == "# Tea\n\nLeaves.\n"
    assert dict(gateway.seen[1].query)["cursor"] == "1"


def test_removing_asks_once(cli, service):
    assert cli("sources", "remove", "src_1").exit_code != 0
    assert [(request.method, request.url.path) for request in service.requests] == [("DELETE", S)]


@pytest.mark.parametrize(("path", "words"), [("pipe", "neither a file nor a folder"), ("empty", "in empty;")])
def test_what_there_is_no_file_in_is_named(cli, service, tmp_path, path, words):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden.md").write_text("x")
    done = cli("ingest", "add", path)
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())
    assert service.sent == []
