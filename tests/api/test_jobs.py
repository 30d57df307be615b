"""`/v1/jobs` and `/v1/artifacts`: submit, follow, stop, hand in and out."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from gateways import Door, bearer
from stacks import eventually

from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import job_progress
from minoots_platform.records.job_progress import NewJobEvent
from minoots_platform.settings import with_overrides

EXEC: dict[str, Any] = {"kind": "exec", "tier": "process", "command": ["echo", "hello"]}


async def submit(door: Door, **body: Any) -> dict[str, Any]:
    """Submit a job and return it."""
    answer = await door.http.post("/v1/jobs", json={**EXEC, **body})
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def test_a_job_is_kept_before_it_is_answered(door: Door) -> None:
    job = await submit(door, name="greet", labels={"team": "red"}, priority=1)
    assert (job["state"], job["name"], job["priority"], job["attempt"]) == ("queued", "greet", 1, 0)
    found = (await door.http.get(f"/v1/jobs/{job['id']}")).json()
    assert found["request"]["command"] == ["echo", "hello"]
    events = (await door.http.get("/v1/events", params={"subject": job["id"]})).json()
    assert [event["type"] for event in events["items"]] == ["job.accepted"]


async def test_the_same_key_makes_one_job(door: Door) -> None:
    sent = [
        await door.http.post("/v1/jobs", json=EXEC, headers={"idempotency-key": "once"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in sent] == [201, 201]
    assert sent[0].json() == sent[1].json()
    assert sent[1].headers["idempotent-replayed"] == "true"
    other = await door.http.post(
        "/v1/jobs", json={**EXEC, "name": "other"}, headers={"idempotency-key": "once"}
    )
    assert other.status_code == 422
    assert len((await door.http.get("/v1/jobs")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "pigeon"}, "body"),
        ({"kind": "exec"}, "body.exec.command"),
        ({**EXEC, "command": []}, "body.exec.command"),
        ({**EXEC, "command": ["x\x00"]}, "body"),
        ({**EXEC, "tier": "chroot"}, "body.exec.tier"),
        ({**EXEC, "kind": "vm", "tier": "process"}, "body.vm.tier"),
        ({**EXEC, "network": ["https://example.org"]}, "body.exec.network.0"),
        ({**EXEC, "image": "busybox:latest"}, "body.exec.image"),
        ({**EXEC, "priority": 6}, "body.exec.priority"),
        ({**EXEC, "limits": {"memory_mb": 1}}, "body.exec.limits.memory_mb"),
        ({**EXEC, "limits": {"time": "25h"}}, "body.exec.limits.time"),
        ({**EXEC, "files": [{"path": "../x", "text": ""}]}, "body.exec.files.0.path"),
        ({**EXEC, "files": [{"path": "/x", "text": ""}]}, "body.exec.files.0.path"),
        ({**EXEC, "files": [{"path": "x"}]}, "body.exec.files.0"),
        ({**EXEC, "files": [{"path": "a\nb", "text": ""}]}, "body.exec.files.0.path"),
        ({**EXEC, "files": [{"path": "a", "text": ""}, {"path": "a", "text": "b"}]}, "body.exec.files"),
        ({**EXEC, "files": [{"path": "a/b/c", "text": ""}, {"path": "a", "text": ""}]}, "body.exec.files"),
        ({**EXEC, "outputs": ["a", "../x"]}, "body.exec.outputs.1"),
        ({**EXEC, "outputs": ["out/../../x"]}, "body.exec.outputs.0"),
        ({**EXEC, "outputs": ["/etc/passwd"]}, "body.exec.outputs.0"),
        ({**EXEC, "outputs": ["out//x"]}, "body.exec.outputs.0"),
        ({**EXEC, "outputs": ["x\x7f"]}, "body.exec.outputs.0"),
        (
            {"kind": "agent", "task": "x", "tools": [{"name": "read_file", "paths": ["../x"]}]},
            "body.agent.tools.0.paths.0",
        ),
        ({**EXEC, "env": {"1X": "y"}}, "body.exec.env.1X"),
        ({**EXEC, "unknown": 1}, "body.exec.unknown"),
        ({"kind": "llm", "messages": []}, "body.llm.messages"),
        ({**EXEC, "deadline": "2020-01-01T00:00:00Z"}, "body.deadline"),
    ],
)
async def test_what_is_not_valid_is_refused_by_field(door: Door, body: dict[str, Any], field: str) -> None:
    answer = await door.http.post("/v1/jobs", json=body)
    assert answer.status_code == 422, answer.text
    fields = [error["field"] for error in answer.json()["errors"]]
    assert any(one.startswith(field) for one in fields), fields


def shut(door: Door) -> None:
    """Let the gateway have settings that allow a little."""
    sandbox = {
        "tiers": ["bubblewrap", "container"],
        "allow_process": False,
        "max_cpus": 0.5,
        "network": {"hosts": ["*.example.org"]},
    }
    door.gateway.settings = with_overrides(door.gateway.settings, {"sandbox": sandbox})


AGENT: dict[str, Any] = {"kind": "agent", "task": "go", "limits": {"cpus": 0.5}}
RUN: dict[str, Any] = {"kind": "exec", "command": ["true"], "limits": {"cpus": 0.5}}
IMAGE = f"registry.example/x@sha256:{'0' * 64}"
NOT_ALLOWED = [
    ({**RUN, "network": ["a.example.org", "other.example"]}, "network.1", "sandbox.network.hosts"),
    ({**RUN, "network": ["a.example.org:22"]}, "network.0", "sandbox.network.hosts"),
    ({**AGENT, "tools": [{"name": "http"}], "network": ["*"]}, "network.0", "sandbox.network.hosts"),
    ({**RUN, "tier": "process"}, "tier", "sandbox.allow_process"),
    ({**RUN, "tier": "vm"}, "tier", "sandbox.tiers"),
    ({**RUN, "kind": "vm"}, "tier", "sandbox.tiers"),
    ({**AGENT, "tier": "process"}, "tier", "sandbox.allow_process"),
    ({**RUN, "limits": {"cpus": 1}}, "limits.cpus", "sandbox.max_cpus"),
    ({**RUN, "image": IMAGE}, "image", "container or vm"),
    ({**RUN, "tier": "container"}, "image", "sandbox.container.images"),
    ({**RUN, "tier": "container", "image": IMAGE}, "image", "sandbox.container.images"),
    ({"kind": "llm", "provider": "olama", "messages": [{"role": "user", "text": "x"}]}, "provider", "ollama"),
    ({**AGENT, "provider": "zzz"}, "provider", "models.providers"),
    ({**AGENT, "mcp": [{"name": "a", "url": "https://a.example.org/mcp"}]}, "mcp.0.url", "network"),
]


@pytest.mark.parametrize(("body", "field", "remedy"), NOT_ALLOWED)
async def test_what_settings_do_not_allow_is_refused_before_it_is_kept(
    door: Door, body: dict[str, Any], field: str, remedy: str
) -> None:
    shut(door)
    answer = await door.http.post("/v1/jobs", json=body)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert [one["field"] for one in problem["errors"]] == [f"body.{field}"]
    assert remedy in problem["remedy"]
    assert (await door.http.get("/v1/jobs")).json()["items"] == []
    action = {"kind": "job", "config": {"job": body}}
    timer = {"name": "t", "after": "1h", "actions": [action]}
    plan = {"name": "p", "nodes": [{"id": "a", "timer": {"actions": [action]}}]}
    person = {"id": "ada", "name": "Ada", "contacts": [action]}
    for route, sent, place in (
        ("timers", timer, "body.actions.0"),
        ("plans", plan, "body.nodes.0.timer.actions.0"),
        ("people", person, "body.contacts.0"),
    ):
        answer = await door.http.post(f"/v1/{route}", json=sent)
        assert answer.status_code == 422, (route, answer.text)
        assert [one["field"] for one in answer.json()["errors"]] == [f"{place}.config.job.{field}"]
        assert remedy in answer.json()["remedy"]


ASKED: dict[str, Any] = {"kind": "llm", "messages": [{"role": "user", "text": "x"}]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"json_schema": {"type": "nonsense"}}, "json_schema.type"),
        ({"json_schema": {"properties": {"a": {"pattern": "x"}}}}, "json_schema.properties.a.pattern"),
        ({"json_schema": {"$ref": "#/$defs/cup"}}, "json_schema.$ref"),
        ({"tools": [{"name": "boil", "parameters": {"required": "water"}}]}, "tools.0.parameters.required"),
    ],
)
async def test_a_schema_that_is_none_is_refused_before_it_is_kept(
    door: Door, body: dict[str, Any], field: str
) -> None:
    answer = await door.http.post("/v1/jobs", json={**ASKED, **body})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert [one["field"] for one in problem["errors"]] == [f"body.{field}"]
    assert problem["detail"].startswith(f"{field}: expected "), "no setting would allow it"
    assert problem["remedy"]
    assert (await door.http.get("/v1/jobs")).json()["items"] == []
    action = {"kind": "job", "config": {"job": {**ASKED, **body}}}
    answer = await door.http.post("/v1/timers", json={"name": "t", "after": "1h", "actions": [action]})
    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json()["errors"]] == [f"body.actions.0.config.job.{field}"]


async def test_what_settings_allow_is_taken(door: Door) -> None:
    shut(door)
    bodies: list[dict[str, Any]] = [
        {**RUN, "network": ["a.example.org", "*.b.example.org:443"]},
        {**AGENT, "network": ["a.example.org"], "mcp": [{"name": "a", "url": "https://a.example.org/mcp"}]},
        # It never has a sandbox, and so any will do.
        {**AGENT, "tools": [{"name": "read_file"}], "tier": "process", "limits": {"cpus": 2}},
    ]
    for body in bodies:
        answer = await door.http.post("/v1/jobs", json=body)
        assert answer.status_code == 201, answer.text


async def test_contents_that_are_not_kept_are_refused(door: Door) -> None:
    answer = await door.http.post("/v1/jobs", json={**EXEC, "files": [{"path": "x", "artifact": "0" * 64}]})
    assert answer.status_code == 422
    assert "0" * 64 in answer.json()["detail"]
    assert "POST /v1/artifacts" in answer.json()["remedy"]


async def test_lists_are_filtered(door: Door) -> None:
    first = await submit(door, name="a", labels={"team": "red"})
    second = await submit(door, name="b", labels={"team": "blue"})
    await door.http.post(f"/v1/jobs/{second['id']}/cancel")

    async def ids(**params: str) -> list[str]:
        items = (await door.http.get("/v1/jobs", params=params)).json()["items"]
        return [item["id"] for item in items]

    assert await ids() == [second["id"], first["id"]]
    assert await ids(name="a") == await ids(label="team:red") == [first["id"]]
    assert await ids(kind="llm") == []
    assert await ids(state="queued") == [second["id"], first["id"]], "asked to stop, and not stopped yet"
    page = (await door.http.get("/v1/jobs", params={"limit": 1})).json()
    assert await ids(cursor=page["next_cursor"]) == [first["id"]]


async def test_too_many_unfinished_jobs_are_throttled(door: Door) -> None:
    door.gateway.settings = with_overrides(door.gateway.settings, {"jobs": {"max_unfinished": 1}})
    await submit(door)
    answer = await door.http.post("/v1/jobs", json=EXEC)
    assert answer.status_code == 429
    assert "jobs.max_unfinished" in answer.json()["remedy"]


async def test_scopes_and_tenants_are_kept_apart(door: Door) -> None:
    job = await submit(door)
    paths = ("", "/events", "/artifacts", "/artifacts/stdout", "/events/stream")
    theirs = await bearer(door, Scope.JOBS_WRITE, tenant="globex")
    for path in paths:
        answer = await door.http.get(f"/v1/jobs/{job['id']}{path}", headers=theirs)
        assert answer.status_code == 404, path
    assert (await door.http.post(f"/v1/jobs/{job['id']}/cancel", headers=theirs)).status_code == 404
    for scope in Scope:
        key = await bearer(door, scope)
        may_read = scope in (Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.ADMIN)
        may_write = scope in (Scope.JOBS_WRITE, Scope.ADMIN)
        assert (await door.http.get("/v1/jobs", headers=key)).status_code == (200 if may_read else 403)
        sent = await door.http.post("/v1/jobs", json=EXEC, headers=key)
        assert sent.status_code == (201 if may_write else 403), scope
        sent = await door.http.post("/v1/artifacts", content=b"x", headers=key)
        assert sent.status_code == (201 if may_write else 403), scope


async def test_contents_are_handed_in_and_out_by_their_hash(door: Door) -> None:
    data = bytes(range(256)) * 4000
    sha256 = hashlib.sha256(data).hexdigest()
    for _ in range(2):
        answer = await door.http.post("/v1/artifacts", content=data)
        assert answer.json() == {"sha256": sha256, "bytes": len(data)}
    found = await door.http.get(f"/v1/artifacts/{sha256}")
    assert found.content == data
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["content-disposition"] == "attachment"
    theirs = await bearer(door, Scope.JOBS_WRITE, tenant="globex")
    assert (await door.http.get(f"/v1/artifacts/{sha256}", headers=theirs)).status_code == 404
    empty = (await door.http.post("/v1/artifacts", content=b"")).json()["sha256"]
    assert (await door.http.get(f"/v1/artifacts/{empty}")).content == b""


async def test_an_artifact_that_is_too_big_is_refused(door: Door) -> None:
    most = 2_000_000
    door.gateway.settings = with_overrides(door.gateway.settings, {"jobs": {"max_artifact_bytes": most}})
    answer = await door.http.post("/v1/artifacts", content=b"x" * (most + 1))
    assert answer.status_code == 413
    assert str(most) in answer.json()["detail"]
    assert "jobs.max_artifact_bytes" in answer.json()["remedy"]


async def announced(door: Door, route: str, size: int) -> str:
    """What is answered to the announcement of a body alone: no byte of it is sent."""
    place = urlsplit(door.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"{route} HTTP/1.1\r\nhost: {place.netloc}\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(120):
        answer = await reader.read()
    writer.close()
    return answer.decode()


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """A body whose length is not announced."""
    for _ in range(size // 65_536 + 1):
        yield bytes(65_536)


async def test_what_is_beyond_every_bound_is_told_the_right_remedy(door: Door) -> None:
    settings, sandbox = door.gateway.settings, f"/v1/sandboxes/sbx_{'0' * 26}/files/x"
    handed_in = settings.jobs.max_artifact_bytes + 1
    told = "jobs.max_artifact_bytes"
    for route, size, remedy in (
        ("POST /v1/artifacts", handed_in, told),
        (f"PUT {sandbox}", handed_in, told),
        ("POST /v1/ingest", settings.ingest.max_request_bytes + 1, "ingest.max_request_bytes"),
        ("POST /v1/jobs", settings.gateway.max_body_bytes + 1, "POST /v1/artifacts"),
    ):
        answer = await announced(door, route, size)
        assert answer.startswith("HTTP/1.1 413 "), answer
        assert remedy in json.loads(answer.partition("\r\n\r\n")[2])["remedy"]
    answer = await door.http.post("/v1/jobs", content=in_pieces(settings.gateway.max_body_bytes))
    assert answer.status_code == 413
    assert "POST /v1/artifacts" in answer.json()["remedy"]


async def test_a_tenant_hands_in_so_much_a_day_and_no_more(door: Door) -> None:
    at = datetime(2027, 3, 1, 23, 59, 30, tzinfo=UTC)
    door.gateway.clock = lambda: at
    door.gateway.settings = with_overrides(door.gateway.settings, {"jobs": {"tenant_day_bytes": 5000}})

    async def hand_in(data: bytes, **more: Any) -> Any:
        return await door.http.post("/v1/artifacts", content=data, **more)

    answers = await asyncio.gather(*(hand_in(bytes([number]) * 1000) for number in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [429] * 5
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "30"
    assert "5000 bytes were handed in today" in refused.json()["detail"]
    assert "jobs.tenant_day_bytes" in refused.json()["remedy"]
    kept = next(answer.json() for answer in answers if answer.status_code == 201)
    number = next(number for number, answer in enumerate(answers) if answer.status_code == 201)
    again = await hand_in(bytes([number]) * 1000)
    assert (again.status_code, again.json()) == (201, kept), "what is kept already does not count"
    refused = next(number for number, answer in enumerate(answers) if answer.status_code == 429)
    sha256 = hashlib.sha256(bytes([refused]) * 1000).hexdigest()
    assert (await door.http.get(f"/v1/artifacts/{sha256}")).status_code == 404, "nothing of it is kept"
    door.gateway.settings = with_overrides(door.gateway.settings, {"jobs": {"tenant_day_bytes": 5001}})
    assert (await hand_in(b"x")).status_code == 201
    assert (await hand_in(b"yy")).status_code == 429
    at += timedelta(seconds=30)
    assert (await hand_in(b"yy")).status_code == 201, "it is another day"


async def test_who_hands_in_slowly_holds_so_much_of_the_gateway_and_no_more(door: Door) -> None:
    door.gateway.settings = with_overrides(door.gateway.settings, {"jobs": {"max_artifact_bytes": 1024}})
    go_on = asyncio.Event()

    async def slowly(first: bytes) -> AsyncIterator[bytes]:
        yield first
        await go_on.wait()

    async def held() -> int:
        return int(door.gateway.receiving["dev"])

    async with asyncio.TaskGroup() as group, asyncio.timeout(120):
        slow = [
            group.create_task(door.http.post("/v1/artifacts", content=slowly(bytes([number]) * 1000)))
            for number in range(8)
        ]
        try:
            await eventually(held, lambda size: size == 8000)
            refused = await door.http.post("/v1/artifacts", content=b"x" * 1000)
            theirs = await bearer(door, Scope.JOBS_WRITE, tenant="globex")
            other = await door.http.post("/v1/artifacts", content=b"x" * 1000, headers=theirs)
        finally:
            go_on.set()
    assert refused.status_code == 429
    assert "one after the other" in refused.json()["remedy"]
    assert other.status_code == 201
    assert [task.result().status_code for task in slow] == [201] * 8
    assert await eventually(held, lambda size: size == 0) == 0
    assert (await door.http.post("/v1/artifacts", content=b"x" * 1000)).status_code == 201


async def begun(door: Door, job: dict[str, Any]) -> job_progress.Begun:
    """An attempt at a job, begun as a worker begins it."""
    async with door.gateway.database.write() as connection:
        found = await job_progress.begin(connection, "dev", job["id"], most_attempts=5, now=utc_now())
    assert found is not None
    return found


async def told(door: Door, attempt: job_progress.Begun, *texts: str) -> None:
    """Tell of something that a program wrote."""
    new = [NewJobEvent(job_progress.JobEventType.LOG, {"stream": "stdout", "text": one}) for one in texts]
    async with door.gateway.database.write() as connection:
        assert (await job_progress.append(connection, attempt, new, utc_now())).goes_on


async def finish(door: Door, attempt: job_progress.Begun) -> None:
    """End a job well."""
    outcome = job_progress.Outcome(job_progress.JobState.SUCCEEDED)
    async with door.gateway.database.write() as connection:
        assert await job_progress.finish(connection, attempt, outcome, utc_now())


async def test_events_are_read_by_number_and_waited_for(door: Door) -> None:
    job = await submit(door)
    path = f"/v1/jobs/{job['id']}/events"
    attempt = await begun(door, job)
    await told(door, attempt, "a", "b")
    page = (await door.http.get(path, params={"limit": 2})).json()
    assert [event["sequence"] for event in page["items"]] == [1, 2]
    rest = (await door.http.get(path, params={"after": page["next_after"]})).json()
    assert [event["data"].get("text") for event in rest["items"]] == ["b"]
    assert rest["state"] == "running"
    waiting = asyncio.create_task(door.http.get(path, params={"after": 3, "wait": 30}))
    await told(door, attempt, "c")
    assert [event["data"]["text"] for event in (await waiting).json()["items"]] == ["c"]
    ending = asyncio.create_task(door.http.get(path, params={"after": 4, "wait": 30}))
    await finish(door, attempt)
    assert (await ending).json()["state"] == "succeeded"
    last = (await door.http.get(path, params={"after": 5, "wait": 30})).json()
    assert (last["items"], last["state"], last["next_after"]) == ([], "succeeded", 5)


async def test_a_stream_goes_on_where_its_reader_left_off_and_ends_with_the_job(door: Door) -> None:
    job = await submit(door)
    attempt = await begun(door, job)
    await told(door, attempt, "a", "b")

    async def lines(after: str | None = None) -> list[str]:
        headers = {} if after is None else {"last-event-id": after}
        async with door.http.stream("GET", f"/v1/jobs/{job['id']}/events/stream", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            return [line async for line in answer.aiter_lines()]

    reading = asyncio.create_task(lines())
    resumed = asyncio.create_task(lines("2"))
    await told(door, attempt, "c")
    await finish(door, attempt)
    async with asyncio.timeout(30):
        whole, part = await reading, await resumed
    texts = [json.loads(line[6:])["data"].get("text") for line in whole if line.startswith('data: {"seq')]
    assert [text for text in texts if text] == ["a", "b", "c"]
    assert "event: end" in whole
    texts = [json.loads(line[6:])["data"].get("text") for line in part if line.startswith('data: {"seq')]
    assert [text for text in texts if text] == ["b", "c"]
    bad = await door.http.get(f"/v1/jobs/{job['id']}/events/stream", headers={"last-event-id": "x"})
    assert bad.status_code == 422


async def test_cancelling_what_has_ended_is_a_conflict(door: Door) -> None:
    job = await submit(door)
    await finish(door, await begun(door, job))
    answer = await door.http.post(f"/v1/jobs/{job['id']}/cancel")
    assert answer.status_code == 409
    other = await submit(door)
    for _ in range(2):
        asked = await door.http.post(f"/v1/jobs/{other['id']}/cancel")
        assert (asked.status_code, asked.json()["cancel_requested"]) == (200, True), "it has not ended yet"


async def test_a_second_cancel_is_a_conflict_unless_it_is_the_first_one_again(door: Door) -> None:
    job, once = await submit(door), {"idempotency-key": "stop-1"}
    first = await door.http.post(f"/v1/jobs/{job['id']}/cancel", headers=once)
    assert (first.status_code, first.json()["cancel_requested"]) == (200, True)
    async with door.gateway.database.write() as connection:
        look = await job_progress.look(connection, "dev", job["id"], utc_now())
    assert look.state.value == "cancelled"
    # Its answer may have been lost: so it is given again.
    again = await door.http.post(f"/v1/jobs/{job['id']}/cancel", headers=once)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    for headers in ({}, {"idempotency-key": "stop-2"}):
        other = await door.http.post(f"/v1/jobs/{job['id']}/cancel", headers=headers)
        assert other.status_code == 409, other.text
        assert "the job was cancelled" in other.json()["detail"]


async def test_a_job_is_done_and_its_artifacts_are_there(full: Door) -> None:
    script = "mkdir out; tr a-z A-Z < in.txt > out/loud.txt; echo done"
    handed_in = (await full.http.post("/v1/artifacts", content=b"words")).json()["sha256"]
    job = await submit(
        full,
        command=["sh", "-c", script],
        files=[{"path": "in.txt", "artifact": handed_in}],
        outputs=["out/**"],
    )
    done = (await full.http.get(f"/v1/jobs/{job['id']}", params={"wait": 60}, timeout=70)).json()
    assert done["state"] == "succeeded", done
    assert done["result"]["stdout_tail"] == "done\n"
    listed = (await full.http.get(f"/v1/jobs/{job['id']}/artifacts")).json()["items"]
    assert [one["name"] for one in listed] == ["out/loud.txt", "stdout"]
    loud = await full.http.get(f"/v1/jobs/{job['id']}/artifacts/out/loud.txt")
    assert loud.content == b"WORDS"
    missing = await full.http.get(f"/v1/jobs/{job['id']}/artifacts/nothing")
    assert missing.status_code == 404


async def test_cancelling_over_http_stops_what_runs(full: Door) -> None:
    job = await submit(full, command=["sleep", "600"])

    async def state() -> str:
        found: str = (await full.http.get(f"/v1/jobs/{job['id']}")).json()["state"]
        return found

    await eventually(state, lambda seen: seen == "running", 60)
    assert (await full.http.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 200
    done = (await full.http.get(f"/v1/jobs/{job['id']}", params={"wait": 60}, timeout=70)).json()
    assert done["state"] == "cancelled"


async def test_paths_that_are_near_one_another_are_different(door: Door) -> None:
    paths = ["a", "a.b/c", "a.b/d", "ab", "b/a", "..a", "a..b/..."]
    job = await submit(
        door,
        files=[{"path": path, "text": path} for path in paths],
        outputs=["out/", "**/*.txt", "..a", "a/**/..b"],
    )
    assert job["state"] == "queued"


async def test_a_deadline_is_kept_as_it_is_given(door: Door) -> None:
    at = (utc_now() + timedelta(minutes=5)).replace(microsecond=0)
    job = await submit(door, deadline=at.isoformat())
    assert job["deadline"] == at.isoformat().replace("+00:00", "Z")
