"""Jobs as they are asked for: an answer of a model, a program, a machine, an agent.

What is large of it is named by the SHA-256 of its bytes, so that neither a history nor an event carries it.
Kinds are told apart by ``kind``: a new one is a new request here and a new result in `jobs`.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from .base import Instant, Labels, Matching, Name, Part, Request
from .ingest import MEDIA_TYPE_PATTERN
from .mcp_servers import MAX_SERVERS, McpServer
from .models import (
    Budget,
    ContentHash,
    Locality,
    ModelName,
    ModelRequest,
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
