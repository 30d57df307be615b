"""``client.jobs``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Unpack

from minoots.async_engine import AsyncEngine
from minoots.contracts.jobs import (
    Artifact,
    Job,
    JobDetail,
    JobEvent,
    JobEvents,
)
from minoots.engine import Engine
from minoots.job_following import Transcript, next_events
from minoots.operations import jobs
from minoots.operations.jobs import JobFilter, NewJob
from minoots.waiting import until_final


class JobRun:
    """A job that was submitted, to follow: iterate over its events, then look at the ``job``.

    Attributes:
        job: as it stood last; final after the iteration.
        transcript: what it has written so far.
    """

    def __init__(self, resource: Jobs, job: Job) -> None:
        self._resource = resource
        self.job = job
        self.transcript = Transcript()

    def __iter__(self) -> Iterator[JobEvent]:
        for event in self._resource.events(self.job.id):
            self.transcript.add(event)
            yield event
        self.job = self._resource.get(self.job.id)

    def wait(self) -> Job:
        """Follow it to its end and return it."""
        for _ in self:
            pass
        return self.job

    @property
    def text(self) -> str:
        """What it has written so far."""
        return self.transcript.text()


class Jobs:
    """Ask models, run programs, have agents work: submit, follow, stop, fetch what was made."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submit(self, **fields: Unpack[NewJob]) -> Job:
        """Submit a job: ``submit(prompt="Why?")``, ``submit(command="make test")``, ``submit(task="…")``."""
        return self._engine.call(jobs.submit(fields))

    def run(self, **fields: Unpack[NewJob]) -> JobRun:
        """Submit a job and return it for following: ``for event in client.jobs.run(prompt="Why?"): …``."""
        return JobRun(self, self.submit(**fields))

    def get(self, job_id: str) -> JobDetail:
        """Return a job with what it was told."""
        return self._engine.call(jobs.read(job_id))

    def list(self, **filter: Unpack[JobFilter]) -> Iterator[Job]:
        """Yield jobs that match ``state``, ``kind``, ``name`` and ``label``, the newest first."""
        return self._engine.items(jobs.listing(filter))

    def cancel(self, job_id: str) -> Job:
        """Stop a job and what it does; `Conflict` if it has ended."""
        return self._engine.call(jobs.cancel(job_id))

    def approve(self, job_id: str, call: int, *, reason: str | None = None) -> JobDetail:
        """Let an agent make a call that it asks leave for; `Conflict` if it does not ask for this one."""
        return self._engine.call(jobs.approve(job_id, call, reason))

    def deny(self, job_id: str, call: int, *, reason: str | None = None) -> JobDetail:
        """Refuse an agent a call that it asks leave for; it is told the reason."""
        return self._engine.call(jobs.deny(job_id, call, reason))

    def message(self, job_id: str, text: str, *, idempotency_key: str | None = None) -> JobDetail:
        """Say something to an agent at work; it wakes for it."""
        return self._engine.call(jobs.message(job_id, text, idempotency_key))

    def events(self, job_id: str, *, after: int = 0) -> Iterator[JobEvent]:
        """Yield what happens in a job until it has ended: each number once, through outages of the gateway.

        An event with ``drop_after`` says that what came after that number is void: another attempt begins.
        """
        known = False
        while True:
            flow = next_events(self._engine.connection, job_id, after, known=known)
            found = self._engine.run(flow)
            yield from found.items
            after, known = found.next_after, True
            if found.state.final:
                return

    def events_now(self, job_id: str, *, after: int = 0) -> JobEvents:
        """Return what has happened in a job by now, at most 200 events; nothing is waited for."""
        return self._engine.call(jobs.events(job_id, after, None))

    def wait(self, job_id: str, *, timeout: float | None = None) -> JobDetail:
        """Return a job once it has ended.

        Raises:
            WaitTimeout: it has not after ``timeout`` seconds.
        """
        read = partial(jobs.read, job_id)
        return self._engine.run(until_final(self._engine.connection, job_id, read, timeout))

    def artifacts(self, job_id: str) -> Iterator[Artifact]:
        """Yield what a job has made, by name."""
        return self._engine.items(jobs.artifacts(job_id))

    def download(self, artifact: Artifact | str) -> bytes:
        """Return the bytes of an artifact, or of a content by its SHA-256."""
        return self._engine.call(jobs.download(_hash(artifact))).data

    def hand_in(self, data: bytes) -> str:
        """Hand in bytes for jobs to work with; return their SHA-256, by which ``files`` may name them."""
        return self._engine.call(jobs.hand_in(data)).sha256


