"""A call is tried again where that may help, with the same key, and no longer than it should."""

import socket
import sys
from datetime import UTC, datetime

import pytest
from starlette.responses import Response

import minoots
from minoots import ConnectionFailed, Minoots, ServiceBug, Throttled, Unavailable, retrying

HOOK = "https://example.com/hook"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.001)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_create_is_tried_again_with_the_same_key_and_body(gateway, make, status):
    gateway.answer(
        "POST",
        "/v1/timers",
        make.problem(status, "unavailable", **{"retry-after": "0"}),
        lambda seen: Response("<html>", status),
        make.reply(make.timer(), 201),
    )
    with Minoots(gateway.url) as client:
        assert client.timers.create(name="tea", after=60, webhook=HOOK).id == "tmr_1"
    assert len(gateway.seen) == 3
    assert len({seen.key for seen in gateway.seen}) == 1
    assert all(seen.body == gateway.seen[0].body for seen in gateway.seen)


def test_two_calls_have_two_keys(gateway, make):
    gateway.answer("POST", "/v1/timers/tmr_1/pause", make.reply(make.timer()))
    with Minoots(gateway.url) as client:
        client.timers.pause("tmr_1")
        client.timers.pause("tmr_1")
    assert gateway.seen[0].key != gateway.seen[1].key


def test_a_key_of_ones_own_is_sent(gateway, make):
    gateway.answer("POST", "/v1/timers", make.reply(make.timer(), 201))
    with Minoots(gateway.url) as client:
        client.timers.create(name="tea", after=60, webhook=HOOK, idempotency_key="mine")
    assert gateway.seen[0].key == "mine"


def test_a_secret_is_not_made_again_after_a_500(gateway, make):
    gateway.answer("POST", "/v1/secrets", make.problem(500, "bug"))
    with Minoots(gateway.url) as client, pytest.raises(ServiceBug):
        client.secrets.create("main")
    assert len(gateway.seen) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 422])
def test_what_the_caller_must_change_is_sent_once(gateway, make, status):
    gateway.answer("GET", "/v1/timers/tmr_1", make.problem(status, "whatever"))
    with Minoots(gateway.url) as client, pytest.raises(minoots.APIError):
        client.timers.get("tmr_1")
    assert len(gateway.seen) == 1


def test_tries_are_bounded(gateway, make):
    gateway.answer("GET", "/v1/timers/tmr_1", make.problem(503, "unavailable"))
    with Minoots(gateway.url, retries=2) as client, pytest.raises(Unavailable):
        client.timers.get("tmr_1")
    assert len(gateway.seen) == 3


def test_a_long_retry_after_is_the_callers_to_wait(gateway, make):
    gateway.answer("GET", "/v1/timers/tmr_1", make.problem(429, "throttled", **{"retry-after": "3600"}))
    with Minoots(gateway.url) as client, pytest.raises(Throttled) as refused:
        client.timers.get("tmr_1")
    assert refused.value.retry_after == 3600
    assert len(gateway.seen) == 1


async def test_the_async_client_tries_again_too(gateway, make):
    gateway.answer("GET", "/v1/timers/tmr_1", make.problem(503, "unavailable"), make.reply(make.timer()))
    async with minoots.AsyncMinoots(gateway.url) as client:
        assert (await client.timers.get("tmr_1")).id == "tmr_1"


def test_nobody_there_says_where_and_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Minoots(url, retries=1) as client, pytest.raises(ConnectionFailed) as failed:
            client.timers.get("tmr_1")
    assert url in str(failed.value)
    assert "2 tries" in str(failed.value)
    assert "is `minoots dev` running?" in str(failed.value)


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(gateway, make, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    gateway.answer("GET", "/v1/timers/tmr_1", make.reply(make.timer()))
    with Minoots(gateway.url) as client:
        assert client.timers.get("tmr_1").id == "tmr_1"


def test_the_current_span_is_sent(gateway, make):
    from opentelemetry import trace
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

    gateway.answer("GET", "/v1/timers/tmr_1", make.reply(make.timer()))
    gateway.answer("POST", "/v1/timers", make.reply(make.timer(), 201))
    assert trace.__name__ in sys.modules
    explicit = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    with Minoots(gateway.url) as client:
        client.timers.get("tmr_1")
        with use_span(NonRecordingSpan(SpanContext(0xA, 0xB, False, TraceFlags(1)))):
            client.timers.get("tmr_1")
            client.timers.create(name="tea", after=1, webhook=HOOK, traceparent=explicit)
    assert "traceparent" not in gateway.seen[0].headers
    assert gateway.seen[1].headers["traceparent"] == f"00-{0xA:032x}-{0xB:016x}-01"
    assert gateway.seen[2].headers["traceparent"] == explicit


def test_retry_after_reads_seconds_and_dates():
    now = datetime(2026, 11, 20, 9, 0, 0, tzinfo=UTC)
    assert retrying.retry_after("7") == 7
    assert retrying.retry_after("Fri, 20 Nov 2026 09:00:30 GMT", now) == 30
    assert retrying.retry_after("Fri, 20 Nov 2026 08:00:00 GMT", now) == 0
    assert retrying.retry_after("soon") is None
    assert retrying.retry_after(None) is None


def test_waits_grow_and_are_bounded(monkeypatch):
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.2)
    for number in range(1, 40):
        ceiling = min(5.0, 0.2 * 2 ** (number - 1))
        assert ceiling / 2 <= retrying.wait_before(number) <= ceiling
