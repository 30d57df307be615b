"""Which of a Codex thread's lines are copies: of a parent's history, or of its own when it is written anew.

Copies get the time of the copying, all at once. They end with a turn that is younger than the thread, or,
where turns have no ids that tell, with the first line behind the burst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from .times import moment

_TIMED: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
"""An id that begins with the time."""
_BURST: Final = timedelta(seconds=2)
_AT_ONCE: Final = timedelta(milliseconds=50)


class Copies:
    """Follows the lines of one thread."""

    def __init__(self, thread: str, state: Mapping[str, Any]) -> None:
        self._thread = thread
        self.going_on: bool = bool(state.get("copied", False))
        """Whether the line at hand is a copy."""
        self._since: datetime | None = moment(state.get("copied_at"))
        self._begun: bool = bool(state.get("begun", False))
        self._own: bool = bool(state.get("copied_own", False))
        self._first: str | None = state.get("first")
        self._opened: datetime | None = moment(state.get("opened"))

    @property
    def state(self) -> dict[str, Any]:
        """What lines to come depend on."""
        return {
            "copied": self.going_on,
            "copied_at": self._since and self._since.isoformat(),
            "begun": self._begun,
            "copied_own": self._own,
            "first": self._first,
            "opened": self._opened and self._opened.isoformat(),
        }

    def head(self, payload: Mapping[str, Any], ts: datetime | None) -> bool:
        """Take a ``session_meta``; return whether it is the thread's own."""
        thread = payload.get("id")
        # The first one tells whose it is, unless the file has lost its own.
        own = thread == self._thread or (not self._begun and not isinstance(thread, str))
        if not own:
            self.going_on, self._since, self._own = True, ts, False
        elif self._begun:
            self._opened = ts
        self._begun = True
        return own

    def line(self, ts: datetime | None) -> None:
        """Take any line. One that came long after the copying is none of it."""
        if self.going_on and ts is not None and self._since is not None and ts - self._since > _BURST:
            self.going_on = False

    def turn(self, turn: Any) -> None:
        """Take the begin of a turn."""
        if not self.going_on or self._own:
            return
        if isinstance(turn, str) and _TIMED.fullmatch(turn) and _TIMED.fullmatch(self._thread):
            self.going_on = turn < self._thread
        elif self._since is None:
            # Neither ids nor times tell: better told twice than never.
            self.going_on = False

    def words(self, said: str, ts: datetime | None) -> None:
        """Take words of the user, by their hash.

        A thread that begins with its own first words in the moment in which it is opened again is written
        anew: nobody types that fast, and no program has started by then.
        """
        if self._first is None:
            self._first = said
        opened, self._opened = self._opened, None
        if opened is not None and ts is not None and said == self._first and ts - opened <= _AT_ONCE:
            self.going_on, self._since, self._own = True, opened, True
