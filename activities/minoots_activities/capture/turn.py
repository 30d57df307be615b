"""One turn of obeying: the next events of a conversation, in one transaction.

Owns which words are commands at all, what each of them does, and that a refusal is told. Which conversation
has its turn, and who waits until when, is elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType
from minoots.contracts.conversations import ConversationEvent, ConversationEventKind
from minoots.errors import Failure
from minoots_platform.ids import derived_id
from minoots_platform.records import conversations, events, notifying, recordings
from minoots_platform.telemetry import audit, get_logger
from minoots_platform.writers import Writer

from .aiming import Aim, Place, Refused
from .answering import Answering, apart
from .commands import Command, Mistake, Verb, commands_in
from .flags import WorkspaceFlags
from .gate import Target, WriteGate
from .looks import look_of
from .readers.texts import doubtful_from
from .recent import Recent
from .registry import Registry
from .waits import Waits, require
from .workspaces import Workspace

GRACE: Final = timedelta(minutes=1)
"""How long before a conversation was first seen a command may have been typed."""

_PART: Final = 500
_LONG: Final = 10_000
"""Characters of a message through which others need not wait while commands are looked for."""
_MOST_LOOKED_THROUGH: Final = 500_000
"""Characters of messages in one transaction in which commands are looked for."""
_MOST_REFUSALS: Final = 20
"""In one message."""
_UNCERTAIN: Final = (
    "in chats of this program what was typed cannot be told from what an answer says; take the session out "
    "with `minoots export`, or let the workspace record by itself: auto_record = true"
)
_PASTED: Final = (
    "this may be what was pasted, for the mark behind which this program puts what is typed stands in it; "
    "type the command in a message of its own"
)
_DOUBTFUL: Final = (
    "from line {} on this may be the words of a program, for it begins as those do; type the command in a "
    "message of its own"
)
_OF_AGENTS: Final = ("subagent", "review")
"""Conversations in which the user is another agent."""


@dataclass(frozen=True)
class Means:
    """With what is obeyed."""

    registry: Registry
    flags: WorkspaceFlags
    gate: Callable[[], WriteGate]
    answering: Answering
    host: str
    notify: tuple[str, ...]
    """Who is told of what was refused."""
    patience: timedelta
    """How long a command waits for what cannot be read, until it is refused."""
    now: datetime
    told: Recent[tuple[str, str, str], None]
    """Recordings that could not begin by themselves: conversation, workspace, why."""


class Turn:
    """One look at the next events of a conversation, in one transaction."""

    def __init__(
        self, means: Means, connection: AsyncConnection, conversation: sa.Row[Any], *, history: int
    ) -> None:
        self._means = means
        self._connection = connection
        self._conversation = conversation
        self._history = history
        self._now = means.now
        self._aim = Aim(connection, conversation, means.gate, means.host, means.answering)
        self._told: list[events.NewEvent] = []
        self._refusals: list[dict[str, Any]] = []
        self._started = 0
        self._looked_through = 0
        self.obeyed = 0
        self.refused = 0
        self.waits: Waits | None = None
        self.until = self._now + means.patience
        """When what waits is refused."""

    async def part(self) -> bool:
        """Obey the next events; return whether there are more."""
        conversation = self._conversation
        found = await conversations.numbered(
            self._connection, conversation.tenant, conversation.id, after=conversation.obeyed, limit=_PART
        )
        if not found:
            return False
        done: int = conversation.obeyed
        waits_at = since = None
        given_up = False
        for number, event in found:
            said = event.kind is ConversationEventKind.USER and not event.injected
            # What has the id of another agent was said to that one, by an agent, within this conversation.
            if said and event.agent_id in (None, conversation.agent_id) and self._is_new(number, event):
                # To a sub-agent it is another agent that speaks, and nobody else's words are obeyed.
                persons = conversation.relation not in _OF_AGENTS and event.agent_id is None
                typed = await self._typed(event.text or "") if persons else ()
                heeded = () if event.details.get("uncertain") else typed
                try:
                    # Before anything of it is done: a message is obeyed as a whole.
                    await self._require_readable(heeded)
                except Waits as waits:
                    # Since this look, or since an earlier one; also of an earlier life of this process.
                    known = conversation.waits_since if conversation.waits_at == number else None
                    self.until = (known or self._now) + self._means.patience
                    if self._now < self.until and not given_up:
                        self.waits, waits_at, since = waits, number, known or self._now
                        break
                    # Long enough: it is refused below, with what is typed behind it and would have to wait.
                    given_up = True
                await self._by_itself(number, event, heeded)
                await self._message(number, event, typed)
            done = number
            if self._looked_through > _MOST_LOOKED_THROUGH:
                break  # the rest in a transaction of its own: whoever writes waits for this one
        await conversations.note_waiting(self._connection, conversation, waits_at, since)
        if done != conversation.obeyed:
            await conversations.obeyed(self._connection, conversation.id, done)
        await self._notify()
        if self._told:
            await events.append(self._connection, conversation.tenant, self._told)
        return self.waits is None and (len(found) == _PART or done < found[-1][0])

    async def _typed(self, text: str) -> tuple[Command | Mistake, ...]:
        """Return the commands of a message; of a long one apart, for with deep lists it takes seconds."""
        if "::" not in text:
            return ()
        self._looked_through += len(text)
        return commands_in(text) if len(text) <= _LONG else await apart(partial(commands_in, text))

    async def _require_readable(self, typed: Sequence[Command | Mistake]) -> None:
        """Make sure that what a message needs can be read.

        Raises:
            Waits: it cannot now.
        """
        named = [one.alias for one in typed if isinstance(one, Command) and one.verb is not Verb.STOP]
        if not named and await recordings.active_of(self._connection, self._conversation.id):
            # What is recorded goes on: a workspace that begins by itself begins with a later message.
            return
        # A log that was pasted names many, and is nobody's commands.
        wanted = list(dict.fromkeys(named))[:_MOST_REFUSALS]
        await apart(lambda: require(self._means.registry, *wanted))

    def _is_new(self, number: int, event: ConversationEvent) -> bool:
        """Tell whether an event is no history: old commands are never obeyed."""
        seen_at: datetime = self._conversation.created_at
        if event.ts is not None:
            # What a fork copies may get the time of the forking, right before it is seen.
            grace = timedelta(0) if self._conversation.relation == "fork" else GRACE
            # A time to come is none that somebody typed at.
            return seen_at - grace <= event.ts <= self._now + GRACE
        return number > self._history

    async def _message(
        self, number: int, event: ConversationEvent, typed: Sequence[Command | Mistake]
    ) -> None:
        refusals: list[str] = []
        doubtful = doubtful_from(event.text or "") if typed else None
        for item in typed:
            if len(refusals) == _MOST_REFUSALS:
                # A log that was pasted, and nobody's commands.
                refusals.append("there are more lines like these; none of them is obeyed")
                break
            place = Place(self._conversation, number, event, item.line)
            try:
                if isinstance(item, Mistake):
                    raise Refused(item.problem)
                if why := place.event.details.get("uncertain"):
                    raise Refused(_PASTED if why == "pasted" else _UNCERTAIN)
                if doubtful is not None and item.line >= doubtful:
                    raise Refused(_DOUBTFUL.format(doubtful))
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

    def _refuse(self, raw: str, place: Place, why: str) -> None:
        conversation = self._conversation
        about = {"command": raw[:200], "reason": why[:500], "event": place.event.id, "line": place.line}
        self._tell(EventType.CHAT_COMMAND_REFUSED, conversation.id, about)
        self._refusals.append(about)
        audit(
            "chat_command.refused",
            actor=f"conversation/{conversation.id}",
            tenant=conversation.tenant,
            decision="deny",
            command=raw[:200],
            reason=why,
        )

    async def _notify(self) -> None:
        """Tell those who want to know what was refused: whoever typed it may not look at the recording."""
        conversation, who = self._conversation, self._means.notify
        if not self._refusals or not who:
            return
        unknown = await notifying.notify(
            self._connection,
            conversation.tenant,
            who,
            name="a command in a chat was refused",
            payload={
                "conversation": conversation.id,
                "provider": conversation.provider,
                "session": conversation.session_id,
                "refused": self._refusals,
            },
            now=self._now,
            actor=f"conversation/{conversation.id}",
        )
        if unknown:
            get_logger("minoots.capture").warning("capture.notify_unknown", who=unknown)

    def _tell(self, type: EventType, subject: str, data: dict[str, Any]) -> None:
        self._told.append(events.NewEvent(type, subject, self._now, data))

    async def _obey(self, command: Command, place: Place) -> None:
        active = await recordings.active_of(self._connection, self._conversation.id)
        if command.verb is Verb.STOP:
            mine = [row for row in active if command.alias in (None, row.alias)]
            if not mine:
                what = f"into {command.alias}" if command.alias else "at all"
                raise Refused(f"nothing is recorded {what}")
            for row in mine:
                await self._stop(row, place)
            return
        workspace = await self._workspace(command.alias or "")
        running = next((row for row in active if row.workspace_id == workspace.config.id), None)
        if command.verb is Verb.RECORD and running is not None:
            folder = await self._aim.folder(command, workspace)
            if command.argument is None or folder == os.path.dirname(running.path):
                return  # it is recorded already
        if command.verb is Verb.RECORD and command.argument is None:
            command = await self._into_the_last(command, workspace)
        target, writer = await self._aim.target(command, workspace, place)
        if command.verb is Verb.RECORD and running is not None:
            if running.path == str(target.path):
                return
            await self._stop(running, place)
        if command.verb is Verb.CAPTURE and running is not None:
            await self._stop(running, place)
        await self._start(recordings.Kind(command.verb.value), workspace, target, writer, place)

    async def _into_the_last(self, command: Command, workspace: Workspace) -> Command:
        """Return a command that goes on where this conversation was recorded for the workspace before."""
        path = await recordings.last_path(
            self._connection, self._conversation.id, workspace.config.id, self._means.host
        )
        return command if path is None else replace(command, argument=path)

    async def _workspace(self, alias: str) -> Workspace:
        try:
            return await apart(lambda: self._means.registry.get(alias))
        except Failure as failure:
            raise Refused(f"{failure.detail}. {failure.remedy or ''}".strip()) from failure

    async def _start(
        self, kind: recordings.Kind, workspace: Workspace, target: Target, writer: Writer, place: Place
    ) -> None:
        conversation, host = self._conversation, self._means.host
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
        flags = self._means.flags.of(
            workspace.config.flags, provider=conversation.provider, session_id=conversation.session_id
        )
        look = await apart(
            lambda: look_of(
                flags,
                workspace,
                target,
                conversation,
                recording_id=recording_id,
                title=title,
                created=place.event.ts or self._now,
            )
        )
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
                "path_key": recordings.path_key(host, str(target.path)),
                "root": str(target.root),
                "options": look.model_dump(mode="json"),
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
            if any(row.id == recording_id for row in await self._aim.at(target)):
                return
            raise Refused(f"{target.path} is being recorded into by another conversation")
        about = {"conversation": conversation.id, "path": str(target.path), "kind": kind.value}
        self._tell(EventType.RECORDING_STARTED, recording_id, about | {"workspace": workspace.alias})

    async def _stop(self, row: sa.Row[Any], place: Place) -> None:
        await recordings.stop(self._connection, row.id, number=place.number, line=place.line, now=self._now)

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
        try:
            workspaces = await apart(self._means.registry.all)
        except Failure:
            return  # it is told, and looked for again with the next message
        for workspace in workspaces:
            config = workspace.config
            sub = conversation.relation == "subagent"
            if not config.auto_record or (sub and not config.auto_record_subagents):
                continue
            if workspace.alias in asked:
                continue
            if not await apart(partial(self._means.registry.holds, workspace, cwd)):
                continue
            # Once: what somebody has stopped is not begun again.
            if await recordings.ever_of(self._connection, conversation.id, config.id):
                continue
            await self._record_by_itself(workspace, Place(conversation, number, event, 1))

    async def _record_by_itself(self, workspace: Workspace, place: Place) -> None:
        command = Command(Verb.RECORD, workspace.alias, None, 1, f"::record-{workspace.alias}")
        try:
            target, writer = await self._aim.target(command, workspace, place)
            await self._start(recordings.Kind.RECORD, workspace, target, writer, place)
        except (Refused, OSError, RuntimeError) as refusal:
            # Told once, not with every message.
            about = (self._conversation.id, workspace.alias, str(refusal))
            if about not in self._means.told:
                self._means.told[about] = None
                self._refuse(f"auto_record of {workspace.alias}", place, str(refusal))
