"""What an agent has seen that looks up sessions and documents is shown to those who may read these."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from gateways import Door, bearer

from minoots.contracts import AgentResult, JobEventType, JobState
from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import authority, contents, job_progress, schema
from minoots_platform.records.job_progress import Made, NewJobEvent, Outcome

SECRET = "what the session said"
WHOLE = (Scope.JOBS_READ, Scope.SESSIONS_READ, Scope.SOURCES_READ)


async def looked_up(door: Door, tool: str) -> str:
    """The id of an agent's job that has a tool, and has ended with what it has seen."""
    gateway = door.gateway
    headers = await bearer(door, Scope.JOBS_WRITE, *WHOLE)
    body = {"kind": "agent", "task": "look", "tools": [{"name": tool}]}
    answer = await door.http.post("/v1/jobs", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    job_id = str(answer.json()["id"])
    sha256 = await contents.keep(gateway.database, "acme", SECRET.encode(), utc_now())
    async with gateway.database.write() as connection:
        begun = await job_progress.begin(connection, "acme", job_id, most_attempts=5, now=utc_now())
        assert begun is not None
        seen = NewJobEvent(JobEventType.TOOL, {"name": tool, "state": "done", "result": SECRET})
        await job_progress.append(connection, begun, [seen], utc_now())
        result = AgentResult(preview=SECRET, turns=1, calls=1, messages=3, head="0" * 64, workspace="1" * 64)
        made = [Made("answer.txt", sha256, len(SECRET), "text/plain")]
        await job_progress.finish(
            connection, begun, Outcome(JobState.SUCCEEDED, result, None, made), utc_now()
        )
    return job_id


@pytest.mark.parametrize(
    "scopes",
    [
        (Scope.JOBS_READ,),
        (Scope.JOBS_WRITE, Scope.SESSIONS_READ),
        (Scope.JOBS_READ, Scope.SOURCES_READ, Scope.EVENTS_READ),
    ],
)
async def test_who_may_not_read_sessions_and_documents_sees_the_job_and_not_what_it_saw(
    door: Door, scopes: tuple[Scope, ...]
) -> None:
    job_id = await looked_up(door, "context")
    headers = await bearer(door, *scopes)
    job = await door.http.get(f"/v1/jobs/{job_id}", headers=headers)
    assert job.status_code == 200
    assert (job.json()["state"], job.json().get("result")) == ("succeeded", None)
    listed = await door.http.get("/v1/jobs", headers=headers)
    assert [one["id"] for one in listed.json()["items"]] == [job_id]
    told = [job.text, listed.text]
    for path in ("events", "events/stream", "artifacts", "artifacts/answer.txt"):
        answer = await door.http.get(f"/v1/jobs/{job_id}/{path}", headers=headers)
        assert answer.status_code == 403, path
        assert "this needs the scope s" in answer.json()["detail"]
        told.append(answer.text)
    if Scope.EVENTS_READ in scopes:
        told.append((await door.http.get("/v1/events", headers=headers)).text)
    assert SECRET not in " ".join(told)
    assert "0" * 64 not in " ".join(told)


async def test_who_may_read_them_sees_all_of_it_and_everybody_what_other_agents_saw(door: Door) -> None:
    for tool, scopes in (("context", WHOLE), ("context", (Scope.ADMIN,)), ("run", (Scope.JOBS_READ,))):
        job_id = await looked_up(door, tool)
        headers = await bearer(door, *scopes)
        for path in ("", "/events", "/events/stream", "/artifacts/answer.txt"):
            answer = await door.http.get(f"/v1/jobs/{job_id}{path}", headers=headers)
            assert answer.status_code == 200, (tool, path, answer.text)
            assert SECRET in answer.text, (tool, path)
        assert (
            len((await door.http.get(f"/v1/jobs/{job_id}/artifacts", headers=headers)).json()["items"]) == 1
        )
        newest: dict[str, Any] = (await door.http.get("/v1/jobs", headers=headers)).json()["items"][0]
        assert newest["result"]["preview"] == SECRET


async def test_a_repeated_request_shows_no_more_to_a_key_that_may_see_less(door: Door) -> None:
    whole = await bearer(door, Scope.JOBS_WRITE, *WHOLE)
    less = await bearer(door, Scope.JOBS_READ, Scope.JOBS_WRITE)
    body = {"kind": "agent", "task": "look", "tools": [{"name": "context"}, {"name": "run"}]}
    job_id = str((await door.http.post("/v1/jobs", json=body, headers=whole)).json()["id"])
    now = utc_now()
    async with door.gateway.database.write() as connection:
        assert await job_progress.begin(connection, "acme", job_id, most_attempts=5, now=now)
        for number in (1, 2, 3):
            values = {"job_id": job_id, "number": number, "turn": 1, "tool": "run", "state": "asked"}
            await connection.execute(
                sa.insert(schema.agent_calls).values(**values, preview=SECRET, created_at=now)
            )
    for verb, sent, status in (
        ("messages", {"text": "hello"}, 403),
        ("approve", {"call": 1}, 403),
        ("deny", {"call": 2}, 200),
    ):
        key = {"idempotency-key": f"{verb}-1"}
        path = f"/v1/jobs/{job_id}/{verb}"
        first = await door.http.post(path, json=sent, headers=whole | key)
        assert (first.status_code, SECRET in first.text) == (200, True), first.text
        again = await door.http.post(path, json=sent, headers=less | key)
        assert (again.status_code, SECRET in again.text) == (status, False), again.text
        # Whoever sent it first is given the same once more.
        same = await door.http.post(path, json=sent, headers=whole | key)
        assert (same.status_code, same.json()) == (200, first.json())
        assert same.headers["Idempotent-Replayed"] == "true"


async def test_of_another_tenant_it_is_not_there(door: Door) -> None:
    job_id = await looked_up(door, "context")
    headers = await bearer(door, *WHOLE, tenant="globex")
    for path in ("", "/events", "/events/stream", "/artifacts"):
        assert (await door.http.get(f"/v1/jobs/{job_id}{path}", headers=headers)).status_code == 404


def test_only_what_looks_up_asks_for_more() -> None:
    assert authority.scopes_to_see("agent", {"task": "x"}) == ()
    assert authority.scopes_to_see("agent", {"tools": [{"name": "run"}]}) == ()
    # Tools of a question to a model are its caller's own, whatever they are called.
    assert authority.scopes_to_see("llm", {"tools": [{"name": "context"}]}) == ()
    assert authority.scopes_to_see("agent", {"tools": [{"name": "context"}]}) == (
        Scope.SESSIONS_READ,
        Scope.SOURCES_READ,
    )
