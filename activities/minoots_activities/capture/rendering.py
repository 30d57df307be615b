"""What a recording looks like: the events of a conversation as its writer has them, and the head of its file.

Owns which of them are shown, and that a long conversation is read in parts. Touches no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from minoots.contracts.conversations import ConversationEvent
from minoots_platform.clock import Clock
from minoots_platform.records import Database, conversations
from minoots_platform.writers import Look, Rendered, Writer

from .answering import beating
from .commands import before_line, from_line

PART: Final = 500
"""Events that are written at a time."""


class Rendering:
    """What one conversation looks like in a recording of it."""

    def __init__(
        self,
        database: Database,
        tenant: str,
        writer: Writer,
        look: Look,
        clock: Clock,
        beat: Callable[[], None],
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._writer = writer
        self._look = look
        self._clock = clock
        self._beat = beat

    async def of(
        self,
        row: sa.Row[Any],
        after: int,
        state: dict[str, Any],
        *,
        until: int,
        most: int | None = None,
    ) -> tuple[Rendered, dict[str, Any], int]:
        """Return what the next events look like, the state behind them, and the number of the last.

        Args:
            row: the recording.
            after: the number of the last event before them.
            state: of the writer, behind that one.
            until: the number of the last event that may be shown.
            most: with it, that many events at most; without it, all.
        """
        state = {**state, "calls": dict(state.get("calls", {})), "agents": list(state.get("agents", ()))}
        if after < row.from_number:
            state.update(own=True, ours=True)
        rendered, last = Rendered(), after
        while last < until:
            async with self._database.read() as connection:
                found = await conversations.numbered(
                    connection, self._tenant, row.conversation_id, after=last, until=until, limit=most or PART
                )
            if not found:
                break
            await beating(partial(self._render, row, found, state, rendered), self._beat)
            last = found[-1][0]
            if most is not None:
                break
        return rendered, state, last

    def _render(
        self,
        row: sa.Row[Any],
        found: Sequence[tuple[int, ConversationEvent]],
        state: dict[str, Any],
        rendered: Rendered,
    ) -> None:
        for number, event in found:
            shown = _shown(event, number, row)
            if shown is not None:
                self._writer.render(shown, self._look, state, rendered)

    def begun(self, row: sa.Row[Any], rendered: Rendered) -> bytes:
        """Return a whole file, which begins with a head."""
        text = self._writer.head(self._look, rendered) + rendered.text
        if row.written_at is not None:
            text = self._writer.dated(text, self._look, self._clock())
        return text.encode("utf-8", "replace")

    def headed(self, existing: bytes, rendered: Rendered) -> bytes | None:
        """Return a file with its new head and the new text; ``None`` where its head stays as it is."""
        # Whatever stands in it, also what is no UTF-8, comes out as it went in.
        headed = self._with_head(existing, rendered)
        if headed is None:
            return None
        whole = headed.encode("utf-8", "surrogateescape")
        gap = self.gap(whole[-2:]) if rendered.text else ""
        return whole + (gap + rendered.text).encode("utf-8", "replace")

    def has_another_head(self, begins: bytes, rendered: Rendered) -> bool:
        """Tell whether a file that begins so gets another head."""
        return self._with_head(begins, rendered) is not None

    def _with_head(self, existing: bytes, rendered: Rendered) -> str | None:
        text = existing.decode("utf-8", "surrogateescape")
        return self._writer.headed(text, self._look, rendered, self._clock())

    def gap(self, end: bytes) -> str:
        """Return what has to stand between the end of a file and what is appended."""
        if not end:
            return ""
        missing = len(self._writer.gap) - (len(end) - len(end.rstrip(b"\n")))
        return "\n" * max(0, missing)


def _shown(event: ConversationEvent, number: int, row: sa.Row[Any]) -> ConversationEvent | None:
    """Return what of an event belongs into a recording that begins or ends in the middle of it."""
    text = event.text or ""
    if number == row.until_number and row.until_line is not None:
        text = before_line(text, row.until_line)
        if not text.strip():
            return None
    if number == row.from_number and row.from_line is not None:
        text = from_line(text, row.from_line)
    return event if text == (event.text or "") else event.model_copy(update={"text": text})
