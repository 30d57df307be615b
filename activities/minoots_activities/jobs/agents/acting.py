"""`ActingPort`: the calls that an agent's model wants are made, each kept with what it has changed.

Owns the order: what servers offer first, then one call after the other, each a step of its own. A call that
a dead worker had begun is made again where nothing of it can be left, and told as unknown where something may
be.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from temporalio import activity

from minoots.contracts import AgentJob, AgentTool, JobEventType, JobState, Message, Role, ToolCall, ToolRule
from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.adapter import agent_look
from minoots_activities.jobs.reaching import heard_by, reaches_out
from minoots_activities.jobs.servers.offers import SEPARATOR, kept_offers, rule_of, server_of
from minoots_activities.jobs.telling import Teller
from minoots_activities.jobs.underway import Underway
from minoots_activities.jobs.working import UnwantedError, while_wanted, without_words
from minoots_activities.sandboxes.port import NeverStarted
from minoots_activities.sandboxes.tiers import Tiers
from minoots_platform.clock import Clock
from minoots_platform.records import (
    Database,
    agent_runs,
    agent_words,
    job_problems,
    job_progress,
)
from minoots_platform.records.agent_runs import CallState, Done, Due, Step
from minoots_platform.records.job_progress import NewJobEvent
from minoots_platform.settings import Settings
from minoots_workflows.jobs.contracts import StepDone, StepDue
from minoots_workflows.jobs.port import ActingPort

from .arguments import Context, Http, Run, SetTimer, Sleep, parsed
from .beyond import Beyond, Came
from .ending import Ending
from .fetching import LONGEST, Fetching
from .file_tools import TOOLS
from .files import Files, files_of
from .policy import call_id, clean, rules_of
from .running import Commands, where_of

if TYPE_CHECKING:
    from .serving import Serving

_MOST_TOLD: Final = 64 * 1024
"""Characters of what a call brings that the model is told."""
_PREVIEW: Final = 2000
_VERSIONS: Final = 4
"""Times the bytes that a job may hand back, all versions of its files together."""


class Acting(ActingPort):
    """Tools of agents.

    Args:
        database: the records.
        tiers: what sandboxes there are.
        settings: how much a job may make, and where timers may send to.
        clock: the time.
    """

    def __init__(self, database: Database, tiers: Tiers, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        jobs = settings.jobs
        self._watching = tiers.watching
        self._fetching = Fetching(tiers.network)
        self._commands = Commands(tiers, jobs.max_artifact_bytes, jobs.max_output_bytes)
        self._network = tiers.network
        self._made: Serving | None = None
        self._ending = Ending(database, settings.jobs, clock)
        self._underway = Underway()
        self._beyond = Beyond(database, settings, clock)

    @activity.defn(name="jobs.act")
    async def act(self, due: StepDue) -> StepDone:
        """Make the calls that the model wants, as far as they may be made."""
        async with without_words(due.job_id):
            return await self._underway.do(due.job_id, lambda: self._act(due))

    async def _act(self, due: StepDue) -> StepDone:
        number, only_new = due.step, False
        while True:
            async with self._database.write() as connection:
                step = await agent_runs.begin(
                    connection,
                    due.tenant,
                    due.job_id,
                    number,
                    most_tries=self._settings.jobs.max_attempts,
                    now=self._clock(),
                    only_new=only_new,
                )
            if step is None or (step.call is None and step.run.offers != ""):
                return StepDone(state="")
            begun = step.begun
            self._watching.metrics.waited(begun.request.kind, begun.waited)
            teller = Teller(self._database, begun, self._clock, self._settings.jobs.max_event_bytes)
            try:
                next_one = await while_wanted(self._call(step, teller), self._database, begun, teller)
            except UnwantedError:
                return StepDone(state="")
            except NeverStarted as failure:
                async with self._database.read() as connection:
                    # What it begins with may have been kept meanwhile.
                    step = replace(step, run=await agent_runs.run_of(connection, due.job_id))
                outcome = await self._ending.outcome(step, problem=job_problems.problem_of(failure))
                async with self._database.write() as connection:
                    await job_progress.finish(connection, begun, outcome, self._clock())
                return StepDone(state=JobState.FAILED)
            if next_one is None:
                return StepDone(state="")
            if next_one.does is not agent_runs.Next.ACT:
                return StepDone(state=JobState.RUNNING, next=agent_look(next_one, begun))
            number, only_new = next_one.step, True

    async def _call(self, step: Step, teller: Teller) -> Due | None:
        row = step.call
        if row is None:
            return await (await self._serving()).introduced(step, teller)
        call = await self._wanted(step)
        if row.state == CallState.READY.value and row.tool == AgentTool.SLEEP.value:
            return await self._sleep(step, call)
        try:
            came = await self._came(step, call, teller)
        except NeverStarted:
            raise
        except Failure as failure:
            came = Came(f"error: {failure.detail}", "failed")
        try:
            return await self._keep(step, call, came)
        except Failure as failure:
            if came.effect is None:
                raise
            return await self._keep(step, call, Came(f"error: {failure.detail}", "failed"))

    async def _came(self, step: Step, call: ToolCall, teller: Teller) -> Came:
        row, job = step.call, cast(AgentJob, step.begun.request)
        assert row is not None  # noqa: S101 - for the type checker; looked at by the caller
        if row.state == CallState.REFUSED.value:
            return Came(f"error: {row.reason}", "refused")
        if row.state == CallState.DENIED.value:
            why = f": {row.reason}" if row.reason else ""
            return Came(f"error: somebody looked at this call and denied it{why}", "denied")
        if SEPARATOR in row.tool:
            return await self._served(step, job, call, teller)
        tool = AgentTool(row.tool)
        wanted = parsed(tool, call)
        if row.state == CallState.SLEEPING.value:
            early = self._clock() < row.wakes_at
            # Of no length: a span cannot stay open as long as an agent may sleep.
            with self._watching.tool(tool.value, step.begun.job_id, call.id):
                pass
            return Came(_woken(wanted, early=early), "woken")
        if isinstance(wanted, SetTimer):
            with self._watching.tool(tool.value, step.begun.job_id, call.id):
                return self._beyond.timer(step, wanted)
        if isinstance(wanted, Context):
            with self._watching.tool(tool.value, step.begun.job_id, call.id):
                return await self._beyond.look_up(step, wanted)
        rule = rules_of(job)[tool]
        if isinstance(wanted, Http):
            with self._watching.tool(tool.value, step.begun.job_id, call.id):
                return await self._fetch(step, job, wanted, rule, teller)
        files = await files_of(self._database, step.run, job, self._clock())
        await self._require_room(step)
        with self._watching.tool(tool.value, step.begun.job_id, call.id):
            if isinstance(wanted, Run):
                longest = job.limits.time if rule.time is None else rule.time
                return await self._run(step, job, files, wanted, longest, teller)
            return Came(await TOOLS[tool](files, rule, wanted), files=files)

    async def _run(
        self, step: Step, job: AgentJob, files: Files, wanted: Run, longest: timedelta, teller: Teller
    ) -> Came:
        if reaches_out(job) and not await self._first(step):
            text = "error: the worker died while this ran, and nobody knows how far it came; look first"
            return Came(text, "unknown")
        seconds = min(wanted.seconds or longest.total_seconds(), longest.total_seconds())
        async with teller.telling():
            where = where_of(step, seconds, teller, self._clock())
            return Came(await self._commands.run(where, files, wanted, teller.log), files=files)

    async def _served(self, step: Step, job: AgentJob, call: ToolCall, teller: Teller) -> Came:
        """Call a tool of a server."""
        offer = (await kept_offers(self._database, step.run))[call.name]
        server = server_of(job, offer.server)
        rule = rule_of(server, offer.tool)
        assert rule is not None  # noqa: S101 - for the type checker: without a rule the call was refused
        leaves = server.url is not None or reaches_out(job)
        if leaves and not rule.idempotent and not await self._first(step):
            text = (
                "error: the worker died while this was under way, and nobody knows what came of it; it is "
                "not called again; look first"
            )
            return Came(text, "unknown")
        usual = job.limits.time.total_seconds() if server.url is None else LONGEST
        serving = await self._serving()
        files = await files_of(self._database, step.run, job, self._clock())
        await self._require_room(step)
        longest = usual if rule.time is None else rule.time.total_seconds()
        where = where_of(step, longest, teller, self._clock())
        with self._watching.tool(offer.name, step.begun.job_id, call.id):
            async with teller.telling():
                told = await serving.call(step.begun, where, offer, call, files, teller.log)
        return Came(*told, files=files)

    async def _serving(self) -> Serving:
        """Return what speaks to servers. Their protocol is loaded for the first agent that has some.

        It is a third of what a worker of sandboxes would load. In a thread: signs of life go on meanwhile.
        """
        if self._made is None:
            self._made = await asyncio.to_thread(self._open_serving)
        return self._made

    def _open_serving(self) -> Serving:
        from minoots_activities.jobs.servers.calling import Servers

        from .serving import Serving

        servers = Servers(self._commands, self._network, self._settings.jobs.mcp_token)
        return Serving(self._database, servers, self._clock)

    async def _require_room(self, step: Step) -> None:
        """Refuse more work on files to a job of which very much is kept: every version of each file."""
        most = _VERSIONS * self._settings.jobs.max_output_bytes
        async with self._database.read() as connection:
            kept = await agent_words.bytes_of(connection, step.run.tenant, step.run.job_id)
        if kept > most:
            detail = f"{kept} bytes of versions of files are kept of this job, and no more are; finish"
            raise Failure(FailureKind.TOO_LARGE, detail)

    async def _fetch(self, step: Step, job: AgentJob, wanted: Http, rule: ToolRule, teller: Teller) -> Came:
        if not wanted.changes_nothing and not await self._first(step):
            return Came(
                "error: the worker died while this was sent; nobody knows whether it arrived", "unknown"
            )
        longest = LONGEST if rule.time is None else rule.time.total_seconds()
        left = (step.begun.deadline - self._clock()).total_seconds()
        heard = heard_by(step.begun, teller)
        async with teller.telling():
            return Came(await self._fetching.request(job, wanted, max(0.01, min(longest, left)), heard))

    async def _first(self, step: Step) -> bool:
        """Note that something begins of which traces may be left; tell whether it has not begun before."""
        key = f"call-{0 if step.call is None else step.call.number}"
        async with self._database.write() as connection:
            before = await job_progress.begin_effect(connection, step.begun, key, self._clock())
        return before is None

    async def _sleep(self, step: Step, call: ToolCall) -> Due | None:
        wanted = cast(Sleep, parsed(AgentTool.SLEEP, call))
        now = self._clock()
        wakes_at = now + timedelta(seconds=wanted.seconds)
        told = _event(step, "sleeping", {"until": wakes_at.isoformat(timespec="milliseconds")})
        async with self._database.write() as connection:
            return await agent_runs.fell_asleep(connection, step, wakes_at, [told], now)

    async def _keep(self, step: Step, call: ToolCall, came: Came) -> Due | None:
        """Keep what came of a call and what it changed, in one transaction."""
        tree = None if came.files is None else await came.files.keep_listing()
        after = tree or step.run.tree
        text = clean(came.text)
        if len(text) > _MOST_TOLD:
            text = f"{text[:_MOST_TOLD]}\n({len(text) - _MOST_TOLD} more characters left out)"
        neutral = call.name == AgentTool.SLEEP.value
        signature = None if neutral else _signature(call, text, after)
        job = cast(AgentJob, step.begun.request)
        async with self._database.write() as connection:
            if signature is not None and step.run.stale + 1 >= max(job.stuck_after // 2, 1):
                if await agent_runs.seen(connection, step.run.job_id, signature):
                    text += "\n(you have had this very answer before; try something else)"
            if came.effect is not None:
                text += f": {await came.effect(connection)}"
            message = Message(
                role=Role.TOOL, text=text, tool_call_id=call.id, name=call.name or AgentTool.RUN.value
            )
            done = Done(
                message=message,
                signature=signature,
                tree=tree,
                contents=() if came.files is None else tuple(came.files.added),
                events=[_event(step, came.state, {"result": text[:_PREVIEW]})],
            )
            due = await agent_runs.acted(connection, step, done, self._clock())
            if due is None and came.effect is not None:
                # Not this step's to keep any more: what it has begun to do is taken back with it.
                raise UnwantedError
            return due

    async def _wanted(self, step: Step) -> ToolCall:
        """Return the call as the model made it."""
        if step.call is None:
            raise AssertionError("a step that acts has a call")
        name = call_id(step.call.number)
        message: Message = await agent_words.last_said(self._database, step.run.tenant, step.run.job_id)
        return next(call for call in message.tool_calls if call.id == name)


def _woken(wanted: Sleep, *, early: bool) -> str:
    if early:
        return "a message woke you; read it"
    return f"{wanted.seconds:g} seconds have passed"


def _event(step: Step, state: str, more: dict[str, Any]) -> NewJobEvent:
    about = {} if step.call is None else {"call": step.call.number, "name": step.call.tool}
    return NewJobEvent(JobEventType.TOOL, {**about, "state": state, **more})


def _signature(call: ToolCall, text: str, tree: str | None) -> str:
    """Return what was called and what it brought as one hash."""
    parts = [call.name, call.arguments, call.malformed, text, tree]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
