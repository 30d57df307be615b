"""``minoots jobs``: ask models, run programs, have agents work; follow, stop, fetch what they made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from minoots.contracts.jobs import (
    AgentResult,
    ExecResult,
    Job,
    JobDetail,
    JobEvent,
    JobEventType,
    JobKind,
    JobState,
    LlmResult,
)
from minoots.contracts.models import Locality
from minoots.contracts.sandboxes import Tier
from minoots.errors import Failure, FailureKind
from minoots.job_following import Transcript

from . import output
from .arguments import duration, given, mapping, mcp_server, text, tool_rule
from .exits import Exit
from .moments import local
from .session import Session, group, remote

app = group("Jobs: ask language models, run programs in sandboxes, have agents work.")

JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of the job: job_…", show_default=False)]
_PLACES = "PATH=TEXT, or PATH=@FILE; repeatable."


@remote(app)
def submit(
    session: Session,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND…]", help="A program and its arguments.", show_default=False),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Ask a model this; @FILE or - for standard input.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Have an agent do this; @FILE or -.")] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            help="A tool that the agent may use, or NAME=never to use it without asking; repeatable.",
            show_default=False,
        ),
    ] = None,
    mcp: Annotated[
        list[str] | None,
        typer.Option(
            help="An MCP server whose tools it may use after a yes: NAME=COMMAND or NAME=URL; repeatable.",
            show_default=False,
        ),
    ] = None,
    turns: Annotated[
        int | None, typer.Option(help="How often the agent's model may be asked.", min=1)
    ] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told first.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    provider: Annotated[str | None, typer.Option(help="Ask this provider only.")] = None,
    locality: Annotated[
        Locality | None, typer.Option(help="Where its words may go.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    file: Annotated[
        list[str] | None, typer.Option(help=f"Put into the sandbox: {_PLACES}", show_default=False)
    ] = None,
    output_path: Annotated[
        list[str] | None,
        typer.Option("--output", help="Keep these files: path or pattern; repeatable.", show_default=False),
    ] = None,
    stdin: Annotated[str | None, typer.Option(help="What the program reads; @FILE or -.")] = None,
    tier: Annotated[Tier | None, typer.Option(help="How strongly it is shut in.", show_default=False)] = None,
    image: Annotated[
        str | None, typer.Option(help="Its root file system, by digest, in the tiers container and vm.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="It may reach this host; repeatable.", show_default=False),
    ] = None,
    time: Annotated[str | None, typer.Option(help="It may run for: 30s, 10m.")] = None,
    memory: Annotated[int | None, typer.Option(help="Megabytes that it may take.", min=16)] = None,
    priority: Annotated[int | None, typer.Option(min=1, max=5, help="1 goes before 5.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    key: Annotated[str | None, typer.Option("--idempotency-key", help="Submit it once.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
) -> None:
    """Submit a job: ``--prompt`` asks a model, ``--task`` is an agent's, ``-- COMMAND`` runs a program."""
    if [prompt is not None, task is not None, bool(command)].count(True) != 1:
        raise typer.BadParameter("one of --prompt, --task and -- COMMAND is needed", param_hint="COMMAND")
    limits = given(time=None if time is None else duration(time, "--time"), memory_mb=memory)
    wanted = given(
        name=name,
        model=model,
        provider=provider,
        locality=locality,
        stdin=None if stdin is None else text(stdin, "--stdin"),
        tier=tier,
        outputs=output_path,
        limits=limits,
        image=image,
        network=network,
        priority=priority,
        labels=mapping(label, "--label", "="),
        idempotency_key=key,
    )
    if prompt is not None:
        if system is not None:
            wanted["messages"] = [{"role": "system", "text": system}]
        wanted["prompt"] = text(prompt, "--prompt")
    elif task is not None:
        tools = None if tool is None else [tool_rule(one) for one in tool]
        servers = None if mcp is None else [mcp_server(one) for one in mcp]
        wanted |= given(system=system, files=file_fields(file), tools=tools, mcp=servers, max_turns=turns)
        wanted["task"] = text(task, "--task")
    else:
        wanted |= given(command=command, files=file_fields(file))
    job = session.client.jobs.submit(**wanted)
    if watch:
        follow(session, job.id)
    else:
        _show(session, job)


@remote(app)
def watch(session: Session, job_id: JobId) -> None:
    """Follow a job from its beginning to its end; exit code 8 if it ends badly."""
    follow(session, job_id)


