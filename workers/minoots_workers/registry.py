"""Which workflows and activities each queue serves. The one place to look, and to add to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minoots_activities.deliveries.adapter import Deliveries
from minoots_activities.replays.adapter import Replays
from minoots_activities.timers.adapter import Timers
from minoots_workflows.deliveries.workflow import DeliveryWorkflow
from minoots_workflows.queues import Queue
from minoots_workflows.replays.workflow import ReplayWorkflow
from minoots_workflows.timers.workflow import TimerWorkflow

WORKFLOWS: tuple[type, ...] = (TimerWorkflow, DeliveryWorkflow, ReplayWorkflow)


@dataclass(frozen=True)
class Serving:
    """What a worker of one queue runs."""

    workflows: tuple[type, ...] = ()
    activities: tuple[Callable[..., Any], ...] = field(default=())


def registry(timers: Timers, deliveries: Deliveries, replays: Replays) -> dict[Queue, Serving]:
    """Return what each queue serves."""
    return {
        Queue.CORE: Serving(workflows=WORKFLOWS),
        Queue.IO: Serving(
            activities=(
                timers.fire,
                timers.close,
                deliveries.attempt,
                deliveries.close,
                replays.advance,
            )
        ),
    }
