"""Working on a job for as long as it is wanted, with signs of life."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from temporalio import activity

from minoots_platform.records import Database, job_progress
from minoots_platform.records.job_progress import Begun

from .telling import Teller

T = TypeVar("T")

_BEAT: Final = 0.25
"""Seconds between signs of life; with each, Temporal tells whether the job was cancelled."""
_LOOK: Final = 4
"""Beats between two looks at the records, which tell it where Temporal cannot be reached."""


class UnwantedError(Exception):
    """The job is to stop, or another attempt has begun: nothing that is done now counts."""


async def while_wanted(work: Coroutine[Any, Any, T], database: Database, begun: Begun, teller: Teller) -> T:
    """Return what ``work`` returns; stop it when nobody wants it any more.

    Raises:
        UnwantedError: it was stopped, and has ended.
    """
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_until_unwanted(database, begun, teller))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        watching.result()
        raise UnwantedError
    finally:
        # Also when the activity is cancelled: whatever runs has stopped before anybody is told so.
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _until_unwanted(database: Database, begun: Begun, teller: Teller) -> None:
    beats = 0
    while True:
        activity.heartbeat()
        try:
            async with asyncio.timeout(_BEAT):
                await teller.unwanted.wait()
            return
        except TimeoutError:
            beats += 1
        if beats % _LOOK == 0:
            async with database.read() as connection:
                if not await job_progress.goes_on(connection, begun):
                    return
