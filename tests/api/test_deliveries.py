"""Dead letters, replays and secrets over HTTP, with everything behind the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from gateways import Door
from receivers import Receiver
from standardwebhooks.webhooks import Webhook


@pytest.fixture(autouse=True)
async def reconciling(full: Door) -> AsyncIterator[None]:
    """The reconciler that every worker process runs."""
    task = asyncio.create_task(full.gateway.handover.run(timedelta(seconds=0.1)))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ended(full: Door, **fields: Any) -> dict[str, Any]:
    """A timer that was set and is final."""
    body = {"name": "t", "after": 0.1} | fields
    timer = (await full.http.post("/v1/timers", json=body)).json()
    final: dict[str, Any] = (await full.http.get(f"/v1/timers/{timer['id']}", params={"wait": 30})).json()
    return final


async def test_a_dead_letter_is_listed_replayed_and_settles_its_timer(full: Door, receiver: Receiver) -> None:
    receiver.answers(400)
    timer = await ended(full, actions=[{"url": receiver.url}])
    assert timer["state"] == "failed"
    [letter] = (await full.http.get("/v1/dead-letters", params={"timer_id": timer["id"]})).json()["items"]
    assert (letter["error"], letter["attempts"], letter["url"]) == ("status", 1, receiver.url)
    receiver.answers(204)
    replayed = await full.http.post(f"/v1/dead-letters/{letter['id']}/replay")
    assert replayed.status_code == 202
    assert replayed.json()["replay_of"] == letter["id"]
    url = f"/v1/timers/{timer['id']}"
    async with asyncio.timeout(20):
        while (await full.http.get(url)).json()["state"] != "settled":
            await asyncio.sleep(0.05)
    again = await full.http.post(f"/v1/dead-letters/{letter['id']}/replay")
    assert again.status_code == 409
    attempts = (await full.http.get(f"{url}/attempts")).json()["items"]
    assert [attempt["status"] for attempt in attempts] == [400, 204]


async def test_a_replay_by_filter_tells_its_progress(full: Door, receiver: Receiver) -> None:
    receiver.answers(400)
    timers = [await ended(full, actions=[{"url": receiver.url}], name="many") for _ in range(3)]
    receiver.answers(204)
    started = await full.http.post("/v1/dead-letters/replay", json={"timer_name": "many"})
    assert started.status_code == 202
    assert started.json()["total"] == 3
    async with asyncio.timeout(30):
        while (progress := (await full.http.get(started.headers["location"])).json())["state"] != "done":
            await asyncio.sleep(0.05)
        assert (progress["replayed"], progress["skipped"]) == (3, 0)
        for timer in timers:
            while (await full.http.get(f"/v1/timers/{timer['id']}")).json()["state"] != "settled":
                await asyncio.sleep(0.05)
    assert (await full.http.post("/v1/dead-letters/replay", json={})).status_code == 422


async def test_a_secret_is_shown_once_and_signs_through_its_rotation(full: Door, receiver: Receiver) -> None:
    made = await full.http.post("/v1/secrets", json={"name": "orders"})
    assert made.status_code == 201
    old = made.json()["key"]
    assert (await full.http.post("/v1/secrets", json={"name": "orders"})).status_code == 409
    new = (await full.http.post("/v1/secrets/orders/rotate", json={"overlap": "1h"})).json()["key"]
    for path in ("/v1/secrets", "/v1/secrets/orders"):
        shown = (await full.http.get(path)).text
        assert "whpk_" in shown
        assert old not in shown
        assert new not in shown
    await ended(full, actions=[{"url": receiver.url, "secret": "orders"}])
    [request] = receiver.requests
    for secret in (old, new):
        Webhook(secret).verify(request.body, request.headers)


async def test_why_tells_of_a_failing_receiver_and_the_next_attempt(full: Door, receiver: Receiver) -> None:
    receiver.answers(500)
    body = {"name": "t", "after": 0.1, "actions": [{"url": receiver.url}], "retry": {"delays": ["10m"]}}
    timer = (await full.http.post("/v1/timers", json=body)).json()
    url = f"/v1/timers/{timer['id']}"
    async with asyncio.timeout(20):
        while not (await full.http.get(f"{url}/attempts")).json()["items"]:
            await asyncio.sleep(0.05)
    why = (await full.http.get(f"{url}/why")).json()
    assert "failing" in why["summary"]
    assert why["next_at"] is not None
    [attempt] = (await full.http.get(f"{url}/attempts")).json()["items"]
    assert attempt["next_attempt_at"] == why["next_at"]
