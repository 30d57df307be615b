"""What crosses Temporal on behalf of an escalation."""

from __future__ import annotations

from datetime import datetime

from minoots_workflows.contract import Contract


class EscalationProgress(Contract):
    """Answer of ``escalations.advance``, and of the query ``state``: how the escalation stands."""

    state: str = "triggered"
    generation: int = 0
    over: bool = False
    """Whether nothing will happen any more by itself."""
    wake_at: datetime | None = None
    """When to look again; ``None`` when only somebody's doing can bring more."""
