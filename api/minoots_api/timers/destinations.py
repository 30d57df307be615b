"""Where a timer may send: what can be refused while the client still listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import httpx

from minoots.contracts import Acknowledgement, EscalationCreate, FieldProblem, PolicySave
from minoots.contracts.actions import Action, ConnectorAction, WebhookAction
from minoots.errors import Failure, FailureKind
from minoots_platform.addresses import AddressPolicy, parse_address
from minoots_platform.connectors import ConnectorFault, check_action
from minoots_platform.settings import Settings

from .templates import require_template

_SHOWN: Final = 100


def require_allowed(actions: Sequence[Action], settings: Settings, field: str = "body.actions") -> None:
    """Refuse what no attempt could be sent to. Names are judged when they are resolved.

    ``field`` says where the actions stand in the request.

    Raises:
        Failure: invalid, naming the action.
    """
    policy = AddressPolicy(tuple(settings.delivery.allowed_networks))
    for index, action in enumerate(actions):
        if isinstance(action, ConnectorAction):
            _require_connector(action, settings, f"{field}.{index}")
        if not isinstance(action, WebhookAction):
            continue
        if action.body is not None:
            require_template(action.body, f"{field}.{index}.body")
        expected = _fault(action.url, policy)
        if expected is None:
            continue
        raise Failure(
            FailureKind.INVALID,
            "nothing can be sent to the address of an action",
            remedy="Give a public address; whoever runs the service may allow others in "
            "delivery.allowed_networks.",
            errors=(FieldProblem(field=f"{field}.{index}.url", expected=expected, got=action.url[:_SHOWN]),),
        )


def require_ladder_allowed(
    of: Acknowledgement | EscalationCreate | PolicySave | None, settings: Settings, field: str
) -> None:
    """Refuse a ladder that tells a receiver to which no attempt could be sent.

    ``field`` says where that stands which has the ladder.

    Raises:
        Failure: invalid, naming the target.
    """
    ladder = None if of is None else of.ladder
    for index, rung in enumerate(ladder.rungs if ladder else ()):
        webhooks = [target for target in rung.targets if isinstance(target, WebhookAction)]
        require_allowed(webhooks, settings, f"{field}.ladder.rungs.{index}.targets")


def _require_connector(action: ConnectorAction, settings: Settings, field: str) -> None:
    try:
        check_action(action, settings)
    except ConnectorFault as fault:
        raise Failure(
            FailureKind.INVALID,
            f"the action is not possible: expected {fault.expected}",
            remedy=fault.remedy or "GET /v1/connectors shows what each connector takes.",
            errors=(FieldProblem(field=f"{field}.{fault.field}", expected=fault.expected, got=fault.got),),
        ) from fault


def _fault(url: str, policy: AddressPolicy) -> str | None:
    """Return what was expected of ``url``, or ``None`` when there is nothing to say against it yet."""
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, UnicodeError):
        return "a host that can be written in a request"
    address = parse_address(host)
    refusal = None if address is None else policy.refusal(address)
    return None if refusal is None else f"an address that is not {refusal}"
