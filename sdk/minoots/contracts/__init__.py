"""The wire: every model that crosses HTTP, shared by the service and its clients."""

from .actions import Action, WebhookAction
from .deliveries import (
    Attempt,
    AttemptError,
    DeadLetter,
    DeliveryState,
    Destination,
    Replay,
    Replayed,
    ReplayFilter,
)
from .events import Event, EventType
from .pages import Page
from .problems import FieldProblem, Problem
from .retries import Backoff, PlannedAttempt, RetryPolicy
from .secrets import Secret, SecretCreate, SecretCreated, SecretRotate, SecretVersion
from .timers import (
    Account,
    Cancel,
    Misfire,
    Preview,
    PreviewRequest,
    Snooze,
    Timer,
    TimerCreate,
    TimerPatch,
    TimerState,
    Why,
)

__all__ = [
    "Account",
    "Action",
    "Attempt",
    "AttemptError",
    "Backoff",
    "Cancel",
    "DeadLetter",
    "DeliveryState",
    "Destination",
    "Event",
    "EventType",
    "FieldProblem",
    "Misfire",
    "Page",
    "PlannedAttempt",
    "Preview",
    "PreviewRequest",
    "Problem",
    "Replay",
    "ReplayFilter",
    "Replayed",
    "RetryPolicy",
    "Secret",
    "SecretCreate",
    "SecretCreated",
    "SecretRotate",
    "SecretVersion",
    "Snooze",
    "Timer",
    "TimerCreate",
    "TimerPatch",
    "TimerState",
    "WebhookAction",
    "Why",
]
