"""Arguments of an agent's tools: what each takes, and what its model is told of it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from minoots.contracts import AgentTool, TimerCreate, ToolCall, ToolSpec
from minoots.contracts.base import Matching, Name, check_json
from minoots.contracts.job_requests import MAX_TEXT
from minoots.contracts.sandboxes import MAX_TIME, FilePath, FilePattern
from minoots.contracts.wording import expected_and_got, findings, place

MOST_LINES: Final = 2000
"""Lines of a file that one call reads."""
LONGEST_SECONDS: Final = MAX_TIME.total_seconds()
LONGEST_TIMER: Final = 366 * 86_400.0
"""Seconds until a timer that an agent sets: a year."""
_MOST_FAULTS: Final = 5
_OURS: Final = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "upgrade",
        "expect",
        "accept-encoding",
    }
)
"""Headers by which requests are told apart on a connection."""


class MalformedError(Exception):
    """Arguments that a tool does not take; the text is for the model."""


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReadFile(_Arguments):
    """Read a text file of the working folder, with the number of each line."""

    path: FilePath
    first_line: Annotated[int, Field(ge=1, description="The first line to read, from 1.")] = 1
    lines: Annotated[int, Field(ge=1, le=MOST_LINES, description="How many lines to read.")] = MOST_LINES


class WriteFile(_Arguments):
    """Write a whole text file; one that is there is replaced."""

    path: FilePath
    text: Annotated[str, Field(max_length=MAX_TEXT)]
    executable: bool = False


class EditFile(_Arguments):
    """Replace a text that occurs exactly once in a file by another."""

    path: FilePath
    old: Annotated[
        str, Field(min_length=1, max_length=MAX_TEXT, description="As it stands, without line numbers.")
    ]
    new: Annotated[str, Field(max_length=MAX_TEXT)]
    everywhere: Annotated[bool, Field(description="Replace it wherever it occurs.")] = False


class ListFiles(_Arguments):
    """List the files of the working folder, with their sizes in bytes."""

    pattern: Annotated[FilePattern, Field(description="With *, ? and **; a folder means all in it.")] = "**"


class SearchFiles(_Arguments):
    """Find the lines of text files in which a text occurs."""

    text: Annotated[str, Field(min_length=1, max_length=1000, description="As it is: no pattern.")]
    pattern: Annotated[FilePattern, Field(description="The files to search.")] = "**"
    ignore_case: bool = False


class Run(_Arguments):
    """Run a command by `sh -c` in the working folder; you are told how it ended and what it wrote.

    Nothing keeps running when the command has ended.
    """

    command: Annotated[str, Field(min_length=1, max_length=64 * 1024)]
    stdin: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    seconds: Annotated[
        float | None, Field(gt=0, le=LONGEST_SECONDS, description="The longest that it may run.")
    ] = None


class Http(_Arguments):
    """Send a request to a host that this job may reach, and be told the answer; follows no redirect."""

    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: Annotated[str, Field(min_length=8, max_length=8000, description="http:// or https://")]
    headers: Annotated[
        dict[
            Annotated[str, Matching(r"^[A-Za-z0-9-]{1,64}$", "a name of letters, digits and -")],
            Annotated[str, Matching(r"^[\x20-\x7e]{0,4000}$", "printable ASCII")],
        ],
        Field(max_length=32),
    ] = Field(default_factory=dict)
    body: Annotated[str, Field(max_length=MAX_TEXT)] = ""

    @field_validator("url")
    @classmethod
    def _of_a_host(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits or parts.username is not None or not value.isascii() or not value.isprintable():
            raise ValueError("expected a URL such as https://example.org/path, without user, in ASCII")
        return value

    @field_validator("headers")
    @classmethod
    def _own(cls, value: dict[str, str]) -> dict[str, str]:
        taken = sorted(name for name in value if name.lower() in _OURS)
        if taken:
            raise ValueError(f"expected no headers that are set for you; got {', '.join(taken)}")
        return value

    @property
    def changes_nothing(self) -> bool:
        """Whether it may be sent twice."""
        return self.method in ("GET", "HEAD", "OPTIONS")


class Context(_Arguments):
    """Search what was said in sessions of your team, and its documents; or read on where something was found.

    Give query to search, or read (and at) to read.
    """

    query: Annotated[
        str | None,
        Field(max_length=400, description='Words, "phrases", begin*: all have to stand in one place.'),
    ] = None
    where: Annotated[Literal["all", "sessions", "documents"], Field(description="What to search.")] = "all"
    read: Annotated[str | None, Field(max_length=40, description="An id that a search has found.")] = None
    at: Annotated[int, Field(ge=1, le=2**53, description="From which place on to read.")] = 1
    limit: Annotated[int, Field(ge=1, le=20, description="How many places.")] = 8

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.query is None) == (self.read is None):
            raise ValueError("expected either query or read; got both or neither")
        return self


class Sleep(_Arguments):
    """Wait. A message to you ends it."""

    seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]


class SetTimer(_Arguments):
    """Set a timer: when its time comes, a webhook is called or an agent is commanded, with or without you."""

    name: Name
    seconds: Annotated[float, Field(gt=0, le=LONGEST_TIMER, description="From now until it fires.")]
    webhook: Annotated[str | None, Field(max_length=2000, description="The URL to call.")] = None
    agent: Annotated[str | None, Field(max_length=200, description="Or the agent to command.")] = None
    payload: Annotated[dict[str, Any], Field(description="What is sent along.")] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.webhook is None) == (self.agent is None):
            raise ValueError("expected either webhook or agent; got both or neither")
        self.timer()
        return self

    def timer(self) -> TimerCreate:
        """Return the timer that is meant.

        Raises:
            ValueError: it is none.
        """
        action = {"url": self.webhook} if self.agent is None else {"kind": "agent", "agent": self.agent}
        return TimerCreate.model_validate(
            {"name": self.name, "after": self.seconds, "actions": [action], "payload": self.payload}
        )


ARGUMENTS: Final[dict[AgentTool, type[_Arguments]]] = {
    AgentTool.READ_FILE: ReadFile,
    AgentTool.WRITE_FILE: WriteFile,
    AgentTool.EDIT_FILE: EditFile,
    AgentTool.LIST_FILES: ListFiles,
    AgentTool.SEARCH_FILES: SearchFiles,
    AgentTool.RUN: Run,
    AgentTool.HTTP: Http,
    AgentTool.CONTEXT: Context,
    AgentTool.SLEEP: Sleep,
    AgentTool.SET_TIMER: SetTimer,
}


def spec_of(tool: AgentTool) -> ToolSpec:
    """Return what a model is told of a tool."""
    model = ARGUMENTS[tool]
    schema = model.model_json_schema()
    for shape in (schema, *schema.get("properties", {}).values()):
        shape.pop("title", None)
    description = " ".join(str(schema.pop("description", "")).split())
    return ToolSpec(name=tool.value, description=description, parameters=schema)


def parsed(tool: AgentTool, call: ToolCall) -> Any:
    """Return the arguments of a call.

    Raises:
        MalformedError: they are no JSON object, or none that the tool takes.
    """
    require_json(call)
    try:
        return ARGUMENTS[tool].model_validate(call.arguments)
    except ValidationError as error:
        told = []
        for item in findings(error.errors(include_url=False))[:_MOST_FAULTS]:
            expected, got = expected_and_got(item)
            where = f"{'.'.join(place(item))}: " if item["loc"] else ""
            told.append(f"{where}expected {expected}; got {str(got)[:200]}")
        raise MalformedError("; ".join(told)) from error
    except ValueError as error:
        raise MalformedError(str(error)[:500]) from error


def require_json(call: ToolCall) -> None:
    """Refuse arguments that are none.

    Raises:
        MalformedError: they are no JSON object, or one that could not be kept.
    """
    if call.malformed is not None:
        raise MalformedError("the arguments are no JSON object; send one that follows the tool's schema")
    try:
        check_json(call.arguments, "arguments")
    except ValueError as error:
        raise MalformedError(str(error)[:500]) from error
