"""Markdown: headings by speaker and time, with what machines said among themselves folded away."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from html import escape
from pathlib import PurePosixPath
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind, Enclosed

from . import front_matter
from .closing import closer_of, fence_for
from .folds import folded_whole, unfolded
from .headlines import headline
from .visible import visible
from .writer import Beside, Look, Rendered, Writer, agent_file

Kind = ConversationEventKind

INTERRUPTED: Final = "The user interrupted here."
SUMMARY: Final = "What was said before, in short"
LONGEST_SHOWN: Final = 4000
"""Characters of what a tool was given or gave; what is longer goes into a file beside the recording."""
_CALLS: Final = 500
"""Names of tools that are remembered for their results."""
_MODEL_VERSION: Final = re.compile(r"-(\d)-(\d{1,2})$")
_LINK: Final = re.compile(r"\]\((?P<path>/[^()\s]+)\)")
_WIKI: Final = re.compile(r"\[(?P<name>[^\[\]]*)\]\((?P<path>/[^()\s]+\.md)\)")
_CODE: Final = re.compile(
    r"(?ms)^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)|\Z)|(?<!`)`{1,8}[^`\n]+`{1,8}"
)
_MARKED: Final = re.compile(r"[-+*>#|`~<=_[]|[0-9]+[.)]| {4}|\t")
_UNITALIC: Final = re.compile(r"```|~~~|<")
_SPECIAL: Final = re.compile(r"[%<>\\&#?\x00-\x1f\x7f]")
_EXTENSIONS: Final = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "application/pdf": ".pdf",
}


class Markdown(Writer):
    """Writes conversations for people."""

    format: ClassVar[str] = "markdown"
    extension: ClassVar[str] = ".md"
    gap: ClassVar[str] = "\n\n"

    def render(self, event: ConversationEvent, look: Look, state: dict[str, Any], into: Rendered) -> None:
        """Append one event."""
        how = _RENDERINGS.get(event.kind)
        if how is not None:
            how(_Block(event, look, state, into))

    def head(self, look: Look, rendered: Rendered) -> str:
        """Return the front matter."""
        return front_matter.made(look, rendered) if look.front_matter else ""

    def headed(self, existing: str, look: Look, rendered: Rendered, now: datetime) -> str | None:
        """Return a file whose front matter has grown; ``None`` where nothing is new in it."""
        return front_matter.grown(existing, look, rendered, now) if look.front_matter else None

    def dated(self, text: str, look: Look, now: datetime) -> str:
        """Return a file whose front matter says when it was made anew."""
        return front_matter.dated(text, look, now) if look.front_matter else text

    def hidden(self, look: Look) -> frozenset[ConversationEventKind]:
        """Return the kinds that are not shown. Calls are remembered for their results, shown or not."""
        optional = {
            Kind.SYSTEM: look.system_events,
            Kind.THINKING: look.thinking,
            Kind.DECISION: look.decisions,
        }
        return frozenset(kind for kind in Kind if not optional.get(kind, kind in _RENDERINGS))


class _Block:
    """One event, about to be appended."""

    def __init__(self, event: ConversationEvent, look: Look, state: dict[str, Any], into: Rendered) -> None:
        self.event = event
        self.look = look
        self.state = state
        self.into = into
        self.headed = False

    def append(self, text: str) -> None:
        """Append a block with a blank line behind it."""
        self.into.text += visible(text) + "\n\n"
        if self.event.kind.value not in self.into.kinds:
            self.into.kinds.append(self.event.kind.value)

    def heading(self, speaker: str, participant: str | None) -> None:
        """Append a heading, unless the same speaker goes on."""
        if self.state.get("speaker") != speaker:
            self.state["speaker"] = speaker
            self.append(f"# {_plain(speaker)}_{stamp_of(self.event.ts, self.look)}")
            self.headed = True
        if participant and participant not in self.into.participants:
            self.into.participants.append(participant)

    def machine(self) -> None:
        """Append a heading where the assistant goes on without words: what follows is not the user's."""
        if self.state.get("speaker") in (None, self.look.username or "user"):
            speaker = speaker_of(self.event.model) if self.event.model else self.state.get("assistant")
            self.heading(speaker or "assistant", None)

    def body(self, text: str, *, italic: bool = False) -> str:
        """Return a text of somebody's such that nothing in it reaches beyond its end."""
        text = visible(text.strip("\r\n").rstrip())
        text = folded_whole(_linked(text, self.look))
        if italic and not _UNITALIC.search(text):
            text = "\n".join(_italic(line) for line in text.split("\n"))
        if text.startswith((" ", "\t")) and not self.headed:
            text = "<!-- -->\n\n" + text  # a list of the message before would take it in
        closer = closer_of(text)
        return f"{text}\n{closer}" if closer else text

    def fold(self, summary: str, content: str) -> None:
        """Append something that is folded away."""
        told = escape(" ".join(summary.split()))
        self.append(f"<details>\n<summary>{told}</summary>\n\n{content}\n\n</details>")

    def fenced(self, text: str, language: str, name: str) -> str:
        """Return a text in a fence; what is too long of it in a file beside."""
        text = visible(text)
        shown, link = text, ""
        if len(text) > LONGEST_SHOWN and self.look.beside:
            file = f"{name}-{_digest(text)}.txt"
            self.into.beside.append(Beside(file, text=text))
            shown = text[:LONGEST_SHOWN] + "…"
            link = f"\n\n[all of it]({_target(self.look, file)})"
        fence = fence_for(shown)
        shown = shown.removesuffix("\n")  # the fence stands on a line of its own anyway
        return f"{fence}{language}\n{shown}\n{fence}{link}"

    def enclosed(self) -> str:
        """Return links to what came with the message."""
        return "\n\n".join(self._link(one) for one in self.event.enclosed)

    def agent(self) -> str:
        """Return a link to what the sub-agent of a result said."""
        agent_id = self.event.agent_id
        if agent_id is None or agent_id == self.look.agent_id:
            return ""
        if not self.look.beside:
            return f"Sub-agent: {_plain(agent_id)}" if self.look.tool_results else ""
        agents: list[str] = self.state.setdefault("agents", [])
        if agent_id not in agents:
            agents.append(agent_id)
        return (
            f"[Sub-agent {_plain(agent_id)}]({_target(self.look, agent_file(agent_id, Markdown.extension))})"
        )

    def _link(self, one: Enclosed) -> str:
        if not self.look.beside:
            return f"*{_plain(one.media_type)}, {one.size} bytes*"
        file = one.sha256[:16] + _EXTENSIONS.get(one.media_type, ".bin")
        self.into.beside.append(Beside(file, sha256=one.sha256))
        image = "!" if one.media_type.startswith("image/") else ""
        return f"{image}[{_plain(one.media_type)}]({_target(self.look, file)})"


