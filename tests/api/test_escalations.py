"""Escalations over HTTP: ladders, who may answer them, links, people, rotations, heartbeats."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateways import Door
from receivers import Receiver
from stacks import eventually

from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import api_keys
from minoots_platform.settings import TelemetrySettings
from minoots_platform.telemetry import start_logs

HOOK = "http://127.0.0.1:9/hook"


async def post(door: Door, path: str, body: Any = None, expect: int = 200, **more: Any) -> dict[str, Any]:
    answer = await door.http.post(path, json=body, **more)
    assert answer.status_code == expect, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def people(door: Door, *names: str, url: str = HOOK) -> None:
    for name in names:
        await post(door, "/v1/people", {"id": name, "name": name.title(), "contacts": [{"url": url}]})


async def begun(door: Door, *rungs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return await post(
        door, "/v1/escalations", {"name": "disk full", "ladder": {"rungs": list(rungs)}, **more}, 201
    )


async def key_of(door: Door, acts_as: str | None, *scopes: Scope) -> dict[str, str]:
    async with door.gateway.database.write() as connection:
        _, secret = await api_keys.create(
            connection, "dev", "k", scopes, now=utc_now(), expires_at=None, acts_as=acts_as
        )
    return {"Authorization": f"Bearer {secret}"}


async def test_a_ladder_tells_one_after_the_other_until_somebody_acknowledges(
    full: Door, receiver: Receiver
) -> None:
    await people(full, "ada", "bob", "eve", url=receiver.url)
    escalation = await begun(
        full,
        {"targets": ["person:ada"]},
        {"after": "0.6s", "targets": ["person:bob"]},
        {"after": "60s", "targets": ["person:eve"]},
        payload={"disk": "/dev/sda1"},
    )
    requests = await receiver.expect(2)
    told = [request.event["data"]["payload"]["escalation"]["who"] for request in requests]
    assert told == ["person:ada", "person:bob"]
    assert requests[0].event["data"]["payload"]["payload"] == {"disk": "/dev/sda1"}
    base = f"/v1/escalations/{escalation['id']}"
    found = await post(full, f"{base}/acknowledge", {"by": "person:bob"})
    assert (found["state"], found["acknowledged_by"]) == ("acknowledged", ["person:bob"])
    metrics = (await full.http.get("/metrics")).text
    assert (
        'minoots_escalations_time_to_acknowledge_seconds_count{kind="person",process="gateway"} 1.0'
        in metrics
    )
    [times] = [
        one
        for one in (await full.http.get("/v1/escalations/times")).json()["items"]
        if one["who"] == "person:bob"
    ]
    assert (times["notices"], times["acknowledged"], times["median_s"] >= 0) == (1, 1, True)
    assert len(receiver.requests) == 2
    for notice in found["notices"][:2]:
        await full.http.get(f"/v1/timers/{notice['timer_id']}", params={"wait": 20})
    notices = (await full.http.get(base)).json()["notices"]
    assert [(one["who"], one["state"]) for one in notices if one["state"] != "cancelled"] == [
        ("person:ada", "told"),
        ("person:bob", "told"),
    ]


async def test_the_link_of_a_notice_acknowledges_once_and_only_when_it_is_posted(
    full: Door, receiver: Receiver
) -> None:
    await people(full, "ada", url=receiver.url)
    escalation = await begun(full, {"targets": ["person:ada"]}, name="<b>disk</b>")
    [request] = await receiver.expect(1)
    link = request.event["data"]["acknowledge_url"].replace("http://127.0.0.1:4000", "")
    async with httpx.AsyncClient(base_url=full.url, headers={"Host": "anybody.example"}) as anybody:
        for _ in range(3):
            page = await anybody.get(link)
            assert (page.status_code, "<button" in page.text) == (200, True)
            assert "&lt;b&gt;disk&lt;/b&gt;" in page.text
            assert "form-action 'self'" in page.headers["content-security-policy"]
        seen = (await full.http.get(f"/v1/escalations/{escalation['id']}")).json()
        assert seen["state"] == "triggered", "looking acknowledges nothing"
        done = await anybody.post(link)
        assert (done.status_code, "Thank you, person:ada" in done.text) == (200, True)
        again = await anybody.post(link)
        assert (again.status_code, "used before" in again.text) == (409, True)
        assert (await anybody.get(link)).status_code == 409
        for other in (link[:-2], link + "x", "/acknowledge/nonsense"):
            assert (await anybody.post(other)).status_code == 404
    found = (await full.http.get(f"/v1/escalations/{escalation['id']}")).json()
    assert (found["state"], found["acts"][0]["via"]) == ("acknowledged", "link")


async def test_who_is_not_entitled_is_refused_and_audited(door: Door, tmp_path: Path) -> None:
    await people(door, "ada", "bob")
    escalation = await begun(door, {"targets": ["person:ada"]}, terms={"by": ["person:ada"]})
    path = f"/v1/escalations/{escalation['id']}/acknowledge"
    bob = await key_of(door, "person:bob", Scope.ESCALATIONS_WRITE)
    ada = await key_of(door, "person:ada", Scope.ESCALATIONS_WRITE)
    reader = await key_of(door, "person:ada", Scope.ESCALATIONS_READ)
    audited = tmp_path / "audit.log"
    with start_logs(TelemetrySettings(audit_log=audited), "test"):
        assert (await post(door, path, {"by": "person:bob"}, 403))["kind"] == "denied"
        assert (await post(door, path, None, 403, headers=bob))["kind"] == "denied"
        pretended = await post(door, path, {"by": "person:ada"}, 403, headers=bob)
        assert pretended["detail"] == "this key acts as person:bob, not as person:ada"
        assert (await post(door, path, None, 403, headers=reader))["kind"] == "denied"
    refused = [line for line in audited.read_text().splitlines() if '"escalation.refused"' in line]
    assert len(refused) == 3
    assert (await post(door, path, None, headers=ada))["acknowledged_by"] == ["person:ada"]


async def test_a_timer_settles_when_the_agent_has_acknowledged_its_command(full: Door) -> None:
    await post(full, "/v1/agents", {"id": "builder"})
    timer = await post(
        full,
        "/v1/timers",
        {
            "name": "build",
            "after": 0.1,
            "actions": [{"kind": "agent", "agent": "builder"}],
            "acknowledge": {"within": "60s", "by": ["agent:builder"]},
        },
        201,
    )
    taken = await full.http.get("/v1/agents/builder/commands", params={"wait": 20})
    [command] = taken.json()["items"]
    assert (await full.http.get(f"/v1/timers/{timer['id']}")).json()["state"] == "fired"
    answer = {"lease": command["lease"]["id"], "result": {"built": True}}
    await post(full, f"/v1/agents/builder/commands/{command['id']}/acknowledge", answer)
    settled = (await full.http.get(f"/v1/timers/{timer['id']}", params={"wait": 20})).json()
    assert settled["state"] == "settled"


async def test_a_node_waits_for_its_acknowledgement_and_passes_the_result_on(
    full: Door, receiver: Receiver
) -> None:
    timer = {"actions": [{"url": receiver.url}]}
    plan = await post(
        full,
        "/v1/plans",
        {
            "name": "release",
            "nodes": [
                {"id": "ask", "timer": timer | {"acknowledge": {"within": "60s"}}},
                {
                    "id": "tell",
                    "after": ["ask"],
                    "timer": timer | {"payload": {"$cel": "nodes.ask.acknowledged.result.choice"}},
                },
            ],
        },
        201,
    )
    await receiver.expect(1)
    ask = f"/v1/timers/{plan['nodes'][0]['timer_id']}"
    await eventually(lambda: full.http.get(ask), lambda got: got.json()["escalation_id"] is not None)
    await post(full, f"{ask}/acknowledge", {"result": {"choice": "blue"}})
    assert (await receiver.expect(2))[1].event["data"]["payload"] == "blue"
    found = (await full.http.get(f"/v1/plans/{plan['id']}", params={"wait": 20})).json()
    assert (found["state"], found["counts"]) == ("settled", {"succeeded": 2})


async def test_an_unanswered_timer_fails_its_node_and_another_node_answers(
    full: Door, receiver: Receiver
) -> None:
    timer = {"actions": [{"url": receiver.url}]}
    nodes = [
        {"id": "ask", "timer": timer | {"acknowledge": {"within": "1s"}}},
        {"id": "otherwise", "after": ["ask"], "when": "failed", "timer": timer},
    ]
    plan = await post(full, "/v1/plans", {"name": "p", "nodes": nodes}, 201)
    found = (await full.http.get(f"/v1/plans/{plan['id']}", params={"wait": 30})).json()
    assert (found["state"], found["counts"]) == ("settled", {"failed": 1, "succeeded": 1})
    assert found["nodes"][0]["state_reason"] == "nobody acknowledged it in time"


async def test_only_a_timer_that_requires_it_and_has_fired_is_acknowledged(door: Door) -> None:
    body = {"name": "t", "after": "1h", "actions": [{"url": HOOK}]}
    for more, why in (({}, "nobody has to"), ({"acknowledge": {"within": "1s"}}, "not fired yet")):
        timer = await post(door, "/v1/timers", body | more, 201)
        problem = await post(door, f"/v1/timers/{timer['id']}/acknowledge", None, 409)
        assert why in problem["detail"]


async def test_the_life_of_an_escalation(door: Door) -> None:
    await people(door, "ada", "bob")
    escalation = await begun(door, {"targets": ["person:ada"]}, {"after": "1h", "targets": ["person:bob"]})
    base = f"/v1/escalations/{escalation['id']}"
    declined = await post(door, f"{base}/decline", {"by": "person:ada", "reason": "asleep"})
    assert [one["who"] for one in declined["notices"]] == ["person:ada", "person:bob"]
    await post(door, f"{base}/hand-on", {"to": "person:ada"})
    assert (await post(door, f"{base}/snooze", {"after": "1h"}))["state"] == "snoozed"
    assert (await post(door, f"{base}/resolve", {"reason": "done"}))["state"] == "resolved"
    assert (await post(door, f"{base}/cancel", None, 409))["kind"] == "conflict"
    events = (await door.http.get(f"{base}/events")).json()["items"]
    told = [event["type"].removeprefix("escalation.") for event in events]
    assert told == [
        "triggered",
        "notified",
        "declined",
        "notified",
        "handed_on",
        "notified",
        "snoozed",
        "resolved",
    ]
    listed = (await door.http.get("/v1/escalations", params={"state": "resolved"})).json()["items"]
    assert [one["id"] for one in listed] == [escalation["id"]]


async def test_documents_are_saved_listed_and_removed(door: Door) -> None:
    await people(door, "ada")
    secret = {"url": HOOK, "headers": {"Authorization": "Bearer s"}}
    saved = await post(door, "/v1/people", {"id": "ada", "name": "Ada L.", "contacts": [secret]})
    assert saved["contacts"][0]["headers"] == {"Authorization": "********"}
    layer = {"participants": ["person:ada"], "start": "2026-01-01T09:00:00+01:00"}
    rotation = await post(door, "/v1/rotations", {"id": "primary", "layers": [layer]})
    assert rotation["on_call"] == "person:ada"
    shifts = (await door.http.get("/v1/rotations/primary/shifts")).json()["shifts"]
    assert [shift["who"] for shift in shifts] == ["person:ada"]
    ladder = {"rungs": [{"targets": ["rotation:primary"]}]}
    await post(door, "/v1/policies", {"id": "ops", "ladder": ladder})
    for kind in ("people", "rotations", "policies"):
        [item] = (await door.http.get(f"/v1/{kind}")).json()["items"]
        assert (await door.http.get(f"/v1/{kind}/{item['id']}")).json() == item
        assert (await door.http.delete(f"/v1/{kind}/{item['id']}")).status_code == 204
        assert (await door.http.get(f"/v1/{kind}/{item['id']}")).status_code == 404


async def test_silence_of_a_heartbeat_begins_its_ladder(full: Door, receiver: Receiver) -> None:
    await people(full, "ada", url=receiver.url)
    ladder = {"rungs": [{"targets": ["person:ada"]}]}
    await post(full, "/v1/policies", {"id": "ops", "ladder": ladder})
    spec = {"id": "backup", "name": "nightly backup", "every": "1s", "grace": "0.2s", "policy": "ops"}
    assert (await post(full, "/v1/heartbeats", spec))["state"] == "new"
    for _ in range(3):
        assert (await post(full, "/v1/heartbeats/backup"))["state"] == "alive"
        await asyncio.sleep(0.3)
    assert receiver.requests == [], "there was no silence"
    [request] = await receiver.expect(1)
    assert request.event["data"]["timer"]["name"] == "nightly backup"
    silent = (await full.http.get("/v1/heartbeats/backup")).json()
    assert (await post(full, "/v1/heartbeats/backup"))["state"] == "alive"
    found = (await full.http.get(f"/v1/escalations/{silent['escalation_id']}")).json()
    assert (found["state"], found["state_reason"]) == ("resolved", "the heartbeat is back")
    assert (await full.http.delete("/v1/heartbeats/backup")).status_code == 204


@pytest.mark.parametrize(
    ("path", "body", "field", "expected"),
    [
        ("escalations", {"name": "e"}, "body", "exactly one of policy and ladder"),
        ("escalations", {"name": "e", "ladder": {"rungs": []}}, "body.ladder.rungs", "at least 1"),
        ("escalations", {"name": "e", "policy": "none"}, "body.policy", "the id of a policy"),
        (
            "escalations",
            {"name": "e", "ladder": {"rungs": [{"targets": ["ada"]}]}},
            "body.ladder.rungs.0.targets.0",
            "agent:<id>, person:<id>",
        ),
        (
            "escalations",
            {"name": "e", "ladder": {"rungs": [{"targets": [{"url": HOOK}]}]}, "terms": {"quorum": 2}},
            "body.terms",
            "at least 2",
        ),
        (
            "rotations",
            {
                "id": "r",
                "layers": [{"participants": ["person:ada"], "start": "2026-01-01T00:00:00Z"}],
                "overrides": [
                    {
                        "who": "person:ada",
                        "since": f"2026-01-0{day}T00:00:00Z",
                        "until": "2026-01-09T00:00:00Z",
                    }
                    for day in (1, 2)
                ],
            },
            "body.overrides.1.since",
            "do not overlap",
        ),
        (
            "rotations",
            {"id": "r", "layers": [{"participants": ["person:no"], "start": "2026-01-01T00:00:00Z"}]},
            "body.layers.0.participants.0",
            "known person",
        ),
        ("people", {"id": "p", "name": "P", "contacts": []}, "body.contacts", "at least 1"),
        (
            "heartbeats",
            {"id": "h", "name": "h", "every": "1m", "policy": "none"},
            "body.policy",
            "the id of a policy",
        ),
        (
            "timers",
            {
                "name": "t",
                "after": 1,
                "actions": [{"url": HOOK}],
                "acknowledge": {"within": 1, "policy": "none"},
            },
            "body.acknowledge.policy",
            "the id of a policy",
        ),
    ],
)
async def test_bad_input_gets_a_problem_that_names_the_field(
    door: Door, path: str, body: dict[str, Any], field: str, expected: str
) -> None:
    await people(door, "ada")
    problem = await post(door, f"/v1/{path}", body, 422)
    assert problem["errors"][0]["field"] == field, problem
    assert expected in problem["errors"][0]["expected"], problem


async def test_a_timer_that_anybody_may_acknowledge_carries_a_link_itself(
    full: Door, receiver: Receiver
) -> None:
    timer = {
        "name": "tea",
        "after": 0.1,
        "actions": [{"url": receiver.url}],
        "acknowledge": {"within": "60s"},
    }
    made = (await full.http.post("/v1/timers", json=timer)).json()
    [request] = await receiver.expect(1)
    link = request.event["data"]["acknowledge_url"].replace("http://127.0.0.1:4000", "")
    assert "<form" in (await full.http.get(link)).text
    path = f"/v1/timers/{made['id']}"
    assert (await full.http.get(path)).json()["state"] == "fired", "to look is not to acknowledge"
    assert (await full.http.post(link)).status_code == 200
    assert (await full.http.get(path, params={"wait": 20})).json()["state"] == "settled"
    assert (await full.http.post(link)).status_code == 409
    [escalation] = (await full.http.get("/v1/escalations", params={"timer": made["id"]})).json()["items"]
    assert (escalation["state"], escalation["notices"]) == ("acknowledged", [])


async def test_a_timer_that_somebody_has_to_acknowledge_carries_no_link(
    full: Door, receiver: Receiver
) -> None:
    await people(full, "ada", url=receiver.url)
    acknowledge = {"within": "60s", "by": ["person:ada"]}
    timer = {"name": "tea", "after": 0.1, "actions": [{"url": receiver.url}], "acknowledge": acknowledge}
    await full.http.post("/v1/timers", json=timer)
    [request] = await receiver.expect(1)
    assert "acknowledge_url" not in request.event["data"]
