"""Which workflows and activities each queue serves. The one place to look, and to add to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minoots_workflows.capture.workflow import CaptureWorkflow
from minoots_workflows.capture.writer import WriterWorkflow
from minoots_workflows.checks.workflow import CheckWorkflow
from minoots_workflows.deliveries.workflow import DeliveryWorkflow
from minoots_workflows.escalations.workflow import EscalationWorkflow
from minoots_workflows.heartbeats.workflow import HeartbeatWorkflow
from minoots_workflows.ingest.workflow import IngestWorkflow
from minoots_workflows.jobs.workflow import AgentJobWorkflow
from minoots_workflows.plans.workflow import PlanWorkflow
from minoots_workflows.replays.workflow import ReplayWorkflow
from minoots_workflows.sandboxes.workflow import SandboxWorkflow
from minoots_workflows.schedules.workflow import ScheduleWorkflow
from minoots_workflows.timers.workflow import TimerWorkflow

if TYPE_CHECKING:
    from minoots_activities.capture.adapter import Capture
    from minoots_activities.checks.adapter import Checks
    from minoots_activities.deliveries.adapter import Deliveries
    from minoots_activities.escalations.adapter import Escalations
    from minoots_activities.escalations.heartbeats import Heartbeats
    from minoots_activities.ingest.adapter import Ingests
    from minoots_activities.jobs.adapter import Jobs
    from minoots_activities.jobs.agents.acting import Acting
    from minoots_activities.jobs.agents.thinking import Thinking
    from minoots_activities.jobs.model_calls import ModelCalls
    from minoots_activities.jobs.programs import Programs
    from minoots_activities.plans.adapter import Plans
    from minoots_activities.replays.adapter import Replays
    from minoots_activities.schedules.adapter import Schedules
    from minoots_activities.standing.adapter import StandingSandboxes
    from minoots_activities.standing.holding import Holding
    from minoots_activities.standing.opening import Openings
    from minoots_activities.timers.adapter import Timers

WORKFLOWS: tuple[type, ...] = (
    TimerWorkflow,
    DeliveryWorkflow,
    ReplayWorkflow,
    ScheduleWorkflow,
    PlanWorkflow,
    EscalationWorkflow,
    HeartbeatWorkflow,
    CheckWorkflow,
    CaptureWorkflow,
    WriterWorkflow,
    IngestWorkflow,
    AgentJobWorkflow,
    SandboxWorkflow,
)


@dataclass(frozen=True)
class Serving:
    """What a worker of one queue runs."""

    workflows: tuple[type, ...] = ()
    activities: tuple[Callable[..., Any], ...] = field(default=())


def serving_core() -> Serving:
    """Return what the queue ``core`` serves: workflows, which need nothing but a processor."""
    return Serving(workflows=WORKFLOWS)


def serving_host(capture: Capture) -> Serving:
    """Return what the queue of a host serves: everything that touches its files."""
    return Serving(activities=(capture.read, capture.obey, capture.write))


def serving_files(ingests: Ingests) -> Serving:
    """Return what the queue ``files`` serves: the reading of what was sent."""
    return Serving(activities=(ingests.next, ingests.take))


def serving_llm(calls: ModelCalls, thinking: Thinking) -> Serving:
    """Return what the queue ``llm`` serves: model calls of jobs."""
    return Serving(activities=(calls.call_model, thinking.think))


def serving_sandbox(programs: Programs, acting: Acting, openings: Openings) -> Serving:
    """Return what the queue ``sandbox`` serves: programs of jobs, tools of agents, sandboxes to open."""
    return Serving(activities=(programs.run_program, acting.act, openings.open))


def serving_held(programs: Programs, holding: Holding) -> Serving:
    """Return what the queue of one worker serves: the sandboxes that it holds, and programs in them."""
    return Serving(activities=(programs.run_program, holding.hold, holding.call, holding.close))


def serving_io(
    timers: Timers,
    deliveries: Deliveries,
    replays: Replays,
    schedules: Schedules,
    plans: Plans,
    escalations: Escalations,
    heartbeats: Heartbeats,
    checks: Checks,
    jobs: Jobs,
    sandboxes: StandingSandboxes,
) -> Serving:
    """Return what the queue ``io`` serves: everything that touches the records or the network."""
    return Serving(
        activities=(
            timers.fire,
            timers.close,
            deliveries.attempt,
            deliveries.close,
            replays.advance,
            schedules.advance,
            plans.advance,
            escalations.advance,
            heartbeats.look,
            checks.look,
            jobs.next,
            jobs.stop,
            sandboxes.next,
        )
    )
