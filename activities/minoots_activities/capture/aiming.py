"""Which file a command means, and whether it may be recorded into.

Whatever is asked of a disk is asked apart, and with patience: a path that was typed may lead anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts.conversations import ConversationEvent
from minoots_platform.records import conversations, recordings
from minoots_platform.writers import Writer, installed

from .answering import Answering, apart
from .commands import Command, Verb, destination_in
from .filenames import name_from, numbered
from .gate import Target, WriteDenied, WriteGate
from .workspaces import Workspace

T = TypeVar("T")


class Refused(Exception):
    """A command that is not obeyed; the text says why, and what to type instead."""


@dataclass(frozen=True)
class Place:
    """Where a command was typed."""

    conversation: sa.Row[Any]
    number: int
    event: ConversationEvent
    line: int


class Aim:
    """Finds files for the recordings of one conversation."""

    def __init__(
        self,
        connection: AsyncConnection,
        conversation: sa.Row[Any],
        gate: Callable[[], WriteGate],
        host: str,
        answering: Answering,
    ) -> None:
        self._connection = connection
        self._conversation = conversation
        self._gate = gate
        self._host = host
        self._answering = answering

    async def target(self, command: Command, workspace: Workspace, place: Place) -> tuple[Target, Writer]:
        """Return the file that a command means, and who writes it.

        Raises:
            Refused: there can be none.
        """
        writers = installed()
        usual = writers.get(workspace.config.format)
        if usual is None:
            raise Refused(f"the workspace wants the format {workspace.config.format}; there are {_names()}")
        if command.argument is None:
            target = await self._free(workspace.folder, workspace, place, usual)
            await self._require_below(target, workspace)
            return target, usual
        try:
            given = destination_in(command.argument)
        except ValueError as error:
            raise Refused(str(error)) from error
        try:
            path, is_folder = await self._meant(given, workspace.root)
        except RuntimeError as error:
            home = given.partition("/")[0]
            remedy = "type the path from / on, or one below the workspace"
            raise Refused(f"{home} is nobody's home folder; {remedy}") from error
        if is_folder:
            return await self._free(path, workspace, place, usual), usual
        writer = next((one for one in writers.values() if path.suffix == one.extension), None)
        if writer is None:
            path, writer = path.with_name(path.name + usual.extension), usual
        target = await self._judged(path)
        await self._require_free(command.verb, target)
        return target, writer

    async def folder(self, command: Command, workspace: Workspace) -> str | None:
        """Return the folder that a command means, where it names no file in it."""
        if command.argument is None:
            return None
        try:
            path, is_folder = await self._meant(destination_in(command.argument), workspace.root)
        except (ValueError, RuntimeError):
            return None
        return await self._ask(path, lambda: os.path.realpath(path)) if is_folder else None

    async def _free(self, folder: Path, workspace: Workspace, place: Place, writer: Writer) -> Target:
        """Return a file in a folder whose name is not taken."""
        config, conversation = workspace.config, self._conversation
        title = await conversations.title_by(
            self._connection, conversation.tenant, conversation.id, place.number
        )
        name = name_from(
            config.filename,
            moment=place.event.ts,
            timezone=config.timezone,
            provider=conversation.provider,
            session_id=conversation.session_id,
            title=title,
            username=config.username,
            alias=workspace.alias,
        )
        for candidate in numbered(name):
            target = await self._judged(folder / (candidate + writer.extension))
            if not await self.at(target) and not await self._there(target):
                return target
        raise Refused(f"no name is left in {folder}")

    async def _meant(self, given: str, root: Path) -> tuple[Path, bool]:
        """Return the path that was typed, and whether it is a folder for a name of our own."""
        path = _typed(given, root)
        try:
            return path, given.endswith(("/", os.sep)) or await self._ask(path, path.is_dir)
        except OSError:
            return path, False  # and the gate says why it cannot be

    async def _ask(self, path: Path, look: Callable[[], T]) -> T:
        """Return what a look at a path finds.

        Raises:
            OSError: whatever the look meets, or that it does not answer.
        """
        return await apart(lambda: self._answering.ask(str(path.parent), look))

    async def _judged(self, path: Path) -> Target:
        gate = await apart(self._gate)
        try:
            return await self._ask(path, lambda: gate.judge(path))
        except WriteDenied as denied:
            raise Refused(f"{path} may not be written: {denied}") from denied
        except TimeoutError as silent:
            raise Refused(f"{path} may not be written: {silent.strerror}") from silent

    async def _require_below(self, target: Target, workspace: Workspace) -> None:
        """Refuse a place that a workspace chose outside of itself: its files may come with a repository."""
        root = await self._ask(workspace.root, lambda: os.path.realpath(workspace.root))
        if not target.path.is_relative_to(root):
            raise Refused(
                f"{workspace.folder} leads to {target.path.parent}, outside of the workspace; "
                "type a path below it, or one from / on"
            )

    async def _there(self, target: Target) -> bool:
        """Tell whether there is anything at a place."""
        return await self._ask(target.path, target.path.exists)

    async def _require_free(self, verb: Verb, target: Target) -> None:
        """Refuse a file that somebody else records into, or whose content would be lost."""
        known = await self.at(target)
        mine = self._conversation.id
        busy = [row for row in known if row.state in recordings.WRITING]
        if any(row.conversation_id != mine and row.state == recordings.State.ACTIVE.value for row in busy):
            raise Refused(f"{target.path} is being recorded into by another conversation")
        if verb is Verb.RECORD:
            return
        # These take the place of what is there.
        if any(verb is Verb.EXPORT or row.conversation_id != mine for row in busy):
            raise Refused(f"{target.path} is being recorded into; give another name")
        if await self._there(target) and not busy and not await self._is_ours(known, target):
            raise Refused(f"{target.path} is there already; give another name")

    async def _is_ours(self, known: Sequence[sa.Row[Any]], target: Target) -> bool:
        """Tell whether nothing but recordings of this conversation stands in a file."""
        written = [row for row in known if row.written_at is not None]
        if not written or any(row.conversation_id != self._conversation.id for row in written):
            return False
        found = await self._ask(target.path, lambda: os.stat(target.path, follow_symlinks=False))
        as_left = (found.st_size, found.st_mtime_ns) == (written[-1].size, written[-1].modified_ns)
        return bool(written[-1].rendering.get("ours")) and as_left

    async def at(self, target: Target) -> list[sa.Row[Any]]:
        """Return every recording into a file, the oldest first."""
        key = recordings.path_key(self._host, str(target.path))
        return await recordings.at_path(self._connection, self._conversation.tenant, key)


def _typed(given: str, root: Path) -> Path:
    return Path(given).expanduser() if given.startswith("~") else root / given


def _names() -> str:
    return ", ".join(sorted(installed()))
