"""Every answer becomes a result or the right exception."""

import pytest
from starlette.responses import Response

import minoots
from minoots import APIError, Minoots, ServiceBug
from minoots.errors import FAILURES


def fetch(gateway, answer):
    gateway.answer("GET", "/v1/timers/tmr_1", answer)
    with Minoots(gateway.url, retries=0) as client:
        return client.timers.get("tmr_1")


@pytest.mark.parametrize("kind", FAILURES)
def test_every_kind_has_its_twin(gateway, make, kind):
    rule = FAILURES[kind]
    error = {"field": "body.name", "expected": "a name", "got": "nothing"}
    with pytest.raises(APIError) as raised:
        fetch(gateway, make.problem(rule.status, kind, error))
    assert type(raised.value) is rule.error
    assert raised.value.status == rule.status
    assert "body.name: expected a name; got nothing" in str(raised.value)
    assert "do that" in str(raised.value)


def test_the_kind_decides_and_not_the_status(gateway, make):
    with pytest.raises(minoots.Stale):
        fetch(gateway, make.problem(409, "stale"))


def test_an_unknown_kind_falls_back_to_the_status(gateway, make):
    with pytest.raises(minoots.NotFound):
        fetch(gateway, make.problem(404, "a_kind_of_next_year"))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, ServiceBug),
        (400, minoots.InvalidRequest),
        (401, minoots.Unauthenticated),
        (404, minoots.NotFound),
        (418, minoots.InvalidRequest),
        (429, minoots.Throttled),
        (500, ServiceBug),
        (502, minoots.Unavailable),
        (504, minoots.Unavailable),
        (599, ServiceBug),
    ],
)
@pytest.mark.parametrize("kind", ["text/html", "application/problem+json"])
def test_a_body_that_is_no_problem_falls_back_to_the_status(gateway, status, error, kind):
    answer = Response("<html>not us", status, media_type=kind)
    with pytest.raises(error) as raised:
        fetch(gateway, lambda seen: answer)
    assert "check that the base URL points at Minoots" in str(raised.value)
    assert gateway.url in str(raised.value)


@pytest.mark.parametrize("body", ["", "null", "[]", '{"id": 1}', "<html>"])
def test_a_success_that_is_not_the_model_is_a_defect(gateway, body):
    with pytest.raises(ServiceBug, match="expected Timer from GET"):
        fetch(gateway, lambda seen: Response(body, 200, media_type="application/json"))


def test_unknown_fields_of_a_newer_service_are_ignored(gateway, make):
    assert fetch(gateway, make.reply(make.timer(mood="good"))).name == "tea"


def test_a_list_goes_through_all_pages(gateway, make):
    gateway.answer(
        "GET",
        "/v1/timers",
        make.reply({"items": [make.timer("tmr_1"), make.timer("tmr_2")], "next_cursor": "c1"}),
        make.reply({"items": [], "next_cursor": "c2"}),
        make.reply({"items": [make.timer("tmr_3")]}),
    )
    with Minoots(gateway.url) as client:
        assert [timer.id for timer in client.timers.list(state="armed")] == ["tmr_1", "tmr_2", "tmr_3"]
    assert [seen.query for seen in gateway.seen] == [
        [("state", "armed")],
        [("state", "armed"), ("cursor", "c1")],
        [("state", "armed"), ("cursor", "c2")],
    ]


async def test_the_async_list_goes_through_all_pages(gateway, make):
    gateway.answer(
        "GET",
        "/v1/secrets",
        make.reply({"items": [{"name": "a", "versions": []}], "next_cursor": "c1"}),
        make.reply({"items": [{"name": "b", "versions": []}]}),
    )
    async with minoots.AsyncMinoots(gateway.url) as client:
        assert [secret.name async for secret in client.secrets.list()] == ["a", "b"]


def test_a_cursor_that_does_not_move_is_a_defect(gateway, make):
    gateway.answer("GET", "/v1/destinations", make.reply({"items": [], "next_cursor": "c1"}))
    with Minoots(gateway.url) as client, pytest.raises(ServiceBug, match="expected a new cursor"):
        list(client.destinations.list())


def test_a_client_of_ones_own_stays_open(gateway, make):
    import httpx

    gateway.answer("GET", "/v1/timers/tmr_1", make.reply(make.timer()))
    with httpx.Client() as own:
        with Minoots(gateway.url, http_client=own) as client:
            client.timers.get("tmr_1")
        assert not own.is_closed
