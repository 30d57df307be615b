"""`CaptureWorkflow`: one conversation. Files that have grown are read, then what was typed in them is obeyed.

It ends when nothing has come for a while, and is begun again by the next change.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options

    from .contracts import Captured, CaptureStart, FileChanged, Obey
    from .port import CapturePort
    from .stages import OBEY, READ, table_of


@workflow.defn(name="Capture")
class CaptureWorkflow:
    """One conversation, while something is said in it."""

    @workflow.init
    def __init__(self, start: CaptureStart) -> None:
        self._start = start
        self._changed = {(file.host, file.path): file for file in start.waiting}
        self._state = Captured()

    @workflow.run
    async def run(self, start: CaptureStart) -> Captured:
        """Read and obey until nothing comes any more."""
        idle = timedelta(seconds=start.idle_seconds)
        while True:
            try:
                await workflow.wait_condition(
                    lambda: bool(self._changed), timeout=idle, timeout_summary="nothing new"
                )
            except TimeoutError:
                # A change may have come at the same moment.
                if not self._changed:
                    return self._state
            if workflow.info().is_continue_as_new_suggested():
                waiting = tuple(self._changed.values())
                workflow.continue_as_new(start.model_copy(update={"waiting": waiting}))
            await self._read()

    @workflow.signal
    def changed(self, file: FileChanged) -> None:
        """There is more in a file."""
        known = self._changed.get((file.host, file.path))
        fresh = file.fresh or (known is not None and known.fresh)
        self._changed[file.host, file.path] = file.model_copy(update={"fresh": fresh})

    @workflow.query
    def state(self) -> Captured:
        """How the conversation stands."""
        return self._state

    async def _read(self) -> None:
        """Read what has changed, then obey."""
        files, self._changed = list(self._changed.values()), {}
        seen = self._state
        for file in files:
            read = await workflow.execute_activity_method(
                CapturePort.read, file, **options.on_host(file.host, f"{READ}: {file.provider}")
            )
            seen = seen.model_copy(
                update={
                    "files": seen.files + 1,
                    "new": seen.new + read.new,
                    "revised": seen.revised + read.revised,
                    "damaged": read.damaged,
                    "dropped": seen.dropped + read.dropped,
                    "redacted": seen.redacted + read.redacted,
                    "problem": read.problem,
                }
            )
        # Each host obeys by its own workspaces.
        for host in dict.fromkeys(file.host for file in files):
            request = Obey(
                tenant=self._start.tenant,
                host=host,
                conversation_id=self._start.conversation_id,
                fresh=any(file.fresh for file in files if file.host == host),
            )
            obeyed = await workflow.execute_activity_method(
                CapturePort.obey, request, **options.on_host(host, OBEY)
            )
            seen = seen.model_copy(
                update={
                    "obeyed": seen.obeyed + obeyed.obeyed,
                    "refused": seen.refused + obeyed.refused,
                    "writing": obeyed.writing,
                    "problem": seen.problem or obeyed.problem,
                }
            )
        self._state = seen
        workflow.set_current_details(table_of(seen))
