"""Waking one session: check what a command asks for, resume, and see the transcript grow."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from minoots.async_client import AsyncMinoots
from minoots.contracts.base import Matching, Request
from minoots.contracts.wording import expected_and_got, findings, place

from .kinds import command_line
from .liveness import Liveness
from .settings import Program, RunnerSettings
from .transcript import Watch

_LOOK: Final = 0.2
_GRACE: Final = 5.0
_SHOWN: Final = 300


class Session(Request):
    """A coding-agent session to resume."""

    program: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of a program in the runner's settings."""
    id: Annotated[
        str, Matching(r"^[A-Za-z0-9][A-Za-z0-9_-]{7,63}$", "a session id of 8 to 64 letters, digits, - and _")
    ]
    directory: Annotated[str, Field(min_length=1, max_length=4096)]
    """Where the session is resumed."""
    prompt: Annotated[str, Field(min_length=1, max_length=65_536)]


class WakeFailed(Exception):
    """The session was not woken; the text says why."""


def session_of(payload: Any) -> Session:
    """Return the session that the payload of a command names.

    Raises:
        WakeFailed: when there is none, naming the field.
    """
    if not isinstance(payload, dict) or "session" not in payload:
        raise WakeFailed("payload.session: expected a session to resume; got nothing")
    try:
        return Session.model_validate(payload["session"])
    except ValidationError as error:
        item = findings(error.errors(include_url=False))[0]
        expected, got = expected_and_got(item)
        where = ".".join(("payload.session", *place(item)))
        raise WakeFailed(f"{where}: expected {expected}; got {got}") from error


async def wake(
    settings: RunnerSettings,
    session: Session,
    woken: Callable[[dict[str, Any]], Awaitable[None]],
    client: AsyncMinoots | None = None,
) -> None:
    """Resume a session, call ``woken`` once the assistant has taken a turn, and return when the program ends.

    The turn shows in the session's transcript, and in its state where the service captures it.

    Raises:
        WakeFailed: nothing was run, the program failed first, or there was no turn in time.
    """
    program = settings.programs.get(session.program)
    if program is None:
        known = ", ".join(sorted(settings.programs))
        raise WakeFailed(f"payload.session.program: expected one of {known}; got {session.program!r}")
    directory = _allowed(session.directory, settings.directories)
    watch = Watch(program, session.id)
    if not watch.known:
        raise WakeFailed(f"there is no transcript of the session {session.id} of {session.program}")
    liveness = None if client is None else Liveness(client, program.kind, session.id)
    if liveness is not None:
        await liveness.begin()
    process = await _start(program, session, directory)
    try:
        async with asyncio.timeout(settings.turn_within.total_seconds()):
            complaint = asyncio.create_task(_feed(process, session.prompt))
            await _confirm(watch, liveness, process, complaint, settings.confirm_within.total_seconds())
            await woken({"session": session.id, "program": session.program})
            await complaint
            await process.wait()
    except TimeoutError:
        # It was woken and acknowledged; it merely took longer than it may.
        return
    finally:
        await _end(process)


def _allowed(directory: str, roots: tuple[Path, ...]) -> Path:
    """Return the real directory, if it lies within one of the real roots."""
    try:
        real = Path(directory).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise WakeFailed(f"payload.session.directory: expected a directory; {directory!r} is none") from error
    inside = any(real.is_relative_to(root.resolve()) for root in roots)
    if not Path(directory).is_absolute() or not real.is_dir() or not inside:
        expected = "a directory that the runner's settings allow"
        raise WakeFailed(f"payload.session.directory: expected {expected}; got {directory!r}")
    return real


async def _start(program: Program, session: Session, directory: Path) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINOOTS_")}
    try:
        return await asyncio.create_subprocess_exec(
            *command_line(program, session.id),
            cwd=directory,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise WakeFailed(f"{program.path} cannot be run: {error.strerror}") from error


async def _feed(process: asyncio.subprocess.Process, prompt: str) -> str:
    """Give the prompt, read what the program complains of, and return the end of it."""
    assert process.stdin is not None  # noqa: S101 - piped above
    assert process.stderr is not None  # noqa: S101 - piped above
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(prompt.encode())
        await process.stdin.drain()
        process.stdin.close()
    tail = b""
    while chunk := await process.stderr.read(4096):
        tail = (tail + chunk)[-4096:]
    return tail.decode("utf-8", "replace").strip()[-_SHOWN:]


async def _confirm(
    watch: Watch,
    liveness: Liveness | None,
    process: asyncio.subprocess.Process,
    complaint: asyncio.Task[str],
    within: float,
) -> None:
    deadline = asyncio.get_running_loop().time() + within
    while True:
        ended = process.returncode is not None
        if await asyncio.to_thread(watch.turn) or (liveness is not None and await liveness.turn()):
            return
        if ended:
            said = await complaint
            because = f": {said}" if said else ""
            raise WakeFailed(
                f"the program ended with {process.returncode} before the assistant spoke{because}"
            )
        if asyncio.get_running_loop().time() > deadline:
            raise WakeFailed(f"the transcript shows no turn of the assistant after {within:g} s")
        await asyncio.sleep(_LOOK)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and whatever it started, if it still runs."""
    for name, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, name)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
