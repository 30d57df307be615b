"""What `minoots` offers, and what importing it costs."""

import subprocess
import sys

import pytest

import minoots
from minoots import contracts

NAMES = """
APIError Action Agent AgentAction Artifact AsyncJobRun AsyncMinoots Attempt AttemptError Backoff Cancelled
CatchUp Command CommandState Conflict ConnectionFailed DeadLetter DeliveryState Denied Destination Escalation
EscalationState Event EventType Exhausted FieldProblem Flushed Heartbeat HeartbeatState InvalidRequest Job
JobEvent JobRun JobState Minoots MinootsError Misfire NewEscalation NewJob NewPlan NewTimer NodeState
NodeTimer NotFound Overlap Page Person Plan PlanCreate PlanGraph PlanNode PlanState PlanSummary Policy Preview
Problem Queued Received Recurrence Rejected Replay ReplayFilter Replayed RetryPolicy Rotation Schedule
SchedulePreview ScheduleSpec ScheduleState Secret SecretCreated ServiceBug Stale Throttled Timer TimerChange
TimerCreate TimerFilter TimerState TooLarge Unauthenticated Unavailable WaitTimeout WebhookAction Why Woken
__version__
""".split()


def test_the_public_names_are_these():
    assert minoots.__all__ == NAMES
    assert dir(minoots) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_can_be_had(name):
    assert getattr(minoots, name) is not None


@pytest.mark.parametrize("name", contracts.__all__)
def test_every_model_of_the_wire_can_be_had(name):
    assert getattr(contracts, name) is not None


def test_every_model_that_has_a_home_is_public():
    assert dir(contracts) == sorted(contracts._MODULE_OF)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Minute'"):
        minoots.Minute  # noqa: B018 - the access is the test


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import minoots", "temporalio fastapi sqlalchemy typer rich httpx opentelemetry"),
        ("import minoots.contracts", "temporalio fastapi sqlalchemy typer rich httpx opentelemetry"),
        # httpx itself imports rich for its own command line, where it is installed.
        ("from minoots import *", "temporalio fastapi sqlalchemy typer opentelemetry"),
        ("import minoots.cli", "temporalio fastapi sqlalchemy typer rich httpx"),
    ],
)
def test_importing_brings_in_nothing_heavy(statement, forbidden):
    code = f"{statement}\nimport sys\nprint(*[name for name in {forbidden.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
