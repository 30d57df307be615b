"""Jobs on the wire: work that thinks or acts, what happens in it, and what it hands back.

What is large of what a job is told and hands back is kept by the SHA-256 of its bytes, so that neither a
history nor an event carries it. Kinds are told apart by ``kind``: a new one is a new request and a new
result.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from minoots.errors import FailureKind

from .agent_jobs import AgentProgress
from .base import Instant, Labels, Matching, Name, Part, Request, View
from .ingest import MEDIA_TYPE_PATTERN
from .mcp_servers import MAX_SERVERS, McpServer
from .models import (
    Budget,
    ContentHash,
    FinishReason,
    Locality,
    ModelAttempt,
    ModelName,
    ModelRequest,
    ModelTimings,
    ModelUsage,
    ProviderName,
    Tokens,
)
from .payloads import Metadata
from .sandboxes import FilePath, FilePattern, ImageReference, Limits, NetworkHost, SandboxId, Tier
from .tools import MAX_CALLS, AgentTool, ToolRule

MAX_COMMAND_BYTES: Final = 96 * 1024
"""Of a command and its environment together; what is longer goes into a file."""
MAX_FILES: Final = 256
MAX_TEXT: Final = 256 * 1024
"""Characters of a file, a task or standard input that stands in the request itself."""

MediaType = Annotated[str, Matching(MEDIA_TYPE_PATTERN, "a media type, such as text/plain")]


class JobKind(StrEnum):
    """What a job does."""

    LLM = "llm"
    """Asks a language model, once."""
    EXEC = "exec"
    """Runs a program in a sandbox."""
    VM = "vm"
    """Runs a program in a virtual machine: what ``exec`` does in the tier ``vm``."""
    AGENT = "agent"
    """Has a language model work with tools, turn by turn, until it is done."""


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


class _Job(Request):
    """What every kind of job may be told."""

    name: Name | None = None
    """For people; default: what it does."""
    priority: Annotated[int, Field(ge=1, le=5)] = 3
    """1 goes before 5 where jobs wait."""
    labels: Labels = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)
    deadline: Instant | None = None
    """When it is given up, running or not; default: as the setting ``jobs.default_deadline`` says."""
    budget: Budget | None = None
    """The most that its model calls may take together."""


class LlmJob(_Job, ModelRequest):
    """Ask a language model; the fields are those of a model request."""

    kind: Literal[JobKind.LLM]


class JobFile(Part):
    """A file that is put into the sandbox before the program starts."""

    path: FilePath
    text: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    """What is in it."""
    artifact: ContentHash | None = None
    """What is in it: a content that was handed in, or that another job made."""
    executable: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.text is None) == (self.artifact is None):
            raise ValueError("expected either text or artifact; got both or neither")
        return self


class OnLost(StrEnum):
    """What happens when the worker dies while a program runs."""

    RERUN = "rerun"
    """It is run again in a new sandbox: what the first one did went with its sandbox."""
    FAIL = "fail"
    """The job fails: nobody knows how far the program came."""


def _small(value: tuple[str, ...]) -> tuple[str, ...]:
    if any("\x00" in one for one in value):
        raise ValueError("expected arguments without NUL bytes")
    size = len(json.dumps(value).encode())
    if size > MAX_COMMAND_BYTES:
        raise ValueError(f"expected a command of at most {MAX_COMMAND_BYTES} bytes; got {size}; use a file")
    return value


def _small_environment(value: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(value).encode())
    if size > MAX_COMMAND_BYTES // 3:
        raise ValueError(f"expected at most {MAX_COMMAND_BYTES // 3} bytes of environment; got {size}")
    return value


class _InSandbox(_Job):
    """What a job may say of the sandbox that it needs."""

    files: Annotated[tuple[JobFile, ...], Field(max_length=MAX_FILES)] = ()
    """What is put into the working folder."""
    outputs: Annotated[tuple[FilePattern, ...], Field(max_length=64)] = ()
    """What is kept of the working folder as artifacts: paths, with ``*``, ``?`` and ``**`` for any."""
    tier: Tier = Tier.BUBBLEWRAP
    image: ImageReference | None = None
    """The root file system in the tiers ``container`` (default: the first that the operator allows) and
    ``vm`` (default: what the image of machines has)."""
    limits: Limits = Field(default_factory=Limits)
    """``time`` is that of one program."""
    network: Annotated[tuple[NetworkHost, ...], Field(max_length=64)] = ()
    """Hosts that programs may reach, through a proxy that their environment names; by default none. They have
    to be within what the operator allows, and the tier one that can hold a program to it."""

    @field_validator("files")
    @classmethod
    def _distinct_files(cls, value: tuple[JobFile, ...]) -> tuple[JobFile, ...]:
        paths: set[str] = set()
        for file in value:
            if file.path in paths:
                raise ValueError(f"expected files of different paths; got {file.path} twice")
            paths.add(file.path)
        for path in paths:
            folder = path.rpartition("/")[0]
            while folder:
                if folder in paths:
                    raise ValueError(
                        f"expected files of which none is a folder of another; got {folder} and {path}"
                    )
                folder = folder.rpartition("/")[0]
        return value


class ExecJob(_InSandbox):
    """Run a program in a sandbox."""

    kind: Literal[JobKind.EXEC]
    command: Annotated[
        tuple[Annotated[str, Field(max_length=MAX_COMMAND_BYTES)], ...],
        Field(min_length=1, max_length=1024),
        AfterValidator(_small),
    ]
    """The program and its arguments, as they are: for a shell, ``["sh", "-c", "…"]``."""
    env: Annotated[
        dict[
            Annotated[str, Matching(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", "a name of letters, digits and _")],
            Annotated[str, Matching(r"^[^\x00]{0,32768}$", "text without NUL bytes")],
        ],
        Field(max_length=128),
        AfterValidator(_small_environment),
    ] = Field(default_factory=dict)
    """Beside PATH, HOME, TMPDIR and LANG. Kept as it is: no place for secrets."""
    stdin: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    sandbox: SandboxId | None = None
    """Run it in a sandbox that stands, in the working folder as it is there, after what runs there already.
    Tier, image, network and limits are the sandbox's then; ``limits.time`` may be less."""
    on_lost: OnLost | None = None
    """Default: ``rerun`` where nothing gets out of the sandbox; ``fail`` in the tier ``process``, with
    ``network``, and in a sandbox that stands."""

    @model_validator(mode="after")
    def _as_the_sandbox_is(self) -> Self:
        if self.sandbox is None:
            return self
        beside = sorted(self.model_fields_set & {"tier", "image", "network"})
        beside += [f"limits.{name}" for name in sorted(self.limits.model_fields_set - {"time"})]
        if beside:
            raise ValueError(
                f"expected none of what the sandbox has already beside sandbox; got {', '.join(beside)}"
            )
        return self


