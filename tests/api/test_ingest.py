"""Files over HTTP: what a form may hold, who may send it, and what is told of it."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from gateways import Door, bearer
from stacks import eventually

from minoots_api.ingest import routes
from minoots_platform.identity import Scope
from minoots_platform.records import schema
from minoots_platform.settings import Settings, with_overrides

FORM = "multipart/form-data; boundary=b"
NOTHING = "ing_" + "0" * 26
TEA = {"tea.md": "# Tea\n\nLeaves.\n"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Limits that a test reaches quickly."""
    limits = {"max_request_bytes": 2_000_000, "max_file_bytes": 50_000, "max_files": 5}
    return with_overrides(settings, {"ingest": {**limits, "max_waiting_bytes": 100_000}})


def form(*parts: tuple[str, str | None, str | bytes], boundary: str = "b") -> bytes:
    """A form by hand: name, file name, content."""
    out = b""
    for name, filename, content in parts:
        named = "" if filename is None else f'; filename="{filename}"'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        out += head.encode() + (content.encode() if isinstance(content, str) else content) + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


async def post(door: Door, body: bytes, content_type: str = FORM, **headers: str) -> httpx.Response:
    """Send a body as it is."""
    told = {"Content-Type": content_type, **headers}
    return await door.http.post("/v1/ingest", content=body, headers=told)


async def send(
    door: Door, sent: dict[str, str] = TEA, headers: dict[str, str] | None = None, **about: Any
) -> httpx.Response:
    """Send files as clients do."""
    parts = [("file", (name, content.encode())) for name, content in sent.items()]
    data = {"about": json.dumps(about)} if about else None
    return await door.http.post("/v1/ingest", files=parts, data=data, headers=headers)


async def rows(door: Door, table: sa.Table) -> int:
    """How many rows a table has."""
    async with door.gateway.database.read() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one())


async def nothing_kept(door: Door) -> None:
    """Wait until nothing of a refused request is left."""
    assert await rows(door, schema.ingests) == 0
    await eventually(lambda: rows(door, schema.ingest_pieces), lambda many: many == 0)


FILE = ("file", "a.md", "x")
REFUSED = {
    "no form": (b"{}", "application/json", "header.Content-Type"),
    "no type": (b"x", "", "header.Content-Type"),
    "no boundary": (form(FILE), "multipart/form-data", "header.Content-Type"),
    "another boundary": (form(FILE, boundary="c"), FORM, "body"),
    "no parts": (b"--b--\r\n", FORM, "body.file"),
    "nothing": (b"", FORM, "body"),
    "rubbish": (b"rubbish", FORM, "body"),
    "cut": (form(FILE)[:-20], FORM, "body"),
    "cut behind a file": (form(FILE, ("file", "b.md", "y" * 50))[:-30], FORM, "body"),
    "a bad header": (b"--b\r\nno header\r\n\r\nx\r\n--b--\r\n", FORM, "body"),
    "another part": (form(FILE, ("other", "b.md", "x")), FORM, "body.other"),
    "another field": (form(FILE, ("other", None, "x")), FORM, "body.other"),
    "a file without a name": (form(("file", None, "x")), FORM, "body.file"),
    "a file with an empty name": (form(("file", "", "x")), FORM, "body.file.1.filename"),
    "a long name": (form(FILE, ("file", "x" * 1025, "x")), FORM, "body.file.2.filename"),
    "a name on two lines": (form(("file", "a\tb", "x")), FORM, "body.file.1.filename"),
    "a name twice": (form(FILE, FILE), FORM, "body.file.2.filename"),
    "too many files": (form(*(("file", f"{n}", "x") for n in range(6))), FORM, "body"),
    "about twice": (form(FILE, ("about", None, "{}"), ("about", None, "{}")), FORM, "body"),
    "about as a file": (form(FILE, ("about", "a.json", "{}")), FORM, "body.about"),
    "about that is no JSON": (form(FILE, ("about", None, "{")), FORM, "body.about"),
    "about that is a list": (form(FILE, ("about", None, "[]")), FORM, "body.about"),
    "an unknown field": (form(FILE, ("about", None, '{"tenant": "x"}')), FORM, "body.about.tenant"),
    "a bad label": (form(FILE, ("about", None, '{"labels": {"a": 1}}')), FORM, "body.about.labels.a"),
    "a file that is not there": (
        form(FILE, ("about", None, '{"files": {"b": {}}}')),
        FORM,
        "body.about.files",
    ),
    "a bad media type": (
        form(FILE, ("about", None, '{"files": {"a.md": {"media_type": "x"}}}')),
        FORM,
        "body.about.files.a.md.media_type",
    ),
    "a title with a zero": (
        form(FILE, ("about", None, '{"files": {"a.md": {"title": "a\\u0000b"}}}')),
        FORM,
        "body.about.files.a.md.title",
    ),
    "a label with a zero": (
        form(FILE, ("about", None, '{"labels": {"a": "\\u0000"}}')),
        FORM,
        "body.about.labels.a",
    ),
    "data with a zero": (
        form(FILE, ("about", None, '{"metadata": {"a": "\\u0000"}}')),
        FORM,
        "body.about.metadata.a",
    ),
}


