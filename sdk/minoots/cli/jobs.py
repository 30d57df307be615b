"""``minoots jobs``: ask models, run programs, have agents work; follow, stop, fetch what they made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from minoots.contracts.job_requests import JobKind
from minoots.contracts.jobs import JobState
from minoots.errors import Failure, FailureKind
from minoots.job_following import Transcript

from . import output
from .arguments import given, mapping, text
from .job_showing import follow
from .job_showing import show as show_job
from .job_submitting import submit
from .moments import local
from .session import Session, group, remote

app = group("Jobs: ask language models, run programs in sandboxes, have agents work.")

JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of the job: job_…", show_default=False)]


remote(app)(submit)


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
    show_job(session, session.client.jobs.get(job_id))


@remote(app)
def cancel(session: Session, job_id: JobId) -> None:
    """Stop a job, and what it does."""
    show_job(session, session.client.jobs.cancel(job_id))


_Call = Annotated[
    int | None,
    typer.Option("--call", help="Only this call; default: all that wait, which are printed.", min=1),
]


@remote(app)
def approve(session: Session, job_id: JobId, call: _Call = None) -> None:
    """Let an agent do what it asks leave for."""
    for number in _asked(session, job_id, call):
        job = session.client.jobs.approve(job_id, number)
    show_job(session, job)


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
    show_job(session, job)


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
    show_job(session, session.client.jobs.message(job_id, text(said, "TEXT")))


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


def _safe(name: str) -> list[str]:
    """Return the parts of a name, none of which leads out of a folder."""
    return [part for part in name.split("/") if part not in ("", ".", "..")]
