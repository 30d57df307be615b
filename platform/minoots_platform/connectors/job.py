"""Jobs that timers and plans start."""

from __future__ import annotations

from typing import Final

from minoots.contracts.base import Part
from minoots.contracts.jobs import JobRequest

from .spec import ConnectorSpec


class SubmitJob(Part):
    """Submit a job, once for each firing."""

    job: JobRequest
    """As ``POST /v1/jobs`` takes it; without a name it has the timer's."""


SPEC: Final = ConnectorSpec(
    kind="job",
    title="Jobs: models, agents and programs in sandboxes",
    config=SubmitJob,
    sender="minoots_activities.connectors.jobs:JobSubmitter",
    destination=lambda config: f"job:{config['job']['kind']}",
)
