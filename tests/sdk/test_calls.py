"""Every operation sends what the API expects, from the sync and from the async client."""

import json
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest

import minoots
from minoots import AsyncMinoots, InvalidRequest, Minoots, TimerState, WebhookAction
from minoots.contracts.job_requests import AgentJob, ExecJob, LlmJob
from minoots.operations.jobs import NewJob

HOOK = "https://example.com/hook"
ACTIONS = [{"kind": "webhook", "url": HOOK}]
T = "/v1/timers/tmr_1"

CALLS = [
    (lambda c: c.timers.get("tmr_1"), "GET", T, None),
    (lambda c: c.timers.get("a/b?c"), "GET", "/v1/timers/a%2Fb%3Fc", None),
    (
        lambda c: c.timers.create(name="tea", after="4m", webhook=HOOK),
        "POST",
        "/v1/timers",
        {"name": "tea", "after": "4m", "actions": ACTIONS},
    ),
    (
        lambda c: c.timers.create(
            name="tea",
            fire_at=datetime(2030, 1, 1, tzinfo=UTC),
            actions=[WebhookAction(url=HOOK, timeout=timedelta(seconds=2))],
            payload=None,
            misfire="skip",
            retry={"attempts": 2},
            labels={"a": "b"},
        ),
        "POST",
        "/v1/timers",
        {
            "name": "tea",
            "fire_at": "2030-01-01T00:00:00Z",
            "actions": [{"kind": "webhook", "url": HOOK, "timeout": "2s"}],
            "payload": None,
            "misfire": {"policy": "skip"},
            "retry": {"attempts": 2},
            "labels": {"a": "b"},
        },
    ),
    (
        lambda c: c.timers.update("tmr_1", after=90, payload=None),
        "PATCH",
        T,
        {"after": "1m30s", "payload": None},
    ),
    (lambda c: c.timers.snooze("tmr_1", "1h"), "POST", f"{T}/snooze", {"after": "1h"}),
    (lambda c: c.timers.cancel("tmr_1", reason="no"), "POST", f"{T}/cancel", {"reason": "no"}),
    (lambda c: c.timers.cancel("tmr_1"), "POST", f"{T}/cancel", {}),
    (lambda c: c.timers.pause("tmr_1"), "POST", f"{T}/pause", None),
    (lambda c: c.timers.resume("tmr_1"), "POST", f"{T}/resume", None),
    (lambda c: c.timers.fire("tmr_1"), "POST", f"{T}/fire", None),
    (lambda c: c.timers.why("tmr_1"), "GET", f"{T}/why", None),
    (lambda c: c.timers.events("tmr_1"), "GET", f"{T}/events", None),
    (lambda c: c.timers.attempts("tmr_1"), "GET", f"{T}/attempts", None),
    (lambda c: c.timers.preview(after="1s"), "POST", "/v1/timers/preview", {"after": "1s"}),
    (
        lambda c: c.timers.list(
            state=TimerState.ARMED,
            label={"a": "b", "c": "d"},
            name="tea",
            due_after="2030-01-01T00:00:00Z",
            sort="created",
            descending=True,
            page_size=5,
        ),
        "GET",
        "/v1/timers?state=armed&label=a%3Ab&label=c%3Ad&name=tea&due_after=2030-01-01T00%3A00%3A00Z"
        "&sort=-created&limit=5",
        None,
    ),
    (
        lambda c: c.events.list(after=3, limit=2, type="timer.fired", subject="tmr_1", label={"a": "b"}),
        "GET",
        "/v1/events?after=3&limit=2&type=timer.fired&subject=tmr_1&label=a%3Ab",
        None,
    ),
    (
        lambda c: c.dead_letters.list({"error": "timeout"}, page_size=3),
        "GET",
        "/v1/dead-letters?error=timeout&limit=3",
        None,
    ),
    (lambda c: c.dead_letters.replay("dlv_1"), "POST", "/v1/dead-letters/dlv_1/replay", None),
    (
        lambda c: c.dead_letters.replay_all({"timer_name": "tea"}),
        "POST",
        "/v1/dead-letters/replay",
        {"timer_name": "tea"},
    ),
    (lambda c: c.dead_letters.replay_status("rpl_1"), "GET", "/v1/replays/rpl_1", None),
    (lambda c: c.secrets.create("main"), "POST", "/v1/secrets", {"name": "main"}),
    (lambda c: c.secrets.list(), "GET", "/v1/secrets", None),
    (lambda c: c.secrets.get("main"), "GET", "/v1/secrets/main", None),
    (lambda c: c.secrets.rotate("main"), "POST", "/v1/secrets/main/rotate", {}),
    (lambda c: c.secrets.rotate("main", overlap="2h"), "POST", "/v1/secrets/main/rotate", {"overlap": "2h"}),
    (lambda c: c.destinations.list(), "GET", "/v1/destinations", None),
    (lambda c: c.connectors.list(), "GET", "/v1/connectors", None),
    (lambda c: c.models.list(), "GET", "/v1/models", None),
    (
        lambda c: c.usage.get(since=date(2026, 11, 1), by=["model", "day"], job="job_1"),
        "GET",
        "/v1/usage?since=2026-11-01&job=job_1&by=model&by=day",
        None,
    ),
    (lambda c: c.usage.get(), "GET", "/v1/usage", None),
    (
        lambda c: c.connectors.check({"url": "https://a.example"}),
        "POST",
        "/v1/connectors/check",
        {"action": {"kind": "webhook", "url": "https://a.example"}},
    ),
    (
        lambda c: c.timers.preview_body("{{ payload }}", payload=1),
        "POST",
        "/v1/templates/preview",
        {"body": {"template": "{{ payload }}"}, "payload": 1},
    ),
    (lambda c: c.destinations.get("dst_1"), "GET", "/v1/destinations/dst_1", None),
    (
        lambda c: c.destinations.save(url="https://a.example", rate={"requests": 5}, concurrency=2),
        "POST",
        "/v1/destinations",
        {"url": "https://a.example", "rate": {"requests": 5}, "concurrency": 2},
    ),
    (lambda c: c.destinations.open("dst_1"), "POST", "/v1/destinations/dst_1/open", {}),
    (
        lambda c: c.destinations.open("dst_1", reason="x"),
        "POST",
        "/v1/destinations/dst_1/open",
        {"reason": "x"},
    ),
    (lambda c: c.destinations.remove("dst_1"), "DELETE", "/v1/destinations/dst_1", None),
    (lambda c: c.destinations.close("dst_1"), "POST", "/v1/destinations/dst_1/close", None),
]