async def test_a_form_that_cannot_be_taken_is_refused_by_field(door: Door) -> None:
    told = {}
    for which, (body, content_type, _) in REFUSED.items():
        answer = await post(door, body, content_type)
        errors = answer.json().get("errors")
        told[which] = (answer.status_code, errors[0]["field"] if errors else None)
    assert told == {which: (422, field) for which, (_, _, field) in REFUSED.items()}
    await nothing_kept(door)


async def test_a_form_in_an_odd_character_set_is_no_defect_of_ours(door: Door) -> None:
    assert (await post(door, form(FILE), f"{FORM}; charset=undefined")).status_code == 422


async def test_a_file_that_is_too_large_is_refused_by_its_name(door: Door) -> None:
    answer = await send(door, {"a.md": "x", "big.md": "x" * 50_001})
    assert answer.status_code == 413
    assert (answer.json()["errors"][0]["field"], "big.md" in answer.json()["detail"]) == ("body.file.2", True)
    assert answer.json()["remedy"]
    await nothing_kept(door)


async def test_a_request_that_is_too_large_is_refused_announced_or_not(door: Door) -> None:
    big = form(*(("file", f"{number}", "x" * 499_999) for number in range(5)))

    async def pieces() -> Any:
        for begin in range(0, len(big), 100_000):
            yield big[begin : begin + 100_000]

    for content in (big, pieces()):
        answer = await door.http.post("/v1/ingest", content=content, headers={"Content-Type": FORM})
        assert answer.status_code == 413, answer.text
        assert answer.json()["kind"] == "too_large"
    await nothing_kept(door)


async def test_too_much_that_waits_is_throttled_and_nothing_of_it_kept(door: Door) -> None:
    for number in range(2):
        assert (await send(door, {f"{number}": "x" * 45_000})).status_code == 202
    before = await rows(door, schema.ingest_pieces)
    answer = await send(door, {"more": "x" * 45_000})
    assert (answer.status_code, answer.json()["kind"]) == (429, "throttled")
    assert answer.json()["remedy"]
    await eventually(lambda: rows(door, schema.ingest_pieces), lambda many: many == before)
    assert await rows(door, schema.ingests) == 2


async def test_few_requests_with_files_at_a_time(door: Door) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        yield form(FILE)[:30]
        begun.set()
        await release.wait()
        yield form(FILE)[30:]

    async def one() -> int:
        answer = await door.http.post("/v1/ingest", content=slow(), headers={"Content-Type": FORM})
        return answer.status_code

    def under_way() -> int:
        return routes._UNDER_WAY.total()

    async def look() -> int:
        return under_way()

    held = [asyncio.create_task(one()) for _ in range(4)]
    await eventually(look, lambda many: many == 4)
    assert (await send(door)).status_code == 429
    theirs = await bearer(door, Scope.SOURCES_WRITE, tenant="globex")
    assert (await send(door, headers=theirs)).status_code == 202
    release.set()
    assert await asyncio.gather(*held) == [202] * 4
    assert under_way() == 0
    assert (await send(door)).status_code == 202


