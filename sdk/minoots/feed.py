"""The event stream without its connection: what the bytes mean, what was seen, where to resume.

Owns server-sent events as Minoots speaks them. Does no I/O: the clients feed it bytes and ask how to connect.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx
from pydantic import ValidationError

from . import answers, retrying
from .connection import Connection
from .contracts.events import Event
from .errors import APIError
from .operations.events import STREAM_PATH

SILENCE: Final = 60.0
"""Seconds without a byte after which a connection counts as dead; heartbeats come more often."""

CUT: Final = "cut"
"""Name of the last event of a stream whose reader was too slow."""

MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of one line that are buffered before the peer is taken for something else than an event stream."""


@dataclass(frozen=True)
class Frame:
    """One server-sent event."""

    event: str
    data: str
    id: str | None


class Frames:
    """Splits bytes into frames, however they are chunked.

    Lines end at CR, LF or CRLF only. ``httpx`` would split at U+2028 too, which JSON may hold as it is.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yield the frames that ``chunk`` completes."""
        buffer = self._rest + chunk
        # A CR at the end may be half of a CRLF: it waits for the next byte.
        held = b"\r" if buffer.endswith(b"\r") else b""
        lines = buffer[: len(buffer) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        if len(self._rest) > MAX_LINE:
            raise answers.bug(
                f"expected lines of at most {MAX_LINE} bytes in the event stream; got a longer one", 200
            )
        for line in lines:
            frame = self._line(line.decode("utf-8", "replace"))
            if frame is not None:
                yield frame

    def _line(self, line: str) -> Frame | None:
        if not line:
            frame = Frame(self._event or "message", "\n".join(self._data), self._id)
            found = bool(self._data) or self._id is not None
            self._event, self._data, self._id = "", [], None
            return frame if found else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\x00" not in value:
            self._id = value
        return None


class Feed:
    """One iteration over the events of a tenant, across any number of connections."""

    def __init__(self, connection: Connection, query: tuple[tuple[str, str], ...], after: int | None) -> None:
        self._connection = connection
        self._query = query
        self._resume = after
        self._last = -1 if after is None else after
        self._frames = Frames()
        self._connected = False
        self._failures = 0
        self.cut = False
        """Whether the service has cut this connection off because its reader was too slow."""

    def request(self) -> httpx.Request:
        """Return the request of the next connection; it resumes after what was seen."""
        self._frames = Frames()
        self.cut = False
        last_id = None if self._resume is None else str(self._resume)
        return self._connection.stream_request(STREAM_PATH, self._query, last_id, SILENCE)

    def connected(self) -> None:
        """Note that the service has answered 200."""
        self._connected = True

    def events(self, chunk: bytes) -> Iterator[Event]:
        """Yield the new events in ``chunk``: each sequence number once, rising."""
        for frame in self._frames.feed(chunk):
            # Bytes, not only an accepted connection, prove that the service is well again.
            self._failures = 0
            if frame.event == CUT:
                self._resume = _resume_from(frame.data)
                self.cut = True
                return
            if frame.data:
                event = _event(frame.data)
                if event.sequence > self._last:
                    self._last = self._resume = event.sequence
                    yield event
            elif frame.id is not None and frame.id.isdigit():
                # An id alone says where the stream stands, so that nothing is missed before the first event.
                self._resume = max(int(frame.id), self._last)

    def ended(self) -> float:
        """Return the seconds to wait before the next connection, after one that ended or was cut."""
        self._failures += 1
        return retrying.wait_before(self._failures, longest=retrying.LONGEST_RECONNECT)

    def broken(self, error: httpx.TransportError) -> float:
        """Return the seconds to wait after a failure.

        Raises:
            ConnectionFailed: the first connection was never made in all tries that the client allows.
        """
        wait = self.ended()
        if not self._connected and self._failures > self._connection.retries:
            raise self._connection.failed(error, self._failures) from error
        return wait

    def refused(self, error: APIError) -> float:
        """Return the seconds to wait after an answer that is not 200.

        Raises:
            APIError: ``error``, where another try cannot help or all of them are used up.
        """
        wait = self.ended()
        hopeless = not retrying.may_retry(error.status, idempotent=True)
        if hopeless or (not self._connected and self._failures > self._connection.retries):
            raise error
        return (
            wait
            if error.retry_after is None
            else max(wait, min(error.retry_after, retrying.LONGEST_RETRY_AFTER))
        )


def check_stream(response: httpx.Response) -> None:
    """Refuse a 200 that is no event stream.

    Raises:
        ServiceBug: something else than Minoots answers at this address.
    """
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "text/event-stream":
        raise answers.bug(
            f"expected text/event-stream from {response.url}; got {kind or 'no content type'}", 200
        )


def _event(data: str) -> Event:
    try:
        return Event.model_validate_json(data)
    except ValidationError as error:
        raise answers.bug(f"expected an event in the stream; got {data[:120]!r}", 200) from error


def _resume_from(data: str) -> int:
    try:
        return int(json.loads(data)["resume_from"])
    except (ValueError, KeyError, TypeError) as error:
        raise answers.bug(f"expected resume_from in the event cut; got {data[:120]!r}", 200) from error
