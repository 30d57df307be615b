"""What a receiver gets: a CloudEvent (1.0, structured JSON) about the timer that fired."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from minoots.contracts import EventType
from minoots_platform.links import Links
from minoots_platform.records.attempts import Claim
from minoots_platform.records.firing import Spec

CONTENT_TYPE: Final = "application/cloudevents+json"


def body_of(spec: Spec, claim: Claim, fired_at: datetime, links: Links) -> bytes:
    """Return the body of one webhook. The same for every attempt, so that a receiver may compare."""
    event = event_of(spec, claim, fired_at, links)
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def event_of(spec: Spec, claim: Claim, fired_at: datetime, links: Links) -> dict[str, Any]:
    """Return what a receiver is told, as a CloudEvent."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": claim.webhook_id,
        "source": f"/tenants/{spec.tenant}/timers",
        "type": EventType.TIMER_FIRED.value,
        "subject": spec.timer_id,
        "time": fired_at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "timer": {
                "id": spec.timer_id,
                "name": spec.name,
                "generation": spec.generation,
                "fire_at": spec.fire_at.isoformat().replace("+00:00", "Z"),
                "labels": spec.labels,
                "metadata": spec.metadata,
            },
            "payload": spec.payload,
        },
    }
    if spec.occurrence is not None:
        event["data"]["occurrence"] = spec.occurrence.model_dump(mode="json")
    if spec.parent_id is not None and spec.parent_id.startswith("pln_"):
        event["data"]["plan"] = {"plan_id": spec.parent_id, "node": spec.part}
    if spec.parent_id is not None and spec.parent_id.startswith("esc_"):
        event["data"]["acknowledge_url"] = links.url(spec.timer_id, spec.fire_at)
    return event
