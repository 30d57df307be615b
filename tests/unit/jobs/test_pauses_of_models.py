"""How long a job waits before its model is asked again."""

from __future__ import annotations

import pytest

from minoots.contracts.models import ModelAttempt, ModelErrorKind, OnBreak
from minoots_activities.jobs.answers import pause_after
from minoots_workflows.models.failures import ModelFailure

K = ModelErrorKind
HOUR = 3600.0


def failed(kind: K = K.UNREACHABLE, *, asked: bool, retry_after: float | None = None) -> ModelFailure:
    """A failure of a call that has asked somebody, or nobody."""
    attempt = ModelAttempt(number=int(asked), provider="ollama", model="m", error=kind)
    return ModelFailure(kind, "away", retry_after=retry_after, attempts=(attempt,))


def test_each_try_waits_for_twice_as_long_up_to_half_a_minute() -> None:
    found = [pause_after(failed(asked=True), tries, HOUR) for tries in range(1, 10)]
    assert found == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_to_begin_again_without_asking_anybody_is_no_try_and_waits_for_longer_too() -> None:
    found = [pause_after(failed(asked=False), 1, HOUR, begun=begun) for begun in (1, 2, 3, 8, 5000)]
    assert found == [0.5, 1, 2, 30, 30]
    assert pause_after(failed(asked=True), 1, HOUR, begun=5000) == 0.5, "that one was tried once"


def test_who_says_when_is_believed_and_nobody_waits_beyond_the_deadline() -> None:
    assert pause_after(failed(asked=False, retry_after=7), 1, HOUR, begun=50) == 7
    assert pause_after(failed(asked=False, retry_after=7), 1, 6) is None
    assert pause_after(failed(asked=True), 5, 7.9) is None


@pytest.mark.parametrize("kind", [K.INVALID, K.OVER_BUDGET, K.CONTEXT_TOO_LONG])
def test_what_does_not_pass_is_not_tried_again(kind: K) -> None:
    assert pause_after(failed(kind, asked=True), 1, HOUR) is None


@pytest.mark.parametrize("kind", [K.BROKEN_STREAM, K.TIMEOUT])
def test_an_answer_that_broke_off_is_asked_for_again_where_it_may_be(kind: K) -> None:
    began = ModelAttempt(number=1, provider="ollama", model="m", error=kind, broke_off=True)
    broken = ModelFailure(kind, "away", attempts=(began,))
    assert pause_after(broken, 1, HOUR, OnBreak.FAIL) is None
    assert pause_after(broken, 1, HOUR, OnBreak.RESTART) == 0.5
    assert pause_after(failed(kind, asked=True), 1, HOUR, OnBreak.FAIL) == 0.5, "it had not begun"
