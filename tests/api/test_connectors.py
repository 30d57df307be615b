"""Actions of connectors over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from connector_cases import serve_tools
from gateways import Door
from receivers import Receiver
from stacks import eventually
from temporalio.client import Client


def timer(kind: str, **config: Any) -> dict[str, Any]:
    actions = [{"kind": kind, "config": config}]
    return {
        "name": "disk full",
        "after": 0.1,
        "actions": actions,
        "retry": {"attempts": 1},
        "payload": [1, 2],
    }


async def test_a_timer_posts_to_a_chat_and_hides_its_address(full: Door, receiver: Receiver) -> None:
    made = await full.http.post("/v1/timers", json=timer("chat", url=receiver.url, text="Look!"))
    assert made.status_code == 201, made.text
    assert made.json()["actions"][0]["config"]["url"].endswith("/********")
    settled = await full.http.get(f"/v1/timers/{made.json()['id']}", params={"wait": 20})
    assert settled.json()["state"] == "settled"
    [request] = receiver.requests
    assert json.loads(request.body)["text"].startswith("Look!\n\n[")
    assert "webhook-signature" not in request.headers


@pytest.mark.parametrize("kind", ["webhook", "chat"])
async def test_an_action_is_checked_without_sending_it(full: Door, receiver: Receiver, kind: str) -> None:
    def asked(url: str) -> dict[str, Any]:
        fields = {"url": url} if kind == "webhook" else {"config": {"url": url}}
        return {"action": {"kind": kind, **fields}}

    well = await full.http.post("/v1/connectors/check", json=asked(receiver.url))
    assert well.status_code == 200, well.text
    assert (well.json()["well"], well.json()["error"]) == (True, None)
    ill = (await full.http.post("/v1/connectors/check", json=asked("http://127.0.0.1:9/hook"))).json()
    assert (ill["well"], ill["error"], ill["kind"]) == (False, "connect", kind)
    assert receiver.requests == []
    refused = await full.http.post("/v1/connectors/check", json=asked("http://10.0.0.1/x"))
    field = "body.action.url" if kind == "webhook" else "body.action.config.url"
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field


async def _checks(client: Client) -> list[str]:
    return [run.id async for run in client.list_workflows("WorkflowType = 'Check'")]


async def test_what_is_checked_stands_in_no_history_in_clear_text(full: Door, receiver: Receiver) -> None:
    action = {"kind": "chat", "config": {"url": f"{receiver.url}/very-secret"}}
    await full.http.post("/v1/connectors/check", json={"action": action})
    client = full.gateway.temporal
    assert client is not None
    runs = await eventually(lambda: _checks(client), lambda found: found)
    history = await client.get_workflow_handle(runs[0]).fetch_history()
    told = str([event.SerializeToString() for event in history.events])
    assert "gAAAA" in told, "what the vault sealed is in it"
    assert "very-secret" not in told


async def test_a_chat_that_refuses_makes_a_dead_letter(full: Door, receiver: Receiver) -> None:
    receiver.answers(404)
    made = (await full.http.post("/v1/timers", json=timer("chat", url=receiver.url))).json()
    failed = await full.http.get(f"/v1/timers/{made['id']}", params={"wait": 20})
    assert failed.json()["state"] == "failed"
    [letter] = (await full.http.get("/v1/dead-letters")).json()["items"]
    assert (letter["url"], letter["error"]) == (
        f"chat:127.0.0.1#{hashlib.sha256(receiver.url.encode()).hexdigest()[:8]}",
        "status",
    )


@pytest.mark.parametrize(
    ("action", "field", "expected"),
    [
        ({"kind": "pigeon"}, "body.actions.0.kind", "one of agent, chat, email"),
        ({"kind": "Pigeon!"}, "body.actions.0.kind", "lower-case letters"),
        ({"kind": "chat", "config": {}}, "body.actions.0.config.url", ""),
        ({"kind": "chat", "config": {"url": "https://a.example/", "x": 1}}, "body.actions.0.config.x", ""),
        ({"kind": "email", "config": {"to": ["a@b.example"]}}, "body.actions.0.kind", "set up for"),
    ],
)
async def test_bad_actions_get_a_problem_that_names_the_field(
    door: Door, action: dict[str, Any], field: str, expected: str
) -> None:
    answer = await door.http.post("/v1/timers", json={"name": "t", "after": 1, "actions": [action]})
    problem = answer.json()
    assert answer.status_code == 422, problem
    assert problem["errors"][0]["field"] == field
    assert expected in problem["errors"][0]["expected"]


async def test_connectors_are_listed_with_what_they_take_and_what_they_lack(door: Door) -> None:
    found = {one["kind"]: one for one in (await door.http.get("/v1/connectors")).json()["items"]}
    assert set(found) == {"agent", "chat", "email", "feed", "job", "mcp", "nats", "webhook", "workflow"}
    assert (found["chat"]["configured"], found["email"]["configured"]) == (True, False)
    assert "connectors.email.host" in found["email"]["remedy"]
    assert found["chat"]["config"]["properties"]["style"]["enum"] == ["slack", "discord", "teams"]


async def test_a_tool_is_called_its_progress_is_told_and_its_token_never_shown(full: Door) -> None:
    tools = await serve_tools()
    try:
        config = {"url": tools.url, "tool": "page", "token": "t0ken-secret"}
        timer = {
            "name": "disk full",
            "after": 0.1,
            "payload": {"disk": "sda"},
            "actions": [{"kind": "mcp", "config": config}],
        }
        made = await full.http.post("/v1/timers", json=timer)
        assert "t0ken-secret" not in made.text
        settled = await full.http.get(f"/v1/timers/{made.json()['id']}", params={"wait": 30})
        assert settled.json()["state"] == "settled"
        assert "t0ken-secret" not in settled.text
    finally:
        await tools.stop()
    [call] = tools.calls
    assert f"{made.json()['id']}_1_0" in call
    events = (await full.http.get(f"/v1/timers/{made.json()['id']}/events")).json()["items"]
    progress = [one["data"] for one in events if one["type"] == "delivery.progressed"]
    assert [(one["progress"], one["total"], one["message"]) for one in progress] == [
        (1.0, 2.0, "looking"),
        (2.0, 2.0, "done"),
    ]
    [attempt] = (await full.http.get(f"/v1/timers/{made.json()['id']}/attempts")).json()["items"]
    assert attempt["response"] == '{"paged": "sda"}'


async def test_an_address_that_is_a_secret_is_not_said_back(door: Door) -> None:
    action = {"kind": "chat", "config": {"url": "http://user:secret@a.example/"}}
    refused = await door.http.post("/v1/connectors/check", json={"action": action})
    assert refused.status_code == 422
    assert "secret" not in refused.text


async def test_few_checks_are_under_way_at_a_time(full: Door) -> None:
    async with slow_server() as slow:
        action = {"kind": "mcp", "config": {"url": slow, "tool": "page"}}
        answers = await asyncio.gather(
            *(full.http.post("/v1/connectors/check", json={"action": action}, timeout=60) for _ in range(7))
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 3


@asynccontextmanager
async def slow_server() -> AsyncIterator[str]:
    """A server that takes a second for an answer, which is none."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        await asyncio.sleep(1)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
