"""Task queues, named by what a machine needs in order to serve them."""

from __future__ import annotations

from enum import StrEnum


class Queue(StrEnum):
    """A task queue."""

    CORE = "core"
    """Workflows: CPU and memory, no way out."""
    IO = "io"
    """Deliveries: the network and the records."""
    FILES = "files"
    """Files that were sent: processor and memory, in processes of their own."""
    LLM = "llm"
    """Language models: the way to their providers, and their keys."""
    SANDBOX = "sandbox"
    """Programs of others: sandboxes, and the memory and processors that they take."""


def sandboxes_of(worker: str) -> str:
    """Return the queue of a worker whose open sandboxes are used: only it can."""
    return f"sandbox-{worker}"


def files_of(host: str) -> str:
    """Return the queue of a host whose files are read and written: only it can."""
    return f"files-{host}"
