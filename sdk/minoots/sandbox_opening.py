"""Waiting until a sandbox stands."""

from __future__ import annotations

import time
from typing import Final

from .call import Call
from .connection import Connection
from .contracts.problems import Problem
from .contracts.standing import Sandbox, SandboxState
from .errors import FAILURES, WaitTimeout
from .flow import Flow, Sleep, perform
from .operations import sandboxes

_LONGEST: Final = 30
_SHORTEST: Final = 0.2
"""Seconds from one look to the next: a service that does not hold its answer back must not be hammered."""


def until_open(connection: Connection, made: Sandbox, wait: float) -> Flow[Sandbox]:
    """Return a sandbox once it stands.

    Raises:
        WaitTimeout: it does not after ``wait`` seconds; it is told to close.
        APIError: it did not open; the error is the one that says why.
    """
    deadline = time.monotonic() + wait
    seen = made
    while seen.state is SandboxState.OPENING:
        left = deadline - time.monotonic()
        if left <= 0:
            why = "" if seen.problem is None else f": {seen.problem.detail}"
            # Nobody would close it: whoever asked for it does not have its id.
            yield from perform(connection, sandboxes.close(made.id, None))
            raise WaitTimeout(
                f"expected {made.id} to stand within {wait:g} s; it is opening{why}\n"
                "  it is told to close; wait longer, or see that a worker serves the queue sandbox"
            )
        began = time.monotonic()
        call: Call[Sandbox] = sandboxes.read(made.id, min(_LONGEST, int(left)) or None)
        seen = yield from perform(connection, call)
        pause = _SHORTEST - (time.monotonic() - began)
        if pause > 0 and seen.state is SandboxState.OPENING:
            yield Sleep(pause)
    if seen.state is SandboxState.FAILED and seen.problem is not None:
        rule = FAILURES[seen.problem.kind]
        problem = Problem(
            title="The sandbox did not open",
            status=rule.status,
            kind=seen.problem.kind,
            detail=seen.problem.detail,
            remedy=seen.problem.remedy,
        )
        raise rule.error(problem)
    return seen
