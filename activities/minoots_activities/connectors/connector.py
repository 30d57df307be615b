"""The port of a connector, and what one attempt takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from minoots_activities.result import Result
from minoots_platform.records.attempts import Claim
from minoots_platform.records.firing import Spec

ActionT = TypeVar("ActionT")


@dataclass(frozen=True)
class Sending(Generic[ActionT]):
    """One action of one timer, about to be sent."""

    spec: Spec
    action: ActionT
    claim: Claim
    fired_at: datetime
    prepared: Any
    """What `Connector.prepare` returned."""


class Connector(ABC, Generic[ActionT]):
    """Sends actions of one kind."""

    kind: ClassVar[str]
    """The ``kind`` of its actions."""

    @abstractmethod
    async def prepare(self, tenant: str, actions: Sequence[ActionT]) -> Any:
        """Fetch ahead of time whatever sending ``actions`` will need."""

    async def warm(self, action: ActionT) -> None:
        """Open ahead of time what sending ``action`` will need; what goes wrong goes wrong again later."""

    @abstractmethod
    async def send(self, sending: Sending[ActionT]) -> Result:
        """Send once. Raises nothing for what the receiver does."""
