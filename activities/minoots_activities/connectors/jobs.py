"""Jobs: a message becomes one, once for its id."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import AttemptError, JobFile, LlmJob
from minoots.contracts.jobs import MAX_FILES
from minoots.errors import Failure, FailureKind
from minoots_platform.connectors.job import SubmitJob
from minoots_platform.handover import HandOver
from minoots_platform.ids import derived_id
from minoots_platform.records import contents, jobs, timers
from minoots_workflows.handover import Engine

from .sender import Message, NotSent, Sender

PAYLOAD = "payload.json"
"""The file in which a program or an agent finds the payload of its timer, unless it brings one."""


class JobSubmitter(Sender[SubmitJob]):
    """Submits jobs, in the name of whoever has set the timer."""

    async def send(self, message: Message, config: SubmitJob) -> str | None:
        """Submit the job; one that was submitted for this message already stays the one. Return its id."""
        job_id = derived_id("job", message.tenant, message.id)
        settings = self.world.settings.jobs
        admission = jobs.Admission(settings.max_unfinished, timedelta(seconds=settings.default_deadline))
        try:
            async with self.world.database.write() as connection:
                if not await jobs.known(connection, job_id):
                    await jobs.accept(
                        connection,
                        message.tenant,
                        _request(config, message),
                        admission,
                        now=self.world.clock(),
                        actor=await _owner(connection, message),
                        traceparent=message.traceparent,
                        job_id=job_id,
                    )
        except Failure as failure:
            invalid = failure.kind in (FailureKind.INVALID, FailureKind.NOT_FOUND)
            error = AttemptError.REFUSED if invalid else AttemptError.PROTOCOL
            raise NotSent(error, failure.detail) from failure
        # Of what the engine did not take, the reconciler takes care.
        await HandOver(self.world.database, Engine(self.world.temporal), self.world.clock).job(job_id)
        return job_id

    async def check(self, tenant: str, config: SubmitJob) -> None:
        """Make sure that the contents that the job names are kept."""
        try:
            async with self.world.database.read() as connection:
                for sha256 in sorted(jobs.contents_of(config.job)):
                    await contents.size(connection, tenant, sha256)
        except Failure as failure:
            raise NotSent(AttemptError.REFUSED, failure.detail) from failure


async def _owner(connection: AsyncConnection, message: Message) -> str:
    """Return who has set the timer: whose budget it is."""
    try:
        owner: str = (await timers.row_of(connection, message.tenant, message.timer_id)).created_by
    except Failure:
        # It is gone: a message of long ago that is replayed.
        return f"timer/{message.timer_id}"
    return owner


def _request(config: SubmitJob, message: Message) -> Any:
    """Return the job with the name and the payload of its timer."""
    job = config.job
    if job.name is None:
        job = job.model_copy(update={"name": message.title})
    if isinstance(job, LlmJob) or len(job.files) >= MAX_FILES:
        return job
    if any(file.path == PAYLOAD or file.path.startswith(f"{PAYLOAD}/") for file in job.files):
        return job
    # As short as the payload was when it was measured: with spaces, a large one is too long for a file.
    text = json.dumps(message.payload, ensure_ascii=False, separators=(",", ":"))
    return job.model_copy(update={"files": (*job.files, JobFile(path=PAYLOAD, text=text))})