async def test_a_client_that_goes_away_leaves_nothing(door: Door) -> None:
    address = httpx.URL(door.url)
    with socket.create_connection((address.host, address.port or 80)) as line:
        told = f"Host: 127.0.0.1\r\nContent-Type: {FORM}\r\nContent-Length: 9999"
        head = f"POST /v1/ingest HTTP/1.1\r\n{told}\r\n\r\n"
        line.sendall(head.encode() + form(FILE)[:40])

        async def look() -> int:
            return routes._UNDER_WAY.total()

        await eventually(look, lambda many: many == 1)
    await eventually(look, lambda many: many == 0)
    await nothing_kept(door)


# --- keys ------------------------------------------------------------------------------------------------


async def test_a_key_makes_one_ingest_whatever_the_boundary(door: Door) -> None:
    async def sent(boundary: str, content: str = "x", name: str = "a.md") -> httpx.Response:
        body = form(("file", name, content), boundary=boundary)
        told = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Idempotency-Key": "k1"}
        return await door.http.post("/v1/ingest", content=body, headers=told)

    first, second = await sent("one"), await sent("two")
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"] == f"/v1/ingest/{first.json()['id']}"
    assert second.headers["idempotent-replayed"] == "true"
    await eventually(lambda: rows(door, schema.ingest_pieces), lambda many: many == 1)
    for other in (await sent("one", "y"), await sent("one", name="b.md")):
        assert other.status_code == 422, other.text
        assert "Idempotency-Key" in other.text
    await eventually(lambda: rows(door, schema.ingest_pieces), lambda many: many == 1)
    assert await rows(door, schema.ingests) == 1


