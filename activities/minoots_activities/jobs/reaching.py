"""Jobs whose programs reach out of their sandbox: which they are, and who hears of every attempt."""

from __future__ import annotations

from typing import Any

from minoots.contracts import AgentJob, ExecJob, JobEventType, Tier
from minoots_activities.egress.gate import Attempt, Heard
from minoots_platform.records.job_progress import Begun
from minoots_platform.telemetry import audit

from .telling import Teller


def reaches_out(request: ExecJob | AgentJob) -> bool:
    """Tell whether a program of a job may do something that does not go with its sandbox."""
    return request.tier is Tier.PROCESS or bool(request.network)


def heard_by(begun: Begun, teller: Teller) -> Heard:
    """Return who writes down that a program wants to reach a host, before it does: the audit and the job.

    What is returned raises ``OSError`` when the audit cannot be written.
    """

    def hear(attempt: Attempt) -> None:
        asked: dict[str, Any] = {"host": attempt.host, "port": attempt.port}
        if attempt.reason:
            asked["reason"] = attempt.reason
        audit(
            "job.network",
            actor=begun.actor,
            tenant=begun.tenant,
            decision="allow" if attempt.allowed else "deny",
            job=begun.job_id,
            **asked,
        )
        teller.note(JobEventType.STATUS, {"network": {"allowed": attempt.allowed, **asked}})

    return hear
