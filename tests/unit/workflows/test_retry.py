"""When to try again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.contracts import AttemptError, Backoff, RetryPolicy
from minoots_workflows.deliveries.retry import delays, may_retry, next_attempt, preview

DUE = datetime(2027, 1, 1, tzinfo=UTC)

waits = st.timedeltas(timedelta(0), timedelta(days=30))
policies = st.one_of(
    st.builds(RetryPolicy),
    st.builds(RetryPolicy, attempts=st.integers(1, 50)),
    st.builds(RetryPolicy, delays=st.lists(waits, max_size=49).map(tuple)),
    st.builds(
        RetryPolicy,
        attempts=st.none() | st.integers(1, 50),
        backoff=st.builds(Backoff, initial=waits, factor=st.floats(1, 100), maximum=waits),
    ),
)


def after_failing_at(policy: RetryPolicy, number: int, planned: datetime, **kinds: object) -> datetime | None:
    """The next attempt when one fails the moment it was planned."""
    kind = {"error": AttemptError.STATUS, "status": 500, "retry_after": None} | kinds
    return next_attempt(policy, number=number, planned_at=planned, finished_at=planned, **kind)  # type: ignore[arg-type]


@given(policies)
def test_the_preview_is_what_happens_when_every_attempt_fails_at_once(policy: RetryPolicy) -> None:
    times, planned = [], DUE
    for number in range(1, 100):
        times.append(planned)
        following = after_failing_at(policy, number, planned)
        if following is None:
            break
        planned = following
    assert [attempt.at for attempt in preview(policy, DUE).attempts] == times


@given(policies, waits)
def test_retry_after_only_ever_puts_an_attempt_off(policy: RetryPolicy, retry_after: timedelta) -> None:
    without = after_failing_at(policy, 1, DUE)
    told = after_failing_at(policy, 1, DUE, retry_after=retry_after)
    if without is None:
        assert told is None
    else:
        assert told == max(without, DUE + retry_after)


def test_the_default_is_the_ladder_of_the_standard() -> None:
    planned = preview(RetryPolicy(), DUE)
    assert len(planned.attempts) == 10
    assert planned.gives_up_at - DUE == timedelta(hours=75, minutes=35, seconds=5)


def test_attempts_alone_take_rungs_of_the_ladder_and_repeat_the_last() -> None:
    assert delays(RetryPolicy(attempts=1)) == ()
    assert delays(RetryPolicy(attempts=3)) == (timedelta(seconds=5), timedelta(minutes=5))
    assert delays(RetryPolicy(attempts=12))[-3:] == (timedelta(days=1),) * 3


def test_backoff_grows_up_to_its_maximum() -> None:
    policy = RetryPolicy(
        attempts=5, backoff=Backoff(initial=timedelta(seconds=1), factor=10, maximum=timedelta(minutes=1))
    )
    assert [wait.total_seconds() for wait in delays(policy)] == [1, 10, 60, 60]


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_statuses_that_are_tried_again(status: int) -> None:
    assert may_retry(AttemptError.STATUS, status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 413, 415, 422, 451])
def test_statuses_that_are_not(status: int) -> None:
    assert not may_retry(AttemptError.STATUS, status)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (AttemptError.GONE, False),
        (AttemptError.BLOCKED, False),
        (AttemptError.REDIRECT, True),
        (AttemptError.TIMEOUT, True),
        (AttemptError.DNS, True),
        (AttemptError.CONNECT, True),
        (AttemptError.TLS, True),
        (AttemptError.PROTOCOL, True),
        (AttemptError.SECRET, True),
    ],
)
def test_errors_without_a_status(error: AttemptError, again: bool) -> None:
    assert may_retry(error, None) is again


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_is_overloaded_is_given_twice_the_time(status: int) -> None:
    policy = RetryPolicy(delays=(timedelta(seconds=10),))
    assert after_failing_at(policy, 1, DUE, status=status) == DUE + timedelta(seconds=20)
    assert after_failing_at(
        policy, 1, DUE, status=status, retry_after=timedelta(seconds=12)
    ) == DUE + timedelta(seconds=12)


def test_a_plan_that_has_passed_is_due_at_once() -> None:
    policy = RetryPolicy(delays=(timedelta(seconds=1),))
    finished = DUE + timedelta(seconds=30)
    following = next_attempt(
        policy,
        number=1,
        planned_at=DUE,
        finished_at=finished,
        error=AttemptError.TIMEOUT,
        status=None,
        retry_after=None,
    )
    assert following == finished
