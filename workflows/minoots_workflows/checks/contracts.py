"""What crosses Temporal on behalf of a check."""

from __future__ import annotations

from datetime import datetime

from minoots_workflows.contract import Contract


class CheckStart(Contract):
    """Input of `CheckWorkflow` and of ``checks.look``."""

    tenant: str
    kind: str
    sealed: str
    """The action as JSON, encrypted by the vault: it may hold addresses and tokens that are secrets."""


class CheckAnswer(Contract):
    """What came of it."""

    checked_at: datetime
    error: str | None = None
    """An `AttemptError`: what an attempt would be called that fails of it."""
    detail: str | None = None
