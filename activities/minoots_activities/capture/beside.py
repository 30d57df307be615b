"""Files beside a recording: images, outputs too long for it, and what its sub-agents said.

The names of images and outputs are made of their content, so that they are written once. That of a sub-agent
is made of its id, and its file is written anew whenever there is more of it: its transcript may come later
than the words that tell of it. What cannot be written is told and tried again; the recording goes on without.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from minoots.contracts.conversations import ConversationEvent
from minoots_platform.records import Database, conversations, enclosures
from minoots_platform.telemetry import audit, get_logger
from minoots_platform.writers import Beside, Look, Rendered, Writer, agent_file

from . import placing
from .answering import beating
from .filenames import slug
from .gate import Target, WriteDenied, folder_of

_DEEPEST: Final = 5
"""Sub-agents of sub-agents that are followed."""
_PART: Final = 500
_OF_THE_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE})
"""Troubles that are not of one file: the recording waits as well."""

Written = dict[tuple[str, str], tuple[int, int]]
"""How much of each sub-agent was there when it was last written, by recording and agent."""


class BesideFiles:
    """Writes what lies beside one recording."""

    def __init__(
        self,
        database: Database,
        tenant: str,
        recording: sa.Row[Any],
        writer: Writer,
        look: Look,
        target: Target,
        written: Written,
        beat: Callable[[], None],
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._recording = recording
        self._writer = writer
        self._look = look
        self._target = target
        self._written = written
        self._beat = beat
        self.missing: dict[str, str] = {}
        """Names of files that could not be written, and why."""

    def is_barred(self) -> bool:
        """Tell whether nothing at all can be written beside the recording."""
        place = self._target.beside(self._look.beside, f".{self._recording.id}.try")
        try:
            with folder_of(place, make=True) as folder:
                placing.put(folder, place.name, b"", f"{place.name}.new")
                placing.forget(folder, place.name)
        except (WriteDenied, OSError):
            return True
        return False

    def forget_agents(self) -> None:
        """Forget what sub-agents said before: all of it is written again."""
        for key in [key for key in self._written if key[0] == self._recording.id]:
            del self._written[key]

    async def write(self, files: Sequence[Beside]) -> None:
        """Write images and long outputs."""
        for one in dict.fromkeys(files):
            data: bytes | None
            if one.sha256 is None:
                data = (one.text or "").encode("utf-8", "replace")
            else:
                async with self._database.read() as connection:
                    data = await enclosures.enclosure(connection, self._tenant, one.sha256)
            if data is not None:
                self._put(one.name, data, anew=False)

    async def agents(self, ids: Sequence[str]) -> None:
        """Write what the sub-agents of these ids said, of those of whom there is more by now."""
        await self._agents(self._recording.conversation_id, ids, set(), 0)

    async def _agents(self, conversation_id: str, ids: Sequence[str], seen: set[str], depth: int) -> None:
        if not ids or depth == _DEEPEST:
            return
        async with self._database.read() as connection:
            children = await conversations.children_of(connection, self._tenant, conversation_id)
        for child in children:
            if child.agent_id not in ids or child.id in seen:
                continue
            seen.add(child.id)
            key, stands = (self._recording.id, child.id), (child.events, child.revised)
            state: dict[str, Any] = {}
            if self._written.get(key) != stands:
                rendered, state = await self._rendered(child)
                await self.write(rendered.beside)
                name = agent_file(child.agent_id, self._writer.extension)
                text = self._writer.head(self._look_of(child), rendered) + rendered.text
                self._put(name, text.encode("utf-8", "replace"), anew=True)
            await self._agents(child.id, state.get("agents", ()), seen, depth + 1)
            self._written[key] = stands

    async def _rendered(self, child: sa.Row[Any]) -> tuple[Rendered, dict[str, Any]]:
        rendered, state, last = Rendered(), dict[str, Any](), 0
        look = self._look_of(child)
        while True:
            async with self._database.read() as connection:
                found = await conversations.numbered(
                    connection, self._tenant, child.id, after=last, until=child.events, limit=_PART
                )
            await beating(partial(self._render, found, look, state, rendered), self._beat)
            if len(found) < _PART:
                return rendered, state
            last = found[-1][0]

    def _render(
        self,
        found: Sequence[tuple[int, ConversationEvent]],
        look: Look,
        state: dict[str, Any],
        rendered: Rendered,
    ) -> None:
        for _, event in found:
            self._writer.render(event, look, state, rendered)

    def _look_of(self, child: sa.Row[Any]) -> Look:
        about = {
            # Of its own: two files of one id are one to programs that go by it.
            "id": f"{self._look.id}-{slug(child.agent_id, 24) or 'agent'}",
            "title": child.title or f"Sub-agent {child.agent_id}",
            "session_id": child.session_id,
            "agent_id": child.agent_id,
            # It lies in that folder itself.
            "beside": ".",
        }
        return self._look.model_copy(update=about)

    def _put(self, name: str, data: bytes, *, anew: bool) -> None:
        place = self._target.beside(self._look.beside, name)
        try:
            with folder_of(place, make=True) as folder:
                found = placing.about(folder, name)
                if found is not None and found.st_size == len(data):
                    if not anew or placing.content(folder, name) == data:
                        self.missing.pop(name, None)
                        return
                placing.put(folder, name, data, f".{name}.new")
        except WriteDenied as denied:
            why = str(denied)  # something else is where it would be
            audit(
                "recording.write",
                actor=f"recording/{self._recording.id}",
                tenant=self._tenant,
                decision="deny",
                path=str(place.path),
                reason=why,
            )
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                raise
            why = os.strerror(error.errno) if error.errno else str(error)
        else:
            self.missing.pop(name, None)
            return
        self.missing[name] = why
        get_logger("minoots.capture").warning("recording.beside_denied", name=name, reason=why)