@remote(app)
def logs(
    session: Session,
    job_id: JobId,
    stream: Annotated[str | None, typer.Option(help="Only stdout or stderr.")] = None,
) -> None:
    """Print what a job has written so far."""
    seen = Transcript()
    after = 0
    while True:
        found = session.client.jobs.events_now(job_id, after=after)
        for event in found.items:
            seen.add(event)
        if not found.items:
            break
        after = found.next_after
    if session.json:
        for event in seen.events:
            output.json_line(event)
    else:
        output.text(seen.text(stream))


@remote(app, "list")
def list_jobs(
    session: Session,
    state: Annotated[list[JobState] | None, typer.Option(help="Only those in this state.")] = None,
    kind: Annotated[list[JobKind] | None, typer.Option(help="Only those of this kind.")] = None,
    name: Annotated[str | None, typer.Option(help="Only those of this name.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List jobs, the newest first."""
    wanted = given(state=state, kind=kind, name=name, label=mapping(label, "--label", "="))
    found = islice(session.client.jobs.list(**wanted), limit or None)
    if session.json:
        for one in found:
            output.json_line(one)
        return
    now = datetime.now(UTC)
    rows = [(one.id, one.kind, one.state, local(one.created_at, now), one.name) for one in found]
    output.table(("ID", "KIND", "STATE", "CREATED", "NAME"), rows)


@remote(app)
def show(session: Session, job_id: JobId) -> None:
    """Show how a job stands and what came of it."""
    _show(session, session.client.jobs.get(job_id))


@remote(app)
def cancel(session: Session, job_id: JobId) -> None:
    """Stop a job, and what it does."""
    _show(session, session.client.jobs.cancel(job_id))


_Call = Annotated[
    int | None,
    typer.Option("--call", help="Only this call; default: all that wait, which are printed.", min=1),
]


@remote(app)
def approve(session: Session, job_id: JobId, call: _Call = None) -> None:
    """Let an agent do what it asks leave for."""
    for number in _asked(session, job_id, call):
        job = session.client.jobs.approve(job_id, number)
    _show(session, job)


@remote(app)
def deny(
    session: Session,
    job_id: JobId,
    call: _Call = None,
    reason: Annotated[str | None, typer.Option(help="The agent is told it.")] = None,
) -> None:
    """Refuse an agent what it asks leave for; it goes on without."""
    for number in _asked(session, job_id, call):
        job = session.client.jobs.deny(job_id, number, reason=reason)
    _show(session, job)


def _asked(session: Session, job_id: str, call: int | None) -> Sequence[int]:
    """Return which calls are decided on: the one that is named, or all that wait now, which are shown."""
    if call is not None:
        return (call,)
    agent = session.client.jobs.get(job_id).agent
    waiting = () if agent is None else agent.awaiting
    if not waiting:
        raise Failure(
            FailureKind.CONFLICT,
            "no call waits for a decision",
            remedy="`minoots jobs show` tells what does.",
        )
    if not session.json:
        for one in waiting:
            output.line(f"call {one.call}: {one.tool} {one.arguments}")
    return [one.call for one in waiting]


@remote(app)
def message(
    session: Session,
    job_id: JobId,
    said: Annotated[str, typer.Argument(metavar="TEXT", help="What to say; @FILE or - for standard input.")],
) -> None:
    """Say something to an agent at work."""
    _show(session, session.client.jobs.message(job_id, text(said, "TEXT")))


@remote(app)
def artifacts(
    session: Session,
    job_id: JobId,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print this one.", show_default=False)
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write them into this folder.", show_default=False)
    ] = None,
) -> None:
    """List what a job has made; with a name print it, with ``--save`` write it."""
    found = [one for one in session.client.jobs.artifacts(job_id) if name in (None, one.name)]
    if name is not None and not found:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"the job has no artifact {name!r}",
            remedy="Without a name, all are listed.",
        )
    if save is not None:
        for one in found:
            place = save.joinpath(*_safe(one.name))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(session.client.jobs.download(one))
            output.line(str(place))
    elif name is not None:
        output.content(session.client.jobs.download(found[0]))
    elif session.json:
        for one in found:
            output.json_line(one)
    else:
        rows = [(one.name, one.bytes, one.media_type, one.sha256[:12]) for one in found]
        output.table(("NAME", "BYTES", "KIND", "SHA-256"), rows)


def follow(session: Session, job_id: str) -> None:
    """Print what happens in a job until it has ended; leave with exit code 8 if it ends badly."""
    seen, shown = Transcript(), output.Flow()
    for event in session.client.jobs.events(job_id):
        dropped = seen.add(event)
        if session.json:
            output.json_line(event)
            continue
        if dropped:
            shown.line("(begun anew: what stands above is void)")
        _tell(event, shown)
    job = session.client.jobs.get(job_id)
    if not session.json:
        shown.end()
        _show(session, job)
    if job.state is not JobState.SUCCEEDED:
        raise typer.Exit(Exit.ENDED_BADLY)


def _tell(event: JobEvent, shown: output.Flow) -> None:
    if event.type in (JobEventType.LOG, JobEventType.TOKEN):
        shown.text(str(event.data.get("text", "")))
    elif event.type is JobEventType.TOOL:
        for call in event.data.get("calls", ()):
            asks = " (waits for a yes)" if call.get("state") == "asked" else ""
            shown.line(f"calls {call.get('name')} {call.get('arguments')}{asks}")
        if "state" in event.data:
            told = str(event.data.get("result", event.data.get("until", ""))).partition("\n")[0]
            shown.line(f"{event.data.get('name')} {event.data['state']}: {told[:200]}")


def _show(session: Session, job: Job) -> None:
    if session.json:
        output.json_line(job)
        return
    now = datetime.now(UTC)
    rows: list[tuple[str, Any]] = [
        ("id", job.id),
        ("name", job.name),
        ("kind", job.kind),
        ("state", job.state if job.state.final or not job.cancel_requested else f"{job.state}, told to stop"),
        ("attempt", job.attempt or None),
        ("labels", ", ".join(f"{name}={value}" for name, value in job.labels.items())),
        ("created", f"{local(job.created_at, now)} by {job.created_by}"),
        ("deadline", local(job.deadline, now)),
        ("ended", None if job.ended_at is None else local(job.ended_at, now)),
    ]
    output.fields((*rows, *_queue(job), *_progress(job, now), *_result(job)))


def _queue(job: Job) -> Sequence[tuple[str, Any]]:
    queue = job.queue if isinstance(job, JobDetail) else None
    if queue is None:
        return ()
    begins = "" if queue.starts_in is None else f", begins in about {queue.starts_in:.0f} s"
    return (("waits", f"{queue.ahead} jobs before it, {queue.running} of yours at work{begins}"),)


def _progress(job: Job, now: datetime) -> Sequence[tuple[str, Any]]:
    agent = job.agent if isinstance(job, JobDetail) else None
    if agent is None:
        return ()
    rows: list[tuple[str, Any]] = [("turns", f"{agent.turns}, with {agent.calls} calls of tools")]
    rows += [(f"asks for {one.call}", f"{one.tool} {one.arguments}") for one in agent.awaiting]
    return (*rows, ("sleeps until", None if agent.wakes_at is None else local(agent.wakes_at, now)))


def _result(job: Job) -> Sequence[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if isinstance(job.result, ExecResult):
        found += [
            ("ended by", job.result.ended),
            ("exit code", None if job.result.exit_code is None else str(job.result.exit_code)),
            ("took", f"{job.result.wall_ms:.0f} ms, {job.result.cpu_ms:.0f} ms of processor"),
            ("tier", job.result.tier),
        ]
    elif isinstance(job.result, LlmResult):
        usage = job.result.usage
        found += [
            ("model", f"{job.result.model} of {job.result.provider}"),
            ("tokens", f"{usage.input_tokens} in, {usage.output_tokens} out"),
            ("cost", f"{usage.cost_micros / 1e6:g} {job.result.currency}" if usage.cost_micros else None),
        ]
    elif isinstance(job.result, AgentResult):
        usage = job.result.usage
        found += [
            ("said", job.result.preview.partition("\n")[0][:200] or None),
            ("changed", ", ".join(job.result.changed[:10]) or None),
            ("tokens", f"{usage.input_tokens} in, {usage.output_tokens} out"),
        ]
    if job.problem is not None:
        found += [
            ("problem", job.problem.detail),
            ("outcome", None if job.problem.outcome is None else job.problem.outcome.replace("_", " ")),
            ("remedy", job.problem.remedy),
        ]
    return found


def file_fields(given_files: Sequence[str] | None) -> list[dict[str, str]]:
    """Return the files of a job from what was given as ``PATH=TEXT`` or ``PATH=@FILE``."""
    found = mapping(given_files, "--file", "=", exact=True)
    return [{"path": path, "text": text(what, "--file")} for path, what in found.items()]


def _safe(name: str) -> list[str]:
    """Return the parts of a name, none of which leads out of a folder."""
    return [part for part in name.split("/") if part not in ("", ".", "..")]
