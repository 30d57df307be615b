"""What crosses Temporal on behalf of a replay by filter."""

from __future__ import annotations

from minoots_workflows.contract import Contract


class ReplayStart(Contract):
    """Input of `ReplayWorkflow` and of ``replays.advance``."""

    tenant: str
    replay_id: str


class ReplayProgress(Contract):
    """Answer of ``replays.advance``: how far the replay is."""

    finished: bool
    replayed: int = 0
    total: int = 0
