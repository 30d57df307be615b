"""How the job of an agent ends: with what was said, what was changed, and the files that it was to make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, cast

from minoots.contracts import (
    AgentJob,
    AgentResult,
    JobProblem,
    JobState,
    Message,
    Role,
)
from minoots_activities.jobs.outputs import choose, media_type_of
from minoots_activities.sandboxes.port import File
from minoots_platform.clock import Clock
from minoots_platform.records import Database, agent_words, contents
from minoots_platform.records.agent_runs import Step
from minoots_platform.records.agent_words import linked
from minoots_platform.records.job_progress import Made, Outcome
from minoots_platform.settings import JobsSettings

from .files import Files, listing
from .patches import Change, patch_of
from .taken import Taken, taken_by
from .trees import Tree, changed

ANSWER: Final = "answer.txt"
CONVERSATION: Final = "conversation.jsonl"
PATCH: Final = "changes.patch"
_PREVIEW: Final = 2000
_NAMED: Final = 100
_AT_ONCE: Final = 4 * 1024 * 1024
"""Bytes of files that are compared at once."""


class Ending:
    """Puts together what a job hands back.

    Args:
        database: the records.
        settings: how much a job may make.
        clock: the time.
    """

    def __init__(self, database: Database, settings: JobsSettings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    async def outcome(
        self,
        step: Step,
        last: Message | None = None,
        *,
        taken: Taken | None = None,
        problem: JobProblem | None = None,
    ) -> Outcome:
        """Return how a job ends.

        Args:
            step: the step with which it ends.
            last: what was said in it, and is not kept yet.
            taken: what all of its model calls took, that of this step included.
            problem: why it fails, if it does.
        """
        run = step.run
        taken = taken or taken_by(step)
        said = list(await agent_words.conversation(self._database, run.tenant, run.job_id))
        head = run.head
        if last is not None:
            said.append(last)
            head = linked(head, contents.sha256_of(agent_words.encode(last)))
        made = [await self._keep(step, CONVERSATION, _lines(said), "application/jsonl")]
        answer = next((one for one in reversed(said) if one.role is Role.ASSISTANT), None)
        text = "" if answer is None else answer.text
        if text:
            made.append(await self._keep(step, ANSWER, text.encode(), "text/plain"))
        paths: tuple[str, ...] = ()
        left_out = 0
        if run.tree is not None:
            before = await listing(self._database, run.tenant, run.first_tree)
            after = await listing(self._database, run.tenant, run.tree)
            paths = changed(before, after)
            if paths:
                patch = await self._patch(step, before, after, paths)
                made.append(await self._keep(step, PATCH, patch, "text/x-diff"))
            left_out = await self._outputs(step, after, made)
        result = AgentResult(
            preview=text[:_PREVIEW],
            turns=run.turns + (last is not None),
            calls=run.calls,
            refused=run.refused,
            messages=len(said),
            head=head or contents.sha256_of(b""),
            workspace=run.tree or contents.sha256_of(b"[]"),
            changed=paths[:_NAMED],
            changes=len(paths),
            usage=taken.usage(),
            currency=taken.currency,
            fallbacks=taken.fallbacks,
            outputs_left_out=left_out,
        )
        return Outcome(JobState.SUCCEEDED if problem is None else JobState.FAILED, result, problem, made)

    async def _patch(self, step: Step, before: Tree, after: Tree, paths: tuple[str, ...]) -> bytes:
        now, tenant = self._clock(), step.run.tenant
        old_files, new_files = (Files(self._database, tenant, tree, 0, now) for tree in (before, after))
        patch = bytearray()
        for some in _groups(paths, before, after):
            old = await old_files.read_all([path for path in some if path in before])
            new = await new_files.read_all([path for path in some if path in after])
            changes = [
                Change(
                    path,
                    old.get(path),
                    new.get(path),
                    path in before and before[path].executable,
                    path in after and after[path].executable,
                )
                for path in some
            ]
            # In a thread: comparing large files takes a while.
            patch += await asyncio.to_thread(patch_of, changes)
        return bytes(patch)

    async def _outputs(self, step: Step, tree: Tree, made: list[Made]) -> int:
        """Keep the files that the job is to make; return how many were left out."""
        request = cast(AgentJob, step.begun.request)
        if not request.outputs:
            return 0
        files = [File(path, tree[path].bytes, tree[path].executable) for path in sorted(tree)]
        taken = (*(one.name for one in made), PATCH, ANSWER)
        chosen = await asyncio.to_thread(choose, request.outputs, files, taken)
        left_out = chosen.left_out
        size = 0
        for file, name in chosen.files:
            size += file.bytes
            if len(made) >= self._settings.max_artifacts or size > self._settings.max_output_bytes:
                left_out += 1
                continue
            made.append(Made(name, tree[file.path].sha256, file.bytes, media_type_of(file.path)))
        return left_out

    async def _keep(self, step: Step, name: str, data: bytes, media_type: str) -> Made:
        sha256 = await contents.keep(self._database, step.run.tenant, data, self._clock())
        return Made(name, sha256, len(data), media_type)


def _groups(paths: tuple[str, ...], before: Tree, after: Tree) -> Iterator[list[str]]:
    """Divide files so that some megabytes of them are in memory at a time, or one file before and after."""
    some: list[str] = []
    size = 0
    for path in paths:
        size += sum(tree[path].bytes for tree in (before, after) if path in tree)
        if some and size > _AT_ONCE:
            yield some
            some, size = [], sum(tree[path].bytes for tree in (before, after) if path in tree)
        some.append(path)
    if some:
        yield some


def _lines(said: list[Message]) -> bytes:
    return b"".join(agent_words.encode(message) + b"\n" for message in said)
