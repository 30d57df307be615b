"""What a connector says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel

from minoots_platform.settings import Settings


class Refusal(NamedTuple):
    """Why a config is not allowed here."""

    field: str
    expected: str
    remedy: str | None = None
    """What to do about it, where that is not to correct the field."""
    got: str | None = None
    """What stands there, of a field that is not one of the config itself."""


@dataclass(frozen=True)
class ConnectorSpec:
    """A connector, without the code that sends.

    Attributes:
        kind: the ``kind`` of its actions.
        title: what it does, in a few words.
        config: the model of its actions' ``config``; unknown fields must be refused. Webhooks and agents,
            whose fields stand beside ``kind``, name the model of the action itself.
        sender: where the sending class is: ``package.module:Class``, a
            `minoots_activities.connectors.sender.Sender`.
        destination: what attempts and dead letters show as the receiver, of a config as JSON.
        missing: what this service lacks to send, as a remedy; ``None`` when it is set up.
        refusal: why a config is not allowed here; ``None`` when it is.
        secret_fields: fields of ``config`` that answers mask.
        watched: whether there is one server behind all its actions, whose health workers look at.
    """

    kind: str
    title: str
    config: type[BaseModel]
    sender: str
    destination: Callable[[Mapping[str, Any]], str]
    missing: Callable[[Settings], str | None] = field(default=lambda settings: None)
    refusal: Callable[[Settings, Any], Refusal | None] = field(default=lambda settings, config: None)
    secret_fields: tuple[str, ...] = ()
    watched: bool = False
