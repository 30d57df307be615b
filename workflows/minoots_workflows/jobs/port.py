"""What a job's workflow may ask of the world. Each class is served where its machine is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from minoots_workflows.pacing import Subject

from .contracts import JobLook, StepDone, StepDue


class JobsPort(ABC):
    """Jobs in the records."""

    @activity.defn(name="jobs.next")
    @abstractmethod
    async def next(self, job: Subject) -> JobLook:
        """Tell what is next in a job; end one that was cancelled, or is too late."""

    @activity.defn(name="jobs.stop")
    @abstractmethod
    async def stop(self, job: Subject) -> JobLook:
        """End a job whose workflow was cancelled: by an operator, in Temporal."""


class ModelCallsPort(ABC):
    """Asking language models."""

    @activity.defn(name="jobs.call_model")
    @abstractmethod
    async def call_model(self, due: StepDue) -> StepDone:
        """Ask a model what the job says, tell what it writes as it comes, and end the job with the answer."""


class ThinkingPort(ABC):
    """Asking the models of agents."""

    @activity.defn(name="jobs.think")
    @abstractmethod
    async def think(self, due: StepDue) -> StepDone:
        """Ask the model of an agent what it does next, and keep the answer; end the job with the last one."""


class ActingPort(ABC):
    """Using the tools of agents."""

    @activity.defn(name="jobs.act")
    @abstractmethod
    async def act(self, due: StepDue) -> StepDone:
        """Make the calls that an agent's model wants, one after the other, as far as they may be made."""


class ProgramsPort(ABC):
    """Running programs."""

    @activity.defn(name="jobs.run_program")
    @abstractmethod
    async def run_program(self, due: StepDue) -> StepDone:
        """Run the program of a job in a sandbox, and end the job with what came of it."""
