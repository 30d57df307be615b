"""What crosses Temporal on behalf of capture: where transcripts are, and counts; never what they say."""

from __future__ import annotations

from datetime import datetime

from minoots_workflows.contract import Contract


class CaptureStart(Contract):
    """Input of `CaptureWorkflow`."""

    tenant: str
    conversation_id: str
    host: str
    name: str = ""
    """For people: the provider and the session."""
    idle_seconds: float = 600
    waiting: tuple[FileChanged, ...] = ()
    """Carried over when it continues as new."""


class FileChanged(Contract):
    """Signal ``changed``: there is more in a file. Also the input of ``capture.read``."""

    tenant: str
    host: str
    provider: str
    path: str
    conversation_id: str
    session_id: str = ""
    """Which one, where a file holds many."""
    fresh: bool = False
    """It came into being while it was looked after."""


class Read(Contract):
    """Answer of ``capture.read``."""

    new: int = 0
    revised: int = 0
    damaged: int = 0
    dropped: int = 0
    redacted: int = 0
    problem: str | None = None


class Obey(Contract):
    """Input of ``capture.obey``."""

    tenant: str
    host: str
    conversation_id: str
    fresh: bool = False


class Obeyed(Contract):
    """Answer of ``capture.obey``: writers were told of what is to be written."""

    obeyed: int = 0
    refused: int = 0
    writing: int = 0
    problem: str | None = None
    """Why commands wait; they are looked for again when that is over."""


class Captured(Contract):
    """How a conversation stands: the result of `CaptureWorkflow`, and of its query."""

    files: int = 0
    new: int = 0
    revised: int = 0
    damaged: int = 0
    dropped: int = 0
    """Events that a rule of redaction failed on; they are not kept."""
    redacted: int = 0
    obeyed: int = 0
    refused: int = 0
    writing: int = 0
    """Recordings that writers were told of after the last reading."""
    problem: str | None = None


class WriterStart(Contract):
    """Input of `WriterWorkflow` and of ``capture.write``."""

    tenant: str
    host: str
    path_key: str
    name: str = ""
    """For people: the id of a recording into it. Names of files may tell what was said."""


class Written(Contract):
    """Answer of ``capture.write``, and what `WriterWorkflow` tells."""

    over: bool = False
    wake_at: datetime | None = None
    """When to try again what did not work."""
    problem: str | None = None


CaptureStart.model_rebuild()
