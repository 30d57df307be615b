"""`ProgramsPort`: the program of a job, in a sandbox of the tier that it asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final, cast

from temporalio import activity
from temporalio.exceptions import ApplicationError

from minoots.contracts import (
    ExecJob,
    ExecResult,
    JobProblem,
    JobState,
    Limits,
    NetworkUse,
    OnLost,
    VmJob,
    VmResult,
)
from minoots.errors import Failure, FailureKind
from minoots_activities.sandboxes.port import (
    Ended,
    NeverStarted,
    OutcomeUnknown,
    Program,
    Ran,
    Sandbox,
    Stream,
    ended_before,
)
from minoots_activities.sandboxes.tiers import Tiers
from minoots_activities.standing.holder import Held, Holder, not_here
from minoots_platform.clock import Clock
from minoots_platform.records import Database, contents, job_progress
from minoots_platform.records.job_progress import Begun, Made, Outcome
from minoots_platform.settings import JobsSettings
from minoots_platform.telemetry import get_logger
from minoots_workflows.jobs.contracts import StepDone, StepDue
from minoots_workflows.jobs.port import ProgramsPort

from .holds import HOLD, Holds
from .outputs import choose, media_type_of
from .reaching import heard_by, reaches_out
from .sandboxing import filled, until_begun
from .telling import Teller
from .underway import Underway
from .working import UnwantedError, while_wanted, without_words

_TAIL: Final = 2000
"""Bytes of what was written last that stand in the result itself."""
_LOOKED_AT: Final = 10_000
"""Files of a working folder that are looked at."""
_CONSOLE: Final = "console"
"""The artifact with what a machine wrote to its console."""
_GONE: Final = 0.5
"""Seconds until it is looked again where the program of a job is to run."""


class Programs(ProgramsPort):
    """Programs of jobs, on this machine.

    Args:
        database: the records.
        tiers: what sandboxes there are.
        settings: how much a job may make.
        clock: the time.
        holder: the sandboxes that this worker holds, for programs in these.
    """

    def __init__(
        self,
        database: Database,
        tiers: Tiers,
        settings: JobsSettings,
        clock: Clock,
        holder: Holder | None = None,
    ) -> None:
        self._holder = holder
        self._database = database
        self._tiers = tiers
        self._settings = settings
        self._clock = clock
        self._log = get_logger("minoots.jobs")
        self._underway = Underway()
        self._holds = Holds(database, clock)

    @activity.defn(name="jobs.run_program")
    async def run_program(self, due: StepDue) -> StepDone:
        """Run the program of a job, and end the job with what came of it."""
        async with without_words(due.job_id):
            return await self._underway.do(due.job_id, lambda: self._run_unless_it_runs(due))

    async def _run_unless_it_runs(self, due: StepDue) -> StepDone:
        # What runs here would have been found. Temporal may have lost sight of another worker that has it.
        await self._holds.until_free(due)
        if due.sandbox_id:
            return await self._run_in_standing(due)
        return await self._run_once_there_is_room(due)

    async def _run_in_standing(self, due: StepDue) -> StepDone:
        try:
            held = self._find(due)
            # Begun when its turn has come: what never started may be submitted again.
            async with held.turn():
                return await self._run(due, held)
        except NeverStarted:
            # The records will know, in a moment.
            await asyncio.sleep(_GONE)
            return StepDone(state="")

    async def _run_once_there_is_room(self, due: StepDue) -> StepDone:
        async with self._database.read() as connection:
            waiting = await job_progress.waiting(connection, due.tenant, due.job_id)
        async with AsyncExitStack() as stack:
            if waiting is not None and isinstance(request := waiting.request, ExecJob):
                # Before it begins: it waits in its queue, whoever looks sees it there, and no time runs. It
                # has its place since it was accepted, however many workers have died meanwhile.
                waited = max(timedelta(0), self._clock() - waiting.since)
                await stack.enter_async_context(
                    self._tiers.hold(
                        request.tier,
                        due.job_id,
                        request.limits,
                        request.priority,
                        waited=waited,
                        whose=due.tenant,
                    )
                )
            return await self._run(due)

    def _find(self, due: StepDue) -> Held:
        if self._holder is None:
            raise not_here()
        return self._holder.find(due.tenant, due.sandbox_id, due.epoch)

    async def _run(self, due: StepDue, held: Held | None = None) -> StepDone:
        begun = await self._begin(due)
        if begun is None:
            return StepDone(state="")
        try:
            return await self._run_begun(due, begun, held)
        except BaseException:
            await self._holds.let_go(begun)
            raise

    async def _run_begun(self, due: StepDue, begun: Begun, held: Held | None) -> StepDone:
        request = cast(ExecJob, begun.request)
        self._tiers.watching.metrics.waited(request.kind, begun.waited)
        teller = Teller(self._database, begun, self._clock, self._settings.max_event_bytes)
        try:
            await self._require_first(begun, request)
            run = _Run(begun, request, self._database, self._settings, self._clock, teller, held)
            outcome = await while_wanted(
                run.outcome(self._tiers), self._database, begun, teller, lambda: self._holds.go_on(begun)
            )
        except UnwantedError:
            return StepDone(state="")
        except OutcomeUnknown as unknown:
            if on_lost(request) is OnLost.RERUN:
                self._log.warning("job.sandbox_lost", job_id=due.job_id, attempt=begun.attempt)
                raise ApplicationError("the sandbox was lost", type="SandboxLost") from None
            outcome = Outcome(JobState.FAILED, problem=job_progress.problem_of(unknown, "unknown"))
        except NeverStarted as failure:
            outcome = Outcome(JobState.FAILED, problem=job_progress.problem_of(failure, "never_started"))
        except Failure as failure:
            outcome = Outcome(JobState.FAILED, problem=job_progress.problem_of(failure))
        async with self._database.write() as connection:
            await job_progress.finish(connection, begun, outcome, self._clock())
        return StepDone(state=outcome.state)

    async def _begin(self, due: StepDue) -> Begun | None:
        async with self._database.write() as connection:
            return await job_progress.begin(
                connection,
                due.tenant,
                due.job_id,
                most_attempts=self._settings.max_attempts,
                now=self._clock(),
                hold=HOLD,
            )

    async def _require_first(self, begun: Begun, request: ExecJob) -> None:
        """Note that the program is about to run; refuse to run it twice where that may do harm."""
        async with self._database.write() as connection:
            before = await job_progress.begin_effect(connection, begun, "exec", self._clock())
        if before is not None and on_lost(request) is OnLost.FAIL:
            raise OutcomeUnknown(
                FailureKind.UNAVAILABLE,
                "the worker died while the program ran, and nobody knows how far it came",
                remedy="See what it has done, then submit the job again; on_lost: rerun does so by itself.",
            )


class _Run:
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
            problem = problem or job_progress.problem_of(failure)
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


def on_lost(request: ExecJob) -> OnLost:
    """Return what happens when the worker dies while the program runs."""
    if request.on_lost is not None:
        return request.on_lost
    outlasts = request.sandbox is not None or reaches_out(request)
    return OnLost.FAIL if outlasts else OnLost.RERUN


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
