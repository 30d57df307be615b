"""Jobs on the wire: how they stand, what happens in them, what they hand back. `job_requests` asks for them.

What is large of what a job hands back is kept by the SHA-256 of its bytes, and fetched by its name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from minoots.errors import FailureKind

from .agent_jobs import AgentProgress
from .base import Instant, View
from .job_requests import JobKind
from .models import (
    ContentHash,
    FinishReason,
    ModelAttempt,
    ModelTimings,
    ModelUsage,
)
from .sandboxes import Tier


class JobState(StrEnum):
    """Where a job stands. ``succeeded``, ``failed`` and ``cancelled`` are final."""

    QUEUED = "queued"
    """It is kept, and waits for a worker."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """``problem`` says why; what there was until then is kept."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class LlmResult(View):
    """What came of an ``llm`` job. The text is the artifact ``answer.txt``, all of it ``answer.json``."""

    kind: Literal[JobKind.LLM] = JobKind.LLM
    answer: ContentHash
    """The whole answer, as JSON: `ModelAnswer`."""
    preview: str = ""
    """The beginning of the text."""
    finish: FinishReason
    provider: str
    model: str
    local: bool
    usage: ModelUsage
    currency: str = "USD"
    attempts: tuple[ModelAttempt, ...] = ()
    fell_back: bool = False
    warnings: tuple[str, ...] = ()
    timings: ModelTimings = Field(default_factory=ModelTimings)


class NetworkUse(View):
    """What a program has had of the network."""

    allowed: int = 0
    """Connections that were let out."""
    refused: int = 0
    """Connections that were not; events and the audit say which."""
    sent: int = 0
    """Bytes."""
    received: int = 0
    """Bytes."""


class ExecResult(View):
    """What came of an ``exec`` job. What it wrote is the artifacts ``stdout`` and ``stderr``."""

    kind: Literal[JobKind.EXEC] = JobKind.EXEC
    ended: Literal["exited", "killed", "timed_out", "out_of_memory", "too_much_output"]
    exit_code: int | None = None
    """``None`` where a signal ended it."""
    signal: int | None = None
    wall_ms: float
    cpu_ms: float
    peak_kb: int
    """The most memory that one of its processes had."""
    tier: Tier
    held_by: dict[str, str]
    """What held each limit on that machine: a control group holds all processes together."""
    stdout_tail: str = ""
    """The end of what it wrote."""
    stderr_tail: str = ""
    outputs_left_out: int = 0
    """Files that match ``outputs``, or may do so, and are not kept: they are too many or too much."""
    network: NetworkUse | None = None
    """``None`` where it had no network at all."""


class VmResult(ExecResult):
    """A ``vm`` job's outcome. The end of its machine's console is the artifact ``console``."""

    kind: Literal[JobKind.VM] = JobKind.VM  # type: ignore[assignment] # what tells it from its like
    accelerator: str
    """What ran the machine: ``kvm``, ``hvf`` or ``tcg``, which is none."""


class AgentResult(View):
    """What came of an ``agent`` job.

    What it said last is the artifact ``answer.txt``, all that was said ``conversation.jsonl``, what it
    changed in its files ``changes.patch``.
    """

    kind: Literal[JobKind.AGENT] = JobKind.AGENT
    preview: str = ""
    """The beginning of what it said last."""
    turns: int
    """How often the model was asked."""
    calls: int
    """How many calls of tools it made, the refused ones included."""
    refused: int = 0
    """Calls that did not happen: outside the policy, denied, or not to be understood."""
    messages: int
    head: ContentHash
    """The end of the hash chain over all that was said: the same words in the same order give the same."""
    workspace: ContentHash
    """The hash of the listing of its files, as they were at the end."""
    changed: tuple[str, ...] = ()
    """Paths of files that it made, changed or removed: up to a hundred."""
    changes: int = 0
    """How many there are."""
    usage: ModelUsage = Field(default_factory=ModelUsage)
    currency: str = "USD"
    fallbacks: int = 0
    """How many of its answers came from another model than the first choice; its events say from which."""
    outputs_left_out: int = 0


JobResult = Annotated[LlmResult | ExecResult | VmResult | AgentResult, Field(discriminator="kind")]


class JobProblem(View):
    """Why a job failed."""

    kind: FailureKind
    detail: str
    remedy: str | None = None
    outcome: Literal["never_started", "unknown"] | None = None
    """Of a program: ``never_started`` is safe to submit again; ``unknown`` asks for a look at what it did."""


class Job(View):
    """A job as it stands."""

    id: str
    kind: JobKind
    name: str
    state: JobState
    priority: int
    labels: dict[str, str]
    attempt: int
    """How often a worker has begun it; above 1 after one died."""
    cancel_requested: bool = False
    events: int
    """The number of its newest event."""
    created_at: Instant
    created_by: str
    started_at: Instant | None = None
    ended_at: Instant | None = None
    deadline: Instant
    result: JobResult | None = None
    """Once there is one; not for whoever may not see what an agent with the tool ``context`` has seen."""
    problem: JobProblem | None = None


class JobQueue(View):
    """What stands before a job that no worker has begun."""

    ahead: int
    """Jobs of whoever that wait for the same workers and go before it, by priority and then by age."""
    running: int
    """Jobs of yours that these workers are at; of others it is not told."""
    starts_in: float | None = None
    """Seconds until it begins, if jobs go on taking as long as the last ones did; a coarse guess."""


class JobDetail(Job):
    """A job with what it was told."""

    request: dict[str, Any]
    """As it was sent."""
    queue: JobQueue | None = None
    """While it waits for a worker."""
    agent: AgentProgress | None = None
    """How far it is; of the kind ``agent``."""


class JobEventType(StrEnum):
    """What an event of a job tells."""

    STATUS = "status"
    """Where it stands. With ``drop_after``, what came after that event is void: another attempt begins."""
    LOG = "log"
    """A program wrote: ``stream`` and ``text``."""
    TOKEN = "token"  # noqa: S105 - what models write
    """A model wrote: ``text``, or ``thinking``."""
    TOOL = "tool"
    """A tool is called, or has answered."""
    RESULT = "result"
    ERROR = "error"


class JobEvent(View):
    """One thing that happened in a job."""

    sequence: int
    """From 1, without gaps; resume from here."""
    time: Instant
    type: JobEventType
    attempt: int
    data: dict[str, Any]


class JobEvents(View):
    """Events of a job in order, and where it stands."""

    items: tuple[JobEvent, ...]
    state: JobState
    next_after: int
    """Send it as ``after`` for what comes next."""


class Artifact(View):
    """A content that a job made, by name."""

    name: str
    """The path of the file, or ``answer.txt``, ``answer.json``, ``stdout``, ``stderr``, ``changes.patch``,
    ``conversation.jsonl``."""
    sha256: ContentHash
    bytes: int
    media_type: str
    created_at: Instant


class Content(View):
    """A content that is kept."""

    sha256: ContentHash
    bytes: int
