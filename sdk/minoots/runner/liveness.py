"""What the service knows of a session: where a host captures it, its state tells of the assistant's turn."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from minoots.async_client import AsyncMinoots
from minoots.contracts.sessions import Activity, SessionState
from minoots.errors import MinootsError

from .settings import Kind

_EVERY: Final = 1.0
"""Seconds between two questions: the transcript itself is looked at more often, and costs nothing."""

_CLOCKS: Final = timedelta(seconds=2)
"""An event may carry a time from just before it was asked for."""

_PROVIDERS: Final = {Kind.CLAUDE_CODE: "claude", Kind.CODEX: "codex", Kind.GEMINI_CLI: "gemini"}

_OF_THE_ASSISTANT: Final = frozenset(
    {Activity.THINKING, Activity.WAITING_FOR_TOOL, Activity.IDLE, Activity.ASKING}
)


class Liveness:
    """How a session stands since it was resumed, by ``GET /v1/sessions/{id}/state``.

    It is one witness of two: a session that is not captured, or a key that may not read sessions
    (``sessions:read``), leaves the transcript.
    """

    def __init__(self, client: AsyncMinoots, kind: Kind, session_id: str) -> None:
        self._client = client
        self._provider = _PROVIDERS[kind]
        self._session_id = session_id
        self._public_id: str | None = None
        self._before = 0
        self._asked_at = 0.0
        self._began = datetime.now(UTC)

    async def begin(self) -> None:
        """Remember how the session stands before it is resumed."""
        try:
            async for session in self._client.sessions.list(
                provider=self._provider, session=self._session_id, subagents=True
            ):
                if session.session_id == self._session_id:
                    self._before = (await self._client.sessions.state(session.id)).number
                    self._public_id = session.id
                    return
        except MinootsError:
            return

    async def turn(self) -> bool:
        """Tell whether the assistant has taken a turn since."""
        now = time.monotonic()
        if self._public_id is None or now - self._asked_at < _EVERY:
            return False
        self._asked_at = now
        try:
            state: SessionState = await self._client.sessions.state(self._public_id)
        except MinootsError:
            return False
        # What was said before may be captured only now.
        late = state.since is not None and state.since < self._began - _CLOCKS
        return state.number > self._before and state.activity in _OF_THE_ASSISTANT and not late
