"""The metrics of Minoots: each instrument once, with its name, unit and buckets.

Owns names (``minoots.<feature>.<fact>``) and what may be a label. Labels must stay few and bounded: never a
tenant, an id or a URL, for each value is a series of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from opentelemetry.metrics import Meter

from .job_metrics import JobMetrics
from .model_metrics import ModelMetrics

LATENESS_BUCKETS: Final = (
    *(0.001, 0.002, 0.005, 0.010, 0.015, 0.025, 0.050, 0.100, 0.250, 0.500),
    *(1.0, 2.5, 5.0, 10.0, 60.0, 300.0),
)
"""Seconds. Fine around the promise of 15 and 250 ms, coarse where only outages land."""

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds, for work that a person or a webhook receiver waits for."""


ACKNOWLEDGE_BUCKETS: Final = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)
"""Seconds, for agents and for people."""


class Metrics:
    """Every instrument of Minoots."""

    def __init__(self, meter: Meter) -> None:
        self.models = ModelMetrics(meter)
        self.jobs = JobMetrics(meter)
        self._lateness = meter.create_histogram(
            "minoots.timers.lateness",
            unit="s",
            description="Time between when a timer was due and when it fired.",
            explicit_bucket_boundaries_advisory=LATENESS_BUCKETS,
        )
        self._created = meter.create_counter("minoots.timers.created", description="Timers accepted.")
        self._attempts = meter.create_counter(
            "minoots.deliveries.attempts", description="Delivery attempts by outcome and error."
        )
        self._delivery_latency = meter.create_histogram(
            "minoots.deliveries.latency",
            unit="s",
            description="Time one delivery attempt took.",
            explicit_bucket_boundaries_advisory=LATENCY_BUCKETS,
        )
        self._wake_lead = meter.create_gauge(
            "minoots.timers.wake_lead",
            unit="s",
            description="How long before the due time timer workflows wake.",
        )
        self._dispatch_latency = meter.create_histogram(
            "minoots.timers.dispatch_latency",
            unit="s",
            description="Time from scheduling the firing activity to its start on a worker.",
            explicit_bucket_boundaries_advisory=LATENESS_BUCKETS,
        )
        self._acknowledge = meter.create_histogram(
            "minoots.escalations.time_to_acknowledge",
            unit="s",
            description="Time from when somebody was told to when they acknowledged.",
            explicit_bucket_boundaries_advisory=ACKNOWLEDGE_BUCKETS,
        )
        self._connectors = meter.create_gauge(
            "minoots.connectors.well",
            description="Whether the server behind a connector answered when last asked: 1 or 0.",
        )
        self._subscribers = meter.create_up_down_counter(
            "minoots.events.subscribers", description="Open event streams."
        )
        self._http = meter.create_histogram(
            "minoots.http.duration",
            unit="s",
            description="Time the gateway took to answer a request.",
            explicit_bucket_boundaries_advisory=LATENCY_BUCKETS,
        )

    def timer_fired(self, lateness: float) -> None:
        """Record how late a timer fired, in seconds; a timer that fired early counts as on time."""
        self._lateness.record(max(0.0, lateness))

    def timer_created(self) -> None:
        """Count an accepted timer."""
        self._created.add(1)

    def delivery_attempted(self, latency: float, *, outcome: str, error: str | None = None) -> None:
        """Record one attempt: seconds it took, its outcome, and the kind of error where there was one."""
        self._attempts.add(1, {"outcome": outcome, "error": error or ""})
        self._delivery_latency.record(latency, {"outcome": outcome})

    def wake_lead_changed(self, lead: float) -> None:
        """Record the lead that timers set from now on wake with, in seconds."""
        self._wake_lead.set(lead)

    def dispatched(self, latency: float) -> None:
        """Record the seconds from scheduling the firing activity to its start."""
        self._dispatch_latency.record(max(0.0, latency))

    def acknowledged(self, notices: Iterable[Mapping[str, Any]], at: datetime) -> None:
        """Record how long those took who acknowledged at ``at``, by kind: agent or person."""
        for notice in notices:
            when, due = _moment(notice["acknowledged_at"]), _moment(notice["due_at"])
            if when == at and due is not None:
                kind = str(notice["who"]).partition(":")[0]
                self._acknowledge.record(max(0.0, (at - due).total_seconds()), {"kind": kind})

    def connector_seen(self, kind: str, *, well: bool) -> None:
        """Record whether the server behind a connector answers."""
        self._connectors.set(int(well), {"kind": kind})

    def subscriber_joined(self) -> None:
        """Count an event stream that opened."""
        self._subscribers.add(1)

    def subscriber_left(self) -> None:
        """Count an event stream that closed."""
        self._subscribers.add(-1)

    def http_answered(self, duration: float, *, method: str, route: str, status: int) -> None:
        """Record a request: seconds it took; ``route`` is the template, such as ``/v1/timers/{id}``."""
        self._http.record(duration, {"method": method, "route": route, "status": status})


def _moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
