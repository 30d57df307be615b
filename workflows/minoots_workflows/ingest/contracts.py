"""What crosses Temporal on behalf of an ingest: numbers of files and what became of them, never a word."""

from __future__ import annotations

from minoots_workflows.contract import Contract


class IngestBatch(Contract):
    """Answer of ``ingest.next``, and of the query ``state``: how an ingest stands, and what is next."""

    state: str = "running"
    files: int = 0
    waiting: tuple[int, ...] = ()
    """Numbers of the next files; empty when none waits any more."""
    at_once: int = 4
    """How many to take in at a time."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to take in."""
        return self.state != "running"


class FileDue(Contract):
    """Input of ``ingest.take``: one file of an ingest."""

    tenant: str
    ingest_id: str
    number: int


class FileTaken(Contract):
    """Answer of ``ingest.take``: what became of it."""

    state: str
