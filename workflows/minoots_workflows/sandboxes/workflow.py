"""`SandboxWorkflow`: one sandbox, from when it is wanted until nothing of it is left.

Owns when to look, and that whoever holds the sandbox is asked for it on a queue of its own. What is next
stands in the records; the history has references only. A worker that gives no sign is asked once more: only
when nobody takes that, the sandbox is lost.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import Moved, Subject

    from .contracts import (
        Happened,
        SandboxAnswer,
        SandboxCall,
        SandboxDoes,
        SandboxHeld,
        SandboxLook,
        SandboxNeeds,
        SandboxSeen,
        SandboxWatched,
    )
    from .port import HoldingPort, OpeningPort, SandboxesPort

NEVER_STARTED = "NeverStarted"
OUTCOME_UNKNOWN = "OutcomeUnknown"
MOVES_ON = "MovesOn"
"""Of a call that came while the workflow goes on in a new history: nothing is kept of it, ask again."""
_PATIENCE = 15.0
"""Seconds that a call waits until its sandbox stands: the records may know of that a moment before."""
_BREATH = 1.0
"""Seconds before a worker that failed to watch is asked again."""


@workflow.defn(name="Sandbox")
class SandboxWorkflow:
    """One sandbox that stands."""

    @workflow.init
    def __init__(self, sandbox: Subject) -> None:
        self._sandbox = sandbox
        self._seen = SandboxLook()
        self._moves = 0
        self._watch: workflow.ActivityHandle[SandboxWatched] | None = None
        self._leaves = False
        self._cancelled = False

    @workflow.run
    async def run(self, sandbox: Subject) -> SandboxLook:
        """See to it until it has ended."""
        try:
            return await self._live()
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            # An operator's doing, in Temporal: nothing of it may stay, and the records have to know. What is
            # not known here to be held is ended by its worker, as soon as that sees the records.
            self._leaves = True
            if self._seen.queue:
                await self._close()
            self._seen = await self._look(Happened.CANCELLED)
            if _whole_steps():
                await workflow.wait_condition(workflow.all_handlers_finished)
            raise

    @workflow.signal
    def moved(self, move: Moved) -> None:
        """Somebody wants something of it; what stands in the records."""
        self._moves += 1

    @workflow.query
    def state(self) -> SandboxLook:
        """How it stands."""
        return self._seen

    @workflow.update
    async def call(self, call: SandboxCall) -> SandboxAnswer:
        """Use the sandbox.

        Raises:
            ApplicationError: ``NeverStarted``, when nothing of it has happened; ``OutcomeUnknown``, when
                nobody knows.
        """
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._seen.needs is not SandboxNeeds.OPENING, timeout=_PATIENCE
            )
        if self._seen.needs is not SandboxNeeds.HOLDING:
            raise ApplicationError("the sandbox does not stand", type=NEVER_STARTED, non_retryable=True)
        due = call.model_copy(update={"epoch": self._seen.epoch})
        try:
            answer = await workflow.execute_activity_method(
                HoldingPort.call, due, **options.holder_call(self._seen.queue, call.does)
            )
        except ActivityError as error:
            kind = NEVER_STARTED if _nobody_there(error) else OUTCOME_UNKNOWN
            raise ApplicationError("its worker did not answer", type=kind, non_retryable=True) from None
        if call.does in (SandboxDoes.SUSPEND, SandboxDoes.RESUME):
            # One that stands still is not idle.
            self._moves += 1
        return answer

    @call.validator
    def _may_call(self, call: SandboxCall) -> None:
        if self._leaves:
            # Calls that overlap without end would keep it from going on for ever.
            raise ApplicationError("it goes on in a new history", type=MOVES_ON, non_retryable=True)
        if self._seen.needs in (SandboxNeeds.CLOSING, SandboxNeeds.NOTHING):
            raise ApplicationError("the sandbox does not stand", type=NEVER_STARTED, non_retryable=True)

    async def _live(self) -> SandboxLook:
        happened = Happened.NOTHING
        while True:
            moves = self._moves
            self._seen = look = await self._look(happened)
            happened = Happened.NOTHING
            workflow.set_current_details(_told(look))
            self._honour_cancel()
            if look.over:
                await workflow.wait_condition(workflow.all_handlers_finished)
                return look
            if _too_long():
                self._leaves = True
                await workflow.wait_condition(workflow.all_handlers_finished)
                await self._let_go()
                self._honour_cancel()
                workflow.continue_as_new(self._sandbox)
            if look.needs is SandboxNeeds.OPENING:
                await self._open(look, moves)
            elif look.needs is SandboxNeeds.CLOSING:
                await self._close()
                happened = Happened.CLOSED
            else:
                happened = await self._hold(look, moves)

    async def _look(self, happened: Happened) -> SandboxLook:
        seen = SandboxSeen(
            tenant=self._sandbox.tenant,
            sandbox_id=self._sandbox.id,
            happened=happened,
            epoch=self._seen.epoch,
        )
        return await workflow.execute_activity_method(SandboxesPort.next, seen, **options.RECORDS)

    async def _open(self, look: SandboxLook, moves: int) -> None:
        """Have it opened, unless it is to be closed meanwhile or no worker has done so in time."""
        opening = workflow.start_activity_method(
            OpeningPort.open, self._sandbox, **options.OPENING | {"summary": "open"}
        )
        try:
            with suppress(asyncio.TimeoutError):
                await workflow.wait_condition(
                    lambda: opening.done() or self._moves != moves,
                    timeout=_left(look),
                    timeout_summary="has to stand by",
                )
        finally:
            if not opening.done():
                opening.cancel()
            # However it ended: the records say whether it stands.
            await self._end_of(opening)

    async def _hold(self, look: SandboxLook, moves: int) -> Happened:
        """Wait until there is something to do for it; return whether it is lost."""
        if self._watch is None:
            self._watch = workflow.start_activity_method(
                HoldingPort.hold, self._held(), **options.holder_watch(look.queue)
            )
        watch, heeds_length = self._watch, _whole_steps()
        with suppress(asyncio.TimeoutError):
            # Nobody else ends the wait of one that is only called: each call adds to the history.
            await workflow.wait_condition(
                lambda: watch.done() or self._moves != moves or (heeds_length and _too_long()),
                timeout=_left(look),
                timeout_summary="idle, or at the end of its lifetime",
            )
        if not watch.done():
            return Happened.NOTHING
        self._watch = None
        try:
            await watch
        except ActivityError as error:
            if not _nobody_there(error):
                await workflow.sleep(_BREATH)
                return Happened.NOTHING
        return Happened.LOST

    async def _close(self) -> None:
        """End it where it is held; with a worker that is dead it has ended already."""
        closing = workflow.start_activity_method(
            HoldingPort.close, self._held(), **options.holder_call(self._seen.queue, "close")
        )
        await self._end_of(closing)
        await self._let_go()

    async def _let_go(self) -> None:
        """Watch it no longer; that alone ends nothing."""
        if self._watch is not None:
            watch, self._watch = self._watch, None
            watch.cancel()
            await self._end_of(watch)

    async def _end_of(self, doing: workflow.ActivityHandle[Any]) -> None:
        """Wait until something has ended, however. A cancel does not call it off and is honoured later.

        Otherwise what was half done would stay, or the one cancel that an operator has would be lost.
        """
        if not _whole_steps():
            with suppress(ActivityError, asyncio.CancelledError):
                await doing
            return
        while not doing.done():
            try:
                await workflow.wait_condition(doing.done)
            except asyncio.CancelledError:
                self._cancelled = True
        if not doing.cancelled():
            # Taken, so that nobody misses it: the records say how things stand.
            doing.exception()

    def _honour_cancel(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError

    def _held(self) -> SandboxHeld:
        return SandboxHeld(tenant=self._sandbox.tenant, sandbox_id=self._sandbox.id, epoch=self._seen.epoch)


def _whole_steps() -> bool:
    return workflow.patched("sandbox-whole-steps")


def _too_long() -> bool:
    return workflow.info().is_continue_as_new_suggested()


def _nobody_there(error: ActivityError) -> bool:
    """Tell whether no worker took what only one can do."""
    cause = error.cause
    return isinstance(cause, TimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START


def _left(look: SandboxLook) -> float | None:
    if look.wake_at is None:
        return None
    # A little later: a clock that is ahead must not have it looked at again and again.
    return max(0.0, (look.wake_at - workflow.now()).total_seconds()) + 0.1


def _told(look: SandboxLook) -> str:
    if look.over:
        return f"**{look.state}**"
    until = "" if look.wake_at is None else f" until {look.wake_at.isoformat(timespec='seconds')}"
    return f"**{look.state}** at `{look.queue or 'no worker'}`{until}"
