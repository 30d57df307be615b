"""``/v1/connectors``: what actions may be sent through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from temporalio.client import Client

from minoots.contracts import ActionCheck, AttemptError, Checked, ConnectorInfo, Page
from minoots.contracts.actions import Action
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Gateway, Here
from minoots_api.principals import TimersReader, TimersWriter
from minoots_api.routing import Router
from minoots_api.timers.destinations import require_action
from minoots_platform.connectors import installed
from minoots_platform.ids import new_id
from minoots_platform.records.deliveries import destination_of
from minoots_workflows.checks.asking import ask
from minoots_workflows.checks.contracts import CheckAnswer, CheckStart

router = Router(prefix="/v1/connectors", tags=["connectors"])

_MOST: Final = 16
_MOST_OF_ONE: Final = 4
"""Checks at a time of one gateway, and of one tenant."""
_UNDER_WAY: Final = Counter[str]()


@router.get("", response_model=Page[ConnectorInfo])
async def list_connectors(gateway: Here, principal: TimersReader) -> Page[ConnectorInfo]:
    """List the connectors that are installed, with the schema of what each takes."""
    found = []
    for spec in sorted(installed().values(), key=lambda spec: spec.kind):
        missing = spec.missing(gateway.settings)
        found.append(
            ConnectorInfo(
                kind=spec.kind,
                title=spec.title,
                config=spec.config.model_json_schema(),
                configured=missing is None,
                remedy=missing,
            )
        )
    return Page[ConnectorInfo](items=tuple(found))


@router.post("/check", response_model=Checked)
async def check_action(wanted: ActionCheck, gateway: Here, principal: TimersWriter) -> Checked:
    """Have a worker look whether an action could be sent now; nothing is sent."""
    action = wanted.action
    require_action(action, gateway.settings, "body.action")
    if gateway.temporal is None:
        raise Failure(
            FailureKind.UNAVAILABLE,
            "this gateway knows of no Temporal, and workers look",
            remedy="Start it with workers, or name the server in temporal.address.",
        )
    with _one_of_few(principal.tenant):
        answer = await _asked(gateway.temporal, gateway, principal.tenant, action)
    return Checked(
        kind=action.kind,
        destination=destination_of(action.model_dump(mode="json")),
        well=answer.error is None,
        error=None if answer.error is None else AttemptError(answer.error),
        detail=answer.detail,
        checked_at=answer.checked_at,
    )


async def _asked(client: Client, gateway: Gateway, tenant: str, action: Action) -> CheckAnswer:
    # Addresses and tokens may be secrets, and histories are kept.
    sealed = gateway.vault.encrypt(action.model_dump_json().encode()).decode()
    start = CheckStart(tenant=tenant, kind=action.kind, sealed=sealed)
    return await ask(client, start, new_id("chk", gateway.clock()))


@contextmanager
def _one_of_few(tenant: str) -> Iterator[None]:
    """Keep checks few: each may hold a connection of a worker, which deliveries need, for half a minute.

    Raises:
        Failure: throttled.
    """
    if _UNDER_WAY[tenant] >= _MOST_OF_ONE or _UNDER_WAY.total() >= _MOST:
        raise Failure(
            FailureKind.THROTTLED,
            "too many checks are under way",
            remedy="Wait until some are done; each takes half a minute at most.",
        )
    _UNDER_WAY[tenant] += 1
    try:
        yield
    finally:
        _UNDER_WAY[tenant] -= 1
