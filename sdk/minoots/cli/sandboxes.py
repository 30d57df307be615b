"""``minoots sandboxes``: open ones that stand, run programs in them, move files, close them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from minoots.contracts.sandboxes import Tier
from minoots.contracts.standing import Sandbox, SandboxState

from . import output
from .arguments import duration, given, mapping
from .job_files import file_fields
from .job_showing import follow
from .moments import local
from .session import Session, group, remote

app = group("Sandboxes that stand: open one, run programs in it, keep its files, close it.")

SandboxId = Annotated[str, typer.Argument(metavar="ID", help="Id of the sandbox: sbx_…", show_default=False)]


@remote(app, "open")
def open_sandbox(
    session: Session,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    tier: Annotated[Tier | None, typer.Option(help="How strongly it is shut in.", show_default=False)] = None,
    image: Annotated[
        str | None, typer.Option(help="Its root file system, by digest, in the tier container.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="Its programs may reach this host; repeatable.", show_default=False),
    ] = None,
    time: Annotated[str | None, typer.Option(help="Each program may run for: 30s, 10m.")] = None,
    memory: Annotated[int | None, typer.Option(help="Megabytes that it may take.", min=16)] = None,
    disk: Annotated[int | None, typer.Option(help="Megabytes of its files.", min=1)] = None,
    idle: Annotated[str | None, typer.Option(help="Close it when nobody has used it for: 10m.")] = None,
    lifetime: Annotated[str | None, typer.Option(help="Close it after: 2h.")] = None,
    snapshot: Annotated[
        str | None, typer.Option(help="Begin with the files of this snapshot, by its SHA-256.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Begin again from the last snapshot when its worker goes.")
    ] = False,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    key: Annotated[str | None, typer.Option("--idempotency-key", help="Open it once.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until it stands; 0 for none.")] = 60,
) -> None:
    """Open a sandbox and print it once it stands."""
    limits = given(time=None if time is None else duration(time, "--time"), memory_mb=memory, disk_mb=disk)
    wanted = given(
        name=name,
        tier=tier,
        image=image,
        network=network,
        limits=limits,
        idle_timeout=None if idle is None else duration(idle, "--idle"),
        lifetime=None if lifetime is None else duration(lifetime, "--lifetime"),
        from_snapshot=snapshot,
        keep=keep or None,
        labels=mapping(label, "--label", "="),
        idempotency_key=key,
    )
    _show(session, session.client.sandboxes.open(wait=wait or None, **wanted))


@remote(app, "list")
def list_sandboxes(
    session: Session,
    state: Annotated[list[SandboxState] | None, typer.Option(help="Only those in this state.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most; 0 for all.")] = 100,
) -> None:
    """List sandboxes, the newest first."""
    wanted = given(state=state, label=mapping(label, "--label", "="))
    found = islice(session.client.sandboxes.list(**wanted), limit or None)
    if session.json:
        for one in found:
            output.json_line(one)
        return
    now = datetime.now(UTC)
    rows = [
        (one.id, one.tier, one.state, local(None if one.ended_at else one.expires_at, now), one.name)
        for one in found
    ]
    output.table(("ID", "TIER", "STATE", "UNTIL", "NAME"), rows)


@remote(app)
def show(session: Session, sandbox_id: SandboxId) -> None:
    """Show how a sandbox stands."""
    _show(session, session.client.sandboxes.get(sandbox_id))


@remote(app)
def run(
    session: Session,
    sandbox_id: SandboxId,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="A program and its arguments.")],
    file: Annotated[
        list[str] | None,
        typer.Option(help="Put in first: PATH=TEXT, or PATH=@FILE; repeatable.", show_default=False),
    ] = None,
    output_path: Annotated[
        list[str] | None,
        typer.Option("--output", help="Keep these files: path or pattern; repeatable.", show_default=False),
    ] = None,
    time: Annotated[str | None, typer.Option(help="It may run for: 30s, 10m.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow it; print its job.")] = False,
) -> None:
    """Run a program in a sandbox and follow it; exit code 8 if it ends badly. It is a job like any other."""
    limits = given(time=None if time is None else duration(time, "--time"))
    wanted = given(limits=limits, files=file_fields(file, session.client.jobs.hand_in), outputs=output_path)
    job = session.client.jobs.submit(command=command, sandbox=sandbox_id, **wanted)
    if not detach:
        follow(session, job.id)
    elif session.json:
        output.json_line(job)
    else:
        output.line(f"{job.id}: {job.state}")


@remote(app)
def files(
    session: Session,
    sandbox_id: SandboxId,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at most.")] = 1000,
) -> None:
    """List the files of a sandbox."""
    found = session.client.sandboxes.files(sandbox_id, most=limit)
    if session.json:
        output.json_line(found)
        return
    rows = [(one.path, str(one.bytes), "yes" if one.executable else "") for one in found.items]
    output.table(("PATH", "BYTES", "EXECUTABLE"), rows)
    if found.cut:
        output.line("There are more: --limit.")


@remote(app)
def put(
    session: Session,
    sandbox_id: SandboxId,
    source: Annotated[Path, typer.Argument(help="The file here; - for standard input.", allow_dash=True)],
    path: Annotated[str | None, typer.Argument(help="Its path there; default: its name.")] = None,
    executable: Annotated[bool, typer.Option("--executable", help="It may be run.")] = False,
) -> None:
    """Write a file of a sandbox."""
    if str(source) == "-":
        if path is None:
            raise typer.BadParameter("what comes from standard input needs a path", param_hint="PATH")
        data = sys.stdin.buffer.read()
    else:
        try:
            data = source.read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"{source}: {error.strerror}", param_hint="SOURCE") from error
    there = path or source.name
    written = session.client.sandboxes.write(sandbox_id, there, data, executable=executable)
    if session.json:
        output.json_line(written)
    else:
        output.line(f"{written.path}: {written.bytes} bytes")


@remote(app)
def get(
    session: Session,
    sandbox_id: SandboxId,
    path: Annotated[str, typer.Argument(help="Its path there.")],
    target: Annotated[Path | None, typer.Argument(help="The file here; default: standard output.")] = None,
) -> None:
    """Read a file of a sandbox."""
    data = session.client.sandboxes.read(sandbox_id, path)
    if target is None or str(target) == "-":
        output.content(data)
        return
    target.write_bytes(data)
    output.line(f"{target}: {len(data)} bytes")


@remote(app)
def suspend(session: Session, sandbox_id: SandboxId) -> None:
    """Have whatever runs in a sandbox stand still."""
    _show(session, session.client.sandboxes.suspend(sandbox_id))


@remote(app)
def resume(session: Session, sandbox_id: SandboxId) -> None:
    """Let whatever was suspended in a sandbox go on."""
    _show(session, session.client.sandboxes.resume(sandbox_id))


@remote(app)
def snapshot(session: Session, sandbox_id: SandboxId) -> None:
    """Keep the files of a sandbox; print the SHA-256 that another may begin with: open --snapshot."""
    taken = session.client.sandboxes.snapshot(sandbox_id)
    if session.json:
        output.json_line(taken)
    else:
        output.line(taken.sha256)


@remote(app)
def close(session: Session, sandbox_id: SandboxId) -> None:
    """Close a sandbox and all that runs in it."""
    _show(session, session.client.sandboxes.close(sandbox_id))


def _show(session: Session, sandbox: Sandbox) -> None:
    if session.json:
        output.json_line(sandbox)
        return
    now = datetime.now(UTC)
    until = f"until {local(sandbox.expires_at, now)}"
    if sandbox.ended_at is not None:
        until = f"ended {local(sandbox.ended_at, now)}"
    output.line(f"{sandbox.id}: {sandbox.state}, {sandbox.tier}, {until}")
    if sandbox.reason is not None:
        output.line(f"  closed: {sandbox.reason}")
    if sandbox.problem is not None:
        output.line(f"  {sandbox.problem.detail}")
        if sandbox.problem.remedy:
            output.line(f"  {sandbox.problem.remedy}")
