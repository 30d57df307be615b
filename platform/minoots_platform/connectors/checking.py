"""Whether an action of a connector can be: its kind is installed, its config is sound and allowed here."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from minoots.contracts import ConnectorAction
from minoots.contracts.wording import expected_and_got, findings, place
from minoots_platform.settings import Settings

from .installed import installed

MASK: Final = "********"


class ConnectorFault(ValueError):
    """An action that cannot be.

    Attributes:
        field: path below the action.
        expected: what was expected there.
        got: what came.
        remedy: what to do about it, where that is not to correct the field.
    """

    def __init__(self, field: str, expected: str, got: str, remedy: str | None = None) -> None:
        super().__init__(f"{field}: expected {expected}; got {got}")
        self.field = field
        self.expected = expected
        self.got = got
        self.remedy = remedy


def check_action(action: ConnectorAction, settings: Settings) -> None:
    """Refuse what no attempt could send.

    Raises:
        ConnectorFault: for the first fault.
    """
    specs = installed()
    spec = specs.get(action.kind)
    if spec is None:
        known = ", ".join(["webhook", "agent", *sorted(specs)])
        raise ConnectorFault("kind", f"one of {known}", repr(action.kind))
    missing = spec.missing(settings)
    if missing is not None:
        raise ConnectorFault(
            "kind", "a connector that this service is set up for", repr(action.kind), missing
        )
    try:
        config = spec.config.model_validate(action.config)
    except ValidationError as error:
        first = findings(error.errors(include_url=False))[0]
        expected, got = expected_and_got(first)
        raise ConnectorFault(".".join(["config", *place(first)]), expected, got) from error
    refusal = spec.refusal(settings, config)
    if refusal is not None:
        field, expected = refusal
        raise ConnectorFault(f"config.{field}", expected, repr(action.config.get(field))[:100])


def masked_config(action: dict[str, Any]) -> dict[str, Any]:
    """Return a kept action with the secret fields of its config masked."""
    spec = installed().get(action["kind"])
    if spec is None or not spec.secret_fields:
        return action
    config = {
        name: _masked(name, value) if name in spec.secret_fields and value is not None else value
        for name, value in action["config"].items()
    }
    return action | {"config": config}


def _masked(name: str, value: Any) -> str:
    # Of an address the host may be seen, to tell one from another; of anything else nothing.
    if name != "url":
        return MASK
    try:
        parts = urlsplit(str(value))
    except ValueError:
        return MASK
    return f"{parts.scheme}://{parts.netloc}/{MASK}" if parts.scheme and parts.netloc else MASK