def _user(block: _Block) -> None:
    event, look = block.event, block.look
    if event.details.get("interrupted"):
        block.append(f"*{INTERRUPTED}*")
    command = event.details.get("command")
    if event.injected and not command:
        return
    name = look.username or "user"
    block.heading(name, name if look.participant_username else None)
    if event.injected:
        block.append(_plain(str(command)))
        return
    text = block.body(event.text or "", italic=look.italic_user)
    _say(block, text)
    for refusal in event.details.get("refused", ()):
        block.append(f"> **Minoots:** {_plain(str(refusal))}")


def _assistant(block: _Block) -> None:
    event, look, state = block.event, block.look, block.state
    if event.phase == "commentary" and not look.commentary:
        return
    told = [event.turn_id, _digest((event.text or "").strip())]
    repeats = event.phase == "final" and event.turn_id is not None and state.get("said") == told
    if repeats and not event.enclosed:
        return  # the final answer repeats the last comment
    state["said"] = told if event.phase == "commentary" else None
    speaker = state["assistant"] = speaker_of(event.model)
    block.heading(speaker, speaker)
    _say(block, block.body(event.text or ""))


def _say(block: _Block, text: str) -> None:
    for part in (text, block.enclosed()):
        if part:
            block.append(part)


def _system(block: _Block) -> None:
    if block.look.system_events and block.event.text:
        block.heading("system", None)
        block.append(block.body(block.event.text))


def _thinking(block: _Block) -> None:
    if block.look.thinking and block.event.text:
        block.machine()
        block.fold("Thinking", block.body(unfolded(block.event.text)))


def _call(block: _Block) -> None:
    tool = block.event.tool
    if tool is None:
        return
    calls: dict[str, str] = block.state.setdefault("calls", {})
    calls[tool.call_id] = tool.name or "tool"
    while len(calls) > _CALLS:
        del calls[next(iter(calls))]
    if block.event.model:
        block.state["assistant"] = speaker_of(block.event.model)
    if not block.look.tool_calls:
        return
    block.machine()
    if isinstance(tool.input, str):
        content = block.fenced(tool.input, "", "call")
    else:
        content = block.fenced(json.dumps(tool.input, ensure_ascii=False, indent=2), "json", "call")
    block.fold(f"Tool: {headline(tool)}", content)


