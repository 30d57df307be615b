"""How queued requests reach the service: in order, each once, whatever breaks in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from minoots.call import KEY_HEADER, Call
from minoots.connection import Connection
from minoots.contracts.timers import Timer
from minoots.durations import parse_duration
from minoots.errors import (
    APIError,
    ConnectionFailed,
    Denied,
    InvalidRequest,
    MinootsError,
    ServiceBug,
    Throttled,
    Unauthenticated,
    Unavailable,
)
from minoots.flow import Flow, Work, perform
from minoots.operations import timers

from .results import Flushed, Queued
from .store import Entry, Outbox, Rejected

T = TypeVar("T")

AWAY: Final = (ConnectionFailed, Unavailable)
"""The gateway is away: a create is queued."""

STOPS: Final = (ConnectionFailed, Unavailable, Throttled, ServiceBug, Unauthenticated, Denied)
"""Not the request's fault, so a flush stops and keeps it: a wrong key must not reject the whole queue."""


def create(connection: Connection, outbox: Outbox, fields: timers.NewTimer) -> Flow[Timer | Queued]:
    """Create a timer, or queue the request when the gateway is away or others are queued before it."""
    call = timers.create(fields)
    asked_at = datetime.now(UTC)
    waiting: int = yield Work(outbox.count)
    if waiting:
        # Behind those that wait, so that order holds; they are tried first, for the gateway may be back.
        flushed = yield from flush(connection, outbox, retries=0)
        if isinstance(flushed.stopped, Unauthenticated | Denied):
            raise flushed.stopped  # Queueing behind a key that opens nothing would only hide that.
        waiting = flushed.left
    if not waiting:
        try:
            return (yield from perform(connection, call))
        except AWAY:
            pass  # Recorded: the request goes to disk below, and the caller gets `Queued`.
    return (yield from _queue(outbox, call, asked_at))


def flush(connection: Connection, outbox: Outbox, *, retries: int | None = None) -> Flow[Flushed]:
    """Send what is queued, in order, until the queue is empty or the gateway is away."""
    lock: sqlite3.Connection | None = yield Work(outbox.try_lock)
    if lock is None:
        left: int = yield Work(outbox.count)
        return Flushed(left=left, busy=True)
    sent: list[Timer] = []
    rejected: list[Rejected] = []
    stopped: MinootsError | None = None
    try:
        while True:
            entry: Entry | None = yield Work(outbox.first)
            if entry is None:
                break
            try:
                timer = yield from _send(connection, entry, retries)
            except STOPS as error:
                stopped = error
                break
            except APIError as error:
                gone: Rejected = yield Work(partial(outbox.reject, entry, error.problem))
                rejected.append(gone)
            else:
                sent.append(timer)
                yield Work(partial(outbox.remove, entry))
        remaining: int = yield Work(outbox.count)
    finally:
        lock.close()
    return Flushed(tuple(sent), tuple(rejected), remaining, stopped)


def _send(connection: Connection, entry: Entry, retries: int | None) -> Flow[Timer]:
    try:
        return (yield from perform(connection, timers.create_from(entry.body, entry.key), retries=retries))
    except InvalidRequest as error:
        if entry.asked == entry.body or not _key_was_used(error):
            raise
    # The gateway got the first try and only its answer was lost: with the body of that try it gives it again.
    return (yield from perform(connection, timers.create_from(entry.asked, entry.key), retries=retries))


def _key_was_used(error: InvalidRequest) -> bool:
    return any(item.field.lower() == f"header.{KEY_HEADER}".lower() for item in error.problem.errors)


def _queue(outbox: Outbox, call: Call[Timer], asked_at: datetime) -> Flow[Queued]:
    asked: Mapping[str, Any] = call.body or {}
    key = dict(call.headers)[KEY_HEADER]
    entry: Entry = yield Work(partial(outbox.add, key, asked, _late_proof(asked, asked_at)))
    ahead: int = yield Work(partial(outbox.ahead_of, entry.position))
    fire_at = datetime.fromisoformat(entry.body["fire_at"])
    return Queued(entry.key, entry.body["name"], fire_at, ahead)


def _late_proof(asked: Mapping[str, Any], asked_at: datetime) -> dict[str, Any]:
    """Return the request so that it means the same whenever it is sent."""
    body = dict(asked)
    after: timedelta | None = parse_duration(body.pop("after")) if "after" in body else None
    if after is not None:
        body["fire_at"] = (asked_at + after).isoformat()
    # The service refuses a moment that has passed unless it is told that late is better than never.
    body.setdefault("misfire", {"policy": "fire"})
    return body
