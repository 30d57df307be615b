"""Working on a job for as long as it is wanted, with signs of life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from minoots.errors import Failure
from minoots_platform.records import Database, job_progress
from minoots_platform.records.job_progress import Begun
from minoots_platform.telemetry import get_logger

from .telling import Teller

T = TypeVar("T")
Look = Callable[[], Awaitable[bool]]
"""Tells whether work is still wanted."""

_log = get_logger("minoots.jobs")

_BEAT: Final = 0.25
"""Seconds between signs of life; with each, Temporal tells whether the job was cancelled."""
_LOOK: Final = 4
"""Beats between two looks at the records, which tell it where Temporal cannot be reached."""


class UnwantedError(Exception):
    """The job is to stop, or another attempt has begun: nothing that is done now counts."""


@asynccontextmanager
async def without_words(job_id: str) -> AsyncIterator[None]:
    """Let out no words of what went wrong by surprise: what strangers say has no place in a history.

    Raises:
        ApplicationError: with the kind of the error alone; the rest of it is in the log.
    """
    try:
        yield
    except (ApplicationError, Failure):
        raise
    except Exception as error:
        name = type(error).__name__
        _log.error("job.step_failed", job_id=job_id, error=name, exc_info=True)
        raise ApplicationError(name, type=name) from None


async def while_wanted(
    work: Coroutine[Any, Any, T], database: Database, begun: Begun, teller: Teller, look: Look | None = None
) -> T:
    """Return what ``work`` returns; stop it when nobody wants it any more, as ``look`` says every second.

    Raises:
        UnwantedError: it was stopped, and has ended.
    """
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_until_unwanted(look or _looked(database, begun), teller))
    beating = asyncio.create_task(_beat())
    try:
        await asyncio.wait({working, watching, beating}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        for task in (watching, beating):
            if task.done():
                task.result()
        raise UnwantedError
    finally:
        # Also when the activity is cancelled: whatever runs has stopped before anybody is told so. To stop
        # may take longer than Temporal waits for a sign of life, so these end last.
        try:
            await _end(working, watching)
        finally:
            await _end(beating)


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Give signs of life for the length of the block."""
    signs = asyncio.create_task(_beat())
    try:
        yield
    finally:
        await _end(signs)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(_BEAT)


def _looked(database: Database, begun: Begun) -> Look:
    async def look() -> bool:
        async with database.read() as connection:
            return await job_progress.goes_on(connection, begun)

    return look


async def _until_unwanted(look: Look, teller: Teller) -> None:
    beats = 0
    while True:
        try:
            async with asyncio.timeout(_BEAT):
                await teller.unwanted.wait()
            return
        except TimeoutError:
            beats += 1
        if beats % _LOOK == 0 and not await look():
            return
