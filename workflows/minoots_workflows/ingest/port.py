"""What an ingest's workflow may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from minoots_workflows.pacing import Subject

from .contracts import FileDue, FileTaken, IngestBatch


class IngestPort(ABC):
    """Taking files in that were sent."""

    @activity.defn(name="ingest.next")
    @abstractmethod
    async def next(self, ingest: Subject) -> IngestBatch:
        """Tell which files are next; end the ingest when none is."""

    @activity.defn(name="ingest.take")
    @abstractmethod
    async def take(self, file: FileDue) -> FileTaken:
        """Take one file in. What cannot be read is no error here: it is told in the records."""