async def test_the_same_key_at_the_same_moment_makes_one_ingest(door: Door) -> None:
    answers = await asyncio.gather(*(send(door, headers={"Idempotency-Key": "k"}) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    await eventually(lambda: rows(door, schema.ingest_pieces), lambda many: many == 1)


# --- who -------------------------------------------------------------------------------------------------

READS = ["/v1/ingest", "/v1/ingest/{}", "/v1/ingest/{}/files", "/v1/ingest/{}/events", "/v1/sources"]


async def test_reading_and_sending_need_their_scopes(door: Door) -> None:
    ingest = (await send(door)).json()["id"]
    may_read = (Scope.SOURCES_READ, Scope.SOURCES_WRITE, Scope.ADMIN)
    for scope in Scope:
        headers = await bearer(door, scope, tenant="dev")
        reads = {(await door.http.get(path.format(ingest), headers=headers)).status_code for path in READS}
        assert reads == ({200} if scope in may_read else {403}), scope
        sent = (await send(door, headers=headers)).status_code
        assert sent == (202 if scope in (Scope.SOURCES_WRITE, Scope.ADMIN) else 403), scope
    assert (await send(door, headers={"Authorization": "Bearer mnt_x"})).status_code == 401


async def test_tenants_see_nothing_of_each_other(door: Door) -> None:
    theirs = await bearer(door, Scope.ADMIN, tenant="globex")
    ingest = (await send(door, headers=theirs)).json()["id"]
    for path in READS:
        own = await door.http.get(path.format(ingest), headers=theirs)
        assert own.status_code == 200
        answer = await door.http.get(path.format(ingest))
        if "{}" in path:
            assert answer.status_code == 404
        else:
            assert answer.json()["items"] == []
    assert (await door.http.post(f"/v1/ingest/{ingest}/cancel")).status_code == 404
    assert (await door.http.get(f"/v1/ingest/{ingest}", headers=theirs)).json()["state"] == "running"


async def test_who_may_not_send_is_refused_before_anything_is_read(door: Door) -> None:
    address = httpx.URL(door.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = "POST /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer mnt_x\r\n"
    writer.write(f"{head}Content-Type: {FORM}\r\nContent-Length: 190000\r\n\r\n--b\r\n".encode())
    line = await asyncio.wait_for(reader.readline(), 10)
    assert b" 401 " in line
    writer.close()


ELSEWHERE = [
    *("/v1/ingest/", "//v1/ingest", "/v1//ingest", "/V1/ingest", "/v1/ingest/x/../../ingest", "/v1/timers"),
    *(f"/v1/ingest/{NOTHING}/files", f"/v1/ingest/{NOTHING}/cancel"),
]


async def test_only_where_files_are_sent_a_body_may_be_large(door: Door) -> None:
    most = door.gateway.settings.gateway.max_body_bytes
    head = f"Host: 127.0.0.1\r\nContent-Type: {FORM}\r\nContent-Length: {most + 1}\r\n\r\n"
    assert most < door.gateway.settings.ingest.max_request_bytes
    for path in ELSEWHERE:
        address = httpx.URL(door.url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(f"POST {path} HTTP/1.1\r\n{head}--b\r\n".encode())
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 10), path
        writer.close()


# --- what became of them ---------------------------------------------------------------------------------


async def test_files_are_accepted_while_the_engine_is_away(door: Door) -> None:
    answer = await send(door, {"a.md": "a", "b.md": "bb"}, labels={"team": "x"})
    told = answer.json()
    assert (told["state"], told["files"], told["bytes"], told["counts"]) == ("running", 2, 3, {"waiting": 2})
    assert told["labels"] == {"team": "x"}
    path = f"/v1/ingest/{told['id']}"
    assert (await door.http.get(path)).json() == told
    [first] = (await door.http.get(f"{path}/files?limit=1")).json()["items"]
    assert (first["number"], first["name"], first["state"], first["source_id"]) == (
        1,
        "a.md",
        "waiting",
        None,
    )
    page = (await door.http.get(f"{path}/files?limit=1")).json()
    [second] = (await door.http.get(f"{path}/files?cursor={page['next_cursor']}")).json()["items"]
    assert second["name"] == "b.md"
    assert (await door.http.get(f"{path}/files?state=failed")).json()["items"] == []
    [event] = (await door.http.get(f"{path}/events")).json()["items"]
    assert (event["type"], event["data"]["files"]) == ("ingest.accepted", 2)
    done = (await door.http.post(f"{path}/cancel")).json()
    assert (done["state"], done["counts"]) == ("cancelled", {"cancelled": 2})
    assert (await door.http.get(f"{path}?wait=5")).json() == done
    assert await rows(door, schema.ingest_pieces) == 0


async def test_ingests_are_listed_page_by_page(door: Door) -> None:
    sent = [(await send(door, {str(number): "x"})).json()["id"] for number in range(5)]
    await door.http.post(f"/v1/ingest/{sent[0]}/cancel")
    found, cursor = [], None
    while True:
        more = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await door.http.get("/v1/ingest", params=more)).json()
        found += [one["id"] for one in page["items"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert found == sent[::-1]
    [only] = (await door.http.get("/v1/ingest?state=cancelled")).json()["items"]
    assert only["id"] == sent[0]


BAD = [
    ("/v1/ingest?cursor=x", "query.cursor"),
    ("/v1/ingest?state=gone", "query.state"),
    ("/v1/ingest?limit=0", "query.limit"),
    ("/v1/ingest?tenant=x", "query.tenant"),
    ("/v1/ingest/{}/files?cursor=x", "query.cursor"),
    ("/v1/ingest/{}/files?cursor=-1", "query.cursor"),
    ("/v1/ingest/{}/files?cursor=" + "9" * 30, "query.cursor"),
    ("/v1/ingest/{}/files?state=x", "query.state"),
    ("/v1/ingest/{}?wait=-1", "query.wait"),
    ("/v1/ingest/{}/events?cursor=x", "query.cursor"),
    ("/v1/sources?prefix=", "query.prefix"),
    ("/v1/sources?prefix=%00", "query.prefix"),
    ("/v1/sources?cursor=x", "query.cursor"),
    ("/v1/sources/src_" + "0" * 26 + "/chunks?version=0", "query.version"),
    ("/v1/sources/src_" + "0" * 26 + "/chunks?version=99999999999", "query.version"),
    ("/v1/sources/src_" + "0" * 26 + "/versions?cursor=x", "query.cursor"),
]


async def test_a_query_that_cannot_be_is_refused_with_its_field(door: Door) -> None:
    ingest = (await send(door)).json()["id"]
    told = []
    for path, _ in BAD:
        answer = await door.http.get(path.format(ingest))
        assert answer.status_code == 422, (path, answer.text)
        # Of a list, the item is named behind it.
        told.append((path, ".".join(answer.json()["errors"][0]["field"].split(".")[:2])))
    assert told == BAD


async def test_what_is_not_there_is_not_found(door: Door) -> None:
    for id in (NOTHING, "x", "ing_%00", "src_" + "0" * 26, "%F0%9F%A6%89", "a" * 3000):
        for path in ("/v1/ingest/{}", "/v1/ingest/{}/files", "/v1/ingest/{}/events"):
            answer = await door.http.get(path.format(id))
            assert (answer.status_code, answer.json()["kind"]) == (404, "not_found")
    for path in ("", "/versions", "/chunks"):
        answer = await door.http.get(f"/v1/sources/src_{'0' * 26}{path}")
        assert (answer.status_code, answer.json()["kind"]) == (404, "not_found")


NAMES = [
    "a b.md",
    'a"b.md',
    "a\\b.md",
    "C:\\x\\y.md",
    "\\\\host\\x.md",
    "tee für 🦉.md",
    "a;b=c.md",
    "../../x",
    "a'b",
]


async def test_a_name_is_kept_as_it_was_sent(door: Door) -> None:
    told = []
    for name in NAMES:
        ingest = (await send(door, {name: "x"})).json()["id"]
        [file] = (await door.http.get(f"/v1/ingest/{ingest}/files")).json()["items"]
        told.append(file["name"])
    assert told == NAMES


async def test_a_name_can_put_no_header_into_a_form(door: Door) -> None:
    name = 'x"\r\nX-Evil: 1\r\n\r\nbody'
    assert (await send(door, {name: "x"})).status_code == 422
    await nothing_kept(door)


# --- all of it -------------------------------------------------------------------------------------------


async def test_a_file_from_the_form_to_its_chunks(full: Door) -> None:
    about = {"files": {"tea.md": {"title": "Of tea", "metadata": {"a": [1]}}}, "metadata": {"b": 2}}
    sent = (await send(full, TEA | {"junk.bin": "\x00\x01" * 50}, **about)).json()
    path = f"/v1/ingest/{sent['id']}"

    async def look() -> dict[str, Any]:
        told: dict[str, Any] = (await full.http.get(f"{path}?wait=10")).json()
        return told

    done = await eventually(look, lambda told: told["state"] == "completed", timeout=40)
    assert done["counts"] == {"created": 1, "failed": 1}
    tea, junk = (await full.http.get(f"{path}/files")).json()["items"]
    assert (junk["problem"], bool(junk["remedy"]), junk["source_id"]) == (
        "these bytes are no text",
        True,
        None,
    )
    where = f"/v1/sources/{tea['source_id']}"
    source = (await full.http.get(where)).json()
    assert (source["name"], source["title"], source["version"]) == ("tea.md", "Of tea", 1)
    assert source["metadata"] == {"a": [1], "b": 2}
    assert source["media_type"] == "text/markdown"
    assert (await full.http.get("/v1/sources?prefix=tea")).json()["items"] == [source]
    chunks = (await full.http.get(f"{where}/chunks?version=1")).json()["items"]
    assert "".join(chunk["text"] for chunk in chunks) == TEA["tea.md"]
    assert (await full.http.get(f"{where}/chunks?version=2")).status_code == 404
    [version] = (await full.http.get(f"{where}/versions")).json()["items"]
    assert (version["number"], version["ingest_id"]) == (1, sent["id"])
    types = [event["type"] for event in (await full.http.get(f"{path}/events")).json()["items"]]
    assert types == ["ingest.accepted", "ingest.completed"]
    assert (await full.http.post(f"{path}/cancel")).status_code == 409
    theirs = await bearer(full, Scope.ADMIN, tenant="globex")
    for method, each in (("GET", where), ("GET", f"{where}/chunks"), ("DELETE", where)):
        assert (await full.http.request(method, each, headers=theirs)).status_code == 404
    assert (await full.http.delete(where)).status_code == 204
    assert (await full.http.get(where)).status_code == 404
    assert (await full.http.delete(where)).status_code == 404
