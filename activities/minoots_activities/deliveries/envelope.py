"""What a receiver gets: a CloudEvent (1.0, structured JSON) about the timer that fired."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from minoots.contracts import EventType
from minoots_platform.records.deliveries import Claim
from minoots_platform.records.firing import Spec

CONTENT_TYPE: Final = "application/cloudevents+json"


def body_of(spec: Spec, claim: Claim, fired_at: datetime) -> bytes:
    """Return the body of one webhook. The same for every attempt, so that a receiver may compare."""
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
    if spec.plan is not None:
        event["data"]["plan"] = spec.plan.model_dump(mode="json")
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
