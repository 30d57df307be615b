"""Templates for bodies over HTTP, as far as the receiver."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateways import Door
from receivers import Receiver

CHAT = '{"text": {{ payload.title | json }}, "at": "{{ timer.fire_at | date: "%Y" }}"}'


async def test_a_preview_shows_what_would_be_sent(full: Door) -> None:
    wanted = {"body": {"template": CHAT}, "payload": {"title": 'a "b"'}}
    made = (await full.http.post("/v1/templates/preview", json=wanted)).json()
    assert made["content_type"] == "application/json"
    assert json.loads(made["body"])["text"] == 'a "b"'


async def test_the_receiver_gets_the_body_that_was_asked_for_signed(full: Door, receiver: Receiver) -> None:
    action = {"url": receiver.url, "body": {"template": CHAT, "content_type": "application/json"}}
    timer = {"name": "t", "after": 0.1, "payload": {"title": "tea"}, "actions": [action]}
    made = (await full.http.post("/v1/timers", json=timer)).json()
    assert made["actions"][0]["body"]["template"] == CHAT
    settled = (await full.http.get(f"/v1/timers/{made['id']}", params={"wait": 30})).json()
    assert settled["state"] == "settled"
    [request] = receiver.requests
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body)["text"] == "tea"
    assert request.headers["webhook-signature"].startswith("v1")


@pytest.mark.parametrize(
    ("template", "payload", "why"),
    [
        ("{{ payload.titel }}", {"title": "x"}, "payload.titel is undefined"),
        ("{{ payload.title", {"title": "x"}, "{{ is never closed"),
        ('{"a": {{ payload.title }}}', {"title": "x"}, "it makes no JSON"),
    ],
)
async def test_a_timer_whose_body_cannot_be_made_is_refused(
    full: Door, receiver: Receiver, template: str, payload: Any, why: str
) -> None:
    action = {"url": receiver.url, "body": {"template": template}}
    timer = {"name": "t", "after": 60, "payload": payload, "actions": [action]}
    refused = await full.http.post("/v1/timers", json=timer)
    assert refused.status_code == 422
    [problem] = refused.json()["errors"]
    assert problem["field"] == "body.actions.0.body.template"
    assert why in problem["got"]
    assert "preview" in refused.json()["remedy"]


async def test_occurrences_may_be_told_of_in_a_body(full: Door, receiver: Receiver) -> None:
    body = {"template": "{{ occurrence.number }}", "content_type": "text/plain"}
    timer = {"name": "t", "actions": [{"url": receiver.url, "body": body}]}
    once = await full.http.post("/v1/timers", json=timer | {"after": 60})
    assert "occurrence is undefined" in once.json()["errors"][0]["got"] or once.status_code == 422
    schedule = {"rules": [{"every": "1s"}], "count": 1}
    recurring = (await full.http.post("/v1/timers", json=timer | {"schedule": schedule})).json()
    await full.http.get(f"/v1/timers/{recurring['id']}", params={"wait": 30})
    [request] = receiver.requests
    assert request.body == b"1"


async def test_a_payload_that_no_longer_fits_makes_a_dead_letter(full: Door, receiver: Receiver) -> None:
    action = {"url": receiver.url, "body": {"template": "{{ payload.n }}", "content_type": "text/plain"}}
    timer = {"name": "t", "after": 60, "payload": {"n": 1}, "actions": [action]}
    made = (await full.http.post("/v1/timers", json=timer)).json()
    path = f"/v1/timers/{made['id']}"
    await full.http.patch(path, json={"payload": {"m": 1}, "after": 0.1})
    failed = (await full.http.get(path, params={"wait": 30})).json()
    assert failed["state"] == "failed"
    [letter] = (await full.http.get("/v1/dead-letters", params={"timer_id": made["id"]})).json()["items"]
    assert (letter["error"], letter["attempts"]) == ("refused", 1)
    assert "payload.n is undefined" in letter["detail"]
    assert receiver.requests == []