class VmJob(ExecJob):
    """Run a program in a virtual machine: an ``exec`` job whose tier is ``vm``, and cannot be another."""

    kind: Literal[JobKind.VM]  # type: ignore[assignment] # what tells it from its like
    tier: Literal[Tier.VM] = Tier.VM

    @model_validator(mode="after")
    def _of_its_own(self) -> Self:
        if self.sandbox is not None:
            raise ValueError("expected no sandbox; a program in one that stands is of the kind exec")
        return self


class AgentJob(_InSandbox):
    """Have a language model work on a task with tools, in a sandbox of its own."""

    kind: Literal[JobKind.AGENT]
    task: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    """What is to be done."""
    system: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    """What the model is told before; default: how to work with its tools."""
    provider: ProviderName | None = None
    model: ModelName | None = None
    locality: Locality | None = None
    max_tokens: Tokens | None = None
    """Of one answer."""
    context_tokens: Tokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    think: bool | None = None
    tools: Annotated[tuple[ToolRule, ...], Field(max_length=len(AgentTool))] | None = None
    """The tools that it has; default: all that stay in the sandbox, and ``sleep``."""
    mcp: Annotated[tuple[McpServer, ...], Field(max_length=MAX_SERVERS)] = ()
    """Servers whose tools it has beside these."""
    max_turns: Annotated[int, Field(ge=1, le=1000)] = 50
    """How often the model may be asked."""
    max_calls: Annotated[int, Field(ge=1, le=MAX_CALLS)] = 500
    """How many calls of tools it may make."""
    stuck_after: Annotated[int, Field(ge=2, le=100)] = 8
    """After so many calls in a row that bring nothing that no call before has brought, it is given up."""

    @model_validator(mode="after")
    def _distinct_rules(self) -> Self:
        names = [rule.name for rule in self.tools or ()]
        if len(set(names)) != len(names):
            raise ValueError("expected one rule for each tool; got two for one")
        servers = [server.name for server in self.mcp]
        if len(set(servers)) != len(servers):
            raise ValueError("expected servers of different names in mcp; got one twice")
        return self


JobRequest = Annotated[LlmJob | ExecJob | VmJob | AgentJob, Field(discriminator="kind")]
"""What is to be done; ``kind`` says which it is."""


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
