"""Names that operators see and that running workflows depend on."""

from __future__ import annotations

import inspect

import pytest
from temporalio import activity, workflow

from minoots_activities.capture.adapter import Capture
from minoots_activities.checks.adapter import Checks
from minoots_activities.deliveries.adapter import Deliveries
from minoots_activities.escalations.adapter import Escalations
from minoots_activities.escalations.heartbeats import Heartbeats
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
from minoots_workers.registry import WORKFLOWS
from minoots_workflows.capture.port import CapturePort
from minoots_workflows.checks.port import ChecksPort
from minoots_workflows.deliveries.port import DeliveriesPort
from minoots_workflows.escalations.port import EscalationsPort
from minoots_workflows.heartbeats.port import HeartbeatsPort
from minoots_workflows.ids import parse_workflow_id, workflow_id
from minoots_workflows.jobs.port import ActingPort, JobsPort, ModelCallsPort, ProgramsPort, ThinkingPort
from minoots_workflows.plans.port import PlansPort
from minoots_workflows.replays.port import ReplaysPort
from minoots_workflows.sandboxes.port import HoldingPort, OpeningPort, SandboxesPort
from minoots_workflows.schedules.port import SchedulesPort
from minoots_workflows.timers.port import TimersPort


@pytest.mark.parametrize(
    ("port", "adapter"),
    [
        (TimersPort, Timers),
        (DeliveriesPort, Deliveries),
        (ReplaysPort, Replays),
        (SchedulesPort, Schedules),
        (PlansPort, Plans),
        (EscalationsPort, Escalations),
        (HeartbeatsPort, Heartbeats),
        (ChecksPort, Checks),
        (CapturePort, Capture),
        (JobsPort, Jobs),
        (ModelCallsPort, ModelCalls),
        (ProgramsPort, Programs),
        (ThinkingPort, Thinking),
        (ActingPort, Acting),
        (SandboxesPort, StandingSandboxes),
        (OpeningPort, Openings),
        (HoldingPort, Holding),
    ],
)
def test_an_adapter_answers_under_the_names_of_its_port(port: type, adapter: type) -> None:
    names = {
        name: activity._Definition.must_from_callable(method).name
        for name, method in inspect.getmembers(port, inspect.isfunction)
    }
    assert names
    for name, activity_name in names.items():
        assert activity._Definition.must_from_callable(getattr(adapter, name)).name == activity_name


def test_workflows_have_names_that_outlive_a_rename_of_the_class() -> None:
    names = {one.__name__: workflow._Definition.must_from_class(one).name for one in WORKFLOWS}
    assert names == {
        "TimerWorkflow": "Timer",
        "DeliveryWorkflow": "Delivery",
        "ReplayWorkflow": "Replay",
        "ScheduleWorkflow": "Schedule",
        "PlanWorkflow": "Plan",
        "EscalationWorkflow": "Escalation",
        "HeartbeatWorkflow": "Heartbeat",
        "CheckWorkflow": "Check",
        "CaptureWorkflow": "Capture",
        "WriterWorkflow": "Writer",
        "IngestWorkflow": "Ingest",
        "AgentJobWorkflow": "AgentJob",
        "SandboxWorkflow": "Sandbox",
    }


def test_a_workflow_id_reads_back() -> None:
    text = workflow_id("timer", "acme", "tmr_1")
    assert text == "timer:acme:tmr_1"
    assert parse_workflow_id(text) == ("timer", "acme", "tmr_1")


@pytest.mark.parametrize("text", ["timer:acme", "pigeon:acme:x", "timer::x", "a:b:c:d", ""])
def test_what_is_no_workflow_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="kind:tenant:public_id"):
        parse_workflow_id(text)
