"""The event stream survives cuts, restarts and odd chunks; no event comes twice and none is missing."""

import json
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response, StreamingResponse

import minoots
from minoots import Minoots, retrying
from minoots.feed import Frame, Frames

PATH = "/v1/events/stream"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.001)


def frame(event):
    data = json.dumps(event, ensure_ascii=False)
    return f"id: {event['sequence']}\nevent: {event['type']}\ndata: {data}\n\n".encode()


def stream(*chunks, breaks=False):
    """Answer with these bytes; ``breaks`` leaves the chunked body unfinished, as a killed gateway does."""

    async def body():
        for chunk in chunks:
            yield chunk
        if breaks:
            raise ConnectionResetError("killed")

    return lambda seen: StreamingResponse(body(), media_type="text/event-stream")


def resumed(gateway):
    return [seen.headers.get("last-event-id") for seen in gateway.seen]


def test_a_stream_resumes_after_the_last_event_it_saw(gateway, make):
    e = [frame(make.event(number)) for number in range(6)]
    gateway.answer(
        "GET", PATH, stream(e[1], b": heartbeat\n\n", e[2]), stream(e[2], e[3]), stream(e[4], e[5])
    )
    with Minoots(gateway.url) as client:
        got = [event.sequence for event in islice(client.events.stream(after=0, type="timer.fired"), 5)]
    assert got == [1, 2, 3, 4, 5]
    assert resumed(gateway) == ["0", "2", "3"]
    assert gateway.seen[0].query == [("type", "timer.fired")]


def test_a_connection_that_breaks_loses_nothing(gateway, make):
    e = [frame(make.event(number)) for number in range(4)]
    gateway.answer("GET", PATH, stream(e[1], e[2][:20], breaks=True), stream(e[2], e[3]))
    with Minoots(gateway.url) as client:
        assert [event.sequence for event in islice(client.events.stream(after=0), 3)] == [1, 2, 3]
    assert resumed(gateway) == ["0", "1"]


def test_a_slow_reader_goes_on_from_where_it_was_cut(gateway, make):
    e = [frame(make.event(number)) for number in range(10)]
    cut = b'event: cut\ndata: {"resume_from": 4, "reason": "too slow"}\n\n'
    gateway.answer("GET", PATH, stream(e[3], cut, e[9]), stream(e[3], e[5]))
    with Minoots(gateway.url) as client:
        assert [event.sequence for event in islice(client.events.stream(after=2), 2)] == [3, 5]
    assert resumed(gateway) == ["2", "4"]


def test_an_id_without_an_event_marks_the_place(gateway, make):
    gateway.answer("GET", PATH, stream(b"id: 41\n\n"), stream(frame(make.event(42))))
    with Minoots(gateway.url) as client:
        assert next(client.events.stream()).sequence == 42
    assert resumed(gateway) == [None, "41"]


def test_a_restarted_gateway_is_found_again(gateway, make):
    gateway.answer("GET", PATH, stream(frame(make.event(1))))
    with Minoots(gateway.url, retries=0) as client:
        events = client.events.stream(after=0)
        assert next(events).sequence == 1
        gateway.stop()
        gateway.answer("GET", PATH, make.problem(503, "unavailable"), stream(frame(make.event(2))))
        gateway.start()
        assert next(events).sequence == 2


def test_nobody_there_from_the_start_is_told(gateway):
    gateway.stop()
    with Minoots(gateway.url, retries=2) as client, pytest.raises(minoots.ConnectionFailed, match="3 tries"):
        next(client.events.stream())


@pytest.mark.parametrize("status", [401, 403, 422])
def test_a_refusal_ends_the_stream(gateway, make, status):
    gateway.answer("GET", PATH, make.problem(status, "denied"))
    with Minoots(gateway.url) as client, pytest.raises(minoots.Denied):
        next(client.events.stream())
    assert len(gateway.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda seen: Response("<html>", media_type="text/html"),
        stream(b"data: {}\n\n"),
        stream(b"event: cut\ndata: {}\n\n"),
    ],
)
def test_something_else_than_minoots_is_told(gateway, answer):
    gateway.answer("GET", PATH, answer)
    with Minoots(gateway.url) as client, pytest.raises(minoots.ServiceBug):
        next(client.events.stream())


async def test_the_async_stream_resumes_too(gateway, make):
    e = [frame(make.event(number)) for number in range(4)]
    gateway.answer("GET", PATH, stream(e[1], e[2][:9], breaks=True), stream(e[1], e[2], e[3]))
    got = []
    async with minoots.AsyncMinoots(gateway.url) as client:
        async for event in client.events.stream(after=0):
            got.append(event.sequence)
            if event.sequence == 3:
                break
    assert got == [1, 2, 3]
    assert resumed(gateway) == ["0", "1"]


FIELD = st.text(st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=8)
FRAME = st.tuples(FIELD.filter(bool), st.lists(FIELD, min_size=1, max_size=3), FIELD)


@given(st.lists(FRAME, max_size=4), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_frames_are_the_same_however_they_are_chunked(wanted, end, data):
    text = ""
    for event, lines, event_id in wanted:
        text += f": comment{end}event: {event}{end}id: {event_id}{end}"
        text += "".join(f"data: {line}{end}" for line in lines) + end
    raw = (text + ":" + end).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    parts = [raw[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    frames = Frames()
    got = [found for part in parts for found in frames.feed(part)]
    assert got == [Frame(event, "\n".join(lines), event_id) for event, lines, event_id in wanted]
