"""Timers over HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from gateways import Door
from receivers import Receiver

from minoots_platform.clock import utc_now

HOOK = "http://127.0.0.1:9/hook"


def spec(**fields: Any) -> dict[str, Any]:
    """A timer to set."""
    return {"name": "tea", "after": "1h", "actions": [{"url": HOOK}], **fields}


async def created(door: Door, **fields: Any) -> dict[str, Any]:
    """A timer that was set."""
    answer = await door.http.post("/v1/timers", json=spec(**fields))
    assert answer.status_code == 201, answer.text
    timer: dict[str, Any] = answer.json()
    return timer


async def test_a_timer_set_over_http_fires_at_a_receiver_and_settles(full: Door, receiver: Receiver) -> None:
    answer = await full.http.post("/v1/timers", json=spec(after=0.3, actions=[{"url": receiver.url}]))
    timer = answer.json()
    assert answer.headers["location"] == f"/v1/timers/{timer['id']}"
    settled = (await full.http.get(answer.headers["location"], params={"wait": 20})).json()
    assert settled["state"] == "settled"
    [request] = receiver.requests
    assert request.event["subject"] == timer["id"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://169.254.169.254/latest", "an address that is not metadata"),
        ("http://[::ffff:10.0.0.1]/", "an address that is not private"),
        ("http://xn--a/", "a host that can be written in a request"),
    ],
    ids=str,
)
async def test_an_address_that_nothing_is_sent_to_is_refused_at_once(
    door: Door, url: str, expected: str
) -> None:
    answer = await door.http.post("/v1/timers", json=spec(actions=[{"url": HOOK}, {"url": url}]))
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["field"], error["expected"]) == ("body.actions.1.url", expected)
    assert (await door.http.get("/v1/timers")).json()["items"] == []


async def test_a_secret_that_is_not_there_is_named_with_its_action(door: Door) -> None:
    actions = [{"url": HOOK}, {"url": HOOK, "secret": "nobody"}]
    answer = await door.http.post("/v1/timers", json=spec(actions=actions))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["body.actions.1.secret"]


async def test_a_timer_is_accepted_while_temporal_is_away(door: Door) -> None:
    timer = await created(door, payload={"a": [1, None, "ü"]}, labels={"team": "ops"}, metadata={"k": 1})
    assert timer["state"] == "scheduled"
    assert (await door.http.get(f"/v1/timers/{timer['id']}")).json() == timer


@pytest.mark.parametrize("after", ["90s", "1h30m", "PT1H30M", 5400, 0.25, "250ms"])
async def test_durations_are_read_in_every_form(door: Door, after: object) -> None:
    before = utc_now()
    timer = await created(door, after=after)
    due = datetime.fromisoformat(timer["fire_at"]) - before
    wanted = {"90s": 90, "250ms": 0.25, 0.25: 0.25}.get(after, 5400)  # type: ignore[call-overload]
    assert timedelta(0) <= due - timedelta(seconds=wanted) < timedelta(seconds=10)


async def test_the_same_key_and_body_give_the_first_answer_again(door: Door) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = await door.http.post("/v1/timers", json=spec(), headers=headers)
    again = await door.http.post("/v1/timers", json=spec(), headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = await door.http.post("/v1/timers", json=spec(name="coffee"), headers=headers)
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "header.Idempotency-Key"
    assert len((await door.http.get("/v1/timers")).json()["items"]) == 1


async def test_the_same_key_at_the_same_moment_sets_one_timer(door: Door) -> None:
    answers = await asyncio.gather(
        *(door.http.post("/v1/timers", json=spec(), headers={"Idempotency-Key": "k"}) for _ in range(8))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_change_needs_the_generation_that_was_seen(door: Door) -> None:
    timer = await created(door)
    url = f"/v1/timers/{timer['id']}"
    changed = await door.http.patch(url, json={"after": "2h"}, headers={"If-Match": '"1"'})
    assert changed.json()["generation"] == 2
    assert changed.headers["etag"] == '"2"'
    stale = await door.http.patch(url, json={"after": "3h"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["kind"]) == (412, "stale")
    assert (await door.http.get(url)).json()["fire_at"] == changed.json()["fire_at"]


async def test_every_command_over_its_route(door: Door) -> None:
    timer = await created(door)
    url = f"/v1/timers/{timer['id']}"
    assert (await door.http.post(f"{url}/snooze", json={"after": "10m"})).json()["generation"] == 2
    assert (await door.http.post(f"{url}/pause")).json()["state"] == "paused"
    assert (await door.http.post(f"{url}/pause")).status_code == 409
    assert (await door.http.post(f"{url}/resume")).json()["state"] == "scheduled"
    assert (await door.http.post(f"{url}/fire")).status_code == 200
    cancelled = await door.http.post(f"{url}/cancel", json={"reason": "changed my mind"})
    assert cancelled.json()["state_reason"] == "changed my mind"
    late = await door.http.post(f"{url}/cancel")
    assert (late.status_code, late.json()["kind"]) == (409, "conflict")
    told = (await door.http.get(f"{url}/events")).json()["items"]
    assert [event["type"] for event in told] == [
        "timer.scheduled",
        "timer.rescheduled",
        "timer.paused",
        "timer.resumed",
        "timer.fire_requested",
        "timer.cancelled",
    ]
    why = (await door.http.get(f"{url}/why")).json()
    assert "cancelled" in why["summary"]
    assert "local" in why["summary"]


async def test_preview_gives_the_exact_attempt_times(door: Door) -> None:
    asked = {"fire_at": "2027-01-01T00:00:00Z", "retry": {"delays": ["5s", "1m"]}}
    answer = (await door.http.post("/v1/timers/preview", json=asked)).json()
    assert [attempt["at"] for attempt in answer["attempts"]] == [
        "2027-01-01T00:00:00Z",
        "2027-01-01T00:00:05Z",
        "2027-01-01T00:01:05Z",
    ]


async def test_pages_follow_each_other(door: Door) -> None:
    made = [(await created(door, name=f"t{number}"))["id"] for number in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 3, "sort": "created"} | ({"cursor": cursor} if cursor else {})
        page = (await door.http.get("/v1/timers", params=params)).json()
        seen += [timer["id"] for timer in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made


BAD: list[tuple[str, Any, str]] = [
    ("bad duration", {"after": "soon"}, "body.after"),
    ("both due", {"fire_at": "2030-01-01T00:00:00Z"}, "body"),
    ("neither due", {"after": None}, "body"),
    ("unknown field", {"colour": "red"}, "body.colour"),
    ("wrong type", {"name": 7}, "body.name"),
    ("NUL", {"name": "a\u0000b"}, "body.name"),
    ("NUL in payload", {"payload": {"a": ["\u0000"]}}, "body.payload.a.0"),
    ("no actions", {"actions": []}, "body.actions"),
    ("too many actions", {"actions": [{"url": HOOK}] * 17}, "body.actions"),
    ("bad url", {"actions": [{"url": "ftp://x/y"}]}, "body.actions.0.url"),
    ("unknown kind", {"actions": [{"kind": "pigeon", "url": HOOK}]}, "body.actions.0.kind"),
    ("own header", {"actions": [{"url": HOOK, "headers": {"webhook-id": "x"}}]}, "body.actions.0.headers"),
    ("long timeout", {"actions": [{"url": HOOK, "timeout": "1h"}]}, "body.actions.0.timeout"),
    ("unknown secret", {"actions": [{"url": HOOK, "secret": "nope"}]}, "body.actions.0.secret"),
    ("too much payload", {"payload": "x" * 300_000}, "body.payload"),
    ("past", {"after": None, "fire_at": "2020-01-01T00:00:00Z"}, "body.fire_at"),
    (
        "long past",
        {"after": None, "fire_at": "0001-01-01T00:00:01Z", "misfire": {"policy": "fire"}},
        "body.fire_at",
    ),
    ("no offset", {"after": None, "fire_at": "2030-01-01T00:00:00"}, "body.fire_at"),
    ("too far", {"after": None, "fire_at": "2999-01-01T00:00:00Z"}, "body.fire_at"),
    ("too many labels", {"labels": {f"k{n}": "v" for n in range(33)}}, "body.labels"),
    ("two retries", {"retry": {"attempts": 2, "delays": ["1s"]}}, "body.retry"),
    ("surrogate", {"payload": "\ud800"}, "body.payload"),
]


@pytest.mark.parametrize(("fields", "field"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
async def test_bad_input_gets_a_problem_that_names_the_field(door: Door, fields: Any, field: str) -> None:
    body = {name: value for name, value in spec(**fields).items() if value is not None}
    headers = {"content-type": "application/json"}
    answer = await door.http.post("/v1/timers", content=json.dumps(body), headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["kind"] == "invalid"
    assert field in [error["field"] for error in problem["errors"]], problem
    for error in problem["errors"]:
        assert error["expected"]
    assert (await door.http.get("/v1/timers")).json()["items"] == []


async def test_a_past_due_time_fires_when_that_was_asked_for(full: Door, receiver: Receiver) -> None:
    body = spec(fire_at="2020-01-01T00:00:00Z", actions=[{"url": receiver.url}], misfire={"policy": "fire"})
    del body["after"]
    timer = (await full.http.post("/v1/timers", json=body)).json()
    settled = (await full.http.get(f"/v1/timers/{timer['id']}", params={"wait": 20})).json()
    assert settled["state"] == "settled"
    why = (await full.http.get(f"/v1/timers/{timer['id']}/why")).json()
    assert why["late_because"] == "it was asked for with a due time in the past"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 422),
        (b"[" * 100_000, 422),
        (b'"\xff\xfe"', 422),
        (b'{"payload": NaN}', 422),
        (b"x" * 2_000_000, 413),
    ],
    ids=["not json", "deep", "not utf-8", "nan", "too large"],
)
async def test_bodies_that_are_no_json_never_break_the_gateway(
    door: Door, content: bytes, status: int
) -> None:
    headers = {"content-type": "application/json"}
    answer = await door.http.post("/v1/timers", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["tmr_nope", "tmr_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK", "%00", "a%2Fb", "é"])
async def test_an_unknown_id_is_not_found(door: Door, path: str) -> None:
    answer = await door.http.get(f"/v1/timers/{path}")
    assert answer.status_code == 404
    assert answer.json()["kind"] == "not_found"
