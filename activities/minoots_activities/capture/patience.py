"""Work on long texts, without which nothing else on this host goes on: in a thread, with signs of life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from temporalio import activity

_LONG: Final = 200_000
"""Characters that are worked on at once, in tenths of a second at most."""
_BEAT: Final = 3.0
"""Seconds between signs of life: a third of the patience that the options of activities on hosts name."""

T = TypeVar("T")


async def apart(length: int, work: Callable[[], T]) -> T:
    """Do work on so many characters; in a thread where they are many."""
    return await asyncio.to_thread(work) if length > _LONG else work()


@asynccontextmanager
async def alive() -> AsyncIterator[None]:
    """Give signs of life of an activity while a thread works, of which nothing is kept in between."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(_BEAT)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
