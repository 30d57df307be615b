"""Schedules over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from gateways import Door
from receivers import Receiver

HOOK = "http://127.0.0.1:9/hook"


def spec(**schedule: Any) -> dict[str, Any]:
    """A timer that recurs."""
    return {"name": "tick", "schedule": {"rules": [{"every": "1h"}], **schedule}, "actions": [{"url": HOOK}]}


async def created(door: Door, **schedule: Any) -> dict[str, Any]:
    """The first occurrence of a schedule that was set."""
    answer = await door.http.post("/v1/timers", json=spec(**schedule))
    assert answer.status_code == 201, answer.text
    timer: dict[str, Any] = answer.json()
    return timer


async def test_what_recurs_fires_at_a_receiver_again_and_again(full: Door, receiver: Receiver) -> None:
    body = spec(rules=[{"every": "1s"}], count=3) | {"actions": [{"url": receiver.url}]}
    timer = (await full.http.post("/v1/timers", json=body)).json()
    schedule_id = timer["occurrence"]["schedule_id"]
    listed = (await full.http.get("/v1/timers", params={"schedule": schedule_id})).json()["items"]
    assert len(listed) == 3
    for one in listed:
        settled = await full.http.get(f"/v1/timers/{one['id']}", params={"wait": 20})
        assert settled.json()["state"] == "settled"
    assert [request.event["data"]["occurrence"]["number"] for request in receiver.requests] == [1, 2, 3]
    assert (await full.http.get(f"/v1/schedules/{schedule_id}")).json()["occurrences"] == 3


async def test_the_same_key_sets_one_schedule(door: Door) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await door.http.post("/v1/timers", json=spec(), headers=headers)
    again = await door.http.post("/v1/timers", json=spec(), headers=headers)
    assert first.json() == again.json()
    assert len((await door.http.get("/v1/schedules")).json()["items"]) == 1


async def test_the_life_of_a_schedule(door: Door) -> None:
    timer = await created(door)
    base = f"/v1/schedules/{timer['occurrence']['schedule_id']}"
    for verb, state in (("pause", "paused"), ("resume", "active")):
        assert (await door.http.post(f"{base}/{verb}")).json()["state"] == state
    triggered = await door.http.post(f"{base}/trigger")
    assert (triggered.status_code, triggered.json()["occurrence"]["kind"]) == (201, "triggered")
    changed = await door.http.patch(base, json={"schedule": {"rules": [{"cron": "@daily"}]}})
    assert changed.json()["schedule"]["rules"][0]["cron"] == "@daily"
    range_ = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-04T00:00:00Z"}
    assert len((await door.http.post(f"{base}/backfill", json=range_)).json()["timers"]) == 3
    cancelled = await door.http.post(f"{base}/cancel", json={"reason": "enough"})
    assert cancelled.json()["state_reason"] == "enough"
    again = await door.http.post(f"{base}/pause")
    assert (again.status_code, again.json()["kind"]) == (409, "conflict")
    told = [event["type"] for event in (await door.http.get(f"{base}/events")).json()["items"]]
    assert [kind.removeprefix("schedule.") for kind in told] == [
        "created", "paused", "resumed", "triggered", "updated", "backfilled", "cancelled"
    ]  # fmt: skip


async def test_a_preview_shows_times_and_changes_of_the_clocks(door: Door) -> None:
    schedule = {"rules": [{"cron": "30 2 * * *"}], "zone": "Europe/Berlin", "dst": "skip"}
    asked = {"schedule": schedule, "after": "2027-03-26T12:00:00Z", "limit": 3}
    shown = (await door.http.post("/v1/schedules/preview", json=asked)).json()
    assert [time["local"][:10] for time in shown["times"]] == ["2027-03-27", "2027-03-29", "2027-03-30"]
    assert [one["local"] for one in shown["left_out"]] == ["2027-03-28T02:30:00"]


async def test_pages_of_schedules_follow_each_other(door: Door) -> None:
    made = [(await created(door))["occurrence"]["schedule_id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({} if cursor is None else {"cursor": cursor})
        page = (await door.http.get("/v1/schedules", params=query)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rules": []}, "body.schedule.rules"),
        ({"rules": [{}]}, "body.schedule.rules.0"),
        ({"rules": [{"cron": "* * * * *", "every": "1h"}]}, "body.schedule.rules.0"),
        ({"rules": [{"cron": "61 * * * *"}]}, "body.schedule.rules.0.cron"),
        ({"rules": [{"cron": "0 0 30 2 *"}]}, "body.schedule.rules.0.cron"),
        ({"rules": [{"rrule": "FREQ=SECONDLY"}]}, "body.schedule.rules.0.rrule"),
        ({"rules": [{"every": "0.5s"}]}, "body.schedule.rules.0"),
        ({"zone": "Mars/Olympus"}, "body.schedule.zone"),
        ({"dst": "never"}, "body.schedule.dst"),
        ({"count": 0}, "body.schedule.count"),
        ({"jitter": "2d"}, "body.schedule.jitter"),
        ({"overlap": "maybe"}, "body.schedule.overlap"),
        ({"catch_up": {"policy": "some"}}, "body.schedule.catch_up.policy"),
        ({"end": "2020-01-01T00:00:00Z"}, "body.schedule"),
        ({"start": "2030-01-01T00:00:00Z", "end": "2029-01-01T00:00:00Z"}, "body.schedule"),
        ({"start": "0001-01-01T00:00:00Z"}, "body.schedule.start"),
        ({"start": "2199-01-01T00:00:00Z"}, "body.schedule"),
        ({"exclude": [{"date": "2026-12-32"}]}, "body.schedule.exclude.0.date"),
        ({"colour": "red"}, "body.schedule.colour"),
    ],
    ids=str,
)
async def test_bad_schedules_get_a_problem_that_names_the_field(
    door: Door, change: dict[str, Any], field: str
) -> None:
    answer = await door.http.post("/v1/timers", json=spec(**change))
    assert answer.status_code == 422, answer.text
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert (await door.http.get("/v1/schedules")).json()["items"] == []


@pytest.mark.parametrize(
    "fields", [{"after": "1h"}, {"fire_at": "2030-01-01T00:00:00Z"}, {"misfire": {"policy": "skip"}}], ids=str
)
async def test_a_schedule_takes_the_place_of_a_due_time(door: Door, fields: dict[str, Any]) -> None:
    answer = await door.http.post("/v1/timers", json=spec() | fields)
    assert answer.status_code == 422
    assert "schedule" in answer.text


@pytest.mark.parametrize("path", ["", "/events", "/pause", "/backfill"])
async def test_an_unknown_schedule_is_not_found(door: Door, path: str) -> None:
    for schedule_id in ("sch_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK", "sch_nothing"):
        method = "GET" if path in ("", "/events") else "POST"
        body = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
        answer = await door.http.request(method, f"/v1/schedules/{schedule_id}{path}", json=body)
        assert answer.status_code == 404, answer.text
