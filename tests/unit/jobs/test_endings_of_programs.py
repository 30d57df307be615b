"""What a job says of a program that did not end as it should."""

from __future__ import annotations

from datetime import timedelta

import pytest

from minoots.contracts.sandboxes import Limits
from minoots_activities.jobs.program_runs import problem_of_program
from minoots_activities.sandboxes.port import Ended, Ran


@pytest.mark.parametrize(
    ("seconds", "detail", "remedy"),
    [
        (60.0, "the program ran longer than 60 s", "Raise limits.time."),
        (2.7, "the program still ran at the job's deadline", "Submit it with a later deadline."),
    ],
)
def test_it_is_told_whether_the_limit_or_the_deadline_ended_a_program(
    seconds: float, detail: str, remedy: str
) -> None:
    ran = Ran(Ended.TIMED_OUT, exit_code=None, signal=9, wall_ms=1.0, cpu_ms=1.0, peak_kb=1)
    problem = problem_of_program(ran, Limits(time=timedelta(minutes=1)), seconds)
    assert problem is not None
    assert (problem.detail, problem.remedy) == (detail, remedy)
