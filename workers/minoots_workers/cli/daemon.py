"""``minoots start``, ``stop``, ``restart`` and ``status``: the whole stack in the background."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from minoots import Minoots
from minoots.cli import output
from minoots.cli.moments import relative
from minoots.cli.session import Defaults, leave_pipe
from minoots.contracts.sessions import CaptureHost, Recording
from minoots.errors import MinootsError
from minoots_platform.settings import CaptureSettings, SettingsError, load_settings
from minoots_workers.embedded.capture_problems import full_disks, problems_of
from minoots_workers.embedded.daemon import Daemon, Running
from minoots_workers.embedded.faults import CONFIG, DATA_DIR_HELD, StackFault

_EVERY: Final = 2.0

DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept. Default: .minoots")]
Config = Annotated[Path | None, typer.Option(help="Settings file (minoots.toml).")]
Port = Annotated[int | None, typer.Option(help="Port of the gateway; 0 takes a free one.")]


def start(
    data_dir: DataDir = None,
    config: Config = None,
    port: Port = None,
    temporal_port: Annotated[
        int | None, typer.Option(help="Port of the Temporal server; 0 takes a free one.")
    ] = None,
    ui_port: Annotated[int | None, typer.Option(help="Port of the Temporal UI; 0 takes a free one.")] = None,
) -> None:
    """Start everything in the background; done when all of it has begun, or it says why not.

    Exit code 1: it runs, but nobody captures although capture.enabled is set.
    """
    with _told("start"):
        daemon = _daemon(data_dir, config)
        arguments = [*(["--config", str(config.absolute())] if config else [])]
        ports = {"--port": port, "--temporal-port": temporal_port, "--ui-port": ui_port}
        for name, number in ports.items():
            arguments += [name, str(number)] if number is not None else []
        running = daemon.running()
        if running is not None:
            already = f"minoots runs already (process {running.pid}): {running.addresses['gateway']}"
            if arguments and tuple(arguments) != running.arguments:
                asked = " ".join(arguments)
                raise StackFault(
                    DATA_DIR_HELD, already, f"With {asked} it can only begin: `minoots stop` first."
                )
            output.line(already)
            return
        if daemon.crashed:
            output.line("the last one was killed; what was accepted goes on")
        _say(daemon.start(arguments), "start")


def stop(data_dir: DataDir = None, config: Config = None) -> None:
    """Stop what runs in the background; what is set stays set."""
    with _told("stop"):
        stopped = _daemon(data_dir, config).stop()
        output.line("minoots has stopped" if stopped else "minoots does not run")


def restart(data_dir: DataDir = None, config: Config = None) -> None:
    """Stop what runs in the background and start it again as it was."""
    with _told("restart"):
        daemon = _daemon(data_dir, config)
        arguments = daemon.last_arguments()
        daemon.stop()
        _say(daemon.start(arguments), "restart")


def status(
    context: typer.Context,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Every session, and recordings that have stopped.")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="Again every two seconds, until Ctrl-C.")] = False,
) -> None:
    """Tell what runs, what is captured and recorded, and what is wrong. Exit code 1: nothing runs."""
    with _told("status"):
        settings = load_settings(config)
        daemon = Daemon((data_dir or settings.data_dir).absolute())
        defaults: Defaults = context.find_root().obj or Defaults()
        as_json = as_json or defaults.json
        show: Callable[[dict[str, Any]], None] = _print_json if as_json else _print
        while True:
            found = _status(daemon, settings.capture, everything=everything)
            if live and not as_json:
                output.console().clear()
            show(found)
            if not live:
                break
            time.sleep(_EVERY)
        if found["state"] != "running":
            raise typer.Exit(1)


def _status(daemon: Daemon, capture: CaptureSettings, *, everything: bool) -> dict[str, Any]:
    running = daemon.running()
    if running is None:
        state = "crashed" if daemon.crashed else "stopped"
        return {"state": state, "data_dir": str(daemon.data_dir)}
    gateway = str(running.addresses["gateway"])
    found: dict[str, Any] = {
        "state": "running",
        "pid": running.pid,
        "started_at": running.started_at.isoformat(),
        "gateway": gateway,
        "data_dir": str(daemon.data_dir),
    }
    try:
        with Minoots(gateway) as client:
            status = client.fleet.status()
            recordings = list(client.recordings.list() if everything else status.recording)
            sessions = list(client.sessions.list() if everything else status.recent)
    except MinootsError as error:
        problem = "; ".join([*full_disks(daemon.data_dir), str(error)])
        return found | {"state": "unresponsive", "problem": problem}
    return found | {
        "problems": [
            *full_disks(daemon.data_dir),
            *problems_of(capture, status, daemon.data_dir, keyed="MINOOTS_API_KEY" in os.environ),
        ],
        "captured": {"sessions": status.sessions, "events": status.events},
        "hosts": [one.model_dump(mode="json") for one in status.hosts],
        "troubled": [one.model_dump(mode="json") for one in status.troubled],
        "recordings": [one.model_dump(mode="json") for one in recordings],
        "sessions": [one.model_dump(mode="json") for one in sessions],
    }


def _print_json(found: dict[str, Any]) -> None:
    typer.echo(json.dumps(found))


def _print(found: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    if found["state"] != "running":
        told = {"crashed": "has crashed", "unresponsive": "runs, but does not answer"}
        output.line(f"minoots {told.get(found['state'], 'is ' + found['state'])} ({found['data_dir']})")
        if "problem" in found:
            output.line(f"  {found['problem']}")
        if found["state"] == "crashed":
            output.line("  it was killed; `minoots start` goes on with what was accepted")
        return
    since = relative(datetime.fromisoformat(found["started_at"]), now)
    output.line(f"minoots runs: process {found['pid']}, started {since}, {found['gateway']}")
    for host in (CaptureHost.model_validate(one) for one in found["hosts"]):
        life = "captures" if host.alive else f"was last heard of {relative(host.seen_at, now)}"
        counts = [_many(host.transcripts, "transcript")]
        counts += [f"{host.troubled} troubled"] if host.troubled else []
        counts += [f"{_many(host.behind, 'recording')} behind"] if host.behind else []
        refused = int(host.status.get("denied", 0))
        counts += (
            [f"{_many(refused, 'read')} outside its folders refused (see the audit log)"] if refused else []
        )
        output.line(f"  {host.host} {life}: {', '.join(counts)}")
    for problem in found["problems"]:
        output.line(f"  ! {problem}")
    for one in found["troubled"]:
        output.line(f"  ! {one['path']}: {one['problem']}")
    for row in (Recording.model_validate(one) for one in found["recordings"]):
        written = f", written {relative(row.written_at, now)}" if row.written_at else ""
        trouble = f": {row.problem}" if row.problem else ""
        output.line(f"  {'●' if row.state == 'active' else '○'} {row.path} ({row.state}{written}){trouble}")
    for one in found["sessions"]:
        last = relative(datetime.fromisoformat(one["last_at"] or one["updated_at"]), now)
        title = f"“{one['title'][:50]}”" if one["title"] else one["session_id"][:50]
        output.line(f"  {one['provider']} {title}, {last}")


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _say(running: Running, name: str) -> None:
    where = running.addresses
    output.line(f"minoots runs in the background (process {running.pid})")
    output.line(f"  gateway      {where['gateway']}")
    output.line(f"  Temporal UI  {where.get('temporal_ui') or 'at your own server'}")
    output.line(f"  data         {where['data_dir']}")
    if where.get("capture_problem"):
        typer.echo(f"minoots {name}: {where['capture_problem']}", err=True)
        raise typer.Exit(1)


def _daemon(data_dir: Path | None, config: Path | None) -> Daemon:
    return Daemon((data_dir or load_settings(config).data_dir).absolute())


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG) from None
    except StackFault as fault:
        typer.echo(f"minoots {name}: {fault}", err=True)
        raise typer.Exit(fault.code) from None
    except BrokenPipeError:
        leave_pipe()
        raise typer.Exit(0) from None
    except OSError as error:
        typer.echo(f"minoots {name}: {error}", err=True)
        raise typer.Exit(CONFIG) from None
