"""Texts as people see them: without escape sequences, and without what programs put into messages. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from minoots_platform.writers.closing import Blocks

_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_NOTICES: Final = (
    "task-notification",
    "teammate-message",
    "cross-session-message",
    "channel-message",
    "channel",
    "subagent_notification",
    "system_notification",
    "tick",
)
"""Around what agents, other sessions and programs say where the user speaks."""
_TAGS: Final = (
    *_NOTICES,
    "system-reminder",
    "system_reminder",
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
    "fork-boilerplate",
    "user_shell_command",
    "skill",
    "skill-context",
    "INSTRUCTIONS",
    "environment_context",
    "user_instructions",
    "recommended_plugins",
    "turn_aborted",
    "session_context",
    "hook_context",
    "hook_prompt",
    "current_datetime",
)
_OPENS: Final = re.compile(rf"<(?P<tag>{'|'.join(sorted(_TAGS, key=len, reverse=True))})(?=[\s/>])")
_CUT_OFF: Final = re.compile(rf"^[ \t]*{_OPENS.pattern}(?![^<>\n]{{0,500}}> )", re.MULTILINE)
_PLANNED: Final = re.compile(
    r"\s*(?:Implement the following plan:|A previous agent produced the plan below\b)"
)
"""Begins what programs say in the user's name when a plan was agreed to: the plan is the model's."""
_COMMAND_BEGINS: Final = re.compile(r"<command-(?:name|message|args)>")
_COMMAND_NAME: Final = re.compile(r"<command-name>([^<]*)</command-name>")
_COMMAND_ARGUMENTS: Final = re.compile(r"(?s)<command-args>(.*?)</command-args>")
_COMMAND_SHOWN: Final = 1000
_BEGINS: Final = re.compile(
    r"# AGENTS\.md instructions(?: for |\s*\n|$)"
    r"|<permissions instructions>"
    r"|Base directory for this skill:"
    r"|This session is being continued from a previous conversation"
    r"|(?i:Caveat: the messages below)"
)
"""Of what programs say in the user's name without an end."""
MENTIONED: Final = "--- Content from referenced files ---"
"""Behind it, Gemini and programs made from it write what files hold that the user has mentioned."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return a text that any database can hold and any terminal can show."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()  # five times as fast as looking for halves of pairs, which next to no text has
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text


def typed(*parts: str, certain: bool = False) -> str:
    """Return what is left of a user's message when what programs put in is taken out.

    A part that begins with something of a program's is the program's, whatever stands behind it: output may
    hold its own end. Within a part, that is what stands between the first tag and its last end, but for words
    between whole pairs that command nothing. The name of a tag without an end is a word of the user's.
    ``certain`` says that the message as such is the user's: then everything around what was put in is, too.
    """
    return "\n".join(own for part in parts if (own := _own(part.strip(), certain=certain)))


def behind(text: str, mark: str) -> tuple[str, bool]:
    """Return what a user typed behind a mark of the program's, and whether that is certain.

    Where a block is open before the mark, or another mark stands there, somebody may have pasted it: what is
    behind would be read without the fence around it.
    """
    before, found, own = text.rpartition(mark)
    if not found:
        return text.strip(), True
    blocks = Blocks()
    for line in before.splitlines():
        blocks.feed(line.expandtabs(4))
    return own.strip(), mark not in before and blocks.open is None


def without_mentioned(parts: Iterable[str]) -> list[str]:
    """Return the texts of a message without what files hold that it mentions.

    That is whatever comes behind the mark: files come with repositories, and say what their authors want.
    """
    kept: list[str] = []
    for part in parts:
        own, found, _ = part.partition(MENTIONED)
        kept.append(own)
        if found:
            break
    return kept


def notice_in(text: str) -> str | None:
    """Return what a text is that somebody else than the user said, as its tag says; ``None`` for others."""
    begins = _OPENS.match(text := text.strip())
    if begins is None or begins["tag"] not in _NOTICES or f"</{begins['tag']}>" not in text:
        return None
    return begins["tag"]


def command_in(text: str) -> str | None:
    """Return the command of the program itself that a user gave, such as ``/init``; ``None`` for others.

    Only of a text that is a program's as a whole: what a user quotes is the user's own.
    """
    if not _COMMAND_BEGINS.match(text := text.strip()):
        return None
    parts = [found[1].strip() for one in (_COMMAND_NAME, _COMMAND_ARGUMENTS) if (found := one.search(text))]
    return " ".join(" ".join(part for part in parts if part).split())[:_COMMAND_SHOWN] or None


def doubtful_from(text: str) -> int | None:
    """Return the line of a user's message, from 1, from which on a program may speak that was cut off.

    That is one that begins with a tag of a program's without an end. Behind the name of a tag in a sentence
    stands a space, where programs begin to speak at once. Or the first, where a program hands over a plan.
    """
    if _PLANNED.match(text):
        return 1
    found = _CUT_OFF.search(text) if "<" in text else None
    return None if found is None else text.count("\n", 0, found.start()) + 1


def _own(text: str, *, certain: bool) -> str:
    if _BEGINS.match(text):
        return ""
    kept: list[str] = []
    ends: dict[str, int] = {}
    at = 0
    while opening := _OPENS.search(text, at):
        tag, begin = opening["tag"], opening.start()
        if tag not in ends:
            # Looked for once: names of tags may stand in a text a million times.
            closing = f"</{tag}>"
            ends[tag] = found + len(closing) if (found := text.rfind(closing)) >= 0 else -1
        # An end right before the tag is that of another.
        if ends[tag] <= begin:
            kept.append(text[at : opening.end()])
            at = opening.end()
        elif begin == 0 and not certain:
            return ""
        else:
            kept.append(text[at:begin])
            kept += _between(text[begin : ends[tag]], tag)
            at = ends[tag]
    return "".join((*kept, text[at:])).strip()


_MAY_COMMAND: Final = re.compile(r"(?:\A|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])\s*::")


def _between(text: str, tag: str) -> list[str]:
    """Return what stands between the pairs of one tag, the first of which begins a text that the last ends.

    Nothing where the pairs are not whole, or where a command stands between them: output may hold ends and
    beginnings of its own, and what is between those is not to be obeyed.
    """
    found: list[str] = []
    depth = at = 0
    for mark in re.finditer(rf"</{tag}>|<{tag}(?=[\s/>])(?P<empty>[^<>]{{0,200}}/>)?", text):
        if mark["empty"]:
            continue
        if mark[0].startswith("</"):
            depth -= 1
            at = mark.end()
        else:
            if not depth:
                found.append(text[at : mark.start()])
            depth += 1
        if depth < 0:
            return []
    if depth:
        return []
    # Other tags may stand there.
    between = _own("\n".join(part for part in found if part.strip()), certain=True)
    return [f" {between} "] if between and not _MAY_COMMAND.search(between) else []
