"""What a connector says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from minoots_platform.settings import Settings


@dataclass(frozen=True)
class ConnectorSpec:
    """A connector, without the code that sends.

    Attributes:
        kind: the ``kind`` of its actions.
        title: what it does, in a few words.
        config: the model of its actions' ``config``; unknown fields must be refused.
        sender: where the sending class is: ``package.module:Class``, a
            `minoots_activities.connectors.sender.Sender`.
        missing: what this service lacks to send, as a remedy; ``None`` when it is set up.
        refusal: why a config is not allowed here, as what was expected; ``None`` when it is.
        destination: what attempts and dead letters show as the receiver.
        secret_fields: fields of ``config`` that answers mask.
        watched: whether there is one server behind all its actions, whose health workers look at.
    """

    kind: str
    title: str
    config: type[BaseModel]
    sender: str
    missing: Callable[[Settings], str | None] = field(default=lambda settings: None)
    refusal: Callable[[Settings, Any], tuple[str, str] | None] = field(default=lambda settings, config: None)
    destination: Callable[[Any], str] = field(default=lambda config: "")
    secret_fields: tuple[str, ...] = ()
    watched: bool = False
