"""``/v1/connectors``: what actions may be sent through."""

from __future__ import annotations

from fastapi import APIRouter

from minoots.contracts import ConnectorInfo, Page
from minoots_api.gateway import Here
from minoots_api.principals import TimersReader
from minoots_platform.connectors import installed

router = APIRouter(prefix="/v1/connectors", tags=["connectors"])


@router.get("", response_model=Page[ConnectorInfo])
async def list_connectors(gateway: Here, principal: TimersReader) -> Page[ConnectorInfo]:
    """List the connectors beside webhooks and agents, with the schema of what each takes."""
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
