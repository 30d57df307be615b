"""What ``minoots jobs`` prints of a job: as it happens, and as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from minoots.contracts.jobs import (
    AgentResult,
    ExecResult,
    Job,
    JobDetail,
    JobEvent,
    JobEventType,
    JobState,
    LlmResult,
)
from minoots.contracts.models import ModelUsage
from minoots.job_following import Transcript

from . import output
from .exits import Exit
from .moments import local
from .session import Session, interrupted


def follow(session: Session, job_id: str) -> None:
    """Print what happens in a job until it has ended; leave with exit code 8 if it ends badly."""
    shown = output.Flow()
    try:
        job = _followed(session, job_id, shown)
    except KeyboardInterrupt as error:
        if not session.json:
            shown.end()
        raise interrupted(
            session,
            f"nobody follows the job {job_id} any more, which goes on",
            f"`minoots jobs watch {job_id}` follows it again, `minoots jobs cancel {job_id}` stops it.",
        ) from error
    if job.state is not JobState.SUCCEEDED:
        raise typer.Exit(Exit.ENDED_BADLY)


def _followed(session: Session, job_id: str, shown: output.Flow) -> Job:
    seen = Transcript()
    for event in session.client.jobs.events(job_id):
        dropped = seen.add(event)
        if session.json:
            output.json_line(event)
            continue
        if dropped:
            shown.line("(begun anew: what stands above is void)")
        _tell(job_id, event, shown)
    job = session.client.jobs.get(job_id)
    if not session.json:
        shown.end()
        show(session, job)
    return job


def _tell(job_id: str, event: JobEvent, shown: output.Flow) -> None:
    if event.type in (JobEventType.LOG, JobEventType.TOKEN):
        shown.text(str(event.data.get("text", "")))
    elif event.type is JobEventType.STATUS and "retry_in" in event.data:
        seconds = float(event.data["retry_in"])
        shown.line(f"waits {round(seconds, 1 if seconds < 10 else None):g} s: {event.data.get('reason')}")
    elif event.type is JobEventType.STATUS and not event.data.get("network", {}).get("allowed", True):
        # A program is told this only where it does not encrypt; of a tunnel it sees that there is none.
        shown.line(f"not let out: {event.data['network'].get('reason')}")
    elif event.type is JobEventType.TOOL:
        for call in event.data.get("calls", ()):
            shown.line(f"calls {call.get('name')} {call.get('arguments')}")
            if call.get("state") == "asked":
                # Whoever follows a job that they have just submitted has not seen its id yet.
                shown.line(f"  waits for a yes: minoots jobs approve {job_id} --call {call.get('call')}")
        if "state" in event.data:
            told = str(event.data.get("result", event.data.get("until", ""))).partition("\n")[0]
            shown.line(f"{event.data.get('name')} {event.data['state']}: {told[:200]}")


def show(session: Session, job: Job) -> None:
    """Print how a job stands and what came of it."""
    if session.json:
        output.json_line(job)
        return
    now = datetime.now(UTC)
    rows: list[tuple[str, Any]] = [
        ("id", job.id),
        ("name", job.name),
        ("kind", job.kind),
        ("state", job.state if job.state.final or not job.cancel_requested else f"{job.state}, told to stop"),
        ("attempt", job.attempt or None),
        ("labels", ", ".join(f"{name}={value}" for name, value in job.labels.items())),
        ("created", f"{local(job.created_at, now)} by {job.created_by}"),
        ("deadline", local(job.deadline, now)),
        ("ended", None if job.ended_at is None else local(job.ended_at, now)),
    ]
    output.fields((*rows, *_queue(job), *_progress(job, now), *_result(job)))


def _queue(job: Job) -> Sequence[tuple[str, Any]]:
    queue = job.queue if isinstance(job, JobDetail) else None
    if queue is None:
        return ()
    begins = "" if queue.starts_in is None else f", begins in about {queue.starts_in:.0f} s"
    return (("waits", f"{queue.ahead} jobs before it, {queue.running} of yours at work{begins}"),)


def _progress(job: Job, now: datetime) -> Sequence[tuple[str, Any]]:
    agent = job.agent if isinstance(job, JobDetail) else None
    if agent is None:
        return ()
    rows: list[tuple[str, Any]] = [("turns", f"{agent.turns}, with {agent.calls} calls of tools")]
    rows += [(f"asks for {one.call}", f"{one.tool} {one.arguments}") for one in agent.awaiting]
    return (*rows, ("sleeps until", None if agent.wakes_at is None else local(agent.wakes_at, now)))


def _result(job: Job) -> Sequence[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if isinstance(job.result, ExecResult):
        network = job.result.network
        found += [
            ("ended by", job.result.ended),
            ("exit code", None if job.result.exit_code is None else str(job.result.exit_code)),
            ("took", f"{job.result.wall_ms:.0f} ms, {job.result.cpu_ms:.0f} ms of processor"),
            ("tier", job.result.tier),
            ("run by", job.result.held_by.get("accelerator") or job.result.held_by.get("engine")),
            ("network", None if network is None else f"{network.allowed} let out, {network.refused} not"),
        ]
    elif isinstance(job.result, LlmResult):
        found += [
            ("model", f"{job.result.model} of {job.result.provider}"),
            ("fell back", _passed_by(job.result) if job.result.fell_back else None),
            *_usage(job.result.usage, job.result.currency),
            *(("warning", warning) for warning in job.result.warnings),
        ]
    elif isinstance(job.result, AgentResult):
        found += [
            ("said", job.result.preview.partition("\n")[0][:200] or None),
            ("changed", ", ".join(job.result.changed[:10]) or None),
            ("fell back", f"{job.result.fallbacks} times" if job.result.fallbacks else None),
            *_usage(job.result.usage, job.result.currency),
        ]
    if job.problem is not None:
        found += [
            ("problem", job.problem.detail),
            ("outcome", None if job.problem.outcome is None else job.problem.outcome.replace("_", " ")),
            ("remedy", job.problem.remedy),
        ]
    return found


def _usage(usage: ModelUsage, currency: str) -> Sequence[tuple[str, Any]]:
    return (
        ("tokens", f"{usage.input_tokens} in, {usage.output_tokens} out"),
        ("cost", f"{usage.cost_micros / 1e6:g} {currency}" if usage.cost_micros else None),
    )


def _passed_by(result: LlmResult) -> str:
    """Return who might have answered and did not, with the reasons."""
    others = [one for one in result.attempts if one.error is not None]
    return ", ".join(dict.fromkeys(f"{one.provider}/{one.model}: {one.error}" for one in others))
