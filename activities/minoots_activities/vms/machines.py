"""The tier ``vm``: a sandbox with a kernel of its own.

Owns what a sandbox may be asked for, in the words of programs that the image has; QEMU and its guest know of
none of it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import Failure, FailureKind
from minoots_activities.egress.gate import Gate, environment
from minoots_activities.sandboxes.names import PREFIX, is_left_behind, name_of
from minoots_activities.sandboxes.port import (
    PATH,
    Ended,
    File,
    Listing,
    Output,
    Program,
    Ran,
    Sandboxes,
    Stream,
    gone,
    nameable,
    never_started,
)
from minoots_activities.sandboxes.snapshots import WithSnapshots

from .engines import Engine, Started
from .guest import OTHER_ROOT
from .roots import Roots, no_root

_ENVIRONMENT: Final = {"PATH": PATH, "HOME": "/work", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108
_WORK: Final = "/work"
_FILE_SECONDS: Final = 120.0
_MOST_LISTED: Final = 64 * 1024 * 1024
_MOST_DIGITS: Final = 15
"""Of a size: a petabyte, which can be kept as a number."""
# Scripts of one line for the image's shell; what they act on are their arguments, never part of them.
_PUT: Final = (
    'mkdir -p "$2" && [ "$(realpath "$2")" = "$2" ] && [ ! -L "$1" ] && { [ -f "$1" ] || [ ! -e "$1" ]; } || '
    '{ echo "a link, a folder or another thing is in its place" >&2; exit 1; }; cat > "$1" && chmod "$3" "$1"'
)
_GET: Final = '[ -f "$1" ] && [ "$(realpath "$1")" = "/work/$1" ] || exit 44; stat -c %s "$1" >&2 && cat "$1"'
# Names first, each with a zero behind it, one more zero, then sizes and modes: a name may hold anything else.
_LIST: Final = (
    'all=$(mktemp); find . -type f -print0 > "$all" 2>/dev/null; cat "$all" && printf "\\0" && '
    'xargs -r -0 stat -c "%s %a" < "$all" && rm "$all"'
)


class Machines(Sandboxes):
    """What gives machines on this host.

    Args:
        engine: what starts them.
        roots: what they may have as the root of their files, beside what the image has.
    """

    tier = Tier.VM

    def __init__(self, engine: Engine, roots: Roots | None = None) -> None:
        self.engine = engine
        self._roots = roots

    async def missing(self) -> tuple[str, ...]:
        """Return what this host lacks."""
        return await self.engine.missing()

    async def create(self, name: str, limits: Limits, image: str | None = None) -> Machine:
        """Return a new machine.

        Raises:
            NeverStarted: it did not come up.
        """
        root = None
        if image is not None:
            if self._roots is None:
                raise no_root(image)
            root = await asyncio.to_thread(self._roots.find, image)
        # Not below our own data: paths of sockets are short.
        folder = Path(tempfile.mkdtemp(prefix=f"{name_of(name)[:60]}-"))
        try:
            started = await self.engine.start(limits, folder, root)
            try:
                (folder / "pid").write_text(str(started.machine.process.pid))
            except BaseException as error:
                await started.machine.end()
                if isinstance(error, OSError):
                    raise never_started(
                        f"the folder of the machine cannot be written: {error.strerror}",
                        "See whether there is room where temporary files are kept.",
                    ) from error
                raise
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise
        return Machine(started, limits, folder, "/" if root is None else OTHER_ROOT)


class Machine(WithSnapshots):
    """One machine."""

    tier = Tier.VM

    def __init__(self, started: Started, limits: Limits, folder: Path, root: str = "/") -> None:
        self._machine = started.machine
        self._root = root
        self._folder = folder
        self._env = dict(_ENVIRONMENT)
        self._gate: Gate | None = None
        self.limits = limits
        self.held_by: Mapping[str, str] = {
            "time": "clock",
            "output": "count",
            "disk": "drive",
            "memory": "machine",
            "processes": "machine",
            "cpus": "machine",
            **started.held_by,
        }

    async def exec(self, program: Program, output: Output) -> Ran:
        """Run a program to its end."""
        bounds = _Bounds(output, self.limits.output_kb * 1024)
        seconds = program.seconds or self.limits.time.total_seconds()
        timer = asyncio.get_running_loop().call_later(seconds, bounds.stop, Ended.TIMED_OUT)
        began = time.monotonic()
        try:
            done = await self._machine.guest.run(
                program.command,
                bounds,
                env={**self._env, **program.env},
                stdin=program.stdin,
                source=program.source,
                root=self._root,
                stop=bounds.reached,
            )
        finally:
            timer.cancel()
        why = bounds.why
        if why is None and done.short_of_memory:
            why = Ended.OUT_OF_MEMORY
        return Ran(
            ended=why or (Ended.KILLED if done.exit_code is None else Ended.EXITED),
            exit_code=done.exit_code,
            signal=done.signal,
            wall_ms=(time.monotonic() - began) * 1000,
            cpu_ms=done.cpu_ms,
            peak_kb=done.peak_kb,
        )

    async def put(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """Write a file below the working folder."""
        folder = str(PurePosixPath(_WORK, path).parent)
        mode = "755" if executable else "644"
        code, _, said = await self._ask(("sh", "-c", _PUT, "sh", path, folder, mode), data, 0)
        if code == 0:
            return
        if b"No space" in said:
            raise Failure(
                FailureKind.TOO_LARGE,
                f"{path} does not fit into the sandbox: {len(data)} bytes",
                remedy=f"Send less, or raise limits.disk_mb; it is {self.limits.disk_mb}.",
            )
        raise Failure(
            FailureKind.INVALID,
            f"{path} cannot be written in the sandbox: {said.decode(errors='replace').strip()[-200:]}",
            remedy="Choose a path on which there is no link, and no folder of this name.",
        )

    async def get(self, path: str, most: int) -> bytes:
        """Return a file below the working folder."""
        code, data, said = await self._ask(("sh", "-c", _GET, "sh", path), b"", most)
        size = _number(said.strip()) or 0
        if size > most:
            raise Failure(
                FailureKind.TOO_LARGE,
                f"{path} has more than the {most} bytes that may be taken out of the sandbox",
                remedy="Have the program divide or compress it, or raise jobs.max_artifact_bytes.",
            )
        if code != 0:
            raise Failure(
                FailureKind.NOT_FOUND,
                f"there is no file {path} in the sandbox",
                remedy="Name a file that the program writes; links and what is behind them do not count.",
            )
        return data

    async def list(self, most: int) -> Listing:
        """Return up to ``most`` files below the working folder."""
        code, data, said = await self._ask(("sh", "-c", _LIST), b"", _MOST_LISTED)
        names, _, sizes = data.rpartition(b"\x00")
        paths = [
            name.decode(errors="surrogateescape").removeprefix("./") for name in names.split(b"\x00")[:-1]
        ]
        told = [about.split() for about in sizes.splitlines()]
        if code != 0 or len(paths) != len(told):
            raise Failure(
                FailureKind.INVALID,
                "the files of the sandbox cannot be listed",
                remedy=said.decode(errors="replace").strip()[-200:] or "Have the program make fewer of them.",
            )
        files = _files(paths, told)
        return Listing(tuple(files[:most]), len(files) > most, len(paths) - len(files))

    async def let_out(self, gate: Gate) -> None:
        """Give its programs a way to the network."""
        self._env |= environment(await self._machine.guest.listen(gate))
        self._gate, self.network = gate, gate.used

    async def suspend(self) -> None:
        """Stop whatever runs, until `resume`."""
        self._machine.guest.freeze()

    async def resume(self) -> None:
        """Let it go on."""
        self._machine.guest.thaw()

    async def ended(self) -> None:
        """Return when the machine is off."""
        await self._machine.process.wait()

    async def destroy(self) -> None:
        """End the machine; nothing of it is left when this returns."""
        if self._gate is not None:
            await self._gate.aclose()
        await self._machine.end()
        await self._machine.guest.ended_relaying()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def console(self) -> str:
        """Return the end of what the machine has written to its console."""
        return self._machine.console.text()

    async def _ask(
        self, command: tuple[str, ...], stdin: bytes, most: int
    ) -> tuple[int | None, bytes, bytes]:
        """Run a program of the image; return its exit code and what it wrote, both up to a bound."""
        written: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

        async def keep(stream: Stream, data: bytes) -> None:
            bound = most if stream == "stdout" else 4096
            written[stream].extend(data[: max(0, bound - len(written[stream]))])

        try:
            async with asyncio.timeout(_FILE_SECONDS):
                done = await self._machine.guest.run(command, keep, env=_ENVIRONMENT, stdin=stdin)
        except TimeoutError:
            raise gone() from None
        return done.exit_code, bytes(written["stdout"]), bytes(written["stderr"])


class _Bounds:
    """Hands on what a program writes, up to a limit of both streams together; and why it was stopped."""

    def __init__(self, output: Output, most: int) -> None:
        self._output = output
        self._left = most
        self.reached = asyncio.Event()
        self.why: Ended | None = None

    async def __call__(self, stream: Stream, data: bytes) -> None:
        kept, self._left = data[: self._left], self._left - len(data)
        if kept:
            await self._output(stream, kept)
        if self._left < 0:
            self._left = 0
            self.stop(Ended.TOO_MUCH_OUTPUT)

    def stop(self, why: Ended) -> None:
        """Have the program killed; the first reason is the reason."""
        self.why = self.why or why
        self.reached.set()


def _files(paths: Sequence[str], told: Sequence[Sequence[bytes]]) -> Sequence[File]:
    """Return what a machine lists, by name. Programs in it may have changed what it lists with.

    Raises:
        Failure: invalid, for what says of no file how large it is and who may run it.
    """
    files = []
    for path, about in zip(paths, told, strict=True):
        size, mode = (_number(about[0]), _number(about[1], 8)) if len(about) == 2 else (None, None)
        if size is None or mode is None:
            raise Failure(
                FailureKind.INVALID,
                "the files of the sandbox cannot be listed: expected a size and a mode of each, and the "
                "machine says something else",
                remedy="Programs in it have changed how it lists its files: take another sandbox.",
            )
        if nameable(path):
            files.append(File(path, size, bool(mode & 0o100)))
    return sorted(files, key=lambda file: file.path)


def _number(said: bytes, base: int = 10) -> int | None:
    """Return the number that a machine says, ``None`` for what is none, or none that anybody keeps."""
    digits = b"01234567" if base == 8 else b"0123456789"
    if not 0 < len(said) <= _MOST_DIGITS or said.strip(digits):
        return None
    return int(said, base)


def end_left_behind() -> int:
    """End machines whose worker is no more, and remove their folders; return how many there were.

    The kernel ends them with their worker, and they switch themselves off when nobody speaks to them: this is
    for machines that were stopped, and for systems without the former.
    """
    gone_now = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = folder / "pid"
        if not pid.is_file() or not is_left_behind(folder.name):
            continue
        with suppress(OSError, ValueError):
            number = int(pid.read_text())
            # The number may be another's by now: only who was started with this folder is meant.
            if os.fsencode(folder) in Path(f"/proc/{number}/cmdline").read_bytes():
                os.kill(number, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
        gone_now += 1
    return gone_now
