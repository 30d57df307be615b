"""When circuits open, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.contracts import AttemptError, CircuitPolicy
from minoots_platform.circuits import LONGEST, open_for, trips, unwell

SECONDS = timedelta(seconds=1)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_these_answers_tell_of_a_receiver_that_is_not_well(status: int) -> None:
    assert unwell(AttemptError.STATUS, status)


@pytest.mark.parametrize("status", [300, 400, 401, 403, 404, 409, 413, 422])
def test_these_are_about_the_message(status: int) -> None:
    assert not unwell(AttemptError.STATUS, status)


@pytest.mark.parametrize("error", AttemptError)
def test_no_answer_at_all_is_a_fault_of_the_receiver_all_else_is_not(error: AttemptError) -> None:
    silent = {"dns", "connect", "tls", "timeout", "protocol"}
    assert unwell(error, None) == (error.value in silent)


def test_a_success_is_no_failure() -> None:
    assert not unwell(None, 204)


@given(attempts=st.integers(0, 1000), share=st.floats(0, 1), rate=st.floats(0.01, 1))
def test_it_opens_exactly_when_the_share_is_reached(attempts: int, share: float, rate: float) -> None:
    failed = round(attempts * share)
    policy = CircuitPolicy(minimum=10, failure_rate=rate)
    assert trips(policy, attempts, failed) == (attempts >= 10 and failed >= rate * attempts)
    assert not trips(policy.model_copy(update={"enabled": False}), attempts, failed)


def test_each_opening_lasts_twice_as_long_up_to_the_longest() -> None:
    policy = CircuitPolicy(open_for=30 * SECONDS)
    assert [open_for(policy, count) / SECONDS for count in range(1, 9)] == [
        *(30, 60, 120, 240, 480, 960, 1800, 1800)
    ]
    assert open_for(policy, 1_000_000) == LONGEST


def test_the_defaults_disable_after_about_two_days() -> None:
    policy = CircuitPolicy()
    assert policy.disable_after is not None
    total = sum((open_for(policy, count) for count in range(1, policy.disable_after)), timedelta(0))
    assert timedelta(hours=44) < total < timedelta(hours=50)
