"""Destinations over HTTP, with everything behind the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from gateways import Door
from receivers import Receiver


@pytest.fixture(autouse=True)
async def reconciling(full: Door) -> AsyncIterator[None]:
    """The reconciler that every worker process runs."""
    task = asyncio.create_task(full.gateway.handover.run(timedelta(seconds=0.1)))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ended(full: Door, url: str, **fields: Any) -> dict[str, Any]:
    """A timer that was set and is final."""
    body = {"name": "t", "after": 0.1, "actions": [{"url": url}]} | fields
    timer = (await full.http.post("/v1/timers", json=body)).json()
    final: dict[str, Any] = (await full.http.get(f"/v1/timers/{timer['id']}", params={"wait": 30})).json()
    return final


async def test_a_receiver_that_is_gone_is_listed_and_closed_again(full: Door, receiver: Receiver) -> None:
    receiver.answers(410)
    await ended(full, receiver.url)
    [destination] = (await full.http.get("/v1/destinations")).json()["items"]
    assert (destination["state"], destination["status"]) == ("gone", 410)
    opened = await full.http.post(f"/v1/destinations/{destination['id']}/open")
    assert (opened.status_code, opened.json()["detail"]) == (
        409,
        f"destination {destination['id']} is gone",
    )
    closed = await full.http.post(f"/v1/destinations/{destination['id']}/close")
    assert closed.json()["state"] == "closed"
    assert (await full.http.post(f"/v1/destinations/{destination['id']}/close")).status_code == 409
    receiver.answers(204)
    assert (await ended(full, receiver.url))["state"] == "settled"


async def test_a_destination_is_limited_opened_and_closed(full: Door, receiver: Receiver) -> None:
    body = {"url": receiver.url, "rate": {"requests": 10, "per": "1s"}, "concurrency": 2}
    saved = (await full.http.post("/v1/destinations", json=body)).json()
    assert saved["rate"] == {"requests": 10, "per": "1s"}
    assert (saved["state"], saved["concurrency"], saved["circuit"]["minimum"]) == ("closed", 2, 10)
    path = f"/v1/destinations/{saved['id']}"
    opened = (await full.http.post(f"{path}/open", json={"reason": "maintenance"})).json()
    assert (opened["state"], opened["reason"]) == ("open", "maintenance")
    timer = {"name": "t", "after": 0.05, "actions": [{"url": receiver.url}]}
    timer_id = (await full.http.post("/v1/timers", json=timer)).json()["id"]
    async with asyncio.timeout(20):
        while (await full.http.get(path)).json()["waiting"] != 1:
            await asyncio.sleep(0.05)
    why = (await full.http.get(f"/v1/timers/{timer_id}/why")).json()
    assert "waits for its circuit, which is open" in why["summary"]
    assert "(maintenance) until somebody closes it" in why["summary"]
    assert "action 0: waits for its circuit, which is open" in [one["what"] for one in why["history"]]
    assert (await full.http.post(f"{path}/close")).json()["state"] == "closed"
    settled = (await full.http.get(f"/v1/timers/{timer_id}", params={"wait": 30})).json()
    assert settled["state"] == "settled"


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"url": "nonsense"}, "body.url", "a URL, or what attempts show"),
        ({"url": "agent:builder"}, "body.url", "a URL, or what attempts show"),
        ({"url": "mail:ada@example.com"}, "body.url", "chat:, email:,"),
        ({"url": "ftp://a.example/b"}, "body.url", "a URL, or one that begins with"),
        ({"url": "https://a.example", "concurrency": 0}, "body.concurrency", "1"),
        ({"url": "https://a.example", "rate": {"requests": 1, "per": "10ms"}}, "body.rate.per", "0.1s"),
        ({"url": "https://a.example", "rate": {"per": "1s"}}, "body.rate.requests", ""),
        ({"url": "https://a.example", "circuit": {"failure_rate": 2}}, "body.circuit.failure_rate", "1"),
        ({"url": "https://a.example", "circuit": {"open_for": "1h"}}, "body.circuit.open_for", "30m"),
        ({"url": "https://a.example", "surprise": 1}, "body.surprise", ""),
    ],
)
async def test_settings_that_cannot_be_are_refused(
    full: Door, body: dict[str, Any], field: str, expected: str
) -> None:
    refused = await full.http.post("/v1/destinations", json=body)
    assert refused.status_code == 422
    [problem] = refused.json()["errors"]
    assert problem["field"] == field
    assert expected in problem["expected"]
    assert (await full.http.get("/v1/destinations")).json()["items"] == []


async def test_what_is_not_there_is_not_found(full: Door) -> None:
    for method, path in (("GET", ""), ("POST", "/open"), ("POST", "/close")):
        answer = await full.http.request(method, f"/v1/destinations/dst_01MG0FCDG0JFM7ZK3VRZTCAHHD{path}")
        assert answer.status_code == 404
        assert answer.json()["remedy"] == "GET /v1/destinations lists them."


async def test_what_was_saved_can_be_forgotten(full: Door) -> None:
    saved = (
        await full.http.post("/v1/destinations", json={"url": "https://a.example/x", "concurrency": 1})
    ).json()
    path = f"/v1/destinations/{saved['id']}"
    assert (await full.http.delete(path)).status_code == 204
    assert (await full.http.delete(path)).status_code == 404
    assert (await full.http.get("/v1/destinations")).json()["items"] == []


async def test_a_field_that_is_in_the_wrong_place_is_named(full: Door) -> None:
    config = {"url": "https://chat.example/x"}
    action = {"kind": "chat", "config": config, "body": {"template": "x"}}
    refused = await full.http.post("/v1/timers", json={"name": "t", "after": "1h", "actions": [action]})
    assert [one["field"] for one in refused.json()["errors"]] == ["body.actions.0.body"]


@pytest.mark.parametrize("token", ["http://[::1", "abc://host/secret", "plain"])
async def test_nothing_of_a_token_is_shown(full: Door, token: str) -> None:
    config = {"url": "https://tools.example/mcp", "tool": "t", "token": token}
    timer = {"name": "t", "after": "1h", "actions": [{"kind": "mcp", "config": config}]}
    made = await full.http.post("/v1/timers", json=timer)
    assert made.status_code == 201
    assert made.json()["actions"][0]["config"]["token"] == "********"