def _result(block: _Block) -> None:
    tool = block.event.tool
    if tool is None:
        return
    agent = block.agent()
    if block.state.get("speaker") and (agent or block.look.tool_results):
        block.machine()
    if not block.look.tool_results:
        if agent:
            block.append(agent)
        return
    name = tool.name or block.state.get("calls", {}).get(tool.call_id, "tool")
    parts = [block.fenced(tool.output or "", "", "result"), block.enclosed(), agent]
    block.fold(f"{'Error' if tool.is_error else 'Result'}: {name}", "\n\n".join(filter(None, parts)))


def _decision(block: _Block) -> None:
    choice, look = block.event.choice, block.look
    if choice is None or not look.decisions:
        return
    lines = [f"**Decision [{_plain(choice.key)}]:** {_plain(choice.question)}"]
    if look.decision_options and choice.options:
        lines += ["", *(f"- {_plain(option)}" for option in choice.options)]
    if look.decision_selection and choice.chosen:
        lines += ["", f"Chosen: {', '.join(_plain(one) for one in choice.chosen)}"]
    block.append("\n".join(lines))


def _compaction(block: _Block) -> None:
    boundary = bool(block.event.details.get("boundary"))
    # Some programs tell of it twice: that it was done, and what is left.
    if boundary or not block.state.pop("compacted", False):
        block.append("*The conversation was compacted here.*")
    if boundary:
        block.state["compacted"] = True
    elif block.event.text and block.event.text.strip():
        block.fold(SUMMARY, block.body(unfolded(block.event.text)))


def _rewind(block: _Block) -> None:
    block.append("*What came before was taken back, up to an earlier point.*")


def _error(block: _Block) -> None:
    block.append("> **Error:** " + _plain(block.event.text or "something went wrong"))


_RENDERINGS: Final[dict[ConversationEventKind, Callable[[_Block], None]]] = {
    Kind.USER: _user,
    Kind.ASSISTANT: _assistant,
    Kind.SYSTEM: _system,
    Kind.THINKING: _thinking,
    Kind.TOOL_CALL: _call,
    Kind.TOOL_RESULT: _result,
    Kind.DECISION: _decision,
    Kind.COMPACTION: _compaction,
    Kind.REWIND: _rewind,
    Kind.ERROR: _error,
}


def speaker_of(model: str | None) -> str:
    """Return what an assistant is called: its model, with ``-4-5`` at the end as ``-4.5``."""
    return _MODEL_VERSION.sub(r"-\1.\2", model) if model else "assistant"


def zone_of(name: str) -> ZoneInfo | None:
    """Return a time zone; ``None`` for that of this machine."""
    if name == "local":
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def stamp_of(ts: datetime | None, look: Look) -> str:
    """Return a time as headings show it."""
    if ts is None:
        return "unknown-time"
    with suppress(OverflowError):  # at the ends of the calendar
        ts = ts.astimezone(zone_of(look.timezone))
    return f"{ts:%Y-%m-%d_%H%M_%S}"


def _plain(text: str) -> str:
    """Return a text of one line in which nothing means anything to Markdown."""
    return re.sub(r"([\\`*_\[\]<>#|~!&])", r"\\\1", " ".join(text.split()))


def _italic(line: str) -> str:
    # Only plain lines: a mark of a list, quote or fence would no longer be one.
    text = line.strip()
    plain = text and not _MARKED.match(line) and not _MARKED.match(text) and not re.search(r"[*\\]", text)
    return f"*{text}*" if plain else line


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _target(look: Look, file: str) -> str:
    # What means something in a link or an address is no part of the name to whoever follows it.
    way = _SPECIAL.sub(lambda one: f"%{ord(one[0]):02X}", f"{look.beside}/{file}")
    return f"<{way}>"


def _linked(text: str, look: Look) -> str:
    """Return a text whose links to files of the workspace are relative to the recording."""
    root = look.root
    if root is None or "](/" not in text:
        return text

    def wiki(match: re.Match[str]) -> str:
        path = PurePosixPath(os.path.normpath(match["path"]))
        return f"[[{path.stem}]]" if path.is_relative_to(root) else match[0]

    def relative(match: re.Match[str]) -> str:
        path = PurePosixPath(os.path.normpath(match["path"]))
        return f"]({os.path.relpath(path, look.folder)})" if path.is_relative_to(root) else match[0]

    def change(part: str) -> str:
        part = _WIKI.sub(wiki, part) if look.wikilinks else part
        return _LINK.sub(relative, part) if look.relative_links else part

    # What stands in code is no link.
    changed, at = [], 0
    for code in _CODE.finditer(text):
        changed += [change(text[at : code.start()]), code[0]]
        at = code.end()
    return "".join((*changed, change(text[at:])))
