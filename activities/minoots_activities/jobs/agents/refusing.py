"""The line of the audit for a tool that an agent may not use. Who decides that is elsewhere."""

from __future__ import annotations

from minoots_platform.records.job_progress import Begun
from minoots_platform.telemetry import audit


def audit_denied(begun: Begun, tool: str, reason: str | None) -> None:
    """Write down that a call was not made."""
    audit(
        "job.tool_denied",
        actor=begun.actor,
        tenant=begun.tenant,
        decision="deny",
        job=begun.job_id,
        tool=tool,
        reason=reason,
    )
