"""What crosses Temporal on behalf of a plan. Nodes stay in the records: payloads never enter a history."""

from __future__ import annotations

from datetime import datetime

from minoots_workflows.contract import Contract


class PlanProgress(Contract):
    """Answer of ``plans.advance``, and of the query ``state``: how the plan stands."""

    state: str = "running"
    generation: int = 0
    over: bool = False
    """Whether no timer of it is under way any more and none will be set."""
    begun: int = 0
    """Nodes that have a timer or had one, ..."""
    ended: int = 0
    """... and those that have ended, one way or the other, ..."""
    nodes: int = 0
    """... of so many."""
    wake_at: datetime | None = None
    """When to look again; ``None`` when only the end of a timer or a change can bring more."""
