"""What a replay's workflow may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from .contracts import ReplayProgress, ReplayStart


class ReplaysPort(ABC):
    """Walking through dead letters."""

    @activity.defn(name="replays.advance")
    @abstractmethod
    async def advance(self, request: ReplayStart) -> ReplayProgress:
        """Make new deliveries for the next page of matching dead letters and remember the place."""
