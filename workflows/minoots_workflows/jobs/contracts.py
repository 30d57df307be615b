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


class JobLook(Contract):
    """Answer of ``jobs.next``, and of the query ``state``: how a job stands, and what is next."""

    state: str = "queued"
    does: Does = Does.CALL_MODEL
    attempt: int = 0
    deadline: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.does is Does.NOTHING


class StepDue(Contract):
    """Input of what a job does: it reads the rest from the records."""

    tenant: str
    job_id: str


class StepDone(Contract):
    """Answer of what a job does: where the job stands then."""

    state: str
