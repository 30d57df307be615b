"""Answering as soon as something is final, for clients that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol, TypeVar

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots_platform.records import events

from .gateway import Gateway

Wait = Annotated[
    float, Query(ge=0, le=60, description="Seconds to wait for it to end; answered as soon as it has.")
]


class _State(Protocol):
    @property
    def final(self) -> bool: ...


class Ending(Protocol):
    """Something that ends some day."""

    @property
    def state(self) -> _State:
        """Where it stands."""
        ...


EndingT = TypeVar("EndingT", bound=Ending)


async def when_final(
    gateway: Gateway, tenant: str, read: Callable[[AsyncConnection], Awaitable[EndingT]], wait: float
) -> EndingT:
    """Return what ``read`` finds once it is final, or as it stands after ``wait`` seconds.

    Raises:
        Failure: whatever ``read`` raises.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    with gateway.tailer.following(tenant) as following:
        while True:
            async with gateway.database.read() as connection:
                # The number first: what happens after it wakes us, what happened before it is in the row.
                seen = await events.last_sequence(connection, tenant) if wait else 0
                found = await read(connection)
            left = deadline - loop.time()
            if found.state.final or left <= 0 or gateway.stopping.is_set():
                return found
            await following.wait(seen, left)