class AsyncJobRun:
    """A job that was submitted, to follow: iterate over its events, then look at the ``job``.

    Attributes:
        job: as it stood last; final after the iteration.
        transcript: what it has written so far.
    """

    def __init__(self, resource: AsyncJobs, job: Job) -> None:
        self._resource = resource
        self.job = job
        self.transcript = Transcript()

    async def __aiter__(self) -> AsyncIterator[JobEvent]:
        async for event in self._resource.events(self.job.id):
            self.transcript.add(event)
            yield event
        self.job = await self._resource.get(self.job.id)

    async def wait(self) -> Job:
        """Follow it to its end and return it."""
        async for _ in self:
            pass
        return self.job

    @property
    def text(self) -> str:
        """What it has written so far."""
        return self.transcript.text()


class AsyncJobs:
    """Ask models, run programs, have agents work: submit, follow, stop, fetch what was made."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def submit(self, **fields: Unpack[NewJob]) -> Job:
        """Submit a job; see `Jobs.submit`."""
        return await self._engine.call(jobs.submit(fields))

    async def run(self, **fields: Unpack[NewJob]) -> AsyncJobRun:
        """Submit a job and return it for following: ``async for event in await client.jobs.run(…): …``."""
        return AsyncJobRun(self, await self.submit(**fields))

    async def get(self, job_id: str) -> JobDetail:
        """Return a job with what it was told."""
        return await self._engine.call(jobs.read(job_id))

    def list(self, **filter: Unpack[JobFilter]) -> AsyncIterator[Job]:
        """Yield jobs that match ``state``, ``kind``, ``name`` and ``label``, the newest first."""
        return self._engine.items(jobs.listing(filter))

    async def cancel(self, job_id: str) -> Job:
        """Stop a job and what it does; `Conflict` if it has ended."""
        return await self._engine.call(jobs.cancel(job_id))

    async def approve(self, job_id: str, call: int, *, reason: str | None = None) -> JobDetail:
        """Let an agent make a call that it asks leave for; `Conflict` if it does not ask for this one."""
        return await self._engine.call(jobs.approve(job_id, call, reason))

    async def deny(self, job_id: str, call: int, *, reason: str | None = None) -> JobDetail:
        """Refuse an agent a call that it asks leave for; it is told the reason."""
        return await self._engine.call(jobs.deny(job_id, call, reason))

    async def message(self, job_id: str, text: str, *, idempotency_key: str | None = None) -> JobDetail:
        """Say something to an agent at work; it wakes for it."""
        return await self._engine.call(jobs.message(job_id, text, idempotency_key))

    async def events(self, job_id: str, *, after: int = 0) -> AsyncIterator[JobEvent]:
        """Yield what happens in a job until it has ended; see `Jobs.events`."""
        known = False
        while True:
            flow = next_events(self._engine.connection, job_id, after, known=known)
            found = await self._engine.run(flow)
            for event in found.items:
                yield event
            after, known = found.next_after, True
            if found.state.final:
                return

    async def events_now(self, job_id: str, *, after: int = 0) -> JobEvents:
        """Return what has happened in a job by now, at most 200 events; nothing is waited for."""
        return await self._engine.call(jobs.events(job_id, after, None))

    async def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as of timers
    ) -> JobDetail:
        """Return a job once it has ended.

        Raises:
            WaitTimeout: it has not after ``timeout`` seconds.
        """
        read = partial(jobs.read, job_id)
        return await self._engine.run(until_final(self._engine.connection, job_id, read, timeout))

    def artifacts(self, job_id: str) -> AsyncIterator[Artifact]:
        """Yield what a job has made, by name."""
        return self._engine.items(jobs.artifacts(job_id))

    async def download(self, artifact: Artifact | str) -> bytes:
        """Return the bytes of an artifact, or of a content by its SHA-256."""
        return (await self._engine.call(jobs.download(_hash(artifact)))).data

    async def hand_in(self, data: bytes) -> str:
        """Hand in bytes for jobs to work with; return their SHA-256, by which ``files`` may name them."""
        return (await self._engine.call(jobs.hand_in(data))).sha256


def _hash(artifact: Artifact | str) -> str:
    return artifact if isinstance(artifact, str) else artifact.sha256
