"""Asking a model on behalf of a job: what it writes is told as it comes, and so is what goes wrong."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final

from temporalio.exceptions import ApplicationError

from minoots.contracts import (
    Delta,
    DeltaKind,
    JobEventType,
    JobProblem,
    JobState,
    ModelAnswer,
    ModelErrorKind,
    ModelRequest,
    OnBreak,
)
from minoots_platform.records.job_progress import Begun
from minoots_workflows.models.contracts import ModelCaller
from minoots_workflows.models.failures import ModelFailure
from minoots_workflows.models.ports import ModelRouter

from .telling import Teller

_LONGEST_PAUSE: Final = 30.0


async def ask(
    router: ModelRouter, request: ModelRequest, caller: ModelCaller, teller: Teller, begun: Begun
) -> ModelAnswer:
    """Ask a model, tell what it writes, and return the whole answer.

    Raises:
        ModelFailure: there is none.
    """
    answer: ModelAnswer | None = None
    async with teller.telling(), aclosing(router.stream(request, caller)) as pieces:
        async for piece in pieces:
            if isinstance(piece, ModelAnswer):
                answer = piece
            else:
                await _tell(teller, piece, begun)
    if answer is None:
        raise ModelFailure(ModelErrorKind.BROKEN_STREAM, "the router ended without an answer")
    return answer


def pause_after(
    failure: ModelFailure,
    tries: int,
    left: float,
    on_break: OnBreak = OnBreak.RESTART,
    *,
    begun: int = 0,
) -> float | None:
    """Return after how many seconds another try makes sense, ``None`` when none does.

    Args:
        failure: what went wrong.
        tries: how often it was tried.
        left: seconds until nobody wants the answer any more.
        on_break: what happens when an answer breaks off.
        begun: how often this was begun, also where nobody was asked: that counts as no try, and yet each one
            waits for longer.
    """
    if not failure.rule.again:
        return None
    # Whatever broke it off: an error in its middle, or silence, is a break as a cut connection is.
    if on_break is OnBreak.FAIL and failure.attempts and failure.attempts[-1].broke_off:
        return None
    times = max(tries, begun) if failure.asked_nobody else tries
    # The exponent is bounded: whoever waits for an hour begins often, and no float holds 2 to the thousandth.
    pause = failure.retry_after or min(_LONGEST_PAUSE, 0.25 * 2 ** min(times, 10))
    return pause if pause < left else None


async def put_off(teller: Teller, failure: ModelFailure, pause: float) -> ApplicationError:
    """Tell readers that it is tried again, and return what has Temporal do so after ``pause`` seconds.

    Raise it ``from None``: the words of a provider have no place in a history.
    """
    told = {"state": JobState.RUNNING.value, "retry_in": pause, "reason": failure.detail}
    await teller.tell(JobEventType.STATUS, told)
    return ApplicationError(
        f"no answer: {failure.kind}", type="ModelFailure", next_retry_delay=timedelta(seconds=pause)
    )


def problem_of(failure: ModelFailure) -> JobProblem:
    """Return why a job failed whose model gave no answer."""
    return JobProblem(kind=failure.rule.kind, detail=failure.detail, remedy=failure.remedy)


async def _tell(teller: Teller, piece: Delta, begun: Begun) -> None:
    if piece.kind is DeltaKind.TEXT:
        await teller.token(piece.text)
    elif piece.kind is DeltaKind.THINKING:
        await teller.token(piece.text, thinking=True)
    elif piece.kind is DeltaKind.ATTEMPT:
        asking: dict[str, Any] = {"asking": piece.provider, "model": piece.model, "reason": piece.reason}
        if piece.drop:
            asking["drop_after"] = begun.first_event
        told = {name: value for name, value in asking.items() if value is not None}
        await teller.tell(JobEventType.STATUS, told)
