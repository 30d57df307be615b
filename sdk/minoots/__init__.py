"""Minoots: durable time for agents. The clients, the models of the wire and the errors.

Names are imported when they are first used: the service and the sandbox of its workflows import the contracts
from here, and must not pay for the HTTP client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ._version import __version__

if TYPE_CHECKING:
    from .async_client import AsyncMinoots
    from .client import Minoots
    from .contracts import (
        Action,
        Agent,
        AgentAction,
        Attempt,
        AttemptError,
        Backoff,
        CatchUp,
        Command,
        CommandState,
        DeadLetter,
        DeliveryState,
        Destination,
        Event,
        EventType,
        FieldProblem,
        Misfire,
        Overlap,
        Page,
        Preview,
        Problem,
        Recurrence,
        Replay,
        Replayed,
        ReplayFilter,
        RetryPolicy,
        Schedule,
        SchedulePreview,
        ScheduleSpec,
        ScheduleState,
        Secret,
        SecretCreated,
        Timer,
        TimerCreate,
        TimerState,
        WebhookAction,
        Why,
    )
    from .errors import (
        APIError,
        Cancelled,
        Conflict,
        ConnectionFailed,
        Denied,
        Exhausted,
        InvalidRequest,
        MinootsError,
        NotFound,
        ServiceBug,
        Stale,
        Throttled,
        TooLarge,
        Unauthenticated,
        Unavailable,
        WaitTimeout,
    )
    from .inbox import Received
    from .operations.timers import NewTimer, TimerChange, TimerFilter
    from .outbox import Flushed, Queued, Rejected

_HOME: Final = {
    ".async_client": ("AsyncMinoots",),
    ".client": ("Minoots",),
    ".contracts": (
        "Action",
        "Agent",
        "AgentAction",
        "Attempt",
        "AttemptError",
        "Backoff",
        "CatchUp",
        "Command",
        "CommandState",
        "DeadLetter",
        "DeliveryState",
        "Destination",
        "Event",
        "EventType",
        "FieldProblem",
        "Misfire",
        "Overlap",
        "Page",
        "Preview",
        "Problem",
        "Recurrence",
        "Replay",
        "ReplayFilter",
        "Replayed",
        "RetryPolicy",
        "Schedule",
        "SchedulePreview",
        "ScheduleSpec",
        "ScheduleState",
        "Secret",
        "SecretCreated",
        "Timer",
        "TimerCreate",
        "TimerState",
        "WebhookAction",
        "Why",
    ),
    ".inbox": ("Received",),
    ".errors": (
        "APIError",
        "Cancelled",
        "Conflict",
        "ConnectionFailed",
        "Denied",
        "Exhausted",
        "InvalidRequest",
        "MinootsError",
        "NotFound",
        "ServiceBug",
        "Stale",
        "Throttled",
        "TooLarge",
        "Unauthenticated",
        "Unavailable",
        "WaitTimeout",
    ),
    ".operations.timers": (
        "NewTimer",
        "TimerChange",
        "TimerFilter",
    ),
    ".outbox": (
        "Flushed",
        "Queued",
        "Rejected",
    ),
}
_MODULE_OF: Final = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "APIError",
    "Action",
    "Agent",
    "AgentAction",
    "AsyncMinoots",
    "Attempt",
    "AttemptError",
    "Backoff",
    "Cancelled",
    "CatchUp",
    "Command",
    "CommandState",
    "Conflict",
    "ConnectionFailed",
    "DeadLetter",
    "DeliveryState",
    "Denied",
    "Destination",
    "Event",
    "EventType",
    "Exhausted",
    "FieldProblem",
    "Flushed",
    "InvalidRequest",
    "Minoots",
    "MinootsError",
    "Misfire",
    "NewTimer",
    "NotFound",
    "Overlap",
    "Page",
    "Preview",
    "Problem",
    "Queued",
    "Received",
    "Recurrence",
    "Rejected",
    "Replay",
    "ReplayFilter",
    "Replayed",
    "RetryPolicy",
    "Schedule",
    "SchedulePreview",
    "ScheduleSpec",
    "ScheduleState",
    "Secret",
    "SecretCreated",
    "ServiceBug",
    "Stale",
    "Throttled",
    "Timer",
    "TimerChange",
    "TimerCreate",
    "TimerFilter",
    "TimerState",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "WaitTimeout",
    "WebhookAction",
    "Why",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
