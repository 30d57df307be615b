"""Jobs that timers and plans start."""

from __future__ import annotations

from typing import Final

from minoots.contracts.base import Part
from minoots.contracts.job_requests import JobRequest
from minoots_platform.allowances import unmet
from minoots_platform.settings import Settings

from .spec import ConnectorSpec, Refusal


class SubmitJob(Part):
    """Submit a job, once for each firing."""

    job: JobRequest
    """As ``POST /v1/jobs`` takes it; without a name it has the timer's."""


def _refusal(settings: Settings, config: SubmitJob) -> Refusal | None:
    found = unmet(config.job, settings)
    if found is None:
        return None
    return Refusal(f"job.{found.field}", found.expected, found.remedy, found.got)


SPEC: Final = ConnectorSpec(
    kind="job",
    title="Jobs: models, agents and programs in sandboxes",
    config=SubmitJob,
    sender="minoots_activities.connectors.jobs:JobSubmitter",
    destination=lambda config: f"job:{config['job']['kind']}",
    refusal=_refusal,
)
