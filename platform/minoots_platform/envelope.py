"""What a receiver gets: a CloudEvent (1.0, structured JSON) about the timer that fired."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from minoots.contracts import (
    EventType,
    Misfire,
    Occurrence,
    RetryPolicy,
    TemplatePreview,
    TimerCreate,
    TimerState,
)
from minoots_platform.links import Links
from minoots_platform.records.firing import Spec


def body_of(event: Mapping[str, Any]) -> bytes:
    """Return the body of one webhook. The same for every attempt, so that a receiver may compare."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def sample(of: TimerCreate | TemplatePreview, tenant: str, at: datetime, links: Links) -> dict[str, Any]:
    """Return what a receiver would be told of such a timer; its first occurrence, if it recurs."""
    if isinstance(of, TemplatePreview):
        recurs, planned, linked = of.recurs, of.plan, of.acknowledge
    else:
        asked = of.acknowledge
        recurs, planned, linked = of.schedule is not None, False, asked is not None and not asked.by
    first = Occurrence(
        schedule_id="sch_00000000000000000000000000", number=1, nominal_at=at, kind="scheduled"
    )
    spec = Spec(
        tenant=tenant,
        timer_id=f"tmr_{'0' * 26}",
        name=of.name,
        generation=1,
        state=TimerState.FIRED,
        fire_at=at,
        fired_at=at,
        payload=of.payload,
        actions=(),
        retry=RetryPolicy(),
        misfire=Misfire(),
        labels=dict(of.labels),
        metadata=dict(of.metadata),
        traceparent=None,
        occurrence=first if recurs else None,
        parent_id=f"pln_{'0' * 26}" if planned else None,
        part="node",
        linked=linked,
    )
    return event_of(spec, f"{spec.timer_id}_1_0", at, links)


def event_of(spec: Spec, webhook_id: str, fired_at: datetime, links: Links) -> dict[str, Any]:
    """Return what a receiver is told, as a CloudEvent."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": webhook_id,
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
    if spec.linked:
        event["data"]["acknowledge_url"] = links.url(spec.timer_id, spec.fire_at)
    return event
