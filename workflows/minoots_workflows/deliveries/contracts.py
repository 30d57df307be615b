"""What crosses Temporal on behalf of a delivery."""

from __future__ import annotations

from datetime import datetime

from minoots_workflows.contract import Contract


class DeliveryStart(Contract):
    """Input of `DeliveryWorkflow`: try this delivery again at ``next_at``."""

    tenant: str
    delivery_id: str
    next_at: datetime
    lead_ms: int = 250


class DeliveryDue(Contract):
    """Signal ``due``: the next attempt is at ``planned_at``, whatever was said before."""

    planned_at: datetime


class AttemptRequest(Contract):
    """Input of ``deliveries.attempt``: make the next attempt at ``planned_at``, not before."""

    tenant: str
    delivery_id: str
    planned_at: datetime


class AttemptReport(Contract):
    """Answer of ``deliveries.attempt``."""

    state: str
    """The delivery's state after it: ``retrying``, ``waiting``, ``succeeded``, ``dead`` or ``cancelled``."""
    next_at: datetime | None = None
    """With ``retrying`` and ``waiting``: when the next attempt is planned."""


class DeliveryClose(Contract):
    """Input of ``deliveries.close``: the workflow was cancelled; stop trying."""

    tenant: str
    delivery_id: str
    by: str


class DeliveryResult(Contract):
    """Result of `DeliveryWorkflow`."""

    state: str

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it."""
        return self.state == "succeeded"
