"""One run of a job's program: what goes into its sandbox, what is heard of it, what is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from minoots.contracts import (
    ExecJob,
    ExecResult,
    JobProblem,
    JobState,
    Limits,
    NetworkUse,
    VmJob,
    VmResult,
)
from minoots.errors import Failure, FailureKind
from minoots_activities.sandboxes.port import (
    Ended,
    OutcomeUnknown,
    Program,
    Ran,
    Sandbox,
    Stream,
    ended_before,
)
from minoots_activities.sandboxes.tiers import Tiers
from minoots_activities.standing.holder import Held
from minoots_platform.clock import Clock
from minoots_platform.records import Database, contents, job_problems
from minoots_platform.records.job_progress import Begun, Made, Outcome
from minoots_platform.settings import JobsSettings

from .outputs import choose, media_type_of
from .reaching import heard_by
from .sandboxing import filled, until_begun
from .telling import Teller

_TAIL: Final = 2000
"""Bytes of what was written last that stand in the result itself."""
_LOOKED_AT: Final = 10_000
"""Files of a working folder that are looked at."""
_CONSOLE: Final = "console"
"""The artifact with what a machine wrote to its console."""


class ProgramRun:
    """One run of a job's program."""

    def __init__(
        self,
        begun: Begun,
        request: ExecJob,
        database: Database,
        settings: JobsSettings,
        clock: Clock,
        teller: Teller,
        held: Held | None = None,
    ) -> None:
        self._held = held
        self._limits = request.limits if held is None else _limits_in(held.sandbox, request)
        self._begun = begun
        self._request = request
        self._database = database
        self._settings = settings
        self._clock = clock
        self._teller = teller
        self._written: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

    async def outcome(self, tiers: Tiers) -> Outcome:
        """Run it and return how the job ends.

        Raises:
            Failure: it was not started, or nobody knows how it ended.
        """
        files = await self._files()
        if self._held is not None:
            with self._held.noticing():
                async with self._held.files() as standing:
                    try:
                        await _fill(standing, files)
                    except OutcomeUnknown as unknown:
                        raise ended_before() from unknown
                return await self._ran_in(standing, tiers)
        return await until_begun(lambda: self._ran_in_another(tiers, files))

    async def _ran_in_another(self, tiers: Tiers, files: Sequence[tuple[str, bytes, bool]]) -> Outcome:
        """Run it in a sandbox of its own."""
        name = f"{self._begun.job_id}-{self._begun.attempt}"
        heard = heard_by(self._begun, self._teller)
        async with filled(tiers, self._request, name, heard, lambda one: _fill(one, files)) as sandbox:
            return await self._ran_in(sandbox, tiers)

    async def _ran_in(self, sandbox: Sandbox, tiers: Tiers) -> Outcome:
        before = _network_of(sandbox)
        async with self._teller.telling():
            with tiers.watching.running(sandbox.tier, self._begun.job_id) as ended:
                program = self._program()
                ran = await sandbox.exec(program, self._hear)
                ended(ran)
        return await self._kept(sandbox, ran, before, problem_of_program(ran, self._limits, program.seconds))

    async def _files(self) -> list[tuple[str, bytes, bool]]:
        """Return what is put into the sandbox. Read first: a sandbox waits for nothing."""
        found = []
        for file in self._request.files:
            if file.artifact is None:
                data = (file.text or "").encode()
            else:
                data = await contents.read(self._database, self._begun.tenant, file.artifact)
            found.append((file.path, data, file.executable))
        return found

    def _program(self) -> Program:
        request = self._request
        left = (self._begun.deadline - self._clock()).total_seconds()
        return Program(
            command=request.command,
            env=request.env,
            stdin=request.stdin.encode(),
            seconds=max(0.01, min(self._limits.time.total_seconds(), left)),
        )

    async def _hear(self, stream: Stream, data: bytes) -> None:
        self._written[stream] += data
        await self._teller.log(stream, data)

    async def _kept(
        self, sandbox: Sandbox, ran: Ran, before: dict[str, int], problem: JobProblem | None
    ) -> Outcome:
        """Keep what was written and made; return how the job ends."""
        kept = _Kept()
        for stream, data in self._written.items():
            if data:
                await self._keep(kept, stream, bytes(data), "text/plain")
        console = sandbox.console()
        if console:
            await self._keep(kept, _CONSOLE, console.encode(), "text/plain")
        try:
            await self._outputs(sandbox, kept)
        except Failure as failure:
            problem = problem or job_problems.problem_of(failure)
        result = _result_of(
            self._request,
            ended=ran.ended.value,
            exit_code=ran.exit_code,
            signal=ran.signal,
            wall_ms=round(ran.wall_ms, 3),
            cpu_ms=round(ran.cpu_ms, 3),
            peak_kb=ran.peak_kb,
            tier=sandbox.tier,
            held_by=dict(sandbox.held_by),
            stdout_tail=_tail(self._written["stdout"]),
            stderr_tail=_tail(self._written["stderr"]),
            outputs_left_out=kept.left_out,
            network=None if sandbox.network is None else _since(before, _network_of(sandbox)),
        )
        state = JobState.SUCCEEDED if problem is None else JobState.FAILED
        return Outcome(state, result, problem, kept.made)

    async def _outputs(self, sandbox: Sandbox, kept: _Kept) -> None:
        if not self._request.outputs:
            return
        listing = await sandbox.list(_LOOKED_AT)
        taken = (*self._written, *(made.name for made in kept.made))
        # In a thread: strangers' patterns against strangers' names may take seconds.
        chosen = await asyncio.to_thread(choose, self._request.outputs, listing.files, taken)
        kept.left_out += chosen.left_out + listing.unnamed
        for place, (file, name) in enumerate(chosen.files):
            left = self._settings.max_output_bytes - kept.bytes
            most = self._settings.max_artifact_bytes
            if len(kept.made) >= self._settings.max_artifacts or left < file.bytes <= most:
                kept.left_out += 1
                continue
            data = await sandbox.get(file.path, most)
            if len(data) > left:
                # Larger than it was said to be: nothing that is said of the others counts, either.
                kept.left_out += len(chosen.files) - place
                return
            await self._keep(kept, name, data, media_type_of(file.path))

    async def _keep(self, kept: _Kept, name: str, data: bytes, media_type: str) -> None:
        sha256 = await contents.keep(self._database, self._begun.tenant, data, self._clock())
        kept.made.append(Made(name, sha256, len(data), media_type))