class Recorder:
    """A transport that keeps the request and refuses it, so that no answer needs inventing."""

    def __init__(self):
        self.request = None

    def __call__(self, request):
        self.request = request
        return httpx.Response(409, json={})


def check(request, method, path, body):
    assert (request.method, request.url.raw_path.decode()) == (method, path)
    assert (json.loads(request.content) if request.content else None) == body
    assert ("idempotency-key" in request.headers) == (method != "GET")
    assert request.headers["authorization"] == "Bearer mnt_key"
    assert request.headers["user-agent"].startswith(f"minoots-python/{minoots.__version__} ")


@pytest.mark.parametrize(("ask", "method", "path", "body"), CALLS, ids=[f"{c[1]} {c[2]}" for c in CALLS])
def test_the_sync_client_sends(ask, method, path, body):
    recorder = Recorder()
    with (
        Minoots("http://gateway", api_key="mnt_key", transport=httpx.MockTransport(recorder)) as client,
        pytest.raises(minoots.Conflict),
    ):
        next(ask(client))
    check(recorder.request, method, path, body)


@pytest.mark.parametrize(("ask", "method", "path", "body"), CALLS, ids=[f"{c[1]} {c[2]}" for c in CALLS])
async def test_the_async_client_sends_the_same(ask, method, path, body):
    recorder = Recorder()
    async with AsyncMinoots(
        "http://gateway", api_key="mnt_key", transport=httpx.MockTransport(recorder)
    ) as client:
        result = ask(client)
        with pytest.raises(minoots.Conflict):
            await (anext(result) if hasattr(result, "__anext__") else result)
    check(recorder.request, method, path, body)


