"""Workflows of the user's own, started on the same Temporal."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from minoots.contracts.base import Name, Part
from minoots_platform.settings import Settings

from .spec import ConnectorSpec, Refusal


class StartWorkflow(Part):
    """Start a workflow, once for each firing."""

    workflow: Name
    """Its type."""
    task_queue: Name
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Of the workflow; made from the timer and its firing, if not given."""


def _missing(settings: Settings) -> str | None:
    if settings.connectors.workflow.task_queues:
        return None
    return "Whoever runs the service names the queues in connectors.workflow.task_queues."


def _refusal(settings: Settings, config: StartWorkflow) -> Refusal | None:
    allowed = settings.connectors.workflow.task_queues
    # Never our own: whoever starts a workflow of ours says which tenant it is for.
    if config.task_queue in allowed and not _is_own(config.task_queue):
        return None
    own = ", ".join(queue for queue in allowed if not _is_own(queue))
    return Refusal("task_queue", f"one of {own}")


def _is_own(queue: str) -> bool:
    # Those of hosts are called files-<host>.
    return queue.partition("-")[0] in OWN_QUEUES


OWN_QUEUES: Final = frozenset({"core", "io", "wheel", "llm", "sandbox", "files"})

SPEC: Final = ConnectorSpec(
    kind="workflow",
    title="Temporal workflows",
    config=StartWorkflow,
    sender="minoots_activities.connectors.workflow:Workflows",
    missing=_missing,
    watched=True,
    refusal=_refusal,
    destination=lambda config: f"workflow:{config['workflow']}@{config['task_queue']}",
)
