"""Texts as people see them: without escape sequences, and without what programs put into messages. Pure."""

from __future__ import annotations

import re
from typing import Final

_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_TAGS: Final = (
    "system-reminder",
    "ide_opened_file",
    "ide_selection",
    "user-prompt-submit-hook",
    "local-command-caveat",
    "local-command-stdout",
    "local-command-stderr",
    "task-notification",
    "environment_context",
    "user_instructions",
    "recommended_plugins",
    "turn_aborted",
    "session_context",
)
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return a text that any database can hold and any terminal can show."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\x00" in text:
        text = text.replace("\x00", "")
    return _SURROGATES.sub("\ufffd", text)


def typed(text: str) -> str:
    """Return what is left of a user's message when what the program put in is taken out."""
    if "<" in text:
        for tag in _TAGS:
            text = _without(text, f"<{tag}>", f"</{tag}>")
    return text.strip()


def _without(text: str, opening: str, closing: str) -> str:
    # By finding, not by a pattern: a text of a million openings without an end would be searched for ever.
    kept: list[str] = []
    at = 0
    while (begin := text.find(opening, at)) >= 0:
        end = text.find(closing, begin)
        if end < 0:
            break
        kept.append(text[at:begin])
        at = end + len(closing)
    return "".join((*kept, text[at:])) if kept else text
