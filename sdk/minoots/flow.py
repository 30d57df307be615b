"""Everything that takes more than one step, written once for the sync and the async client.

A flow is a generator: it yields effects (send, sleep, work) and is sent their outcome. It does no I/O itself;
its drivers, `engine` and `async_engine`, do.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from . import answers, retrying
from .call import Call, ModelT
from .connection import Connection
from .contracts.pages import Page

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Send a request and read the whole answer; failures are thrown in as ``httpx.TransportError``."""

    request: httpx.Request


@dataclass(frozen=True)
class Sleep:
    """Let this many seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Run something that blocks, and return what it returns."""

    run: Callable[[], object]


Effect = Send | Sleep | Work
Flow = Generator[Effect, Any, T]


def perform(connection: Connection, call: Call[ModelT], *, retries: int | None = None) -> Flow[ModelT]:
    """Send ``call``, again where that may help, and return its result.

    Raises:
        APIError: the service refused, or was still unwell on the last try.
        ConnectionFailed: it could not be reached on any try.
    """
    allowed = connection.retries if retries is None else retries
    tries = 0
    while True:
        tries += 1
        request = connection.request(call)
        try:
            response: httpx.Response = yield Send(request)
        except httpx.TransportError as error:
            if tries > allowed:
                raise connection.failed(error, tries) from error
            yield Sleep(retrying.wait_before(tries))
            continue
        if tries > allowed or not retrying.may_retry(response.status_code, idempotent=call.idempotent):
            return answers.read(call, response)
        asked = retrying.retry_after(response.headers.get("retry-after"))
        if asked is not None and asked > retrying.LONGEST_RETRY_AFTER:
            return answers.read(call, response)
        yield Sleep(retrying.wait_before(tries) if asked is None else asked)


def following(call: Call[Page[T]], page: Page[T]) -> Call[Page[T]] | None:
    """Return the call for the page after ``page``, or ``None`` when it was the last.

    Raises:
        ServiceBug: when the service answers the cursor that it was given, which would go on for ever.
    """
    if page.next_cursor is None:
        return None
    if ("cursor", page.next_cursor) in call.query:
        raise answers.bug(f"expected a new cursor after {page.next_cursor!r}; got the same one again", 200)
    return call.with_query(cursor=page.next_cursor)
