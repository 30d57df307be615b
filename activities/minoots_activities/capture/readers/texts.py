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
    "bash-input",
    "bash-stdout",
    "bash-stderr",
    "command-name",
    "command-message",
    "command-args",
    "task-notification",
    "teammate-message",
    "subagent_notification",
    "user_shell_command",
    "skill",
    "INSTRUCTIONS",
    "environment_context",
    "user_instructions",
    "recommended_plugins",
    "turn_aborted",
    "session_context",
)
_OPENS: Final = re.compile(rf"<(?P<tag>{'|'.join(_TAGS)})(?=[\s/>])[^<>]{{0,500}}>")
_BEGINNINGS: Final = (
    "# AGENTS.md instructions",
    "<permissions",
    "Base directory for this skill:",
    "This session is being continued from a previous conversation",
)
"""Of what programs say in the user's name."""
MENTIONED: Final = "--- Content from referenced files ---"
"""Behind it, programs made after Gemini's write what files hold that the user has mentioned."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return a text that any database can hold and any terminal can show."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return _SURROGATES.sub("\ufffd", text)


def typed(*parts: str) -> str:
    """Return what is left of a user's message when what programs put in is taken out.

    A part that begins with something of a program's is the program's, whatever stands behind it: output may
    hold its own end. Within a part, that is what stands between the first tag and its last end.
    """
    return "\n".join(own for part in parts if (own := _own(part)))


def _own(text: str) -> str:
    text = text.strip()
    if text.startswith(_BEGINNINGS) or ("<" in text and _OPENS.match(text)):
        return ""
    while "<" in text and (opening := _OPENS.search(text)):
        closing = f"</{opening['tag']}>"
        end = text.rfind(closing)
        behind = text[end + len(closing) :] if end >= opening.end() else ""
        text = text[: opening.start()] + behind
    return text.strip()
