"""Obeying the commands that people type into chats: what is to be recorded, from where on, into which file.

One gate, closed by default: only a user's own words, only once, only from when the conversation was first
seen, only into files that may be written. Whatever is refused is told: to the feed, the audit log, and in the
recording itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType
from minoots.contracts.conversations import ConversationEvent, ConversationEventKind
from minoots.errors import Failure
from minoots_platform.clock import Clock
from minoots_platform.ids import derived_id
from minoots_platform.records import Database, conversations, events, recordings
from minoots_platform.telemetry import audit
from minoots_platform.writers import Look, Writer, installed

from .commands import Command, Mistake, Verb, commands_in, destination_in
from .filenames import name_from, numbered, slug
from .flags import WorkspaceFlags
from .gate import Target, WriteDenied, WriteGate
from .workspaces import Registry, Workspace

GRACE: Final = timedelta(minutes=1)
"""How long before a conversation was first seen a command may have been typed."""

_PART: Final = 500


class Refused(Exception):
    """A command that is not obeyed; the text says why, and what to type instead."""


@dataclass(frozen=True)
class Obeyed:
    """What came of looking for commands."""

    pending: tuple[sa.Row[Any], ...]
    """Recordings that have something to write now."""
    obeyed: int = 0
    refused: int = 0


@dataclass(frozen=True)
class _Place:
    """Where a command was typed."""

    conversation: sa.Row[Any]
    number: int
    event: ConversationEvent
    line: int


class Obeying:
    """Obeys for one tenant on one host."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        write_roots: Sequence[Path],
        flags: WorkspaceFlags,
        clock: Clock,
        *,
        tenant: str,
        host: str,
    ) -> None:
        self._database = database
        self._registry = registry
        self._write_roots = tuple(write_roots)
        self._flags = flags
        self._clock = clock
        self._tenant = tenant
        self._host = host
        self.told: set[tuple[str, str, str]] = set()
        """Recordings that could not begin by themselves: conversation, workspace, why."""

    async def conversation(
        self, conversation_id: str, *, fresh: bool, beat: Callable[[], None] = lambda: None
    ) -> Obeyed:
        """Obey what was typed since the last look; return what has to be written.

        ``fresh`` says that the transcript came into being while it was looked after: then what has no time
        was typed just now.

        Raises:
            Failure: the registry of workspaces cannot be read.
        """
        obeyed = refused = 0
        more, live = True, fresh
        first = True
        while more:
            async with self._database.write() as connection:
                conversation = await conversations.lock(connection, conversation_id)
                if conversation is None:
                    return Obeyed(())
                if first:
                    # One that was looked at before: what comes now has just been typed.
                    live, first = live or conversation.obeyed > 0, False
                run = _Run(self, connection, conversation, live=live)
                more = await run.part()
            beat()
            obeyed, refused = obeyed + run.obeyed, refused + run.refused
        async with self._database.read() as connection:
            pending = await recordings.pending_of(connection, conversation_id)
        return Obeyed(tuple(row for row in pending if row.host == self._host), obeyed, refused)

    def gate(self) -> WriteGate:
        """Return the gate as it stands: workspaces come and go."""
        roots = [*self._write_roots, *self._registry.roots().values()]
        return WriteGate(roots, self._audit)

    def _audit(self, decision: str, path: str, reason: str) -> None:
        audit(
            "recording.path",
            actor=f"host/{self._host}",
            tenant=self._tenant,
            decision=decision,
            path=path,
            reason=reason,
        )


