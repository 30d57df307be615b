"""`/v1/sandboxes`: open, use, look at, close; whose they are, and what attackers get."""

from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from dev_stacks import run
from gateways import Door, bearer

from minoots import AsyncMinoots, Conflict, JobState, NotFound, TooLarge
from minoots.contracts import CloseReason, SandboxState
from minoots.errors import InvalidRequest
from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import sandbox_progress
from minoots_platform.settings import with_overrides

PROCESS: dict[str, Any] = {"tier": "process"}
SLOW = 60


async def want(door: Door, **body: Any) -> dict[str, Any]:
    """Ask for a sandbox and return it."""
    answer = await door.http.post("/v1/sandboxes", json={**PROCESS, **body})
    assert answer.status_code == 201, answer.text
    sandbox: dict[str, Any] = answer.json()
    return sandbox


async def test_a_sandbox_is_kept_before_it_is_answered(door: Door) -> None:
    sandbox = await want(door, name="shed", labels={"team": "red"}, idle_timeout="5m", lifetime="2h")
    assert (sandbox["state"], sandbox["name"], sandbox["opened"]) == ("opening", "shed", 0)
    assert (sandbox["idle_timeout"], sandbox["lifetime"]) == ("5m", "2h")
    found = (await door.http.get(f"/v1/sandboxes/{sandbox['id']}")).json()
    assert found["state"] == "opening"
    events = (await door.http.get("/v1/events", params={"subject": sandbox["id"]})).json()
    assert [event["type"] for event in events["items"]] == ["sandbox.accepted"]
    answer = await door.http.get(f"/v1/sandboxes/{sandbox['id']}/files")
    assert answer.status_code == 409
    assert "not open yet" in answer.json()["detail"]
    assert (await door.http.delete(f"/v1/sandboxes/{sandbox['id']}")).json()["close_requested"]


