"""What crosses Temporal on behalf of a job: where it stands and what is next, never a word of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from minoots_workflows.contract import Contract


class Does(StrEnum):
    """What is next in a job."""

    NOTHING = "nothing"
    """It has ended."""
    CALL_MODEL = "call_model"
    RUN_PROGRAM = "run_program"
    THINK = "think"
    """Of an agent: its model is asked."""
    ACT = "act"
    """Of an agent: tools are used."""
    WAIT = "wait"
    """Of an agent: for a time, for somebody, or for both."""


class JobLook(Contract):
    """Answer of ``jobs.next``, and of the query ``state``: how a job stands, and what is next."""

    state: str = "queued"
    does: Does = Does.CALL_MODEL
    attempt: int = 0
    deadline: datetime | None = None
    step: int = 0
    """Of an agent: the number of what is next."""
    wake_at: datetime | None = None
    """Of one that waits: until when; ``None`` while it waits for somebody."""
    sandbox_id: str = ""
    """Of a program in a sandbox that stands: which."""
    epoch: int = 0
    """Which opening of it."""
    queue: str = ""
    """The task queue of the worker that holds it."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.does is Does.NOTHING


class StepDue(Contract):
    """Input of what a job does: it reads the rest from the records."""

    tenant: str
    job_id: str
    step: int = 0
    """Of an agent: the number of what is to be done; once something else has been, nothing is."""
    sandbox_id: str = ""
    """Of a program in a sandbox that stands: which."""
    epoch: int = 0
    """Which opening of it: another one has other files."""


class StepDone(Contract):
    """Answer of what a job does: where the job stands then."""

    state: str
    next: JobLook | None = None
    """Of an agent: what is next, so that nobody has to ask. ``None`` when somebody has to."""