class _Run:
    """One look at the next events of a conversation, in one transaction."""

    def __init__(
        self, owner: Obeying, connection: AsyncConnection, conversation: sa.Row[Any], *, live: bool
    ) -> None:
        self._owner = owner
        self._connection = connection
        self._conversation = conversation
        self._live = live
        self._now = owner._clock()
        self._told: list[events.NewEvent] = []
        self._started = 0
        self.obeyed = 0
        self.refused = 0

    async def part(self) -> bool:
        """Obey the next events; return whether there are more."""
        conversation = self._conversation
        found = await conversations.numbered(
            self._connection, conversation.tenant, conversation.id, after=conversation.obeyed, limit=_PART
        )
        if not found:
            return False
        for number, event in found:
            if event.kind is ConversationEventKind.USER and not event.injected and self._is_new(event):
                typed = commands_in(event.text or "")
                await self._by_itself(number, event, typed)
                await self._message(number, event, typed)
        await conversations.obeyed(self._connection, conversation.id, found[-1][0])
        if self._told:
            await events.append(self._connection, conversation.tenant, self._told)
        return len(found) == _PART

    def _is_new(self, event: ConversationEvent) -> bool:
        """Tell whether an event is no history: old commands are never obeyed."""
        seen_at: datetime = self._conversation.created_at
        if event.ts is not None:
            return event.ts >= seen_at - GRACE
        return self._live

    async def _message(
        self, number: int, event: ConversationEvent, typed: Sequence[Command | Mistake]
    ) -> None:
        refusals = []
        for item in typed:
            place = _Place(self._conversation, number, event, item.line)
            try:
                if isinstance(item, Mistake):
                    raise Refused(item.problem)
                await self._obey(item, place)
                self.obeyed += 1
            except (Refused, OSError, RuntimeError) as refusal:
                # Of the last two: a path too long, a home folder of nobody.
                self.refused += 1
                told = str(refusal)
                refusals.append(told if told.startswith("::") else f"{item.raw}: {told}")
                self._refuse(item.raw, place, str(refusal))
        if refusals:
            await conversations.note_refusals(self._connection, self._conversation.tenant, event.id, refusals)

    def _refuse(self, raw: str, place: _Place, why: str) -> None:
        conversation = self._conversation
        about = {"command": raw[:200], "reason": why[:500], "event": place.event.id, "line": place.line}
        self._tell(EventType.CHAT_COMMAND_REFUSED, conversation.id, about)
        audit(
            "chat_command.refused",
            actor=f"conversation/{conversation.id}",
            tenant=conversation.tenant,
            decision="deny",
            command=raw[:200],
            reason=why,
        )

    def _tell(self, type: EventType, subject: str, data: dict[str, Any]) -> None:
        self._told.append(events.NewEvent(type, subject, self._now, data))

    async def _obey(self, command: Command, place: _Place) -> None:
        active = await recordings.active_of(self._connection, self._conversation.id)
        if command.verb is Verb.STOP:
            mine = [row for row in active if command.alias in (None, row.alias)]
            if not mine:
                what = f"into {command.alias}" if command.alias else "at all"
                raise Refused(f"nothing is recorded {what}")
            for row in mine:
                await self._stop(row, place)
            return
        workspace = self._workspace(command.alias or "")
        running = next((row for row in active if row.workspace_id == workspace.config.id), None)
        if command.verb is Verb.RECORD and running is not None and command.argument is None:
            return  # it is recorded already
        target, writer = await self._target(command, workspace, place)
        if command.verb is Verb.RECORD and running is not None:
            if running.path == str(target.path):
                return
            await self._stop(running, place)
        if command.verb is Verb.CAPTURE and running is not None:
            await self._stop(running, place)
        await self._start(recordings.Kind(command.verb.value), workspace, target, writer, place)

    def _workspace(self, alias: str) -> Workspace:
        # A registry that cannot be read is no mistake of who typed: that is tried again.
        self._owner._registry.roots()
        try:
            return self._owner._registry.get(alias)
        except Failure as failure:
            raise Refused(f"{failure.detail}. {failure.remedy or ''}".strip()) from failure

    async def _target(self, command: Command, workspace: Workspace, place: _Place) -> tuple[Target, Writer]:
        """Return the file that a command means, and who writes it."""
        writers = installed()
        usual = writers.get(workspace.config.format)
        if usual is None:
            raise Refused(f"the workspace wants the format {workspace.config.format}; there are {_names()}")
        gate = self._owner.gate()
        if command.argument is None:
            return await self._free(gate, workspace.folder, workspace, place, usual), usual
        try:
            given = destination_in(command.argument)
        except ValueError as error:
            raise Refused(str(error)) from error
        path, is_folder = _meant(given, workspace.root)
        if is_folder:
            return await self._free(gate, path, workspace, place, usual), usual
        writer = next((one for one in writers.values() if path.suffix == one.extension), None)
        if writer is None:
            path, writer = path.with_name(path.name + usual.extension), usual
        target = self._judged(gate, path)
        await self._require_free(command.verb, target)
        return target, writer

    async def _free(
        self, gate: WriteGate, folder: Path, workspace: Workspace, place: _Place, writer: Writer
    ) -> Target:
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
            target = self._judged(gate, folder / (candidate + writer.extension))
            if not await self._at(target) and not target.path.exists():
                return target
        raise Refused(f"no name is left in {folder}")

    def _judged(self, gate: WriteGate, path: Path) -> Target:
        try:
            return gate.judge(path)
        except WriteDenied as denied:
            raise Refused(f"{path} may not be written: {denied}") from denied

    async def _require_free(self, verb: Verb, target: Target) -> None:
        """Refuse a file that somebody else records into, or whose content would be lost."""
        known = await self._at(target)
        mine = self._conversation.id
        busy = [row for row in known if row.state in recordings.WRITING]
        if any(row.conversation_id != mine and row.state == recordings.State.ACTIVE.value for row in busy):
            raise Refused(f"{target.path} is being recorded into by another conversation")
        if verb is Verb.RECORD:
            return
        # These take the place of what is there.
        if any(verb is Verb.EXPORT or row.conversation_id != mine for row in busy):
            raise Refused(f"{target.path} is being recorded into; give another name")
        if target.path.exists() and not busy and not self._is_ours(known, target):
            raise Refused(f"{target.path} is there already; give another name")

    def _is_ours(self, known: Sequence[sa.Row[Any]], target: Target) -> bool:
        """Tell whether nothing but recordings of this conversation stands in a file."""
        written = [row for row in known if row.written_at is not None]
        if not written or any(row.conversation_id != self._conversation.id for row in written):
            return False
        found = os.stat(target.path, follow_symlinks=False)
        as_left = (found.st_size, found.st_mtime_ns) == (written[-1].size, written[-1].modified_ns)
        return bool(written[-1].rendering.get("ours")) and as_left

    async def _at(self, target: Target) -> list[sa.Row[Any]]:
        key = recordings.path_key(self._owner._host, str(target.path))
        return await recordings.at_path(self._connection, self._conversation.tenant, key)

    async def _start(
        self, kind: recordings.Kind, workspace: Workspace, target: Target, writer: Writer, place: _Place
    ) -> None:
        conversation, host = self._conversation, self._owner._host
        whole = kind is not recordings.Kind.RECORD
        recording_id = derived_id(
            "rec", conversation.tenant, place.event.id, str(place.line), workspace.config.id, kind.value
        )
        # One moment for each, so that those into one file keep their order.
        started_at = self._now + timedelta(microseconds=self._started)
        self._started += 1
        title = await conversations.title_by(
            self._connection, conversation.tenant, conversation.id, place.number
        )
        key = recordings.path_key(host, str(target.path))
        export = kind is recordings.Kind.EXPORT
        made = await recordings.start(
            self._connection,
            {
                "id": recording_id,
                "tenant": conversation.tenant,
                "conversation_id": conversation.id,
                "host": host,
                "workspace_id": workspace.config.id,
                "alias": workspace.alias,
                "kind": kind.value,
                "format": writer.format,
                "path": str(target.path),
                "path_key": key,
                "root": str(target.root),
                "options": self._look(workspace, target, recording_id, title, place).model_dump(mode="json"),
                "from_number": 1 if whole else place.number,
                "from_line": None if whole else place.line,
                "until_number": place.number if export else None,
                "until_line": place.line if export else None,
                "state": (recordings.State.STOPPING if export else recordings.State.ACTIVE).value,
                "revised": conversation.revised,
                "started_at": started_at,
            },
        )
        if not made:
            busy = await recordings.at_path(self._connection, conversation.tenant, key)
            if any(row.id == recording_id for row in busy):
                return
            raise Refused(f"{target.path} is being recorded into by another conversation")
        about = {"conversation": conversation.id, "path": str(target.path), "kind": kind.value}
        self._tell(EventType.RECORDING_STARTED, recording_id, about | {"workspace": workspace.alias})

    async def _stop(self, row: sa.Row[Any], place: _Place) -> None:
        await recordings.stop(self._connection, row.id, number=place.number, line=place.line, now=self._now)

    def _look(
        self, workspace: Workspace, target: Target, recording_id: str, title: str, place: _Place
    ) -> Look:
        config, conversation = workspace.config, self._conversation
        flags = self._owner._flags.of(
            config.flags, provider=conversation.provider, session_id=conversation.session_id
        )
        short = conversation.session_id.rpartition("/")[2][:8]
        front = config.front_matter
        return Look(
            commentary=flags["writerIncludeCommentary"],
            thinking=flags["writerIncludeThinking"],
            tool_calls=flags["writerIncludeToolCalls"],
            tool_results=flags["writerIncludeToolResults"],
            decisions=flags["writerIncludeDecisionPrompt"],
            decision_options=flags["writerIncludeDecisionOptions"],
            decision_selection=flags["writerIncludeDecisionSelection"],
            system_events=flags["captureIncludeSystemEvents"],
            italic_user=flags["writerItalicizeUserMessages"],
            relative_links=flags["writerRelativizeLocalLinks"],
            wikilinks=flags["writerUseDendronStyleWikilinks"],
            username=config.username,
            timezone=config.timezone,
            front_matter=front.include,
            updated=front.updated,
            participant_username=front.participant_username,
            session_ids=front.session_ids,
            workspace_ids=front.workspace_ids,
            recording_ids=front.recording_ids,
            event_kinds=front.event_kinds,
            tags=config.tags,
            title=title or "Conversation",
            id=f"{slug(title, 24) or 'conversation'}-{short}",
            created=place.event.ts or self._now,
            session_id=conversation.session_id,
            workspace_id=config.id,
            recording_id=recording_id,
            root=os.path.realpath(workspace.root),
            folder=str(target.path.parent),
            beside=f"{_short(Path(target.name).stem)}.files",
        )

    async def _by_itself(
        self, number: int, event: ConversationEvent, typed: Sequence[Command | Mistake]
    ) -> None:
        """Begin recordings of workspaces that want every conversation held in them."""
        conversation = self._conversation
        cwd = conversation.facts.get("cwd")
        if not isinstance(cwd, str):
            return
        asked = {
            one.alias for one in typed if isinstance(one, Command) and one.verb in (Verb.RECORD, Verb.CAPTURE)
        }
        for workspace in self._owner._registry.all():
            config = workspace.config
            sub = conversation.relation == "subagent"
            if not config.auto_record or (sub and not config.auto_record_subagents):
                continue
            if workspace.alias in asked or not workspace.holds(cwd):
                continue
            # Once: what somebody has stopped is not begun again.
            if await recordings.ever_of(self._connection, conversation.id, config.id):
                continue
            await self._record_by_itself(workspace, _Place(conversation, number, event, 1))

    async def _record_by_itself(self, workspace: Workspace, place: _Place) -> None:
        command = Command(Verb.RECORD, workspace.alias, None, 1, f"::record-{workspace.alias}")
        try:
            target, writer = await self._target(command, workspace, place)
            await self._start(recordings.Kind.RECORD, workspace, target, writer, place)
        except (Refused, OSError, RuntimeError) as refusal:
            # Told once, not with every message.
            about = (self._conversation.id, workspace.alias, str(refusal))
            if about not in self._owner.told:
                self._owner.told.add(about)
                self._refuse(f"auto_record of {workspace.alias}", place, str(refusal))


def _meant(given: str, root: Path) -> tuple[Path, bool]:
    """Return the path that was typed, and whether it is a folder for a name of our own."""
    path = Path(given).expanduser() if given.startswith("~") else root / given
    try:
        return path, given.endswith(("/", os.sep)) or path.is_dir()
    except OSError:
        return path, False  # and the gate says why it cannot be


def _short(name: str) -> str:
    """Return as much of a name as leaves room for an ending."""
    return os.fsencode(name)[:200].decode(errors="ignore")


def _names() -> str:
    return ", ".join(sorted(installed()))
