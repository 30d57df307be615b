"""What crosses Temporal on behalf of a heartbeat."""

from __future__ import annotations

from datetime import datetime

from minoots_workflows.contract import Contract


class HeartbeatProgress(Contract):
    """Answer of ``heartbeats.look``, and of the query ``state``: how the heartbeat stands."""

    state: str = "new"
    over: bool = False
    """Whether it was removed."""
    wake_at: datetime | None = None
    """When silence would begin; ``None`` when only a call or a change can bring more."""
