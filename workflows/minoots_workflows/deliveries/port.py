"""What a delivery's workflow may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from .contracts import AttemptReport, AttemptRequest, DeliveryClose


class DeliveriesPort(ABC):
    """One attempt, and closing what was cancelled."""

    @activity.defn(name="deliveries.attempt")
    @abstractmethod
    async def attempt(self, request: AttemptRequest) -> AttemptReport:
        """Wait for the exact moment, send once, record the attempt and what follows from it."""

    @activity.defn(name="deliveries.close")
    @abstractmethod
    async def close(self, request: DeliveryClose) -> None:
        """Record that the delivery was given up on request; one that is finished stays as it is."""