def test_a_generation_is_sent_as_if_match():
    recorder = Recorder()
    with Minoots(transport=httpx.MockTransport(recorder)) as client, pytest.raises(minoots.Conflict):
        client.timers.update("tmr_1", labels={}, generation=7)
    assert recorder.request.headers["if-match"] == '"7"'


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"name": "tea", "webhook": HOOK}, "body"),
        ({"name": "tea", "webhook": HOOK, "after": "soon"}, "body.after"),
        ({"name": "tea", "webhook": "nowhere", "after": 1}, "body.actions.0.url"),
        ({"name": "tea", "webhook": HOOK, "actions": ACTIONS, "after": 1}, "body.webhook"),
        ({"name": "", "webhook": HOOK, "after": 1}, "body.name"),
        ({"name": "tea", "webhook": HOOK, "after": 1, "colour": "red"}, "body.colour"),
        ({"name": "tea", "webhook": HOOK, "after": 1, "idempotency_key": "a b"}, "header.Idempotency-Key"),
        ({"name": "tea", "webhook": HOOK, "after": 1, "traceparent": "x"}, "header.Traceparent"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(arguments, field):
    recorder = Recorder()
    with Minoots(transport=httpx.MockTransport(recorder)) as client, pytest.raises(InvalidRequest) as refused:
        client.timers.create(**arguments)
    assert refused.value.problem.errors[0].field == field
    assert recorder.request is None


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ({}, "none of them"),
        ({"name": "tea"}, "none of them"),
        ({"prompt": "why?", "command": "ls"}, "prompt and command"),
        ({"task": "do it", "messages": []}, "messages and task"),
    ],
)
def test_a_job_asks_for_one_thing(arguments, got):
    recorder = Recorder()
    with Minoots(transport=httpx.MockTransport(recorder)) as client, pytest.raises(InvalidRequest) as refused:
        client.jobs.submit(**arguments)
    [error] = refused.value.problem.errors
    assert error.got == got
    assert "command (runs a program)" in error.expected
    assert recorder.request is None


def test_every_field_of_a_job_is_an_argument():
    fields = {name for job in (LlmJob, ExecJob, AgentJob) for name in job.model_fields}
    assert fields <= set(NewJob.__annotations__)


@pytest.mark.parametrize("bad", ["", ".", ".."])
def test_an_id_cannot_reach_another_route(bad):
    with Minoots() as client, pytest.raises(InvalidRequest, match=r"path\.id: expected an id"):
        client.timers.get(bad)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"base_url": "localhost:4000"}, "base_url"),
        ({"base_url": "ftp://there"}, "base_url"),
        ({"base_url": "http://me:secret@there"}, "base_url"),
        ({"api_key": "mnt_key\n"}, "api_key"),
        ({"timeout": 0}, "timeout"),
        ({"retries": -1}, "retries"),
    ],
)
def test_bad_settings_of_a_client_are_refused(arguments, field):
    with pytest.raises(InvalidRequest) as refused:
        Minoots(**arguments)
    assert refused.value.problem.errors[0].field == field
    assert "secret" not in str(refused.value)


def test_address_and_key_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MINOOTS_URL", "http://elsewhere:1/base/")
    monkeypatch.setenv("MINOOTS_API_KEY", "mnt_other")
    recorder = Recorder()
    with Minoots(transport=httpx.MockTransport(recorder)) as client, pytest.raises(minoots.Conflict):
        client.timers.get("tmr_1")
    assert str(recorder.request.url) == "http://elsewhere:1/base/v1/timers/tmr_1"
    assert recorder.request.headers["authorization"] == "Bearer mnt_other"


def test_the_key_is_not_shown():
    with Minoots(api_key="mnt_hidden") as client:
        assert "mnt_hidden" not in repr(client._engine.connection)
