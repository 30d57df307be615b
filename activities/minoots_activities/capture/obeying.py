"""Obeying the commands that people type into chats: what is to be recorded, from where on, into which file.

One gate, closed by default: only a user's own words, only once, only from when the conversation was first
seen, only into files that may be written. Whatever is refused is told: to the feed, the audit log, to those
whom the settings name, and in the recording itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType
from minoots_platform.clock import Clock
from minoots_platform.records import Database, conversations, events, recordings
from minoots_platform.telemetry import audit

from .answering import Answering, beating
from .flags import WorkspaceFlags
from .gate import WriteGate
from .recent import Recent
from .registry import Registry
from .turn import Means, Turn
from .waits import Waits, require

PATIENCE: Final = timedelta(days=1)
"""How long a command waits for what cannot be read, until it is refused."""

_NO_HISTORY: Final = -1
"""Of a conversation that came into being while it was looked after: before all of its events."""


@dataclass(frozen=True)
class Obeyed:
    """What came of looking for commands."""

    pending: tuple[sa.Row[Any], ...]
    """Recordings that have something to write now."""
    obeyed: int = 0
    refused: int = 0
    problem: str | None = None
    """Why the rest waits: nothing is lost, and it is obeyed when that is over."""


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
        notify: Sequence[str] = (),
        patience: timedelta = PATIENCE,
    ) -> None:
        self._patience = patience
        self._database = database
        self._notify = tuple(notify)
        self._registry = registry
        self._write_roots = tuple(write_roots)
        self._flags = flags
        self._clock = clock
        self._tenant = tenant
        self._host = host
        self.answering = Answering()
        self.told: Recent[tuple[str, str, str], None] = Recent()
        """Recordings that could not begin by themselves: conversation, workspace, why."""
        self._waiting: dict[str, tuple[str | None, str, datetime]] = {}
        """Conversations whose commands wait: for which workspace (none: the registry), why, until when."""

    def waiting(self) -> frozenset[str]:
        """Return the conversations whose commands still have to wait: looking for them again is no use."""
        found, told = set(), dict[str | None, bool]()
        now = self._clock()
        for conversation_id, (alias, _, until) in list(self._waiting.items()):
            if now >= until:
                continue  # refused, with the next look
            if alias not in told:
                told[alias] = self._can_be_read(alias)
            if told[alias]:
                self._waiting.pop(conversation_id, None)
            else:
                found.add(conversation_id)
        return frozenset(found)

    def _can_be_read(self, alias: str | None) -> bool:
        try:
            require(self._registry, alias)
        except Waits:
            return False
        return True

    async def conversation(
        self, conversation_id: str, *, fresh: bool, beat: Callable[[], None] = lambda: None
    ) -> Obeyed:
        """Obey what was typed since the last look; return what has to be written.

        ``fresh`` says that the transcript came into being while it was looked after: then what has no time
        was typed just now. A command waits, with what was typed behind it, while the registry or the file of
        its workspace cannot be read.
        """
        obeyed = refused = 0
        more, waits = True, None
        while more:
            # Whoever does not answer is found out here, and not while others wait for the records.
            await beating(self._find_silent, beat)
            async with self._database.write() as connection:
                conversation = await conversations.lock(connection, conversation_id)
                if conversation is None or conversation.tenant != self._tenant:
                    return Obeyed(())
                history = conversation.history
                if not history and not conversation.obeyed:
                    # Kept, for whoever goes on: if this process dies in the middle of a long one, or if the
                    # first command has to wait.
                    history = _NO_HISTORY if fresh else conversation.events
                    await conversations.note_history(connection, conversation_id, history)
                run = Turn(self._means(), connection, conversation, history=history)
                more = await run.part()
                waits = run.waits
                await self._tell(connection, conversation, waits)
            # Only when that is kept: else it would never be told.
            self._note(conversation_id, waits, run.until)
            beat()
            obeyed, refused = obeyed + run.obeyed, refused + run.refused
        async with self._database.read() as connection:
            pending = await recordings.pending_of(connection, conversation_id)
            # Beside those of the conversation that began this one lies what is said in it.
            pending += await recordings.active_of_parent(connection, conversation_id)
        mine = tuple(row for row in pending if row.host == self._host)
        return Obeyed(mine, obeyed, refused, None if waits is None else str(waits))

    async def _tell(
        self, connection: AsyncConnection, conversation: sa.Row[Any], waits: Waits | None
    ) -> None:
        """Tell once that commands wait."""
        known = self._waiting.get(conversation.id)
        if waits is None or (known is not None and known[:2] == (waits.alias, str(waits))):
            return
        about = {"provider": conversation.provider, "host": self._host, "reason": f"a command waits: {waits}"}
        told = events.NewEvent(EventType.CONVERSATION_TROUBLED, conversation.id, self._clock(), about)
        await events.append(connection, conversation.tenant, [told])

    def _note(self, conversation_id: str, waits: Waits | None, until: datetime) -> None:
        """Remember whose commands wait, and until when."""
        if waits is None:
            self._waiting.pop(conversation_id, None)
        else:
            self._waiting[conversation_id] = (waits.alias, str(waits), until)

    def _means(self) -> Means:
        return Means(
            registry=self._registry,
            flags=self._flags,
            gate=self.gate,
            answering=self.answering,
            host=self._host,
            notify=self._notify,
            patience=self._patience,
            now=self._clock(),
            told=self.told,
        )

    def gate(self) -> WriteGate:
        """Return the gate as it stands: workspaces come and go, and what does not answer is shut."""
        roots = [root for root in self._write_roots if self._answers(root)]
        return WriteGate([*roots, *self._registry.answering().values()], self._audit)

    def _answers(self, root: Path) -> bool:
        try:
            return self.answering.ask(str(root), root.is_dir)
        except OSError:
            return False

    def _find_silent(self) -> None:
        self._registry.problems()
        for root in self._write_roots:
            self._answers(root)

    def _audit(self, decision: str, path: str, reason: str) -> None:
        audit(
            "recording.path",
            actor=f"host/{self._host}",
            tenant=self._tenant,
            decision=decision,
            path=path,
            reason=reason,
        )
