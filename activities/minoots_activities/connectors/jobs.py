"""Jobs: a message becomes one, once for its id."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import AttemptError, JobFile, LlmJob
from minoots.contracts.job_requests import MAX_FILES
from minoots.errors import Failure, FailureKind
from minoots_platform.connectors.job import SubmitJob
from minoots_platform.handover import HandOver
from minoots_platform.ids import derived_id
from minoots_platform.records import authority, contents, jobs, timers
from minoots_platform.telemetry import audit
from minoots_workflows.handover import Engine

from .sender import Message, NotSent, Sender

PAYLOAD = "payload.json"
"""The file in which a program or an agent finds the payload of its timer, unless it brings one."""
_TOLD_WITH_REMEDY: Final = frozenset({FailureKind.DENIED, FailureKind.CONFLICT})
_HOPELESS: Final = frozenset({FailureKind.INVALID, FailureKind.NOT_FOUND, *_TOLD_WITH_REMEDY})


class JobSubmitter(Sender[SubmitJob]):
    """Submits jobs, in the name of whoever has set the timer, if they still may."""

    async def send(self, message: Message, config: SubmitJob) -> str | None:
        """Submit the job; one that was submitted for this message already stays the one. Return its id."""
        job_id = derived_id("job", message.tenant, message.id)
        try:
            async with self.world.database.write() as connection:
                if not await jobs.known(connection, job_id):
                    await self._submit(connection, message, config, job_id)
        except Failure as failure:
            raise _not_sent(failure) from failure
        # Of what the engine did not take, the reconciler takes care.
        await HandOver(self.world.database, Engine(self.world.temporal), self.world.clock).job(job_id)
        return job_id

    async def _submit(
        self, connection: AsyncConnection, message: Message, config: SubmitJob, job_id: str
    ) -> None:
        now, settings = self.world.clock(), self.world.settings
        _require_recent(message, settings.jobs.keep_days, now)
        owner = f"timer/{message.timer_id}"
        try:
            owner = (await timers.row_of(connection, message.tenant, message.timer_id)).created_by
            principal = await authority.require_behind(
                connection,
                message.tenant,
                owner,
                authority.scopes_for(config.job),
                now=now,
                local=settings.gateway.allow_dev_tenant,
            )
        except Failure as failure:
            audit(
                "job.refused",
                actor=owner,
                tenant=message.tenant,
                decision="deny",
                timer=message.timer_id,
                reason=failure.detail,
            )
            raise
        admission = jobs.Admission(
            settings.jobs.max_unfinished, timedelta(seconds=settings.jobs.default_deadline)
        )
        await jobs.accept(
            connection,
            message.tenant,
            _request(config, message),
            admission,
            now=now,
            actor=principal.subject,
            traceparent=message.traceparent,
            job_id=job_id,
        )

    async def check(self, tenant: str, config: SubmitJob) -> None:
        """Make sure that the contents that the job names are kept."""
        try:
            async with self.world.database.read() as connection:
                for sha256 in sorted(jobs.contents_of(config.job)):
                    await contents.size(connection, tenant, sha256)
        except Failure as failure:
            raise NotSent(AttemptError.REFUSED, failure.detail) from failure


def _require_recent(message: Message, keep_days: int, now: datetime) -> None:
    """Refuse what fired so long ago that its job may have been done, and forgotten since.

    Raises:
        Failure: conflict.
    """
    if keep_days and now - message.fired_at > timedelta(days=keep_days):
        raise Failure(
            FailureKind.CONFLICT,
            f"it fired more than {keep_days} days ago: its job may have been done, and forgotten since",
            remedy="Look for what it did; then set a new timer, or submit the job itself.",
        )


def _not_sent(failure: Failure) -> NotSent:
    """Return what becomes of a message whose job is not taken: what no other attempt changes is given up."""
    error = AttemptError.REFUSED if failure.kind in _HOPELESS else AttemptError.PROTOCOL
    detail = failure.detail
    if failure.remedy and failure.kind in _TOLD_WITH_REMEDY:
        # In the middle of sentences of others, which bring the last point.
        detail = f"{detail}. {failure.remedy.rstrip('.')}"
    return NotSent(error, detail)


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