async def test_the_command_line_says_when_one_ended_and_not_until_when_it_might_have_stood(
    door: Door, tmp_path: Path
) -> None:
    sandbox = await want(door)

    async def minoots(*arguments: str) -> str:
        ran = await asyncio.to_thread(
            run, "--url", door.url, "sandboxes", *arguments, cwd=tmp_path, timeout=120
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    assert "opening, process, until 2" in await minoots("show", sandbox["id"])
    async with door.gateway.database.write() as connection:
        await sandbox_progress.closed(connection, "dev", sandbox["id"], utc_now())
    shown = await minoots("show", sandbox["id"])
    assert "closed, process, ended 2" in shown
    assert "until" not in shown
    assert [line.split()[3] for line in (await minoots("list")).splitlines()[-1:]] == ["-"]


async def test_the_same_key_opens_one_sandbox(door: Door) -> None:
    headers = {"idempotency-key": "once"}
    sent = [await door.http.post("/v1/sandboxes", json=PROCESS, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [201, 201]
    assert sent[0].json() == sent[1].json()
    assert sent[1].headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tier": "chroot"}, "body.tier"),
        ({"limits": {"memory_mb": 1}}, "body.limits.memory_mb"),
        ({"idle_timeout": "0s"}, "body.idle_timeout"),
        ({"lifetime": "25h"}, "body.lifetime"),
        ({"lifetime": "2h"}, "body.lifetime"),
        ({"image": "busybox:latest"}, "body.image"),
        ({"network": ["https://example.org"]}, "body.network.0"),
        ({"from_snapshot": "../x"}, "body.from_snapshot"),
        ({"unknown": 1}, "body.unknown"),
    ],
)
async def test_what_is_not_valid_is_refused_by_field(door: Door, body: dict[str, Any], field: str) -> None:
    door.gateway.settings = with_overrides(
        door.gateway.settings, {"sandbox": {"standing": {"max_lifetime": 3600}}}
    )
    answer = await door.http.post("/v1/sandboxes", json=body)
    assert answer.status_code == 422, answer.text
    assert any(one["field"].startswith(field) for one in answer.json()["errors"]), answer.text


async def test_too_many_of_one_tenant_are_throttled(door: Door) -> None:
    door.gateway.settings = with_overrides(
        door.gateway.settings, {"sandbox": {"standing": {"per_tenant": 1}}}
    )
    await want(door)
    answer = await door.http.post("/v1/sandboxes", json=PROCESS)
    assert answer.status_code == 429
    assert "sandbox.standing.per_tenant" in answer.json()["remedy"]
    other = await bearer(door, Scope.SANDBOXES_WRITE, tenant="globex")
    assert (await door.http.post("/v1/sandboxes", json=PROCESS, headers=other)).status_code == 201


async def test_what_a_key_may_do_is_in_its_scopes(door: Door) -> None:
    sandbox = await want(door)
    where = f"/v1/sandboxes/{sandbox['id']}"
    reads = await bearer(door, Scope.SANDBOXES_READ, tenant="dev")
    assert (await door.http.get(where, headers=reads)).status_code == 200
    for method, path in (
        ("POST", "/v1/sandboxes"),
        ("DELETE", where),
        ("POST", f"{where}/suspend"),
        ("POST", f"{where}/snapshot"),
        ("PUT", f"{where}/files/a"),
    ):
        answer = await door.http.request(method, path, headers=reads, json=PROCESS)
        assert answer.status_code == 403, (method, path)
    jobs = await bearer(door, Scope.JOBS_WRITE, tenant="dev")
    assert (await door.http.get(where, headers=jobs)).status_code == 403
    job = {"kind": "exec", "sandbox": sandbox["id"], "command": ["true"]}
    answer = await door.http.post("/v1/jobs", json=job, headers=jobs)
    assert answer.status_code == 403, "who may use no sandbox runs nothing in one"
    timer = {"name": "t", "after": "1h", "actions": [{"kind": "job", "config": {"job": job}}]}
    sets = await bearer(door, Scope.JOBS_WRITE, Scope.TIMERS_WRITE, tenant="dev")
    assert (await door.http.post("/v1/timers", json=timer, headers=sets)).status_code == 403


@pytest.mark.parametrize("kind", ["timer", "schedule", "plan", "person"])
async def test_what_starts_a_job_in_a_sandbox_that_is_not_there_is_refused_at_once(
    door: Door, kind: str
) -> None:
    theirs = await bearer(door, Scope.ADMIN, tenant="globex")
    answer = await door.http.post("/v1/sandboxes", json=PROCESS, headers=theirs)
    ended = await want(door)
    async with door.gateway.database.write() as connection:
        await sandbox_progress.closed(connection, "dev", ended["id"], utc_now())
    texts = []
    for named in (answer.json()["id"], f"sbx_{'0' * 26}", ended["id"], (await want(door))["id"]):
        job = {"kind": "exec", "sandbox": named, "command": ["true"]}
        action = {"kind": "job", "config": {"job": job}}
        timer: dict[str, Any] = {"name": "t", "actions": [action]}
        path, body = {
            "timer": ("/v1/timers", {**timer, "after": "1h"}),
            "schedule": ("/v1/timers", {**timer, "schedule": {"rules": [{"every": "1h"}]}}),
            "plan": ("/v1/plans", {"name": "p", "nodes": [{"id": "a", "timer": timer}]}),
            "person": ("/v1/people", {"id": "ada", "name": "Ada", "contacts": [action]}),
        }[kind]
        answer = await door.http.post(path, json=body)
        texts.append((answer.status_code, str(answer.json().get("detail")).replace(named, "ID")))
    unknown = (422, "there is no sandbox ID")
    assert texts[:3] == [unknown, unknown, (422, "the sandbox ID is closed")], texts
    assert texts[3][0] in (200, 201), texts


async def test_another_tenants_sandbox_is_not_there(full: Door) -> None:
    async with AsyncMinoots(full.url) as client:
        sandbox = await client.sandboxes.open(tier="process", wait=SLOW)
        await client.sandboxes.write(sandbox.id, "secret", b"ours")
        taken = await client.sandboxes.snapshot(sandbox.id)
        theirs = await bearer(full, Scope.ADMIN, tenant="globex")
        where = f"/v1/sandboxes/{sandbox.id}"
        for method, path in (
            ("GET", where),
            ("DELETE", where),
            ("POST", f"{where}/suspend"),
            ("POST", f"{where}/resume"),
            ("POST", f"{where}/snapshot"),
            ("GET", f"{where}/files"),
            ("GET", f"{where}/files/secret"),
            ("PUT", f"{where}/files/secret"),
        ):
            answer = await full.http.request(method, path, headers=theirs, content=b"theirs")
            assert answer.status_code == 404, (method, path, answer.text)
        job = {"kind": "exec", "sandbox": sandbox.id, "command": ["cat", "secret"]}
        assert (await full.http.post("/v1/jobs", json=job, headers=theirs)).status_code == 404
        copy = {**PROCESS, "from_snapshot": taken.sha256}
        assert (await full.http.post("/v1/sandboxes", json=copy, headers=theirs)).status_code == 422
        assert (await full.http.get("/v1/sandboxes", headers=theirs)).json()["items"] == []
        assert await client.sandboxes.read(sandbox.id, "secret") == b"ours"
        assert (await client.sandboxes.close(sandbox.id, wait=SLOW)).state is SandboxState.CLOSED


async def test_the_sdk_opens_one_runs_programs_in_it_and_closes_it(full: Door) -> None:
    async with AsyncMinoots(full.url) as client:
        sandbox = await client.sandboxes.open(tier="process", name="shed", labels={"a": "b"}, wait=SLOW)
        assert sandbox.state is SandboxState.OPEN
        written = await client.sandboxes.write(
            sandbox.id, "bin/greet me", "#!/bin/sh\necho hi\n", executable=True
        )
        assert (written.path, written.bytes) == ("bin/greet me", 18)
        job = await client.jobs.submit(command="'./bin/greet me' | tee out", sandbox=sandbox.id)
        done = await client.jobs.wait(job.id, timeout=SLOW)
        assert done.state is JobState.SUCCEEDED, done
        listed = await client.sandboxes.files(sandbox.id)
        assert [(one.path, one.executable) for one in listed.items] == [
            ("bin/greet me", True),
            ("out", False),
        ]
        assert (await client.sandboxes.files(sandbox.id, most=1)).cut
        assert await client.sandboxes.read(sandbox.id, "out") == b"hi\n"
        with pytest.raises(NotFound):
            await client.sandboxes.read(sandbox.id, "none")
        assert (await client.sandboxes.suspend(sandbox.id)).state is SandboxState.SUSPENDED
        assert (await client.sandboxes.suspend(sandbox.id)).state is SandboxState.SUSPENDED
        assert (await client.sandboxes.resume(sandbox.id)).state is SandboxState.OPEN
        taken = await client.sandboxes.snapshot(sandbox.id)
        assert await client.jobs.download(taken.sha256)
        again = await client.sandboxes.open(tier="process", from_snapshot=taken.sha256, wait=SLOW)
        assert await client.sandboxes.read(again.id, "out") == b"hi\n"
        assert [one.id async for one in client.sandboxes.list(label={"a": "b"})] == [sandbox.id]
        closed = await client.sandboxes.close(sandbox.id, wait=SLOW)
        assert (closed.state, closed.reason) == (SandboxState.CLOSED, CloseReason.REQUESTED)
        assert (await client.sandboxes.close(sandbox.id)).state is SandboxState.CLOSED
        with pytest.raises(Conflict):
            await client.sandboxes.read(sandbox.id, "out")
        with pytest.raises(Conflict):
            await client.jobs.submit(command="true", sandbox=sandbox.id)
        with pytest.raises(InvalidRequest):
            await client.jobs.submit(command="true", sandbox=again.id, tier="process")
        with pytest.raises(InvalidRequest, match=r"sandbox\.max_memory_mb"):
            await client.sandboxes.open(tier="process", limits={"memory_mb": 1_000_000}, wait=SLOW)
        with pytest.raises(InvalidRequest, match=r"sandbox\.network\.hosts"):
            await client.sandboxes.open(network=["example.org"])
        await client.sandboxes.close(again.id, wait=SLOW)


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%2e%2e/x", "%2Fetc%2Fpasswd", "a%2F%2Fb", "x%00"]
)
async def test_paths_of_files_lead_nowhere_else(full: Door, path: str) -> None:
    sandbox = await want(full)
    where = f"{full.url}/v1/sandboxes/{sandbox['id']}/files/{path}"
    for method in ("GET", "PUT"):
        answer = await full.http.request(method, where, content=b"x")
        assert answer.status_code in (404, 405, 422), answer.text
    await full.http.delete(f"/v1/sandboxes/{sandbox['id']}", params={"wait": SLOW})


