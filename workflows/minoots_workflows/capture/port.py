"""What the workflows of capture may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from .contracts import FileChanged, Obey, Obeyed, Read, WriterStart, Written


class CapturePort(ABC):
    """Reading transcripts and writing recordings, on the host that has the files."""

    @activity.defn(name="capture.read")
    @abstractmethod
    async def read(self, file: FileChanged) -> Read:
        """Read on in a file."""

    @activity.defn(name="capture.obey")
    @abstractmethod
    async def obey(self, request: Obey) -> Obeyed:
        """Obey what was typed, and tell the writers of what there is to be written."""

    @activity.defn(name="capture.write")
    @abstractmethod
    async def write(self, file: WriterStart) -> Written:
        """Write what there is to be written into a file."""
