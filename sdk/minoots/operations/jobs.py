"""Operations on jobs and on the contents that they work with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypedDict

from pydantic import TypeAdapter, ValidationError

from minoots.call import Call, Raw, body_of, get, invalid, invalid_fields, key_header, pairs, path, post
from minoots.contracts.agent_jobs import JobDecision, JobMessage
from minoots.contracts.job_requests import (
    AgentJob,
    ExecJob,
    JobKind,
    JobRequest,
    LlmJob,
)
from minoots.contracts.jobs import (
    Artifact,
    Content,
    Job,
    JobDetail,
    JobEvents,
    JobState,
)
from minoots.contracts.models import Budget, Message
from minoots.contracts.pages import Page
from minoots.contracts.sandboxes import Limits

_REQUEST: Final[TypeAdapter[LlmJob | ExecJob | AgentJob]] = TypeAdapter(JobRequest)


_ASKING: Final = (("prompt", "messages"), ("command",), ("task",))
"""Arguments that say of which kind a job is."""


class NewJob(TypedDict, total=False):
    """Arguments of ``jobs.submit`` and ``jobs.run``; see `minoots.contracts.jobs` for every field.

    With ``prompt`` or ``messages`` a model is asked, with ``command`` a program is run, with ``task`` an
    agent works.
    """

    prompt: str
    """One message of the user, in place of ``messages``."""
    messages: Sequence[Message | Mapping[str, Any]]
    command: Sequence[str] | str
    """The program and its arguments; a text is run by ``sh -c``."""
    task: str
    """What an agent is to do."""
    system: str
    max_turns: int
    max_calls: int
    stuck_after: int
    kind: JobKind | str
    name: str
    priority: int
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    deadline: datetime | str
    budget: Budget | Mapping[str, int]
    model: str
    provider: str
    locality: str
    max_tokens: int
    temperature: float
    json_schema: Mapping[str, Any]
    tools: Sequence[Any]
    """Of an agent: rules, or names of tools that it may use by the default rule."""
    mcp: Sequence[Mapping[str, Any]]
    """Of an agent: MCP servers whose tools it has: ``name``, ``command`` or ``url``, and ``tools``."""
    context_tokens: int
    seed: int
    stop: Sequence[str]
    needs: Sequence[str]
    think: bool
    on_break: str
    env: Mapping[str, str]
    stdin: str
    files: Sequence[Mapping[str, Any]] | Mapping[str, str]
    """What is put into the sandbox; as a mapping, texts by path. What is no text, or longer than a quarter of
    a million characters, is handed in first, and named by its hash: ``jobs.hand_in``."""
    outputs: Sequence[str]
    tier: str
    sandbox: str
    """Of one that stands: a program runs in it, in the files that are there."""
    image: str
    limits: Limits | Mapping[str, Any]
    on_lost: str
    network: Sequence[str]
    """Hosts that a program may reach."""
    idempotency_key: str | None
    """The same key with the same arguments makes one job; default: a random one for each call."""


class JobFilter(TypedDict, total=False):
    """Arguments of ``jobs.list``; every one that is given must match."""

    state: JobState | str | Sequence[JobState | str] | None
    kind: JobKind | str | Sequence[JobKind | str] | None
    name: str | None
    label: Mapping[str, str] | None
    page_size: int | None


def submit(fields: Mapping[str, Any]) -> Call[Job]:
    """POST /v1/jobs.

    Raises:
        InvalidRequest: for arguments that are none of a job.
    """
    wanted: dict[str, Any] = dict(fields)
    key = wanted.pop("idempotency_key", None)
    if "kind" not in wanted:
        _require_one(wanted)
    try:
        request = _REQUEST.validate_python(_spelled_out(wanted))
    except ValidationError as error:
        raise invalid_fields(error) from error
    return Call("POST", "/v1/jobs", Job, body=body_of(request), headers=key_header(key))


def read(job_id: str, wait: int | None = None) -> Call[JobDetail]:
    """GET /v1/jobs/{id}; with ``wait``, answered when it has ended or that many seconds have passed."""
    call = get(path("/v1/jobs/{id}", id=job_id), JobDetail, wait=wait)
    return replace(call, patience=float(wait or 0))


def listing(fields: JobFilter) -> Call[Page[Job]]:
    """GET /v1/jobs."""
    wanted: dict[str, Any] = dict(fields)
    limit = wanted.pop("page_size", None)
    return Call("GET", "/v1/jobs", Page[Job], query=pairs({**wanted, "limit": limit}))


def cancel(job_id: str) -> Call[Job]:
    """POST /v1/jobs/{id}/cancel."""
    return post(path("/v1/jobs/{id}/cancel", id=job_id), Job)


def approve(job_id: str, call: int, reason: str | None) -> Call[JobDetail]:
    """POST /v1/jobs/{id}/approve."""
    return _decision("/v1/jobs/{id}/approve", job_id, call, reason)


def deny(job_id: str, call: int, reason: str | None) -> Call[JobDetail]:
    """POST /v1/jobs/{id}/deny."""
    return _decision("/v1/jobs/{id}/deny", job_id, call, reason)


def message(job_id: str, text: str, key: str | None) -> Call[JobDetail]:
    """POST /v1/jobs/{id}/messages.

    Raises:
        InvalidRequest: for a text that is none, or too long.
    """
    try:
        body = JobMessage(text=text)
    except ValidationError as error:
        raise invalid_fields(error) from error
    place = path("/v1/jobs/{id}/messages", id=job_id)
    return Call("POST", place, JobDetail, body=body_of(body), headers=key_header(key))


def _decision(template: str, job_id: str, call: int, reason: str | None) -> Call[JobDetail]:
    try:
        body = JobDecision(call=call, reason=reason)
    except ValidationError as error:
        raise invalid_fields(error) from error
    place = path(template, id=job_id)
    return Call("POST", place, JobDetail, body=body_of(body), headers=key_header(None))


def events(job_id: str, after: int, wait: int | None) -> Call[JobEvents]:
    """GET /v1/jobs/{id}/events."""
    call = get(path("/v1/jobs/{id}/events", id=job_id), JobEvents, after=after, wait=wait, limit=200)
    return replace(call, patience=float(wait or 0))


def artifacts(job_id: str) -> Call[Page[Artifact]]:
    """GET /v1/jobs/{id}/artifacts."""
    return get(path("/v1/jobs/{id}/artifacts", id=job_id), Page[Artifact])


def download(sha256: str) -> Call[Raw]:
    """GET /v1/artifacts/{sha256}."""
    return get(path("/v1/artifacts/{sha256}", sha256=sha256), Raw)


def hand_in(data: bytes) -> Call[Content]:
    """POST /v1/artifacts: the same bytes are the same content, however often they are sent."""
    return Call("POST", "/v1/artifacts", Content, raw=data)


def _require_one(wanted: Mapping[str, Any]) -> None:
    """Refuse what asks for nothing, or for two things of which one would be called an unknown field."""
    asked = [names for names in _ASKING if any(name in wanted for name in names)]
    if len(asked) != 1:
        given = [name for names in asked for name in names if name in wanted]
        raise invalid(
            "body",
            "one of prompt or messages (asks a model), command (runs a program) and task (has an agent work)",
            " and ".join(given) or "none of them",
        )


def _spelled_out(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the wire for arguments that may be shorter."""
    if "prompt" in wanted:
        said = {"role": "user", "text": wanted.pop("prompt")}
        wanted["messages"] = [*wanted.get("messages", ()), said]
    if isinstance(wanted.get("command"), str):
        wanted["command"] = ["sh", "-c", wanted["command"]]
    if isinstance(wanted.get("files"), Mapping):
        wanted["files"] = [{"path": name, "text": text} for name, text in wanted["files"].items()]
    if "task" in wanted and "tools" in wanted:
        wanted["tools"] = [{"name": one} if isinstance(one, str) else one for one in wanted["tools"]]
    if "kind" not in wanted:
        agent = JobKind.AGENT if "task" in wanted else JobKind.LLM
        wanted["kind"] = JobKind.EXEC if "command" in wanted else agent
    return wanted