async def test_links_in_one_are_followed_nowhere_and_what_is_huge_is_refused(full: Door) -> None:
    full.gateway.settings = with_overrides(full.gateway.settings, {"jobs": {"max_artifact_bytes": 100_000}})
    async with AsyncMinoots(full.url) as client:
        sandbox = await client.sandboxes.open(tier="process", limits={"disk_mb": 1}, wait=SLOW)
        job = await client.jobs.submit(
            command="ln -s /etc/passwd out; ln -s /etc up; mkfifo pipe; head -c 500000 /dev/zero > large",
            sandbox=sandbox.id,
        )
        assert (await client.jobs.wait(job.id, timeout=SLOW)).state is JobState.SUCCEEDED
        assert [one.path for one in (await client.sandboxes.files(sandbox.id)).items] == ["large"]
        for path in ("out", "up/passwd", "pipe"):
            with pytest.raises(NotFound):
                await client.sandboxes.read(sandbox.id, path)
        with pytest.raises(InvalidRequest):
            await client.sandboxes.write(sandbox.id, "up/mine", b"x")
        with pytest.raises(TooLarge):
            await client.sandboxes.write(sandbox.id, "more", b"x" * 100_001)
        await client.sandboxes.close(sandbox.id, wait=SLOW)


async def test_a_snapshot_of_a_strangers_making_fills_no_other_place_and_no_memory(full: Door) -> None:
    def archive(name: str, size: int) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            about = tarfile.TarInfo(name)
            about.size = size
            tar.addfile(about, io.BytesIO(b"x" * min(size, 4)))
        return packed.getvalue()

    # It says that its few bytes are eight gigabytes.
    large = tarfile.TarInfo("big")
    large.size = 8 * 1024**3
    bomb = large.tobuf(tarfile.GNU_FORMAT) + bytes(10_240)
    async with AsyncMinoots(full.url) as client:
        for data in (archive("../../escaped", 4), archive("/etc/escaped", 4), b"no archive", bomb):
            sha256 = await client.jobs.hand_in(data)
            with pytest.raises((InvalidRequest, TooLarge)):
                await client.sandboxes.open(tier="process", from_snapshot=sha256, wait=SLOW)


async def test_whoever_waits_hears_at_once_that_it_stands_and_that_it_has_ended(full: Door) -> None:
    sandbox = await want(full)
    where = f"/v1/sandboxes/{sandbox['id']}"
    async with asyncio.timeout(SLOW):
        found = (await full.http.get(where, params={"wait": 60})).json()
    assert found["state"] == "open"
    ended = (await full.http.delete(where, params={"wait": 60})).json()
    assert ended["state"] == "closed"
