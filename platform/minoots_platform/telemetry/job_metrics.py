"""The metrics of jobs and of the sandboxes they run in.

Labels are kinds, tiers and outcomes, of which there are few; never a tenant, a job, a program or a host.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.metrics import Meter

WAIT_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
START_BUCKETS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)


class JobMetrics:
    """Every instrument of jobs."""

    def __init__(self, meter: Meter) -> None:
        self._waited = meter.create_histogram(
            "minoots.jobs.queue_wait",
            unit="s",
            description="Time from when a job was accepted until a worker began it.",
            explicit_bucket_boundaries_advisory=WAIT_BUCKETS,
        )
        self._started = meter.create_histogram(
            "minoots.sandboxes.start",
            unit="s",
            description="Time that a sandbox, container or machine took to start, or to fail.",
            explicit_bucket_boundaries_advisory=START_BUCKETS,
        )
        self._ran = meter.create_histogram(
            "minoots.sandboxes.run",
            unit="s",
            description="Time that a program in a sandbox ran.",
            explicit_bucket_boundaries_advisory=WAIT_BUCKETS,
        )
        self._network = meter.create_counter(
            "minoots.sandboxes.network",
            description="Connections that programs in sandboxes asked for, by whether they were let out.",
        )

    def waited(self, kind: str, seconds: float | None) -> None:
        """Record how long a job waited; ``None`` for one that is begun again, and so has not waited."""
        if seconds is not None:
            self._waited.record(max(0.0, seconds), {"kind": kind})

    def started(self, tier: str, seconds: float, *, failed: bool) -> None:
        """Record the start of a sandbox."""
        self._started.record(seconds, {"tier": tier, "outcome": "failed" if failed else "started"})

    def ran(self, tier: str, seconds: float, ended: str) -> None:
        """Record the run of a program."""
        self._ran.record(seconds, {"tier": tier, "ended": ended})

    def network(self, *, allowed: bool) -> None:
        """Count a connection that was asked for."""
        self._network.add(1, {"decision": "allow" if allowed else "deny"})
