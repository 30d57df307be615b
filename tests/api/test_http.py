"""HTTP itself: ids, traces, headers, unknown routes, readiness, the page with the routes."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from gateways import Door
from stacks import eventually

from minoots_api import openapi
from minoots_platform.settings import Settings, with_overrides

TIMER = {"name": "t", "after": "1h", "actions": [{"url": "http://127.0.0.1:9/"}]}


async def test_a_request_id_comes_back(door: Door) -> None:
    answer = await door.http.get("/health", headers={"X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    made = (await door.http.get("/health", headers={"X-Request-ID": "not one\twith spaces"})).headers[
        "x-request-id"
    ]
    assert made.startswith("req_")
    problem = await door.http.get("/v1/nothing", headers={"X-Request-ID": "abc-2"})
    assert problem.json()["request_id"] == "abc-2"


async def test_the_trace_of_the_caller_goes_on(door: Door) -> None:
    asked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await door.http.get("/health", headers={"traceparent": asked})
    assert answer.headers["traceparent"].split("-")[1] == asked.split("-")[1]


async def test_others_are_answered_while_the_description_is_made(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, made = threading.Event(), threading.Event(), openapi.describe

    def slowly(app: FastAPI) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(30)
        return made(app)

    monkeypatch.setattr(openapi, "describe", slowly)
    asked = asyncio.create_task(door.http.get("/openapi.json"))
    assert await asyncio.to_thread(begun.wait, 60)
    assert (await door.http.get("/health")).status_code == 200
    go_on.set()
    assert (await asked).json()["info"]["title"] == "Minoots"


@pytest.mark.parametrize("path", ["/health", "/v1/timers", "/v1/nothing", "/docs", "/openapi.json"])
async def test_every_answer_carries_security_headers(door: Door, path: str) -> None:
    headers = (await door.http.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


async def test_an_unknown_route_and_a_wrong_method_get_problems(door: Door) -> None:
    missing = await door.http.get("/v2/timers")
    assert (missing.status_code, missing.json()["kind"]) == (404, "not_found")
    wrong = await door.http.delete("/v1/timers")
    assert wrong.status_code == 405
    assert wrong.headers["content-type"] == "application/problem+json"
    assert "GET" in wrong.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/timers?stat=armed", "/v1/events?afterr=3", "/health?x=1"])
async def test_a_misspelt_parameter_is_refused(door: Door, path: str) -> None:
    answer = await door.http.get(path)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("query.")


async def test_a_body_without_an_announced_length_is_limited_too(door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 20_000

    answer = await door.http.post(
        "/v1/timers", content=endless(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert answer.json()["kind"] == "too_large"


async def test_a_gateway_without_temporal_is_alive_but_not_ready(door: Door) -> None:
    assert (await door.http.get("/health")).json()["status"] == "alive"
    answer = await door.http.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "records": "ok",
        "temporal": "cannot be reached",
        "workers": "cannot be reached",
    }


async def test_a_gateway_with_all_behind_it_is_ready(full: Door) -> None:
    async def ready() -> bool:
        found: bool = (await full.http.get("/ready")).json()["ready"]
        return found

    # On a busy machine the first look may take longer than such a look may take.
    await eventually(ready, bool)


async def test_the_page_of_routes_needs_nothing_from_elsewhere(door: Door) -> None:
    page = await door.http.get("/docs")
    for path in ("/docs/docs.js", "/docs/docs.css"):
        assert path in page.text
        assert (await door.http.get(path)).status_code == 200
    assert not re.search(r"https?://", page.text)
    assert "<script>" not in page.text


async def test_waiting_ends_as_soon_as_the_timer_is_final(door: Door) -> None:
    timer = (await door.http.post("/v1/timers", json=TIMER)).json()
    url = f"/v1/timers/{timer['id']}"
    waiting = asyncio.create_task(door.http.get(url, params={"wait": 60}))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await door.http.post(f"{url}/cancel")
    async with asyncio.timeout(15):
        assert (await waiting).json()["state"] == "cancelled"


async def test_waiting_gives_up_after_the_time_asked_for(door: Door) -> None:
    timer = (await door.http.post("/v1/timers", json=TIMER)).json()
    answer = await door.http.get(f"/v1/timers/{timer['id']}", params={"wait": 0.1})
    assert answer.json()["state"] == "scheduled"


async def test_credentials_in_headers_are_kept_but_not_shown(door: Door) -> None:
    action = {"url": "http://127.0.0.1:9/", "headers": {"Authorization": "Bearer topsecret", "x-team": "ops"}}
    timer = (await door.http.post("/v1/timers", json=TIMER | {"actions": [action]})).json()
    assert timer["actions"][0]["headers"] == {"Authorization": "********", "x-team": "ops"}
    told = await door.http.get("/v1/events")
    assert "topsecret" not in told.text


class TestWithAnOrigin:
    """A web page that may call."""

    @pytest.fixture
    def settings(self) -> Settings:
        """One origin is allowed."""
        return with_overrides(
            Settings(),
            {
                "environment": "dev",
                "gateway": {"allow_dev_tenant": True, "cors_origins": ["https://app.example"]},
                "flags": {"provider": "none"},
            },
        )

    async def test_only_that_origin_may_call(self, door: Door) -> None:
        asked = {"Access-Control-Request-Method": "POST", "Origin": "https://app.example"}
        allowed = await door.http.options("/v1/timers", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        other = await door.http.options("/v1/timers", headers=asked | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


class TestWithTheFlagOff:
    """Intake is closed by a flag."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        """A flag file that closes it for one tenant."""
        flag = {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off",
        }
        path = tmp_path / "flags.json"
        path.write_text(json.dumps({"flags": {"timers.accept": flag}}))
        return with_overrides(
            Settings(),
            {
                "environment": "dev",
                "gateway": {"allow_dev_tenant": True},
                "flags": {"provider": "file", "path": str(path), "poll_ms": 100},
                "delivery": {"allowed_networks": ["127.0.0.0/8"]},
            },
        )

    async def test_new_timers_are_refused_until_it_is_on_again(self, door: Door, settings: Settings) -> None:
        refused = await door.http.post("/v1/timers", json=TIMER)
        assert (refused.status_code, refused.json()["kind"]) == (503, "unavailable")
        assert "retry-after" in refused.headers
        assert settings.flags.path is not None
        text = settings.flags.path.read_text()
        settings.flags.path.write_text(text.replace('"defaultVariant": "off"', '"defaultVariant": "on"'))
        async with asyncio.timeout(20):
            while (await door.http.post("/v1/timers", json=TIMER)).status_code != 201:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "place",
    [
        ["-created", "0001-01-01T00:00:00+23:59", "x"],
        ["-created", "9999-12-31T23:59:59-23:59", "x"],
        ["-created", "2026-01-01T00:00:00+00:00", "\ud800"],
        ["-created", 7, 7],
        {},
    ],
    ids=str,
)
async def test_a_forged_cursor_is_refused(door: Door, place: object) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    answer = await door.http.get("/v1/timers", params={"cursor": cursor})
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "body", [b"not json", b"\xff\xfe{", b"9" * 5000, b"\x00", b"[" * 100_000], ids=range(5)
)
async def test_a_body_that_nobody_reads_may_be_anything(door: Door, body: bytes) -> None:
    timer = (await door.http.post("/v1/timers", json=TIMER)).json()
    url = f"/v1/timers/{timer['id']}/pause"
    for _ in range(2):
        answer = await door.http.post(url, content=body, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 200, answer.text


async def test_an_answer_does_not_outgrow_the_request_it_refuses(door: Door) -> None:
    body = TIMER | {f"field{number}": 1 for number in range(5000)}
    answer = await door.http.post("/v1/timers", json=body)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 20
    assert "4980 more" in answer.json()["detail"]


async def test_an_invented_method_makes_no_series_of_its_own(door: Door) -> None:
    await door.http.request("FOO1", "/v1/timers")
    text = (await door.http.get("/metrics")).text
    assert "FOO1" not in text
    assert 'method="other"' in text