@dataclass
class _Kept:
    """What is kept of a run."""

    made: list[Made] = field(default_factory=list)
    left_out: int = 0

    @property
    def bytes(self) -> int:
        """Of all that is kept."""
        return sum(made.bytes for made in self.made)


def _result_of(request: ExecJob, **found: Any) -> ExecResult:
    if isinstance(request, VmJob):
        return VmResult(accelerator=found["held_by"]["accelerator"], **found)
    return ExecResult(**found)


async def _fill(sandbox: Sandbox, files: Sequence[tuple[str, bytes, bool]]) -> None:
    for path, data, executable in files:
        await sandbox.put(path, data, executable=executable)


def _limits_in(sandbox: Sandbox, request: ExecJob) -> Limits:
    """Return the limits of a program in a sandbox that stands: the sandbox's, and less time if it says so."""
    if "time" not in request.limits.model_fields_set:
        return sandbox.limits
    return sandbox.limits.model_copy(update={"time": request.limits.time})


def _network_of(sandbox: Sandbox) -> dict[str, int]:
    return {} if sandbox.network is None else asdict(sandbox.network)


def _since(before: dict[str, int], now: dict[str, int]) -> NetworkUse:
    """Return what a program has had of the network, in a sandbox that had some before."""
    return NetworkUse(**{name: count - before.get(name, 0) for name, count in now.items()})


def problem_of_program(ran: Ran, limits: Limits, seconds: float | None) -> JobProblem | None:
    """Return what was wrong with how a program ended; ``None`` for one that did what it should.

    Args:
        ran: how it ended.
        limits: what it was held to.
        seconds: for how long it might run: less than by its limits where the job's deadline is nearer.
    """
    if ran.ended is Ended.EXITED:
        if ran.exit_code == 0:
            return None
        return JobProblem(
            kind=FailureKind.INVALID,
            detail=f"the program exited with {ran.exit_code}",
            remedy="See what it wrote: the artifacts stdout and stderr.",
        )
    if ran.ended is Ended.KILLED:
        return JobProblem(
            kind=FailureKind.INVALID,
            detail=f"the program was ended by signal {ran.signal}",
            remedy="See what it wrote: the artifacts stdout and stderr.",
        )
    most = limits.time.total_seconds()
    detail, remedy = {
        Ended.TIMED_OUT: (f"the program ran longer than {most:g} s", "Raise limits.time.")
        if seconds is None or seconds >= most
        else ("the program still ran at the job's deadline", "Submit it with a later deadline."),
        Ended.OUT_OF_MEMORY: (f"the program took more than {limits.memory_mb} MB", "Raise limits.memory_mb."),
        Ended.TOO_MUCH_OUTPUT: (
            f"the program wrote more than {limits.output_kb} kB",
            "Raise limits.output_kb, or have it write into a file.",
        ),
    }[ran.ended]
    return JobProblem(kind=FailureKind.EXHAUSTED, detail=detail, remedy=remedy)


def _tail(data: bytearray) -> str:
    return bytes(data[-_TAIL:]).decode("utf-8", "replace").replace("\x00", "\ufffd")
