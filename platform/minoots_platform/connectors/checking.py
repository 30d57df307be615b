"""Whether an action of a connector can be: its kind is installed, its config is sound and allowed here."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from minoots.contracts import AttemptError, ConnectorAction
from minoots.contracts.actions import Action
from minoots.contracts.wording import expected_and_got, findings, place
from minoots_platform.settings import Settings

from .installed import installed
from .spec import ConnectorSpec

MASK: Final = "********"


class ConnectorFault(ValueError):
    """An action that cannot be.

    Attributes:
        field: path below the action.
        expected: what was expected there.
        got: what came.
        remedy: what to do about it, where that is not to correct the field.
        error: what an attempt is called that fails of it.
    """

    def __init__(
        self,
        field: str,
        expected: str,
        got: str,
        remedy: str | None = None,
        error: AttemptError = AttemptError.REFUSED,
    ) -> None:
        super().__init__(f"{field}: expected {expected}; got {got}")
        self.error = error
        self.field = field
        self.expected = expected
        self.got = got
        self.remedy = remedy


def check_action(action: Action, settings: Settings) -> Any:
    """Refuse what no attempt could send; return the config as its sender takes it.

    Raises:
        ConnectorFault: for the first fault.
    """
    specs = installed()
    spec = specs.get(action.kind)
    if spec is None:
        known = ", ".join(sorted(specs))
        raise ConnectorFault("kind", f"one of {known}", repr(action.kind))
    missing = spec.missing(settings)
    if missing is not None:
        raise ConnectorFault(
            "kind", "a connector that this service is set up for", repr(action.kind), missing
        )
    config, path = _config_of(action, spec)
    refusal = spec.refusal(settings, config)
    if refusal is not None:
        field, expected, remedy, got = refusal
        if got is None:
            got = MASK if field in spec.secret_fields else repr(getattr(config, field))[:100]
        raise ConnectorFault(".".join([*path, field]), expected, got, remedy, AttemptError.BLOCKED)
    return config


def _config_of(action: Action, spec: ConnectorSpec) -> tuple[Any, list[str]]:
    """Return the config, and where it stands in the action."""
    if not isinstance(action, ConnectorAction):
        return action, []
    try:
        return spec.config.model_validate(action.config), ["config"]
    except ValidationError as error:
        first = findings(error.errors(include_url=False))[0]
        expected, got = expected_and_got(first)
        if set(place(first)) & set(spec.secret_fields):
            got = MASK
        raise ConnectorFault(".".join(["config", *place(first)]), expected, got) from error


def masked_config(action: dict[str, Any]) -> dict[str, Any]:
    """Return a kept action with the secret fields of its config masked."""
    spec = installed().get(action["kind"])
    if spec is None or not spec.secret_fields or "config" not in action:
        return action
    config = {
        name: _masked(name, value) if name in spec.secret_fields and value is not None else value
        for name, value in action["config"].items()
    }
    return action | {"config": config}


def hidden(text: str, action: Action | None) -> str:
    """Return what a receiver said without the secrets that it was sent: a careless one says them back."""
    if not isinstance(action, ConnectorAction):
        return text
    spec = installed().get(action.kind)
    for name in spec.secret_fields if spec else ():
        value = action.config.get(name)
        if isinstance(value, str) and value:
            text = text.replace(value, MASK)
    return text


def _masked(name: str, value: Any) -> str:
    # Of an address the host may be seen, to tell one from another; of anything else nothing.
    if name != "url":
        return MASK
    try:
        parts = urlsplit(str(value))
    except ValueError:
        return MASK
    return f"{parts.scheme}://{parts.netloc}/{MASK}" if parts.scheme and parts.netloc else MASK
